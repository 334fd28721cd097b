"""What a DuckDB instance says of itself, asked from within the process that owns it."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from duckdb_exporter.metrics import COLLECTOR, DATABASE, Page
from duckdb_exporter.queries import Query, QueryError

LOG = logging.getLogger("duckdb_exporter")
Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Source:
    """A query, to which a LIMIT can be added, and what becomes of its rows."""

    name: str
    sql: str
    read: Callable[[Rows, Page], None]
    timeout: float = 1.0


class DuckDBCollector(Collector):
    """Collects the metrics of the instance that a connection belongs to.

    It makes one cursor when it is made, in the owner's thread, and uses no other: a cursor is a connection of its own,
    so the owner's is never busy, in a transaction or interrupted because of it. Each query is a transaction of its
    own whose result is fetched whole; between scrapes none is open. Scrapes at the same time wait for each other.

    Call `close` before the connection is closed: DuckDB 2 refuses to close one while a cursor of it is busy.
    """

    def __init__(
        self,
        connection: Any,
        *,
        queries: Iterable[Query] = (),
        timeout: float = 2.0,
        max_rows: int = 200,
        only: Iterable[str] | None = None,
    ) -> None:
        """Takes a connection of the duckdb module.

        Args:
            connection: A `duckdb.DuckDBPyConnection`.
            queries: The user's own queries, one metric each.
            timeout: Seconds for all queries of a scrape together; what exceeds it is interrupted.
            max_rows: Rows that are taken of each query: what bounds the number of series.
            only: Names of the built-in queries to run, when not all.

        Raises:
            QueryError: a query is not one SELECT, or two have one name.
        """
        self._timeout, self._max_rows = timeout, max_rows
        self._lock = threading.Lock()
        self._closed = False
        self._longest = 0.0
        self._failing: set[str] = set()
        self._logs: dict[str, _Log] = {}
        self._queries = list(queries)
        self._cursor = connection.cursor()
        try:
            self._check()
            built_in = [source for source in self._built_in() if only is None or source.name in only]
        except BaseException:
            self._cursor.close()
            raise
        self._sources = built_in + [self._user_source(query) for query in self._queries]

    def describe(self) -> Iterator[Family]:
        """The metrics without samples, so that registering asks the database nothing."""
        return (metric.family() for metric in self._metrics())

    def collect(self) -> Iterator[Family]:
        """All metrics; what fails is left out and told by duckdb_query_success and duckdb_collector_success."""
        started = time.monotonic()
        page = Page(self._metrics())
        success = False
        if self._lock.acquire(timeout=self._timeout):
            try:
                results = [self._run(source, page, started + self._timeout) for source in self._sources]
                success = all(results)
            finally:
                self._lock.release()
        page.add("duckdb_collector_success", success)
        page.add("duckdb_collector_duration_seconds", time.monotonic() - started)
        page.add("duckdb_collector_longest_query_seconds", self._longest)
        return iter(page)

    def close(self) -> None:
        """Ends a scrape that is under way, and then the collector's cursor. Scrapes after it are without success."""
        self._closed = True
        while not self._lock.acquire(timeout=0.05):
            with suppress(Exception):  # a closed cursor has nothing to interrupt
                self._cursor.interrupt()
        try:
            self._cursor.close()
        finally:
            self._lock.release()

    def __enter__(self) -> DuckDBCollector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _metrics(self) -> list[Any]:
        return [*DATABASE, *(query.metric for query in self._queries), *COLLECTOR]

    def _check(self) -> None:
        names = [query.name for query in self._queries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise QueryError(f"two queries have the name {', '.join(twice)}")
        for query in self._queries:
            for sql in (query.sql, query.statement):  # as it was written, and as it will be run
                try:
                    kinds = [statement.type.name for statement in self._cursor.extract_statements(sql)]
                except Exception as error:
                    raise QueryError(f"query {query.name!r}: {error}") from error
                if kinds != ["SELECT"]:
                    raise QueryError(f"query {query.name!r} must be one SELECT, not {' and '.join(kinds) or 'nothing'}")

    def _run(self, source: Source, page: Page, end: float) -> bool:
        """Runs one query into the page, and says whether it went well."""
        started = time.monotonic()
        error: Exception | None = None
        try:
            rows = self._fetch(source, min(source.timeout, end - started))
            page.add("duckdb_query_truncated", len(rows) > self._max_rows, source.name)
            source.read(rows[: self._max_rows], page)
        except Exception as caught:  # noqa: BLE001  the classes are those of the owner's duckdb, which is not imported here
            error = caught
        took = time.monotonic() - started
        self._longest = max(self._longest, took)
        self._tell(source.name, error)
        page.add("duckdb_query_success", error is None, source.name)
        page.add("duckdb_query_duration_seconds", took, source.name)
        return error is None

    def _fetch(self, source: Source, seconds: float) -> Rows:
        if self._closed:
            raise QueryError("the collector is closed")
        if seconds <= 0:
            raise TimeoutError(f"no time is left of the {self._timeout} s of a scrape")
        with _interrupted_after(self._cursor, seconds):
            # A result that is not fetched to its end keeps its transaction open, and the next checkpoint waits for it.
            rows: Rows = self._cursor.execute(f"{source.sql} LIMIT {self._max_rows + 1}").fetchall()
        return rows

    def _tell(self, name: str, error: Exception | None) -> None:
        """Logs the first failure of a query and its recovery, not every scrape."""
        if error is None and name in self._failing:
            self._failing.discard(name)
            LOG.info("query %s succeeds again", name)
        elif error is not None and name not in self._failing:
            self._failing.add(name)
            LOG.warning("query %s fails: %s", name, " ".join(str(error).split()))

    def _user_source(self, query: Query) -> Source:
        def read(rows: Rows, page: Page) -> None:
            for value, labels in query.samples(rows):
                page.add(query.name, value, *labels)

        return Source(query.name, query.statement, read, query.timeout)

    def _built_in(self) -> list[Source]:
        # Before DuckDB 1.4 nothing counts connections.
        counted = self._cursor.execute(
            "SELECT count(*) FROM duckdb_functions() WHERE function_name = 'duckdb_connection_count'"
        ).fetchall()[0][0]
        connections = [Source("connections", "SELECT count FROM duckdb_connection_count()", _connections)]
        return [
            Source("version", "SELECT version()", _version),
            *(connections if counted else []),
            Source(
                "databases",
                "SELECT database_name, path FROM duckdb_databases() WHERE NOT internal AND type = 'duckdb'",
                self._databases,
            ),
            Source(
                "blocks",
                "SELECT database_name, free_blocks * block_size FROM pragma_database_size()",
                _each("duckdb_database_free_bytes"),
            ),
            Source("memory_limit", "SELECT current_setting('memory_limit')", _memory_limit),
            Source("memory", "SELECT tag, memory_usage_bytes FROM duckdb_memory()", _each("duckdb_memory_bytes")),
            Source("temporary", "SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()", _temporary),
            Source(
                "tables",
                "SELECT d.database_name, count(t.table_name) FROM duckdb_databases() d LEFT JOIN duckdb_tables() t"
                " ON t.database_oid = d.database_oid AND NOT t.internal AND NOT t.temporary"
                " WHERE NOT d.internal GROUP BY ALL ORDER BY ALL",
                _each("duckdb_tables"),
            ),
            Source(
                "table_rows",
                "SELECT database_name, schema_name, table_name, estimated_size FROM duckdb_tables()"
                " WHERE NOT internal AND NOT temporary ORDER BY estimated_size DESC, 1, 2, 3",
                _each("duckdb_table_rows"),
            ),
        ]

    def _databases(self, rows: Rows, page: Page) -> None:
        """What the filesystem knows. Only stat, never open: when a process closes any handle of a file, the kernel
        takes the locks that DuckDB has on it in the same process."""
        for name, path in rows:
            try:
                file = Path(path).stat() if path else None
            except OSError:
                file = None  # attached from elsewhere
            if file is None:
                continue
            wal = size_of_wal(path)
            log = self._logs.get(path)
            # A log that is smaller than it was, or empty, was checkpointed.
            if log is None or not wal or wal < log.size:
                log = _Log(wal, file.st_mtime)
            self._logs[path] = _Log(wal, log.checkpoint)
            page.add("duckdb_database_size_bytes", file.st_size, name)
            page.add("duckdb_wal_size_bytes", wal, name)
            page.add("duckdb_last_checkpoint_timestamp_seconds", log.checkpoint, name)


@dataclass(frozen=True)
class _Log:
    """A write-ahead log as it was seen last."""

    size: int
    checkpoint: float


def size_of_wal(path: str) -> int:
    """Bytes in the log beside a database's file, 0 when there is none."""
    try:
        return Path(f"{path}.wal").stat().st_size
    except FileNotFoundError:
        return 0


UNITS = {"": 1, "byte": 1, "bytes": 1, **{f"{letter}iB": 1 << 10 * n for n, letter in enumerate("KMGTP", 1)}}


def size_in_bytes(text: str) -> float:
    """Bytes of a size as DuckDB writes it: `18.8 GiB`."""
    match = re.fullmatch(r"([\d.]+) ?(\w*)", text)
    if match is None or match[2] not in UNITS:
        raise ValueError(f"{text!r} is no size")
    return float(match[1]) * UNITS[match[2]]


def _version(rows: Rows, page: Page) -> None:
    page.add("duckdb_build_info", 1, rows[0][0].removeprefix("v"))


def _connections(rows: Rows, page: Page) -> None:
    page.add("duckdb_connections", rows[0][0] - 1)


def _memory_limit(rows: Rows, page: Page) -> None:
    page.add("duckdb_memory_limit_bytes", size_in_bytes(rows[0][0]))


def _temporary(rows: Rows, page: Page) -> None:
    page.add("duckdb_temporary_storage_bytes", float(rows[0][0]))


def _each(metric: str) -> Callable[[Rows, Page], None]:
    """Rows whose last column is the value."""

    def read(rows: Rows, page: Page) -> None:
        for *labels, value in rows:
            if value is not None:  # as the size of what is attached from another kind of database
                page.add(metric, value, *labels)

    return read


@contextmanager
def _interrupted_after(cursor: Any, seconds: float) -> Iterator[None]:
    """Interrupts what the cursor does after so many seconds, and never what it does next."""
    done = threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):  # again and again: one that comes before the query has begun is lost
            with suppress(Exception):  # the owner closed the connection meanwhile
                cursor.interrupt()
            wait = 0.05

    watcher = threading.Thread(target=watch, name="duckdb-exporter-timeout", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
