"""The site's own programs: the trade engine and the backend."""

from __future__ import annotations

from dashboards.parts import (
    BYTES,
    COUNT,
    CRITICAL,
    EVENTS,
    OK,
    OPERATIONS,
    RATIO,
    REQUESTS,
    ROWS,
    SECONDS,
    UP,
    WARNING,
    Board,
    Column,
    Limits,
    Query,
    Variable,
    graph,
    number,
    row,
    rows,
    states,
)  # fmt: skip

OF = 'service=~"$service", instance_name=~"$instance_name"'
NAME = "{{instance_name}}"
CODES = {r"\b2..$": OK, r"\b4..$": WARNING, r"\b5..$": CRITICAL}
ORDERS = {"filled$": OK, "rejected$": WARNING, "failed$": CRITICAL}


def quantiles(histogram: str, by: str, legend: str, window: str = "1m") -> tuple[Query, ...]:
    """The median, p95 and p99 of a histogram."""
    return tuple(
        Query(
            f"histogram_quantile({share}, sum by ({by}, le) (rate({histogram}_bucket{{{OF}}}[{window}])))",
            f"{legend} {name}",
        )
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    )


BOARD = Board(
    uid="services",
    title="Trade engine and backend",
    why="The site's own programs: what they do, how long it takes, and what it costs.",
    variables=(
        Variable(
            "service",
            "Service",
            'label_values({__name__=~"sync_latency_seconds|trade_orders_total"}, service)',
        ),
        Variable(
            "instance_name", "Instance", 'label_values(process_start_time_seconds{service=~"$service"}, instance_name)'
        ),
    ),
    rows=(
        row(
            "",
            number(
                "Up",
                "Whether it answers Prometheus.",
                COUNT,
                Query(f"up{{{OF}}}", NAME),
                states=UP,
                runbooks=("ServiceDown",),
                width=6,
            ),
            number(
                "Memory of its limit",
                "Of the limit in the catalogue.",
                RATIO,
                Query(f"instance:process_resident_memory_bytes:limit_ratio{{{OF}}}", NAME),
                limits=Limits(critical="memory_ratio"),
                runbooks=("HighMemoryUsage",),
                width=6,
            ),
            number(
                "Last sync",
                "When the last sync to ClickHouse was completed.",
                SECONDS,
                Query(f"time() - sync_last_success_timestamp_seconds{{{OF}}}", NAME),
                limits=Limits(critical="sync_stalled_seconds"),
                runbooks=("SyncStalled",),
                width=6,
            ),
            number(
                "Engine errors",
                "Errors that the engine went on from, in the last 5 minutes.",
                COUNT,
                Query(f"sum by (instance_name) (increase(trade_engine_errors_total{{{OF}}}[5m]))", NAME),
                limits=Limits(warning="engine_errors"),
                runbooks=("EngineErrors",),
                width=6,
            ),
            height=4,
        ),
        row(
            "",
            rows(
                "Instances",
                "What runs where, and since when.",
                SECONDS,
                Query(f"time() - process_start_time_seconds{{{OF}}}"),
                columns=(
                    Column("service", "Service"),
                    Column("instance_name", "Instance"),
                    Column("host", "Host", link="/d/hosts?var-host=${__value.text}&${__url_time_range}"),
                    Column("instance", "Address"),
                    Column("Value", "Up for", SECONDS),
                ),
                runbooks=("ServiceRestarted",),
                width=16,
            ),
            states(
                "Up over time",
                "Each second.",
                COUNT,
                Query(f"up{{{OF}}}", NAME),
                states=UP,
                runbooks=("ServiceDown", "ServiceFlapping"),
                width=8,
            ),
            height=6,
        ),
        row(
            "Trade engine",
            graph(
                "Orders by result",
                "Orders that came to an end, each second.",
                OPERATIONS,
                Query(
                    f"sum by (instance_name, result) (rate(trade_orders_total{{{OF}}}[$__rate_interval]))",
                    NAME + " {{result}}",
                ),
                colours=ORDERS,
                stacked=True,
                runbooks=("OrdersFailing",),
            ),
            graph(
                "Failed orders",
                "Share of the last minute's orders.",
                RATIO,
                Query(f"instance:trade_orders_failed:ratio1m{{{OF}}}", NAME),
                limits=Limits(critical="order_failure_ratio"),
                runbooks=("OrdersFailing",),
            ),
            graph(
                "Order latency",
                "From the signal's entry in its stream to the result's, of the last minute.",
                SECONDS,
                *quantiles("trade_order_latency_seconds", "instance_name", NAME),
                limits=Limits(warning="order_latency_seconds"),
                runbooks=("SlowOrders",),
            ),
        ),
        row(
            "",
            graph(
                "Signals and fills",
                "Each second.",
                OPERATIONS,
                Query(f"rate(trade_signals_total{{{OF}}}[$__rate_interval])", NAME + " signals"),
                Query(f"rate(trade_fills_total{{{OF}}}[$__rate_interval])", NAME + " fills"),
            ),
            graph(
                "Oldest signal",
                "Age of the oldest signal that has no result yet.",
                SECONDS,
                Query(f"trade_signal_age_seconds{{{OF}}}", NAME),
                limits=Limits(critical="signal_age_seconds"),
                runbooks=("SignalsWaiting",),
            ),
            graph(
                "Errors by kind",
                "Errors that the engine went on from, each second.",
                EVENTS,
                Query(
                    f"sum by (instance_name, kind) (rate(trade_engine_errors_total{{{OF}}}[$__rate_interval]))",
                    NAME + " {{kind}}",
                ),
                runbooks=("EngineErrors",),
            ),
        ),
        row(
            "Backend: syncs to ClickHouse",
            graph(
                "Latency",
                "How long the last sync took, and the mean of 10 s.",
                SECONDS,
                Query(f"sync_latency_seconds{{{OF}}}", NAME + ": last"),
                Query(f"avg_over_time(sync_latency_seconds{{{OF}}}[10s])", NAME + ": mean"),
                limits=Limits(warning="sync_latency_seconds"),
                runbooks=("SlowSync",),
            ),
            graph(
                "Rows synced",
                "Each second.",
                ROWS,
                Query(f"rate(sync_rows_total{{{OF}}}[$__rate_interval])", NAME),
                to="clickhouse",
            ),
            graph(
                "Rows that wait",
                "For the next sync.",
                COUNT,
                Query(f"sync_pending_rows{{{OF}}}", NAME),
                runbooks=("SyncStalled",),
            ),
            graph(
                "Failed syncs",
                "In the last minute.",
                COUNT,
                Query(f"increase(sync_errors_total{{{OF}}}[1m])", NAME),
                limits=Limits(warning="sync_errors"),
                runbooks=("SyncFailing",),
            ),
        ),
        row(
            "Backend: requests",
            graph(
                "Requests by status",
                "Answered requests, each second.",
                REQUESTS,
                Query(f"sum by (code) (rate(http_requests_total{{{OF}}}[$__rate_interval]))", "{{code}}"),
                colours=CODES,
                stacked=True,
                runbooks=("HighErrorRate",),
            ),
            graph(
                "Failed requests",
                "Share of the last minute's requests that got a 5xx.",
                RATIO,
                Query(f"instance:http_requests_failed:ratio1m{{{OF}}}", NAME),
                limits=Limits(critical="error_ratio"),
                runbooks=("HighErrorRate",),
            ),
            graph(
                "Time of a request",
                "From its arrival to the end of its answer, of the last minute.",
                SECONDS,
                *quantiles("http_request_duration_seconds", "instance_name", NAME),
            ),
            graph(
                "Requests by method",
                "Each second.",
                REQUESTS,
                Query(f"sum by (method) (rate(http_requests_total{{{OF}}}[$__rate_interval]))", "{{method}}"),
                stacked=True,
            ),
        ),
        row(
            "The processes",
            graph(
                "Memory",
                "Resident memory, and the service's limit.",
                BYTES,
                Query(f"process_resident_memory_bytes{{{OF}}}", NAME),
                Query('service:memory_limit_bytes{service=~"$service"}', "{{service}}: limit", limit=True),
                runbooks=("HighMemoryUsage",),
            ),
            graph(
                "CPU",
                "CPUs in use.",
                COUNT,
                Query(f"rate(process_cpu_seconds_total{{{OF}}}[$__rate_interval])", NAME),
                to="hosts",
            ),
            graph(
                "Open files",
                "Share of the file descriptors that may be open.",
                RATIO,
                Query(f"process_open_fds{{{OF}}} / process_max_fds{{{OF}}}", NAME),
                limits=Limits(warning=0.8, critical=0.95),
            ),
            graph(
                "Scrape",
                "How long Prometheus waits for its metrics.",
                SECONDS,
                Query(f"scrape_duration_seconds{{{OF}}}", NAME),
                runbooks=("ScrapeSlow",),
                to="monitoring",
            ),
        ),
    ),
)
