"""What a run costs: a fresh lab host with all that a Prometheus host has, then three unchanged runs.

That is the whole stack, the door and Grafana (a stand-in of the lab's unless it was given the archive) too.

Writes ``bench/results/converge.json``: per run the seconds (wall clock), the tasks of the host (skipped ones too), how
many of them changed something, and the bytes that the lab's mirror and apt proxy delivered to it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from bench.hosts import lab, play, save

LAB = "bench-converge"
HOST = "mon1"
UNCHANGED_RUNS = 3
# A Redis outside the inventory is asked by the Prometheus host's exporter, so that one host runs all three.
SERVICES = {
    "redis": {
        "scrape_interval": "1s",
        "exporter": "redis_exporter",
        "instances": [{"name": "elsewhere", "target": "redis.example:6379"}],
    }
}


def fetched_bytes() -> int:
    return sum(json.loads(lab("traffic", LAB)).values())


def converge() -> dict[str, Any]:
    """One run of the shipped site.yml, measured; its output ends this program when it fails."""
    before, started = fetched_bytes(), time.monotonic()
    variables = {"monitored_services": SERVICES, "grafana_state": "present"}
    said = play(LAB, "site.yml", variables, callback="ansible.posix.json", inventories=["lab/door"])
    seconds = time.monotonic() - started
    counts = json.loads(said[said.index("{") : said.rindex("}") + 1])["stats"][HOST]
    return {
        "seconds": round(seconds, 1),
        "tasks": sum(counts[outcome] for outcome in ("ok", "skipped", "failures", "rescued", "ignored")),
        "changed": counts["changed"],
        "bytes_fetched": fetched_bytes() - before,
    }


def main() -> None:
    lab("down", LAB)
    lab("up", LAB, HOST)
    try:
        result: dict[str, Any] = {"fresh": converge(), "unchanged": [converge() for _run in range(UNCHANGED_RUNS)]}
    finally:
        lab("down", LAB)
    save("converge", result)
    for name, runs in (("fresh", [result["fresh"]]), ("unchanged", result["unchanged"])):
        for run in runs:
            print(f"{name:<9} " + "  ".join(f"{value:>11,} {unit}" for unit, value in run.items()))


if __name__ == "__main__":
    main()
