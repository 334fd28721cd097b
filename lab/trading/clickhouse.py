"""A stand-in of ClickHouse: it takes inserts, forgets them, and has the metrics of a server that keeps them.

The names are a real engine's (clickhouse_names.py), the values are made up. /metrics is there when the configuration
says so, and a change has the effect that it has there: files are read again within two seconds; a <port> of
<prometheus> is opened and closed at once, but the HTTP port takes up a new <prometheus> only when it is started, which
a change of <http_handlers> does too.

Switches: ``inserts`` (normal, delayed, rejected), ``merges`` (normal, stuck), ``parts``, ``readonly_replicas``,
``replication_lag`` (0 for what is healthy), ``series`` ({name: value} of any), ``answers`` (normal, hang, garbage,
huge, many); ``die``.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

from lab.trading import clickhouse_config, http
from lab.trading.clickhouse_names import PREFIXES, names
from lab.trading.switches import Switches

RELOAD_EVERY = 2.0
DELAY = 0.3
SWITCHES: dict[str, tuple[str, ...] | int | bool | dict[str, float]] = {
    "inserts": ("normal", "delayed", "rejected"),
    "merges": ("normal", "stuck"),
    "parts": 0,
    "readonly_replicas": 0,
    "replication_lag": 0,
    "series": {},
    "answers": ("normal", "hang", "garbage", "huge", "many"),
}
BYTES_PER_ROW = 90


class Engine:
    """The figures of a server."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._lock = threading.Lock()
        self._began = time.time()
        self._merged = 0
        self._events: Counter[str] = Counter()

    def insert(self, body: bytes) -> http.Answer:
        rows = body.count(b"\n")
        how = self._switches["inserts"]
        with self._lock:
            self._events.update({"Query": 1, "InsertQuery": 1})
            if how == "rejected":
                self._events.update({"RejectedInserts": 1, "FailedQuery": 1, "FailedInsertQuery": 1})
                return http.Answer("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)\n", 500)
            if how == "delayed":
                self._events.update({"DelayedInserts": 1, "DelayedInsertsMilliseconds": int(DELAY * 1000)})
            self._events.update({"InsertedRows": rows, "InsertedBytes": rows * BYTES_PER_ROW})
        if how == "delayed":
            time.sleep(DELAY)
        return http.Answer("")

    def select(self) -> http.Answer:
        with self._lock:
            self._events.update({"Query": 1, "SelectQuery": 1})
        return http.Answer("1\n")

    def figures(self) -> dict[str, dict[str, float]]:
        """Every value by table and name; what is not modelled is 0, as most of it is on a quiet server."""
        uptime = time.time() - self._began
        wave = math.sin(uptime / 20)
        stuck = self._switches["merges"] == "stuck"
        with self._lock:
            self._merge(0 if stuck else int(uptime / 4))
            events = dict(self._events)
            rows = events.get("InsertedRows", 0)
        parts = self._switches["parts"] or 9 + round(3 * wave)
        found = {table: dict.fromkeys(known, 0.0) for table, known in names().items()}
        found["events"] |= events
        found["metrics"] |= {
            "Query": 1,
            "HTTPConnection": 2,
            "TCPConnection": 1,
            "Merge": 1 if stuck or int(uptime) % 4 == 0 else 0,
            "PartsActive": 4 * parts,
            "MemoryTracking": 410e6 + 25e6 * wave,
            "BackgroundMergesAndMutationsPoolSize": 32,
            "BackgroundMergesAndMutationsPoolTask": 1 if stuck else 0,
            "ReadonlyReplica": self._switches["readonly_replicas"],
            "DelayedInserts": 1 if self._switches["inserts"] == "delayed" else 0,
        }
        found["asynchronous_metrics"] |= {
            "Uptime": round(uptime),
            "MaxPartCountForPartition": parts,
            "TotalPartsOfMergeTreeTables": 4 * parts,
            "TotalRowsOfMergeTreeTables": 2_000_000 + rows,
            "TotalBytesOfMergeTreeTables": (2_000_000 + rows) * BYTES_PER_ROW,
            "ReplicasMaxAbsoluteDelay": self._switches["replication_lag"],
            "NumberOfDatabases": 3,
            "NumberOfTables": 12,
            "MemoryResident": 620e6 + 25e6 * wave,
            "LoadAverage1": 0.4 + 0.2 * wave,
            "FilesystemMainPathTotalBytes": 200e9,
            "FilesystemMainPathAvailableBytes": 150e9,
            "FilesystemMainPathUsedBytes": 50e9,
        }
        return found

    def _merge(self, merged: int) -> None:
        if merged > self._merged:
            new = merged - self._merged
            self._events.update(
                {"Merge": new, "MergedRows": 400 * new, "MergedUncompressedBytes": 400 * new * BYTES_PER_ROW}
            )
        self._merged = max(self._merged, merged)

    def page(self) -> str:
        """In ClickHouse's own form of Prometheus' text format."""
        lines = []
        override = self._switches["series"]
        for table, values in self.figures().items():
            kind = "counter" if table == "events" else "gauge"
            for name, value in values.items():
                full = PREFIXES[table] + name.replace(".", "_")
                lines.append(f"# TYPE {full} {kind}\n{full} {override.get(full, value):.10g}\n")
        return "".join(lines)


def answer_metrics(engine: Engine, switches: Switches) -> http.Answer:
    how = switches["answers"]
    if how == "hang":
        while switches["answers"] == "hang":
            time.sleep(0.2)
    if how == "garbage":
        return http.Answer("<!doctype html><title>502</title>{{{ \x01 not a metric at all\n")
    if how == "huge":
        return http.Answer(_pieces("# " + "x" * 997 + "\n", 200_000), kind=http.METRICS)
    if how == "many":
        return http.Answer(_pieces('flood{{number="{}"}} 1\n', 2_000_000), kind=http.METRICS)
    return http.Answer(engine.page(), kind=http.METRICS)


def _pieces(line: str, times: int, step: int = 1000) -> Iterator[bytes]:
    for first in range(0, times, step):
        yield "".join(line.format(number) for number in range(first, first + step)).encode()


class Server:
    """The ports, and what each serves as the configuration is read again."""

    def __init__(self, addresses: list[str], port: int, directory: Path) -> None:
        self._addresses, self._directory = addresses, directory
        self._switches = Switches(SWITCHES)
        self._engine = Engine(self._switches)
        self._now = self._on_http = clickhouse_config.read(directory)
        self._extra: list[ThreadingHTTPServer] = []
        http.serve(addresses, port, self._route)
        self._open()

    def reload(self) -> None:
        """What changed since; a configuration that cannot be read leaves the old one in force."""
        try:
            new = clickhouse_config.read(self._directory)
        except (OSError, ET.ParseError, ValueError) as error:
            print(f"clickhouse: configuration is not reloaded: {error}", file=sys.stderr, flush=True)
            return
        old, self._now = self._now, new
        if new.http_handlers != old.http_handlers:
            self._on_http = new
        if new.port != old.port:
            for server in self._extra:
                server.shutdown()
                server.server_close()
            self._open()

    def _open(self) -> None:
        port = self._now.port
        self._extra = http.serve(self._addresses, port, self._route_extra) if port else []

    def _route(self, request: http.Request) -> http.Answer:
        if request.path == "/control":
            return http.control(self._switches, request)
        if request.path == "/ping":
            return http.Answer("Ok.\n")
        if request.path == self._on_http.path and self._on_http.metrics_on_http:
            return answer_metrics(self._engine, self._switches)
        query = " ".join(request.query.get("query", []))
        if request.path == "/" and query:
            return self._engine.insert(request.body) if query.startswith("INSERT") else self._engine.select()
        return http.Answer(f"There is no handle {request.path}\n", 404)

    def _route_extra(self, request: http.Request) -> http.Answer:
        if request.path == self._now.path:
            return answer_metrics(self._engine, self._switches)
        return http.Answer(f"There is no handle {request.path}\n", 404)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--configuration", type=Path, default=Path("/etc/clickhouse-server"), metavar="DIRECTORY")
    arguments = parser.parse_args()
    server = Server(arguments.listen, arguments.port, arguments.configuration)
    while True:
        time.sleep(RELOAD_EVERY)
        server.reload()


if __name__ == "__main__":
    main()
