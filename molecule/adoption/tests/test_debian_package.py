"""Debian's package after the adoption. Its unit has the name of ours, so apt acts on ours; the next run mends that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import Play, eventually, page, running, unit

testinfra_hosts = ["ansible://mon1"]

URL = "http://127.0.0.1:9090"
# No target of ours has this instance: its samples are from before the adoption.
OLD = 'count_over_time(up{job="prometheus",instance="localhost:9090"}[1d])'
PACKAGES = "prometheus prometheus-node-exporter"


def apt(host: Host, words: str) -> None:
    host.check_output(f"DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet {words}")


def process(host: Host, name: str = "prometheus") -> str:
    return unit(host, name, "MainPID")["MainPID"]


def old_samples(host: Host, until: str) -> int:
    query = urlencode({"query": OLD, "time": until})
    answer = eventually(lambda: page(host, f"{URL}/api/v1/query?{query}"), 10)
    return int(json.loads(answer)["data"]["result"][0]["value"][1])


def targets(host: Host) -> set[str]:
    found = json.loads(page(host, f"{URL}/api/v1/targets?state=active") or '{"data": {"activeTargets": []}}')
    return {target["labels"]["instance"] for target in found["data"]["activeTargets"]}


def assert_ours_runs(host: Host) -> None:
    assert running(host, "prometheus") == host.check_output(
        "readlink -f /opt/tds/prometheus/current/release/prometheus"
    )
    assert unit(host, "prometheus", "FragmentPath", "UnitFileState") == {
        "FragmentPath": "/etc/systemd/system/prometheus.service",
        "UnitFileState": "enabled",
    }
    old = unit(host, "prometheus-node-exporter", "ActiveState", "UnitFileState")
    assert old == {"ActiveState": "inactive", "UnitFileState": "masked"}


def assert_one_run_mends(host: Host, play: Play) -> None:
    """And proves, which takes Prometheus' own word for its jobs, targets and rules."""
    for changed in (1, 0):
        run = play("--limit", "mon1")
        assert (run.code, run.changed) == (0, changed), run.output
    assert_ours_runs(host)


@pytest.fixture(autouse=True)
def nothing_is_lost(host: Host) -> Iterator[None]:
    """Whatever apt does: the old samples are there before and after, and node_exporter runs on."""
    now = host.check_output("date +%s")
    before = old_samples(host, now), process(host, "node_exporter")
    yield
    assert (old_samples(host, now), process(host, "node_exporter")) == before


def test_a_reinstalled_package_restarts_ours(host: Host, play: Play) -> None:
    before = process(host)
    apt(host, f"install --reinstall {PACKAGES}")
    assert process(host) != before
    assert_ours_runs(host)
    assert_one_run_mends(host, play)


def test_an_upgrade_whose_prometheus_yml_is_taken_starts_ours_with_it(host: Host, play: Play) -> None:
    for command in (
        "apt-get --quiet download prometheus",
        "dpkg-deb --raw-extract prometheus_*.deb newer",
        "sed --in-place 's/^Version: .*/Version: 9/' newer/DEBIAN/control",
        "echo '# of version 9' >>newer/etc/prometheus/prometheus.yml",
        "dpkg-deb -Znone --build newer",
        "DEBIAN_FRONTEND=noninteractive dpkg --force-confnew --install newer.deb",
    ):
        host.check_output(f"cd /var/tmp && {command}")
    assert eventually(lambda: targets(host) == {"localhost:9090", "localhost:9100"}, 10)  # Debian's, by our binary
    assert "# of version 9" in host.file("/etc/prometheus/prometheus.yml").content_string
    assert_ours_runs(host)
    assert_one_run_mends(host, play)
    assert "# of version 9" not in host.file("/etc/prometheus/prometheus.yml").content_string


def test_a_purged_package_takes_ours_with_it_until_the_next_run(host: Host, play: Play) -> None:
    apt(host, f"purge {PACKAGES}")
    assert unit(host, "prometheus", "ActiveState", "UnitFileState") == {
        "ActiveState": "inactive",
        "UnitFileState": "disabled",
    }
    assert not host.file("/etc/prometheus").exists
    assert_one_run_mends(host, play)
