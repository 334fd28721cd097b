"""The names that a real ClickHouse exposes to Prometheus, in clickhouse_names.txt beside this file.

``python3 -m lab.trading.clickhouse_names --write`` makes it anew from chdb, which is the engine as a Python package.
The asynchronous metrics are documented ones, without those of single CPUs, disks and network interfaces: chdb has no
server that computes them.
"""

from __future__ import annotations

import sys
import textwrap
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")
PREFIXES = {
    "metrics": "ClickHouseMetrics_",
    "events": "ClickHouseProfileEvents_",
    "asynchronous_metrics": "ClickHouseAsyncMetrics_",
}
ASYNCHRONOUS = """
    AsynchronousHeavyMetricsCalculationTimeSpent AsynchronousMetricsCalculationTimeSpent
    CompiledExpressionCacheBytes CompiledExpressionCacheCount FilesystemLogsPathAvailableBytes
    FilesystemLogsPathTotalBytes FilesystemMainPathAvailableBytes FilesystemMainPathAvailableINodes
    FilesystemMainPathTotalBytes FilesystemMainPathTotalINodes FilesystemMainPathUsedBytes
    FilesystemMainPathUsedINodes HTTPThreads IndexMarkCacheBytes InterserverThreads Jitter LoadAverage1
    LoadAverage15 LongestRunningMerge MMapCacheCells MarkCacheBytes MarkCacheFiles MaxPartCountForPartition
    MemoryDataAndStack MemoryResident MySQLThreads NetworkReceiveBytes NumberOfDatabases
    NumberOfDetachedByUserParts NumberOfDetachedParts NumberOfTables OSContextSwitches OSIOWaitTime OSIdleTime
    OSMemoryAvailable OSMemoryFreePlusCached OSMemoryFreeWithoutCached OSMemorySwapCached OSMemoryTotal
    OSProcessesBlocked OSProcessesCreated OSProcessesRunning OSSystemTime OSThreadsRunnable OSUptime OSUserTime
    OSUserTimeNormalized PostgreSQLThreads PrimaryIndexCacheBytes ReplicasMaxAbsoluteDelay
    ReplicasMaxInsertsInQueue ReplicasMaxMergesInQueue ReplicasMaxQueueSize ReplicasMaxRelativeDelay
    ReplicasSumInsertsInQueue ReplicasSumMergesInQueue ReplicasSumQueueSize TCPThreads TotalBytesOfMergeTreeTables
    TotalPartsOfMergeTreeTables TotalPrimaryKeyBytesInMemory TotalPrimaryKeyBytesInMemoryAllocated
    TotalRowsOfMergeTreeTables UncompressedCacheBytes UncompressedCacheCells Uptime
"""


@cache
def names() -> dict[str, list[str]]:
    """The names of each table, as ClickHouse has them."""
    sections = FILE.read_text(encoding="utf-8").split("[")[1:]
    return {table: words.split() for table, _, words in (section.partition("]") for section in sections)}


def from_chdb() -> dict[str, list[str]]:
    import chdb  # noqa: PLC0415  # 500 MB that only this needs

    def ask(query: str) -> list[str]:
        return sorted(str(chdb.query(query, "TSV")).split())

    return {
        "metrics": ask("SELECT metric FROM system.metrics"),
        "events": ask("SELECT event FROM system.events SETTINGS system_events_show_zero_values = 1"),
        "asynchronous_metrics": sorted(ASYNCHRONOUS.split()),
    }


def text(tables: dict[str, list[str]]) -> str:
    return "".join(f"[{table}]\n{textwrap.fill(' '.join(words), 120)}\n" for table, words in tables.items())


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m lab.trading.clickhouse_names --write")
    FILE.write_text(text(from_chdb()), encoding="utf-8")
