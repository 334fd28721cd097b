"""What scrapes cost the process that writes a DuckDB: the same writer without them, at one and at ten a second.

Writes ``bench/results/duckdb.json``: per rate the rows a second (median of the turns), failed writes, and median and
longest of a write, a checkpoint and a scrape in milliseconds. The rates take turns, so that what else the machine
does falls on all alike. `make bench-duckdb` runs it as a module: as a script it would hide the real duckdb.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import duckdb
from duckdb_exporter import serve

from bench.hosts import save

RATES = {"none": 0, "each second": 1, "ten a second": 10}
TURNS = 12
SECONDS = 3
ROWS = 1000
WRITES_PER_CHECKPOINT = 50
TABLES = 20


@dataclass
class Figures:
    """What happened at one rate, in all its turns."""

    rates: list[float] = field(default_factory=list)
    """Rows a second of each turn."""
    failed: int = 0
    writes: list[float] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        return {
            "rows_per_second": round(statistics.median(self.rates)),
            "failed_writes": self.failed,
            "write_ms": _milliseconds(self.writes),
            "checkpoint_ms": _milliseconds(self.checkpoints),
            "scrapes": len(self.scrapes),
            "scrape_ms": _milliseconds(self.scrapes),
        }


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {"median": round(statistics.median(seconds) * 1000, 2), "max": round(max(seconds) * 1000, 2)}


def timed(into: list[float], connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    started = time.monotonic()
    connection.execute(statement)
    into.append(time.monotonic() - started)


def turn(rate: float, figures: Figures) -> None:
    """One writer on a new database, scraped over HTTP at that rate."""
    over = threading.Event()
    with tempfile.TemporaryDirectory() as directory, duckdb.connect(f"{directory}/trade.duckdb") as connection:
        for number in range(TABLES):
            connection.execute(f"CREATE TABLE t{number} (id BIGINT, text VARCHAR)")
        with serve(connection, port=0) as server:

            def scrape_on() -> None:
                while rate and not over.wait(1 / rate):
                    started = time.monotonic()
                    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as page:
                        assert b"duckdb_collector_success 1.0" in page.read()  # noqa: S101
                    figures.scrapes.append(time.monotonic() - started)

            scraping = threading.Thread(target=scrape_on)
            scraping.start()
            _write(connection, figures)
            over.set()
            scraping.join()


def _write(connection: duckdb.DuckDBPyConnection, figures: Figures) -> None:
    started, number = time.monotonic(), 0
    while time.monotonic() < started + SECONDS:
        number += 1
        try:
            insert = f"INSERT INTO t{number % TABLES} SELECT range, md5(range::VARCHAR) FROM range({ROWS})"  # noqa: S608
            timed(figures.writes, connection, insert)
            if number % WRITES_PER_CHECKPOINT == 0:
                timed(figures.checkpoints, connection, "CHECKPOINT")
        except duckdb.Error:
            figures.failed += 1
    figures.rates.append(number * ROWS / (time.monotonic() - started))


def main() -> None:
    found = {name: Figures() for name in RATES}
    for _turn in range(TURNS):
        for name, rate in RATES.items():
            turn(rate, found[name])
    result = {"duckdb": duckdb.__version__, **{name: figures.summary() for name, figures in found.items()}}
    save("duckdb", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
