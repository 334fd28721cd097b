"""The names, types, labels and meanings of all metrics, once: the pages and the README take them from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family


@dataclass(frozen=True)
class Metric:
    """One metric of the page."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    type: str = "gauge"

    def family(self) -> Family:
        """The metric without samples."""
        kind = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels)


DATABASE = [
    Metric("duckdb_build_info", "The DuckDB that was asked; always 1.", ("version",)),
    Metric("duckdb_connections", "Connections and cursors to the instance, the collector's own left out."),
    Metric(
        "duckdb_database_size_bytes",
        "Size of the database's file on disk. None for a database in memory or elsewhere.",
        ("database",),
    ),
    Metric(
        "duckdb_database_free_bytes",
        "Blocks within the file that are free to be used again: deleting rows makes the file no smaller.",
        ("database",),
    ),
    Metric(
        "duckdb_wal_size_bytes",
        "Size of the write-ahead log beside the file; 0 when all is checkpointed.",
        ("database",),
    ),
    Metric(
        "duckdb_last_checkpoint_timestamp_seconds",
        "When the file was last written as the log became smaller, so at the latest when the last checkpoint was.",
        ("database",),
    ),
    Metric("duckdb_memory_limit_bytes", "The setting memory_limit, rounded as DuckDB shows it (to about 0.5 %)."),
    Metric("duckdb_memory_bytes", "Memory in use, by what for.", ("tag",)),
    Metric("duckdb_temporary_storage_bytes", "Temporary files: what did not fit into memory."),
    Metric("duckdb_tables", "Tables of a database, temporary ones left out.", ("database",)),
    Metric(
        "duckdb_table_rows",
        "Rows of a table as DuckDB estimates them; the largest tables only where there are too many.",
        ("database", "schema", "table"),
    ),
]
COLLECTOR = [
    Metric("duckdb_collector_success", "Whether every query of this scrape succeeded."),
    Metric("duckdb_collector_duration_seconds", "How long this scrape took."),
    Metric("duckdb_collector_longest_query_seconds", "The longest query since the collector began."),
    Metric("duckdb_query_success", "Whether a query of this scrape succeeded.", ("query",)),
    Metric("duckdb_query_duration_seconds", "How long a query of this scrape took.", ("query",)),
    Metric("duckdb_query_truncated", "Whether a query had more rows than are taken.", ("query",)),
]
FILES = [
    Metric("duckdb_exporter_build_info", "The exporter that runs; always 1.", ("version", "python")),
    Metric("duckdb_file_success", "Whether the file could be looked at.", ("path",)),
    Metric("duckdb_file_size_bytes", "Size of the database's file.", ("path",)),
    Metric("duckdb_file_wal_size_bytes", "Size of the write-ahead log beside it; 0 when there is none.", ("path",)),
    Metric("duckdb_file_modified_timestamp_seconds", "When the file or its log was last written.", ("path",)),
    Metric(
        "duckdb_file_read_success",
        "Whether a file with `read` could be opened. 0 too while somebody seems to write it: then it is left alone.",
        ("path",),
    ),
    Metric(
        "duckdb_file_read_timestamp_seconds",
        "When the file was last opened; it is when it has changed.",
        ("path",),
    ),
]


class Page:
    """Samples under their metrics, which stand together as Prometheus' format wants it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._families = {metric.name: metric.family() for metric in metrics}

    def add(self, name: str, value: float, *labels: str) -> None:
        """One sample, with its labels' values in the metric's order."""
        self._families[name].add_metric(labels, value)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Family]:
        return (family for family in self._families.values() if family.samples)
