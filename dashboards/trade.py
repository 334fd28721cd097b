"""The key trade metrics on one screen, for those who trade."""

from __future__ import annotations

from dashboards.parts import (
    COUNT,
    CRITICAL,
    OK,
    OPERATIONS,
    RATIO,
    ROWS,
    SECONDS,
    UP,
    WARNING,
    Board,
    Limits,
    Query,
    Variable,
    bars,
    graph,
    number,
    row,
    states,
)  # fmt: skip

ENGINE, BACKEND = 'instance_name=~"$engine"', 'instance_name=~"$backend"'
ORDERS = {"^filled": OK, "^rejected": WARNING, "^failed": CRITICAL}

BOARD = Board(
    uid="trade-overview",
    title="Trade overview",
    why="Is the system trading, how fast, and does what it does arrive in ClickHouse?",
    span="15m",
    refresh="5s",
    variables=(
        Variable("engine", "Trade engine", "label_values(trade_orders_total, instance_name)"),
        Variable("backend", "Backend", "label_values(sync_latency_seconds, instance_name)"),
    ),
    rows=(
        row(
            "",
            number(
                "Orders",
                "Orders that came to an end each second, over the last minute.",
                OPERATIONS,
                Query(f"sum(instance:trade_orders:rate1m{{{ENGINE}}})"),
                to="services",
            ),
            number(
                "Fills",
                "Fills each second, partial ones too, over the last minute.",
                OPERATIONS,
                Query(f"sum(rate(trade_fills_total{{{ENGINE}}}[1m]))"),
                to="services",
            ),
            number(
                "Failed orders",
                "Share of the last minute's orders that failed; a rejected one has not.",
                RATIO,
                Query(
                    f"sum(instance:trade_orders_failed:rate1m{{{ENGINE}}})"
                    f" / sum(instance:trade_orders:rate1m{{{ENGINE}}})"
                ),
                limits=Limits(critical="order_failure_ratio"),
                runbooks=("OrdersFailing",),
            ),
            number(
                "Order latency, p99",
                "99 of 100 orders of the last minute were faster, from the signal to the result.",
                SECONDS,
                Query(f"max(instance:trade_order_latency_seconds:p99_1m{{{ENGINE}}})"),
                limits=Limits(warning="order_latency_seconds"),
                runbooks=("SlowOrders",),
            ),
            number(
                "Sync latency",
                "How long a sync of trade states to ClickHouse takes, over the last 10 s.",
                SECONDS,
                Query(f"max(avg_over_time(sync_latency_seconds{{{BACKEND}}}[10s]))"),
                limits=Limits(warning="sync_latency_seconds"),
                runbooks=("SlowSync",),
            ),
            number(
                "Oldest signal",
                "Age of the oldest signal that has no result yet; 0 when none waits.",
                SECONDS,
                Query(f"max(trade_signal_age_seconds{{{ENGINE}}})"),
                limits=Limits(critical="signal_age_seconds"),
                runbooks=("SignalsWaiting",),
            ),
            number(
                "Memory of its limit",
                "The process that is nearest to the memory limit of its service.",
                RATIO,
                Query("max(instance:process_resident_memory_bytes:limit_ratio)"),
                limits=Limits(critical="memory_ratio"),
                runbooks=("HighMemoryUsage",),
            ),
            number(
                "Critical alerts",
                "How many fire now, in the whole system.",
                COUNT,
                Query('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)'),
                limits=Limits(critical=1),
                to="alerts",
            ),
            height=4,
        ),
        row(
            "",
            graph(
                "Orders by result",
                "Orders that came to an end each second. Failed ones are the system's fault, rejected the market's.",
                OPERATIONS,
                Query(f"sum by (result) (rate(trade_orders_total{{{ENGINE}}}[$__rate_interval]))", "{{result}}"),
                colours=ORDERS,
                stacked=True,
                runbooks=("OrdersFailing",),
                to="services",
            ),
            graph(
                "Signals and fills",
                "What comes in and what comes of it, each second. Partial fills count: they may be more than signals.",
                OPERATIONS,
                Query(f"sum(rate(trade_signals_total{{{ENGINE}}}[$__rate_interval]))", "signals"),
                Query(f"sum(rate(trade_fills_total{{{ENGINE}}}[$__rate_interval]))", "fills"),
                to="services",
            ),
            graph(
                "Order latency",
                "From the signal's entry in its stream to the order's entry in the result stream, of the last minute.",
                SECONDS,
                *(
                    Query(
                        f"histogram_quantile({share},"
                        f" sum by (le) (rate(trade_order_latency_seconds_bucket{{{ENGINE}}}[1m])))",
                        legend,
                    )
                    for share, legend in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
                ),
                reach=True,
                limits=Limits(warning="order_latency_seconds"),
                runbooks=("SlowOrders",),
            ),
        ),
        row(
            "",
            graph(
                "Sync latency to ClickHouse",
                "How long the last sync took, and the mean of 10 s, which the alert looks at.",
                SECONDS,
                Query(f"sync_latency_seconds{{{BACKEND}}}", "{{instance_name}}: last"),
                Query(f"avg_over_time(sync_latency_seconds{{{BACKEND}}}[10s])", "{{instance_name}}: mean"),
                reach=True,
                limits=Limits(warning="sync_latency_seconds"),
                runbooks=("SlowSync", "SyncStalled"),
            ),
            graph(
                "Rows synced and waiting",
                "Rows that reach ClickHouse each second, and how many wait for the next sync.",
                ROWS,
                Query(f"sum(rate(sync_rows_total{{{BACKEND}}}[$__rate_interval]))", "synced"),
                Query(f"sum(sync_pending_rows{{{BACKEND}}})", "waiting (rows)"),
                runbooks=("SyncStalled", "SyncFailing"),
                to="clickhouse",
            ),
            graph(
                "Memory of its limit",
                "Resident memory as a share of the service's limit in the catalogue.",
                RATIO,
                Query("instance:process_resident_memory_bytes:limit_ratio", "{{instance_name}}"),
                reach=True,
                limits=Limits(critical="memory_ratio"),
                runbooks=("HighMemoryUsage",),
                to="services",
            ),
        ),
        row(
            "",
            states(
                "What answers",
                "Each second: does it answer Prometheus? For Redis it is Redis that answers, not its exporter.",
                COUNT,
                Query("redis_up", "Redis {{instance_name}}"),
                Query('up{instance_name=~"$engine|$backend", job!~"host|probe"}', "{{instance_name}}"),
                Query("duckdb_collector_success", "DuckDB {{instance_name}}"),
                Query("ClickHouseAsyncMetrics_Uptime > bool 0", "ClickHouse {{instance_name}}"),
                states=UP,
                runbooks=("RedisDown", "ServiceDown"),
            ),
            bars(
                "Entries that wait in Redis streams",
                "What a group of readers has not read yet.",
                COUNT,
                Query("redis_stream_group_lag", "{{stream}}: {{group}}"),
                limits=Limits(warning="redis_stream_lag_entries"),
                runbooks=("RedisStreamLag",),
                to="redis",
            ),
            graph(
                "Failed requests to the backend",
                "Share of the requests of the last minute that got a 5xx.",
                RATIO,
                Query(f"instance:http_requests_failed:ratio1m{{{BACKEND}}}", "{{instance_name}}"),
                limits=Limits(critical="error_ratio"),
                runbooks=("HighErrorRate",),
                to="services",
            ),
        ),
    ),
)
