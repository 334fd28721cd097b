"""A stand-in of the backend: it sends signals, takes results, keeps states and trades, and syncs them to ClickHouse.

Real are the four Redis servers, the DuckDB file with its collector at localhost:1234, and HTTP. Switches: ``sync``
(normal, slow, stall, fail), ``memory`` (normal, leak), ``http`` (normal, errors); ``die``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

from duckdb_exporter import DuckDBCollector
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from redis import RedisError

from lab.trading import http, memory, streams
from lab.trading.metrics import Backend as Metrics
from lab.trading.store import Store
from lab.trading.switches import Switches
from lab.trading.sync import Sync

SIGNALS_PER_SECOND = 10
SYNC_EVERY = 0.5
LEAK = 950 << 20
STRATEGIES = ("carry", "momentum", "reversion", "spread")
STATES_KEPT_S = 300


class Trading:
    """Signals out, results in."""

    def __init__(self, store: Store, sync: Sync) -> None:
        self._store, self._sync = store, sync
        self._trades, self._instances = streams.connect("trade-state"), streams.connect("instance-state")
        self._signals, self._results = streams.connect("signal-stream"), streams.connect("result-stream")
        self._chance = random.Random(2)  # noqa: S311  # nothing here is a secret

    def signal(self) -> None:
        signal = {
            "instrument": self._chance.choice(streams.INSTRUMENTS),
            "side": self._chance.choice(("buy", "sell")),
            "quantity": self._chance.randrange(1, 200),
        }
        self._signals.xadd(streams.SIGNALS, signal, maxlen=streams.LONGEST, approximate=True)
        time.sleep(self._chance.uniform(0.5, 1.5) / SIGNALS_PER_SECOND)

    def heartbeat(self) -> None:
        for strategy in STRATEGIES:
            state = {"state": "running", "at": f"{time.time():.3f}", "position": self._chance.randrange(-500, 500)}
            self._instances.hset(f"instance:{strategy}", mapping=state)
        time.sleep(1)

    def result(self) -> None:
        streams.ensure_group(self._results, streams.RESULTS, streams.BACKEND_GROUP)
        found = self._results.xreadgroup(streams.BACKEND_GROUP, "backend", {streams.RESULTS: ">"}, count=100, block=500)
        rows = [(entry, result) for _stream, entries in found or [] for entry, result in entries]
        for entry, result in rows:
            self._sync.add({"at": streams.seconds_of(entry), **result})
            with suppress(RedisError):  # a state that is lost is no reason to lose the trade
                self._trades.hset(f"trade:{result['signal']}", mapping=result)
                self._trades.expire(f"trade:{result['signal']}", STATES_KEPT_S)
        self._store.write([_trade(entry, result) for entry, result in rows])
        if rows:
            self._results.xack(streams.RESULTS, streams.BACKEND_GROUP, *(entry for entry, _ in rows))
        time.sleep(0.2)


def _trade(entry: str, result: dict[str, str]) -> tuple[object, ...]:
    at = datetime.fromtimestamp(streams.seconds_of(entry), UTC).replace(tzinfo=None)
    return at, result["instrument"], result["side"], int(result["quantity"]), result["result"]


def forever(work: Callable[[], None]) -> None:
    """Do it again and again in a thread of its own; a Redis that is away is waited for."""

    def run() -> None:
        lost = False
        while True:
            try:
                work()
                lost = False
            except RedisError as error:
                if not lost:
                    print(f"backend: {work.__name__}: {error}", file=sys.stderr, flush=True)
                lost = True
                time.sleep(0.5)

    threading.Thread(target=run, daemon=True, name=work.__name__).start()


def customers(url: str, chance: random.Random) -> Callable[[], None]:
    """Somebody who asks the backend a few times a second."""

    def customer() -> None:
        time.sleep(chance.uniform(0.1, 0.4))
        body = None if chance.random() < 0.8 else b"{}"
        with suppress(OSError), urlopen(Request(f"{url}/trades", body), timeout=2) as answer:  # noqa: S310  # our own URL
            answer.read()

    return customer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--duckdb", type=Path, required=True, metavar="FILE")
    parser.add_argument("--duckdb-port", type=int, default=1234)
    parser.add_argument("--clickhouse", required=True, metavar="URL")
    arguments = parser.parse_args()

    switches = Switches(
        {"sync": ("normal", "slow", "stall", "fail"), "memory": ("normal", "leak"), "http": ("normal", "errors")}
    )
    metrics = Metrics(REGISTRY)
    store = Store(arguments.duckdb)
    sync = Sync(arguments.clickhouse, metrics, switches)
    trading = Trading(store, sync)
    of_duckdb = CollectorRegistry()
    of_duckdb.register(DuckDBCollector(store.connection))

    def trades(request: http.Request) -> http.Answer:
        began = time.perf_counter()
        code = 500 if switches["http"] == "errors" else 200
        body = json.dumps({"trades": store.count()}) if code == 200 else "out of order\n"
        metrics.requests.labels(request.method, str(code)).inc()
        metrics.durations.labels(request.method).observe(time.perf_counter() - began)
        return http.Answer(body, code)

    def route(request: http.Request) -> http.Answer:
        if request.path == "/metrics":
            return http.Answer(generate_latest(REGISTRY), kind=http.METRICS)
        if request.path == "/control":
            return http.control(switches, request)
        return trades(request) if request.path == "/trades" else http.Answer("not here\n", 404)

    def route_duckdb(request: http.Request) -> http.Answer:
        if request.path == "/metrics":
            return http.Answer(generate_latest(of_duckdb), kind=http.METRICS)
        return http.Answer("not here\n", 404)

    http.serve(arguments.listen, arguments.port, route)
    http.serve(arguments.listen, arguments.duckdb_port, route_duckdb)
    memory.leak_when_told(switches, LEAK)
    for work in (trading.signal, trading.heartbeat, trading.result):
        forever(work)
    forever(customers(f"http://{arguments.listen[0]}:{arguments.port}", random.Random(3)))  # noqa: S311
    while True:
        sync.turn()
        time.sleep(SYNC_EVERY)


if __name__ == "__main__":
    main()
