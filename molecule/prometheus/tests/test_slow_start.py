"""Starts that take longer than the proof's timeout: awaited while the write-ahead log is replayed, and no longer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Play, eventually, page, run_playbook, series, unit

testinfra_hosts = ["ansible://mon1"]

URL = "http://127.0.0.1:19090"
WAL = "/prometheus/data/wal"
TIMEOUT = 3
REPLAY = 4 * TIMEOUT
# Without targets, for which Prometheus looks every 5 s only, the proof holds as soon as the replay is over.
IDLE: dict[str, Any] = {
    "prometheus_scrape_configs": [],
    "prometheus_targets": [],
    "prometheus_expected_targets": [],
    "prometheus_memory_limits": [],
    "prometheus_proof_timeout": TIMEOUT,
}

MANY_SERIES = """\
mkdir --parents /srv/many
awk 'BEGIN { for (n = 0; n < 100000; n++) printf "many{series=\\"%d\\"} %f\\n", n, rand() }' >/srv/many/metrics.txt
systemd-run --quiet --unit=many --working-directory=/srv/many python3 -m http.server --bind 127.0.0.1 18080
"""
SCRAPED: dict[str, Any] = {
    "services": "{{ {'backend': backend, 'many': many} }}",
    "many": {
        "scrape_interval": "1s",
        "metrics_path": "/metrics.txt",
        "instances": [{"name": "many", "host": "mon1", "target": "localhost:18080"}],
    },
    "prometheus_scrape_limits": {},
    "prometheus_arguments": ["--storage.tsdb.wal-segment-size=10MB"],  # as small as it may be
}


def metric(host: Host, name: str) -> float:
    return series(page(host, f"{URL}/metrics")).get(name, 0)


def replay_seconds(host: Host) -> float:
    """How long the last start took to read the data, by Prometheus' own clock."""
    return metric(host, "prometheus_tsdb_data_replay_duration_seconds")


def api(host: Host, path: str) -> dict[str, Any]:
    answer = page(host, f"{URL}/api/v1/status/{path}")
    data: dict[str, Any] = json.loads(answer)["data"] if answer else {}
    return data


def lookback(time: str) -> dict[str, Any]:
    """A change that takes a restart, and shows."""
    return {"prometheus_arguments": [f"--query.lookback-delta={time}"]}


def generation(host: Host) -> str:
    return Path(host.file("/opt/tds/prometheus/current").linked_to).name


def process(host: Host) -> str:
    return unit(host, "prometheus", "MainPID")["MainPID"]


def assert_unchanged(play: Play, declaration: dict[str, Any]) -> None:
    run = play(**declaration)
    assert (run.code, run.changed) == (0, 0), run.output


@pytest.fixture(scope="module", autouse=True)
def long_replay(host: Host) -> Iterator[None]:
    """Real scrapes of many series, and as many copies of a segment of them as take that long to replay."""
    host.check_output(MANY_SERIES)
    assert run_playbook(**SCRAPED).code == 0
    written = metric(host, "prometheus_tsdb_wal_segment_current")
    assert eventually(lambda: metric(host, "prometheus_tsdb_wal_segment_current") > written, 60)
    assert run_playbook().code == 0

    sizes = dict(line.split() for line in host.check_output(f"cd {WAL} && stat --format '%n %s' 0*").splitlines())
    whole = max(sizes, key=lambda name: int(sizes[name]))
    share = int(sizes[whole]) / sum(map(int, sizes.values()))
    last = int(max(sizes))
    copies = math.ceil(REPLAY / (replay_seconds(host) * share))
    # Links are enough, and go beside the running daemon: it writes to a segment of its own until it is restarted.
    links = f"for n in $(seq --format %08.0f {last + 1} {last + copies}); do ln {whole} $n; done"
    host.check_output(f"cd {WAL} && {links}")
    yield
    host.check_output("systemctl stop prometheus many; rm -r /srv/many /prometheus/data/*")
    assert run_playbook().code == 0


def test_a_replay_longer_than_the_timeout_is_awaited_and_proven(host: Host, play: Play) -> None:
    before = generation(host), process(host)
    change = IDLE | lookback("4m")
    run = play(**change)
    assert (run.code, run.changed) == (0, 1), run.output
    assert replay_seconds(host) > TIMEOUT
    assert api(host, "flags")["query.lookback-delta"] == "4m"
    assert generation(host) != before[0]
    assert process(host) != before[1]
    assert_unchanged(play, change)


def test_one_that_stands_still_is_rolled_back_and_the_way_back_awaited(host: Host, play: Play) -> None:
    before, first = generation(host), process(host)

    def replays() -> bool:
        status = api(host, "walreplay")
        return process(host) != first and 0 < status.get("current", 0) < status["max"]

    with ThreadPoolExecutor() as pool:
        doomed = pool.submit(play, **IDLE, **lookback("3m"))
        assert eventually(replays, 30), doomed.result().output
        stopped = process(host)
        host.check_output("kill -STOP %s", stopped)
        run = doomed.result()
    assert (run.code, run.changed) == (2, 0)
    assert re.search(rf"is not proven: after \d+ s: {URL}/-/ready does not answer", run.output), run.output
    assert f"Rolled back: generation {before} is in force and proven." in run.output
    assert generation(host) == before
    assert process(host) not in {first, stopped}
    assert replay_seconds(host) > TIMEOUT
    assert api(host, "flags")["query.lookback-delta"] == "4m"
    assert_unchanged(play, IDLE | lookback("4m"))
