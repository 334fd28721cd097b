"""A stand-in of the Rust trade engine: it reads signals from their stream and writes results, and decides nothing.

Switches: ``orders`` (normal, slow, fail, stall), ``errors``, ``memory`` (normal, leak); ``die``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from prometheus_client import REGISTRY, generate_latest
from redis import RedisError

from lab.trading import http, memory, streams
from lab.trading.metrics import Engine as Metrics
from lab.trading.switches import Switches

PAUSE = 0.1
SLOW = 0.4
LEAK = 700 << 20


class Engine:
    def __init__(self, signals: Any, results: Any, metrics: Metrics, switches: Switches) -> None:
        self._signals, self._results, self._metrics, self._switches = signals, results, metrics, switches
        self._ready = self._lost = False
        self._unanswered: dict[str, dict[str, str]] = {}
        self._chance = random.Random(1)  # noqa: S311  # nothing here is a secret

    def turn(self) -> None:
        """One look at the stream, and what follows from it."""
        if self._switches["errors"]:
            self._metrics.errors.labels("risk").inc()
        try:
            if not self._ready:
                streams.ensure_group(self._signals, streams.SIGNALS, streams.ENGINE_GROUP)
                self._read("0")  # what it had read before it died
                self._ready = True
            if self._switches["orders"] == "stall":
                time.sleep(PAUSE)
            else:
                self._read(">")
                self._answer()
            self._metrics.age.set(self._oldest())
            self._lost = False
        except RedisError as error:
            self._ready = False
            if not self._lost:
                self._metrics.errors.labels("redis").inc()
                print(f"engine: {error}", file=sys.stderr, flush=True)
            self._lost = True
            time.sleep(PAUSE)

    def _read(self, since: str) -> None:
        found = self._signals.xreadgroup(
            streams.ENGINE_GROUP, "trade-engine", {streams.SIGNALS: since}, count=100, block=int(PAUSE * 1000)
        )
        for _stream, entries in found or []:
            for entry, signal in entries:
                if entry not in self._unanswered:
                    self._metrics.signals.inc()
                    self._unanswered[entry] = signal

    def _answer(self) -> None:
        if self._unanswered and self._switches["orders"] == "slow":
            time.sleep(SLOW)
        for entry, signal in list(self._unanswered.items()):
            result = self._result()
            self._results.xadd(
                streams.RESULTS, {**signal, "signal": entry, "result": result}, maxlen=streams.LONGEST, approximate=True
            )
            self._signals.xack(streams.SIGNALS, streams.ENGINE_GROUP, entry)
            del self._unanswered[entry]
            self._metrics.orders.labels(result).inc()
            self._metrics.latency.observe(streams.age(entry))
            if result == "filled":
                self._metrics.fills.inc(self._chance.choice((1, 1, 1, 2, 3)))

    def _result(self) -> str:
        if self._switches["orders"] == "fail":
            return "failed"
        return "rejected" if self._chance.random() < 0.02 else "filled"

    def _oldest(self) -> float:
        """Age of the oldest signal without a result, be it read or not."""
        if self._unanswered:
            return streams.age(min(self._unanswered, key=streams.seconds_of))
        (group,) = [
            each for each in self._signals.xinfo_groups(streams.SIGNALS) if each["name"] == streams.ENGINE_GROUP
        ]
        waiting = self._signals.xrange(streams.SIGNALS, min=f"({group['last-delivered-id']}", count=1)
        return streams.age(waiting[0][0]) if waiting and self._switches["orders"] == "stall" else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=9000)
    arguments = parser.parse_args()
    switches = Switches({"orders": ("normal", "slow", "fail", "stall"), "errors": False, "memory": ("normal", "leak")})
    metrics = Metrics(REGISTRY)

    def route(request: http.Request) -> http.Answer:
        if request.path == "/control":
            return http.control(switches, request)
        if request.path == "/metrics":
            return http.Answer(generate_latest(REGISTRY), kind=http.METRICS)
        return http.Answer("not here\n", 404)

    http.serve(arguments.listen, arguments.port, route)
    memory.leak_when_told(switches, LEAK)
    engine = Engine(streams.connect("signal-stream"), streams.connect("result-stream"), metrics, switches)
    while True:
        engine.turn()


if __name__ == "__main__":
    main()
