"""ClickHouse, where the history of trades is."""

from __future__ import annotations

from functools import partial

from dashboards.parts import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    EVENTS,
    OPERATIONS,
    RATIO,
    ROWS,
    SECONDS,
    Board,
    Limits,
    Query,
    Variable,
    graph,
    number,
    row,
)  # fmt: skip

OF = 'service=~"$service", instance_name=~"$instance_name"'
NAME = "{{instance_name}}"


each = partial(graph, every="clickhouse")


shown = partial(number, every="clickhouse")


def gauge(name: str, legend: str = NAME) -> Query:
    return Query(f"ClickHouseMetrics_{name}{{{OF}}}", legend)


def measured(name: str, legend: str = NAME) -> Query:
    return Query(f"ClickHouseAsyncMetrics_{name}{{{OF}}}", legend)


def per_second(event: str, legend: str = NAME, factor: str = "") -> Query:
    return Query(f"rate(ClickHouseProfileEvents_{event}{{{OF}}}[$__rate_interval]){factor}", legend)


def mean_time(kind: str) -> Query:
    """Seconds of a query of that kind; without one there is no value, which is NaN."""
    return Query(
        f"rate(ClickHouseProfileEvents_{kind}QueryTimeMicroseconds{{{OF}}}[$__rate_interval]) / 1e6"
        f" / rate(ClickHouseProfileEvents_{kind}Query{{{OF}}}[$__rate_interval])",
        f"{NAME} {kind.lower()}",
    )


BOARD = Board(
    uid="clickhouse",
    title="ClickHouse",
    why="Does it take what the backend sends, do merges keep up, and is there room?",
    variables=(
        Variable("service", "Service", "label_values(ClickHouseAsyncMetrics_Uptime, service)"),
        Variable(
            "instance_name",
            "Instance",
            'label_values(ClickHouseAsyncMetrics_Uptime{service=~"$service"}, instance_name)',
        ),
    ),
    rows=(
        row(
            "",
            shown("Up for", "Since its last start.", SECONDS, measured("Uptime"), runbooks=("ServiceRestarted",)),
            shown(
                "Parts of the fullest partition",
                "ClickHouse slows inserts down, and then rejects them, when it is too many.",
                COUNT,
                measured("MaxPartCountForPartition"),
                limits=Limits(warning="clickhouse_parts", critical=1000),
                runbooks=("ClickHouseTooManyParts",),
            ),
            shown(
                "Rejected inserts",
                "In the last 5 minutes. What is rejected is lost unless it is sent again.",
                COUNT,
                Query(f"increase(ClickHouseProfileEvents_RejectedInserts{{{OF}}}[5m])", NAME),
                limits=Limits(critical=1),
                runbooks=("ClickHouseInsertsRejected",),
            ),
            shown(
                "Delayed inserts",
                "In the last 5 minutes.",
                COUNT,
                Query(f"increase(ClickHouseProfileEvents_DelayedInserts{{{OF}}}[5m])", NAME),
                limits=Limits(warning=1),
                runbooks=("ClickHouseInsertsDelayed",),
            ),
            shown(
                "Replication lag",
                "The table that is furthest behind its replicas.",
                SECONDS,
                measured("ReplicasMaxAbsoluteDelay"),
                limits=Limits(warning="clickhouse_replication_lag_seconds"),
                runbooks=("ClickHouseReplicationLag",),
            ),
            shown(
                "Read-only tables",
                "Replicated tables that take no inserts.",
                COUNT,
                gauge("ReadonlyReplica"),
                limits=Limits(critical=1),
                runbooks=("ClickHouseReplicaReadonly",),
            ),
            height=4,
        ),
        row(
            "Inserts",
            each("Rows inserted", "Each second.", ROWS, per_second("InsertedRows"), to="services"),
            each("Bytes inserted", "Uncompressed, each second.", BYTES_PER_SECOND, per_second("InsertedBytes")),
            each(
                "Inserts",
                "Queries that insert, each second: few large ones are better than many small ones.",
                OPERATIONS,
                per_second("InsertQuery"),
            ),
            each(
                "Rows of an insert",
                "On average.",
                COUNT,
                Query(
                    f"rate(ClickHouseProfileEvents_InsertedRows{{{OF}}}[$__rate_interval])"
                    f" / rate(ClickHouseProfileEvents_InsertQuery{{{OF}}}[$__rate_interval])",
                    NAME,
                ),
            ),
        ),
        row(
            "Queries",
            each(
                "Queries by kind",
                "Each second.",
                OPERATIONS,
                per_second("SelectQuery", NAME + " select"),
                per_second("InsertQuery", NAME + " insert"),
                per_second("Query", NAME + " all"),
            ),
            each(
                "Failed queries",
                "Each second.",
                EVENTS,
                per_second("FailedSelectQuery", NAME + " select"),
                per_second("FailedInsertQuery", NAME + " insert"),
                per_second("FailedQuery", NAME + " all"),
                limits=Limits(warning=0.1),
            ),
            each("Time of a query", "On average.", SECONDS, mean_time("Select"), mean_time("Insert")),
            each("Running queries", "At this moment.", COUNT, gauge("Query")),
        ),
        row(
            "Parts and merges",
            each(
                "Parts of the fullest partition",
                "Each insert makes a part, each merge makes one of many.",
                COUNT,
                measured("MaxPartCountForPartition"),
                limits=Limits(warning="clickhouse_parts", critical=1000),
                runbooks=("ClickHouseTooManyParts", "ClickHouseMergesStuck"),
            ),
            each("Active parts", "Of all tables.", COUNT, gauge("PartsActive")),
            each(
                "Merges that run",
                "At this moment, and the room for them.",
                COUNT,
                gauge("Merge"),
                gauge("BackgroundMergesAndMutationsPoolTask", NAME + ": tasks"),
                gauge("BackgroundMergesAndMutationsPoolSize", NAME + ": places"),
                runbooks=("ClickHouseMergesStuck",),
            ),
            each(
                "Merged",
                "Uncompressed bytes that merges have read, each second.",
                BYTES_PER_SECOND,
                per_second("MergedUncompressedBytes"),
                runbooks=("ClickHouseMergesStuck",),
            ),
        ),
        row(
            "Trouble with inserts and replicas",
            each(
                "Delayed and rejected inserts",
                "Each second.",
                EVENTS,
                Query(
                    f"rate(ClickHouseProfileEvents_DelayedInserts{{{OF}}}[$__rate_interval])",
                    NAME + " delayed",
                    "orange",
                ),
                Query(
                    f"rate(ClickHouseProfileEvents_RejectedInserts{{{OF}}}[$__rate_interval])",
                    NAME + " rejected",
                    "red",
                ),
                runbooks=("ClickHouseInsertsDelayed", "ClickHouseInsertsRejected"),
            ),
            each(
                "Replication lag",
                "The table that is furthest behind.",
                SECONDS,
                measured("ReplicasMaxAbsoluteDelay"),
                limits=Limits(warning="clickhouse_replication_lag_seconds"),
                runbooks=("ClickHouseReplicationLag",),
            ),
            each(
                "Replication queue",
                "What replicas have yet to do.",
                COUNT,
                measured("ReplicasSumInsertsInQueue", NAME + " inserts"),
                measured("ReplicasSumMergesInQueue", NAME + " merges"),
            ),
            each(
                "Asynchronous inserts that wait", "Bytes in their queue.", BYTES, gauge("AsynchronousInsertQueueBytes")
            ),
        ),
        row(
            "Size and resources",
            each("Data", "Of all MergeTree tables, compressed.", BYTES, measured("TotalBytesOfMergeTreeTables")),
            each("Rows", "Of all MergeTree tables.", COUNT, measured("TotalRowsOfMergeTreeTables")),
            each(
                "Free disk",
                "Share of the filesystem with the data that is left.",
                RATIO,
                Query(
                    f"ClickHouseAsyncMetrics_FilesystemMainPathAvailableBytes{{{OF}}}"
                    f" / ClickHouseAsyncMetrics_FilesystemMainPathTotalBytes{{{OF}}}",
                    NAME,
                ),
                limits=Limits(warning=0.2, critical=0.1, falling=True),
                most=1,
                to="hosts",
            ),
            each(
                "Memory",
                "What it counts by itself, and what is resident.",
                BYTES,
                gauge("MemoryTracking", NAME + " counted"),
                measured("MemoryResident", NAME + " resident"),
            ),
        ),
        row(
            "",
            each("CPU", "CPUs in use.", COUNT, per_second("OSCPUVirtualTimeMicroseconds", factor=" / 1e6"), to="hosts"),
            each(
                "Waiting for CPU",
                "Threads that were ready and had none.",
                COUNT,
                per_second("OSCPUWaitMicroseconds", factor=" / 1e6"),
            ),
            each(
                "Connections",
                "By protocol.",
                COUNT,
                gauge("HTTPConnection", NAME + " HTTP"),
                gauge("TCPConnection", NAME + " native"),
                gauge("InterserverConnection", NAME + " replicas"),
            ),
            each(
                "Network",
                "Bytes each second.",
                BYTES_PER_SECOND,
                per_second("NetworkReceiveBytes", NAME + " in"),
                per_second("NetworkSendBytes", NAME + " out"),
            ),
        ),
    ),
)
