"""The collector against a real DuckDB: what it shows, and that its owner does not notice it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from duckdb_exporter import DuckDBCollector, Query, QueryError
from duckdb_exporter.collector import size_in_bytes
from duckdb_exporter.metrics import DATABASE, Page
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

ENDLESS = "SELECT count(*) AS value FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "trade.duckdb")) as connection:
        connection.execute("CREATE TABLE ticks AS SELECT range AS id FROM range(1000)")
        yield connection


def scrape(collector: DuckDBCollector) -> dict[tuple[str, ...], float]:
    """Value by name and label values, by way of the text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_it_shows_database_memory_and_tables(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    connection.execute("SET memory_limit = '1GB'; CREATE TEMP TABLE scratch (x INTEGER); CREATE SCHEMA s")
    connection.execute("CREATE TABLE s.empty (x INTEGER)")
    with DuckDBCollector(connection) as collector:
        shown = scrape(collector)
    assert shown["duckdb_build_info", duckdb.__version__] == 1
    assert shown["duckdb_connections",] == 1, "the owner's, and not the collector's"
    assert shown["duckdb_database_size_bytes", "trade"] == (tmp_path / "trade.duckdb").stat().st_size
    assert shown["duckdb_wal_size_bytes", "trade"] == (tmp_path / "trade.duckdb.wal").stat().st_size > 0
    assert abs(shown["duckdb_memory_limit_bytes",] - 1e9) < 5e6
    assert sum(value for name, value in shown.items() if name[0] == "duckdb_memory_bytes") > 0
    assert shown["duckdb_tables", "trade"] == 2
    assert shown["duckdb_table_rows", "trade", "main", "ticks"] == 1000
    assert shown["duckdb_table_rows", "trade", "s", "empty"] == 0
    assert ("duckdb_table_rows", "temp", "main", "scratch") not in shown
    assert shown["duckdb_collector_success",] == 1
    assert 0 < shown["duckdb_collector_longest_query_seconds",] <= shown["duckdb_collector_duration_seconds",]


def test_it_shows_what_does_not_fit_into_memory(connection: duckdb.DuckDBPyConnection) -> None:
    with DuckDBCollector(connection) as collector:
        assert scrape(collector)["duckdb_temporary_storage_bytes",] == 0
        connection.execute("SET memory_limit = '20MB'; SET threads = 1")
        connection.execute(
            "CREATE TEMP TABLE large AS SELECT range AS id, md5(range::VARCHAR) AS text FROM range(700000)"
        )
        assert scrape(collector)["duckdb_temporary_storage_bytes",] > 1 << 20


def test_it_shows_each_attached_database(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    connection.execute(f"ATTACH '{tmp_path}/other.duckdb' AS other; ATTACH ':memory:' AS volatile")
    connection.execute("CREATE TABLE other.t AS SELECT 1")
    with DuckDBCollector(connection) as collector:
        shown = scrape(collector)
    assert {name[1] for name in shown if name[0] == "duckdb_tables"} == {"trade", "other", "volatile"}
    assert {name[1] for name in shown if name[0] == "duckdb_wal_size_bytes"} == {"trade", "other"}
    assert shown["duckdb_collector_success",] == 1


def test_a_database_in_memory_has_no_file() -> None:
    with duckdb.connect() as connection, DuckDBCollector(connection) as collector:
        shown = scrape(collector)
    assert shown["duckdb_collector_success",] == 1
    assert shown["duckdb_tables", "memory"] == 0
    assert not any(name[0] == "duckdb_database_size_bytes" for name in shown)


def test_a_read_only_database_is_shown(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    connection.close()
    with duckdb.connect(str(tmp_path / "trade.duckdb"), read_only=True) as reader, DuckDBCollector(reader) as collector:
        shown = scrape(collector)
    assert (shown["duckdb_collector_success",], shown["duckdb_wal_size_bytes", "trade"]) == (1, 0)


def test_a_checkpoint_is_seen_as_the_log_becomes_smaller(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    shown: list[float] = []
    with DuckDBCollector(connection, only=["databases"]) as collector:
        for step in ("INSERT INTO ticks SELECT 1", "INSERT INTO ticks SELECT 2", "CHECKPOINT"):
            connection.execute(step)
            # Later writes to the file alone, as of a large insert that is not committed, are no checkpoint.
            os.utime(tmp_path / "trade.duckdb", (1000.0 + len(shown),) * 2)
            shown.append(scrape(collector)["duckdb_last_checkpoint_timestamp_seconds", "trade"])
    assert shown == [1000.0, 1000.0, 1002.0]


def test_own_queries_become_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    queries = [
        Query("ticks_stored", "FROM (SELECT count(*) AS n FROM trade.main.ticks) -- all", "Ticks.", value="n"),
        Query(
            "rows_total",
            'WITH x AS (SELECT id % 2 AS "odd", count(*)::DECIMAL(9,1) AS value FROM ticks GROUP BY 1) FROM x',
            "Rows.",
            type="counter",
            labels=("odd",),
        ),
    ]
    with DuckDBCollector(connection, queries=queries) as collector:
        shown = scrape(collector)
    assert shown["ticks_stored",] == 1000
    assert (shown["rows_total", "0"], shown["rows_total", "1"]) == (500, 500)


@pytest.mark.parametrize(
    ("sql", "labels"),
    [
        ("SELECT 1 AS value FROM nowhere", ()),
        ("SELECT 'text' AS value", ()),
        ("SELECT 1 AS value FROM range(2)", ()),
        ("SELECT 1 AS value, 'a' AS side FROM range(2)", ("side",)),
        ("SELECT 1 AS other", ()),
    ],
)
def test_one_bad_query_loses_no_other(connection: duckdb.DuckDBPyConnection, sql: str, labels: tuple[str, ...]) -> None:
    queries = [Query("bad", sql, "Bad.", labels=labels), Query("good", "SELECT 7 AS value", "Good.")]
    with DuckDBCollector(connection, queries=queries) as collector:
        shown = scrape(collector)
    assert (shown["duckdb_query_success", "bad"], shown["duckdb_query_success", "good"]) == (0, 1)
    assert shown["good",] == 7
    assert not any(name[0] == "bad" for name in shown)
    assert shown["duckdb_collector_success",] == 0


def test_what_takes_too_long_is_interrupted(connection: duckdb.DuckDBPyConnection) -> None:
    queries = [Query("endless", ENDLESS, "Endless.", timeout=0.2), Query("good", "SELECT 7 AS value", "Good.")]
    with DuckDBCollector(connection, queries=queries, timeout=5) as collector:
        shown = scrape(collector)
    assert shown["duckdb_query_success", "endless"] == 0
    assert 0.2 <= shown["duckdb_query_duration_seconds", "endless"] < 2
    assert shown["duckdb_collector_longest_query_seconds",] >= 0.2
    assert shown["good",] == 7


def test_a_scrape_ends_when_its_time_is_over(connection: duckdb.DuckDBPyConnection) -> None:
    queries = [Query(f"endless{number}", ENDLESS, "Endless.", timeout=10) for number in range(3)]
    with DuckDBCollector(connection, queries=queries, timeout=0.5) as collector:
        shown = scrape(collector)
    assert shown["duckdb_collector_duration_seconds",] < 3
    assert shown["duckdb_table_rows", "trade", "main", "ticks"] == 1000


def test_the_number_of_series_is_bounded(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(8):
        connection.execute(f"CREATE TABLE t{number} AS FROM range({number})")
    with DuckDBCollector(connection, max_rows=3) as collector:
        shown = scrape(collector)
    assert [name[-1] for name in shown if name[0] == "duckdb_table_rows"] == ["ticks", "t7", "t6"]
    assert shown["duckdb_query_truncated", "table_rows"] == 1
    assert shown["duckdb_query_truncated", "databases"] == 0
    assert shown["duckdb_tables", "trade"] == 9, "the count is whole"


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE ticks", "SELECT 1; SELECT 2", "SELEC 1", "-- nothing", "SELECT 1; -- all", "SELECT 1) FROM (SELECT 2"],
)
def test_what_is_not_one_select_is_refused_at_once(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryError, match=r"query 'x'"):
        DuckDBCollector(connection, queries=[Query("x", sql, "X.")])
    assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (1000,)


def test_the_owner_may_be_in_a_transaction(connection: duckdb.DuckDBPyConnection) -> None:
    with DuckDBCollector(connection) as collector:
        connection.execute("BEGIN; INSERT INTO ticks SELECT 1")
        assert scrape(collector)["duckdb_collector_success",] == 1
        connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (1000,)


def test_no_write_fails_and_no_checkpoint_waits_while_it_is_scraped(connection: duckdb.DuckDBPyConnection) -> None:
    """Twenty scrapes a second from four threads, and an owner that writes and checkpoints as fast as it can."""
    queries = [Query("ticks", "SELECT count(*) AS value FROM trade.main.ticks", "Ticks.")]
    over, scraped = threading.Event(), []
    longest, written = 0.0, 0
    with DuckDBCollector(connection, queries=queries) as collector:

        def scrape_on() -> None:
            while not over.wait(0.2):
                scraped.append(scrape(collector)["duckdb_collector_success",])

        threads = [threading.Thread(target=scrape_on) for _number in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            connection.execute("INSERT INTO trade.main.ticks FROM range(100)")
            written += 1
            if written % 10 == 0:
                started = time.monotonic()
                connection.execute("CHECKPOINT")
                longest = max(longest, time.monotonic() - started)
        over.set()
        for thread in threads:
            thread.join()
    assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (1000 + 100 * written,)
    assert len(scraped) >= 10
    assert set(scraped) == {1}
    assert written >= 20
    assert longest < 1, "a checkpoint waited for a scrape"


def test_close_ends_a_scrape_so_that_the_owner_can_close(connection: duckdb.DuckDBPyConnection) -> None:
    collector = DuckDBCollector(connection, queries=[Query("endless", ENDLESS, "Endless.", timeout=30)], timeout=30)
    shown = []
    scraping = threading.Thread(target=lambda: shown.append(scrape(collector)))
    scraping.start()
    time.sleep(0.3)
    collector.close()
    connection.close()
    scraping.join(5)
    assert shown[0]["duckdb_query_success", "endless"] == 0
    assert scrape(collector)["duckdb_collector_success",] == 0


def test_a_closed_connection_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    collector = DuckDBCollector(connection)
    connection.close()
    shown = scrape(collector)
    assert shown["duckdb_collector_success",] == 0
    assert shown["duckdb_query_success", "tables"] == 0
    collector.close()


def test_a_table_without_an_estimate_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    """As those of other kinds of database that are attached."""
    with DuckDBCollector(connection, only=["table_rows"]) as collector:
        (source,) = collector._sources
        page = Page(DATABASE)
        source.read([("other", "main", "t", None), ("trade", "main", "t", 7)], page)
    assert [sample.value for family in page for sample in family.samples] == [7]


@pytest.mark.parametrize(("text", "size"), [("0 bytes", 0), ("57.2 MiB", 57.2 * 2**20), ("1.0 TiB", 2**40)])
def test_sizes_are_read_as_duckdb_writes_them(text: str, size: float) -> None:
    assert size_in_bytes(text) == size


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="is no size"):
        size_in_bytes("90% of available disk space")
