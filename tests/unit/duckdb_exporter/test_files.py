"""Files of other processes: facts follow the writer, who never finds his database locked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb_exporter import Query
from duckdb_exporter.files import File, FileCollector
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

LONG_AGO = 1000.0
WRITER = """
import sys, duckdb
with duckdb.connect(sys.argv[1]) as connection:
    connection.execute("CREATE TABLE t AS FROM range(50000)")
    print("written", flush=True)
    sys.stdin.readline()
"""


def scrape(collector: FileCollector) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def database(path: Path, rows: int = 10) -> str:
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE OR REPLACE TABLE trades AS FROM range({rows})")
    os.utime(path, (LONG_AGO + rows,) * 2)
    return str(path)


def test_facts_follow_a_writer_in_another_process(tmp_path: Path) -> None:
    path = str(tmp_path / "live.duckdb")
    collector = FileCollector([File(path, "live", read=True)])
    assert scrape(collector)["duckdb_file_success", path] == 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "written\n"
        shown = scrape(collector)
        writer.communicate("end\n")
    assert writer.returncode == 0
    assert shown["duckdb_file_success", path] == 1
    assert shown["duckdb_file_size_bytes", path] > 0
    assert shown["duckdb_file_wal_size_bytes", path] > 100_000
    assert abs(shown["duckdb_file_modified_timestamp_seconds", path] - time.time()) < 10
    assert shown["duckdb_file_read_success", path] == 0, "somebody writes it, whatever the configuration says"


def test_a_locked_file_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "held.duckdb")
    collector = FileCollector([File(path, "held", read=True)])
    holder = [
        sys.executable,
        "-c",
        "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print(); sys.stdin.readline()",
    ]
    with subprocess.Popen([*holder, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        os.utime(path, (LONG_AGO,) * 2)
        assert scrape(collector)["duckdb_file_read_success", path] == 0
        process.communicate("end\n")
    os.utime(path, (LONG_AGO,) * 2)
    read = ("duckdb_file_read_success", path)
    assert scrape(collector)[read] == 0, "each try takes the lock that a writer wants: not at each scrape"
    monkeypatch.setattr("duckdb_exporter.files.RETRY_SECONDS", 0.0)
    assert scrape(collector)[read] == 1


def test_scrapes_that_meet_open_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "quiet.duckdb")
    collector = FileCollector([File(path, "quiet", read=True)])
    connections: list[Any] = []
    connect = duckdb.connect

    def counted(*arguments: Any, **options: Any) -> Any:
        connections.append(options)
        time.sleep(0.1)  # long enough for all scrapes to be there
        return connect(*arguments, **options)

    monkeypatch.setattr("duckdb.connect", counted)
    with ThreadPoolExecutor(4) as scrapes:
        pages = list(scrapes.map(scrape, [collector] * 4))
    assert [page["duckdb_file_read_success", path] for page in pages] == [1] * 4
    assert len(connections) == 1


def test_it_reads_what_nobody_writes_once_per_change(tmp_path: Path) -> None:
    first, second = database(tmp_path / "first.duckdb"), database(tmp_path / "second.duckdb", 20)
    queries = [Query("trades", "SELECT count(*) AS value FROM one.main.trades", "Trades.")]
    collector = FileCollector([File(first, "one", read=True), File(second, "two", read=True)], queries)
    shown = scrape(collector)
    assert shown["duckdb_table_rows", "one", "main", "trades"] == 10
    assert shown["duckdb_table_rows", "two", "main", "trades"] == 20
    assert shown["trades",] == 10
    assert not any(name[0] == "duckdb_memory_bytes" for name in shown), "it would be the exporter's own"
    assert ("duckdb_tables", "memory") not in shown
    read_at = ("duckdb_file_read_timestamp_seconds", first)
    assert scrape(collector)[read_at] == shown[read_at]
    database(Path(first), 30)
    changed = scrape(collector)
    assert changed[read_at] > shown[read_at]
    assert changed["trades",] == 30


def test_a_writer_can_open_a_file_at_once_after_a_scrape(tmp_path: Path) -> None:
    path = database(tmp_path / "quiet.duckdb")
    collector = FileCollector([File(path, "quiet", read=True)])
    assert scrape(collector)["duckdb_file_read_success", path] == 1
    code = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute('INSERT INTO trades SELECT 1')"
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=30)


def test_a_file_that_is_no_database_loses_no_other(tmp_path: Path) -> None:
    good, bad = database(tmp_path / "good.duckdb"), tmp_path / "it's bad.duckdb"
    bad.write_text("no database\n" * 2000)
    os.utime(bad, (LONG_AGO,) * 2)
    shown = scrape(FileCollector([File(str(bad), "bad", read=True), File(good, "good", read=True)]))
    assert shown["duckdb_file_read_success", str(bad)] == 0
    assert shown["duckdb_table_rows", "good", "main", "trades"] == 10


def test_facts_want_no_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "a.duckdb")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert scrape(FileCollector([File(path, "a")]))["duckdb_file_success", path] == 1
    with pytest.raises(ImportError):
        FileCollector([File(path, "a", read=True)])
