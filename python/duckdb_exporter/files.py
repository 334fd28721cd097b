"""Databases of other processes: facts of their files, and what is in those that nobody writes."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from duckdb_exporter.collector import DuckDBCollector, size_of_wal
from duckdb_exporter.metrics import COLLECTOR, DATABASE, FILES, Page
from duckdb_exporter.queries import Query

LOG = logging.getLogger("duckdb_exporter")
QUIET_SECONDS = 10.0
"""A file that was written within so many seconds may be written on."""
RETRY_SECONDS = 60.0
"""A file that could not be opened, and has not changed, is tried again after so long."""
# What is said of the file; the rest would be of the exporter's own instance.
OF_A_FILE = ("databases", "blocks", "tables", "table_rows")
READER_CONFIG = {
    "memory_limit": "128MB",  # half of what the service may take
    "threads": 1,
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True)
class File:
    """A database's file."""

    path: str
    name: str
    """What it is called in the label `database`, and in queries."""
    read: bool = False
    """Whether nobody writes it, so that it may be opened."""


@dataclass(frozen=True)
class Facts:
    """What stat says of a file and its log."""

    inode: int
    size: int
    wal: int
    modified: float

    @classmethod
    def of(cls, path: str) -> Facts:
        file = Path(path).stat()
        modified, wal = file.st_mtime, size_of_wal(path)
        if wal:
            modified = max(modified, Path(f"{path}.wal").stat().st_mtime)
        return cls(file.st_ino, file.st_size, wal, modified)

    @property
    def quiet(self) -> bool:
        """Whether nobody seems to write it: its log is empty, and it has not changed for a while."""
        return not self.wal and time.time() - self.modified >= QUIET_SECONDS


class FileCollector(Collector):
    """Looks at files at each scrape, and opens those with `read` when they have changed and are quiet again.

    To open one takes a lock that keeps a writer from opening it, for some milliseconds. So it is done once per change,
    not per scrape, and never without being told to.
    """

    def __init__(self, files: Sequence[File], queries: Iterable[Query] = ()) -> None:
        self._files = list(files)
        self._queries = list(queries)
        self._lock = threading.Lock()  # scrapes of two Prometheus may meet
        self._tried: dict[str, Facts] | None = None
        self._tried_at = 0.0
        self._opened: set[str] = set()
        self._inside: list[Family] = []
        # As late as this: facts of files want no DuckDB.
        self._duckdb = importlib.import_module("duckdb") if any(file.read for file in files) else None
        if self._duckdb is not None:
            with self._duckdb.connect() as connection:
                DuckDBCollector(connection, queries=self._queries).close()  # it refuses what is no query

    def describe(self) -> Iterator[Family]:
        """The metrics without samples."""
        inside = [*DATABASE, *(query.metric for query in self._queries), *COLLECTOR] if self._duckdb else []
        return (metric.family() for metric in [*FILES[1:], *inside])

    def collect(self) -> Iterator[Family]:
        """Facts of all files, and what is in those that may be read."""
        page = Page(FILES[1:])
        quiet: dict[str, Facts] = {}
        for file in self._files:
            facts = self._facts(file, page)
            if file.read and facts is not None and facts.quiet:
                quiet[file.path] = facts
        with self._lock:
            if self._duckdb is not None:
                self._read_if_due(quiet)
            for file in self._files:
                if file.read:
                    is_read = file.path in self._opened
                    page.add("duckdb_file_read_success", is_read, file.path)
                    if is_read:
                        page.add("duckdb_file_read_timestamp_seconds", self._tried_at, file.path)
            return iter([*page, *self._inside])

    def _facts(self, file: File, page: Page) -> Facts | None:
        try:
            facts = Facts.of(file.path)
        except OSError as error:
            LOG.debug("%s", error)
            page.add("duckdb_file_success", 0, file.path)
            return None
        page.add("duckdb_file_success", 1, file.path)
        page.add("duckdb_file_size_bytes", facts.size, file.path)
        page.add("duckdb_file_wal_size_bytes", facts.wal, file.path)
        page.add("duckdb_file_modified_timestamp_seconds", facts.modified, file.path)
        return facts

    def _read_if_due(self, quiet: dict[str, Facts]) -> None:
        """Open what is quiet when it is not what it was, or when some of it could not be opened a while ago."""
        failed = set(quiet) - self._opened
        if quiet == self._tried and not (failed and time.time() - self._tried_at >= RETRY_SECONDS):
            return
        connection = self._duckdb.connect(config=READER_CONFIG)  # type: ignore[union-attr]
        try:
            self._opened = {file.path for file in self._files if file.path in quiet and self._attach(connection, file)}
            self._inside = self._ask(connection) if self._opened else []
        finally:
            connection.close()
        self._tried, self._tried_at = quiet, time.time()

    def _ask(self, connection: Any) -> list[Family]:
        with DuckDBCollector(connection, queries=self._queries, only=OF_A_FILE) as collector:
            families = list(collector.collect())
        for family in families:  # "memory" is the exporter's own
            family.samples = [sample for sample in family.samples if sample.labels.get("database") != "memory"]
        return families

    def _attach(self, connection: Any, file: File) -> bool:
        path = file.path.replace("'", "''")
        try:
            connection.execute(f"ATTACH '{path}' AS \"{file.name}\" (READ_ONLY)")
        except self._duckdb.Error as error:  # type: ignore[union-attr]
            LOG.warning("%s cannot be opened: %s", file.path, " ".join(str(error).split()))
            return False
        return True
