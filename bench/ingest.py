"""What one Prometheus takes in: the shipped site.yml on a lab host, targets of 5,000 series each.

Writes ``bench/results/ingest.json``: ``limits_enforced`` (by which kernel interface, or false), the block duration,
and what Prometheus took of each load and what it cost. Missed are the scrapes that were due and failed or never were.
Bytes of a sample are those of the log before it is first cut, and of the blocks that were written.

    python3 -m bench.ingest [--blocks 5m] [--truncations 2] [SAMPLES_PER_SECOND ...]

A run lasts until the head was cut so many times: 1.5 block durations until the first, one more for each other. The load
is made on the same machine, by lab/load.py, for a tenth of a CPU. Where the lab's containers have no limits of their
own, those of Prometheus' unit are put on its process from outside (cgroup v1), where this machine lets one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.hosts import ROOT, lab, play, save
from lab.common import Paths
from lab.processes import cgroup
from lab.state import find, load

LAB = "bench-ingest"
LOADS = (50_000, 250_000, 500_000)
SERIES, FIRST_PORT = 5000, 20000
SETTLE_S = 20
LIMITS_V1 = Path("/sys/fs/cgroup")
QUERIES = (
    'count(up{job="load"})',
    'sum by (venue) (rate(engine_orders_total{instance="app1:20000"}[1m]))',
    'histogram_quantile(0.99, sum by (le) (rate(engine_order_latency_seconds_bucket{instance="app1:20003"}[1m])))',
    'max_over_time(engine_position_value{symbol=~"SYM0035."}[1m])',
)
QUERY_EVERY_S = 0.5
STORAGE = (
    "prometheus_tsdb_storage_blocks_bytes",
    "prometheus_tsdb_wal_storage_size_bytes",
    "prometheus_tsdb_head_chunks_storage_size_bytes",
)


def on(host: str, command: str) -> str:
    return lab("ssh", LAB, host, command)


def provision(targets: int, blocks: str) -> None:
    """mon1 as site.yml makes it, with so many targets on app1; Ansible's own words end this program when it fails."""
    service = {
        "scrape_interval": "1s",
        "probe": "none",
        "series": SERIES,
        "instances": [
            {"name": f"load-{port}", "host": "app1", "target": f"app1:{port}"}
            for port in range(FIRST_PORT, FIRST_PORT + targets)
        ],
    }
    variables = {
        "monitored_services": {"load": service},
        "prometheus_min_block_duration": blocks,
        "prometheus_retention_size": "50GB",
        "preflight_accepted": ["capacity", "cgroup", "clock", "disk", "names"],
    }
    play(LAB, "site.yml", variables)


class Prometheus:
    """The process on the lab host as this machine sees it, and its API through the host's network."""

    def __init__(self) -> None:
        machine = find(load(Paths.from_environment()), LAB).machine("mon1")
        own = str(cgroup(machine).name)
        self.pid = next(
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if _text(process / "comm").strip() == "prometheus" and own in _text(process / "cgroup")
        )

    def _fetch(self, path: str) -> str:
        curl = ["curl", "--silent", "--fail", "--max-time", "30", f"http://127.0.0.1:9090{path}"]
        command = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *curl]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def value(self, query: str) -> float:
        """Of an instant query's only series; 0 for none."""
        found = json.loads(self._fetch(f"/api/v1/query?{urlencode({'query': query})}"))["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def own(self, metric: str) -> float:
        """Of its own /metrics, which it answers when queries have to wait."""
        for line in self._fetch("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            if name.partition("{")[0] == metric:
                return float(value)
        return 0.0

    def cpu_seconds(self) -> float:
        fields = _text(Path(f"/proc/{self.pid}/stat")).rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        lines = dict(line.split(":", 1) for line in _text(Path(f"/proc/{self.pid}/status")).splitlines())
        return 1024 * int(lines.get("VmRSS", "0 kB").split()[0])


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""


@contextmanager
def limited(prometheus: Prometheus) -> Iterator[str]:
    """Has the kernel enforce what the unit says; by what means, or empty when it cannot be had here."""
    shown = on("mon1", "systemctl show prometheus --property=MemoryMax,CPUQuotaPerSecUSec,ControlGroup")
    says = dict(line.split("=", 1) for line in shown.split())
    if (
        on("mon1", f"cat /sys/fs/cgroup{says['ControlGroup']}/memory.max 2>/dev/null || true").strip()
        == says["MemoryMax"]
    ):
        yield "cgroup v2"
        return
    quota = int(100_000 * float(says["CPUQuotaPerSecUSec"].removesuffix("s")))
    wanted = {"memory/memory.limit_in_bytes": says["MemoryMax"], "cpu/cpu.cfs_quota_us": str(quota)}
    groups = [LIMITS_V1 / file.partition("/")[0] / LAB for file in wanted]
    try:
        for group, (file, value) in zip(groups, wanted.items(), strict=True):
            group.mkdir(exist_ok=True)
            (group / Path(file).name).write_text(value)
            (group / "cgroup.procs").write_text(str(prometheus.pid))
    except OSError:
        yield ""
        return
    try:
        yield "cgroup v1"
    finally:
        for group in groups:
            for pid in _text(group / "cgroup.procs").split():
                with suppress(OSError):
                    (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()


class Watcher(threading.Thread):
    """Asks what a dashboard asks, and looks at the process, until it is told to end."""

    def __init__(self, prometheus: Prometheus) -> None:
        super().__init__(daemon=True)
        self.prometheus = prometheus
        self.done = threading.Event()
        self.rss, self.failed = 0, 0
        self.seconds: list[float] = []

    def run(self) -> None:
        asked = 0
        while not self.done.wait(QUERY_EVERY_S):
            self.rss = max(self.rss, self.prometheus.rss_bytes())
            began = time.monotonic()
            try:
                self.prometheus.value(QUERIES[asked % len(QUERIES)])
            except subprocess.CalledProcessError:
                self.failed += 1
            self.seconds.append(time.monotonic() - began)
            asked += 1

    def p99(self) -> float:
        return sorted(self.seconds)[int(0.99 * len(self.seconds))]


def measure(samples: int, blocks: str, truncations: int) -> tuple[str, dict[str, Any]]:
    targets = samples // SERIES
    lab("up", LAB, "mon1", "app1")
    address = find(load(Paths.from_environment()), LAB).address("app1")
    ports = f"{FIRST_PORT}-{FIRST_PORT + targets - 1}"
    script = (ROOT / "lab/load.py").read_text(encoding="utf-8")
    lab("ssh", LAB, "app1", "cat >/run/load.py", text=script)
    on("app1", f"systemd-run --quiet --unit=load python3 /run/load.py --ports {ports} --address {address}")
    provision(targets, blocks)
    prometheus = Prometheus()
    with limited(prometheus) as enforced:
        time.sleep(SETTLE_S)
        return enforced, _run(prometheus, targets, truncations)


def _run(prometheus: Prometheus, targets: int, truncations: int) -> dict[str, Any]:
    watcher, wal_per_sample = Watcher(prometheus), 0.0
    watcher.start()
    began, cpu = time.time(), prometheus.cpu_seconds()
    while (cut := prometheus.own("prometheus_tsdb_head_truncations_total")) < truncations:
        if not cut and (appended := prometheus.own("prometheus_tsdb_head_samples_appended_total")):
            wal_per_sample = prometheus.own("prometheus_tsdb_wal_storage_size_bytes") / appended
        time.sleep(5)
    time.sleep(30)  # what follows a cut: the checkpoint of the log, and blocks made of blocks
    seconds = round(time.time() - began)
    cores = (prometheus.cpu_seconds() - cpu) / seconds
    watcher.done.set()
    watcher.join()

    def over(query: str) -> float:
        """Of a query about the whole time."""
        return prometheus.value(query.replace("[]", f"[{seconds}s]").replace("[:]", f"[{seconds}s:15s]"))

    return {
        "samples_per_second": round(over("sum(rate(prometheus_tsdb_head_samples_appended_total[]))")),
        "megabytes_per_second": round(over('sum(avg_over_time(scrape_body_size_bytes{job="load"}[]))') / 1e6, 1),
        "seconds": seconds,
        "head_truncations": int(cut),
        "missed_scrapes": max(0, targets * seconds - round(over('sum(sum_over_time(up{job="load"}[]))'))),
        "scrape_max_s": round(over('max(max_over_time(scrape_duration_seconds{job="load"}[]))'), 3),
        "cpu_cores": round(cores, 2),
        "rss_bytes_max": watcher.rss,
        "heap_bytes_max": round(over("max_over_time(go_gc_heap_live_bytes[])")),
        "wal_bytes_max": round(over("max_over_time(prometheus_tsdb_wal_storage_size_bytes[])")),
        "disk_bytes_max": round(over(f"max_over_time(({' + '.join(STORAGE)})[:])")),
        "wal_bytes_per_sample": round(wal_per_sample, 2),
        **bytes_per_sample(),
        "query_p99_s": round(watcher.p99(), 3),
        "queries_failed": watcher.failed,
        "replay_s": replay_seconds(),
    }


def bytes_per_sample() -> dict[str, float]:
    """Of the blocks that are there, all of each and its chunks alone: the index is less of a long block."""
    script = """
import json, pathlib
blocks = [meta.parent for meta in pathlib.Path("/prometheus/data").glob("*/meta.json")]
samples = sum(json.loads((block / "meta.json").read_text())["stats"]["numSamples"] for block in blocks)
for pattern in ("*", "chunks/*"):
    print(sum(file.stat().st_size for block in blocks for file in block.rglob(pattern) if file.is_file()) / samples)
"""
    every, chunks = (round(float(figure), 2) for figure in on("mon1", f"python3 -c '{script}'").split())
    return {"block_bytes_per_sample": every, "chunk_bytes_per_sample": chunks}


def replay_seconds() -> float:
    """From the start of a Prometheus that was told to stop, until it is ready."""
    spent = on(
        "mon1",
        "systemctl stop prometheus; began=$(date +%s%N); systemctl start prometheus;"
        " until curl --silent --fail --output /dev/null 127.0.0.1:9090/-/ready; do sleep 0.1; done;"
        " echo $(($(date +%s%N) - began))",
    )
    return round(int(spent) / 1e9, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", default="5m", help="prometheus_min_block_duration; the shipped one takes longer")
    parser.add_argument("--truncations", type=int, default=2)
    parser.add_argument("loads", metavar="SAMPLES_PER_SECOND", type=int, nargs="*", default=LOADS)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"limits_enforced": False, "min_block_duration": arguments.blocks, "runs": []}
    for samples in arguments.loads:
        lab("down", LAB)
        try:
            enforced, run = measure(samples, arguments.blocks, arguments.truncations)
        finally:
            lab("down", LAB)
        result["limits_enforced"] = enforced or False
        result["runs"].append(run)
        _print(run)
        save("ingest", result)


def _print(run: Mapping[str, Any]) -> None:
    print("  ".join(f"{name} {value:,}" for name, value in run.items()), flush=True)


if __name__ == "__main__":
    main()
