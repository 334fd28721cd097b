"""What others installed, with data: refused with what was found, given back when ours fails, taken over and kept."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import Play, address, eventually, lab, lab_name, page, running, unit

testinfra_hosts = ["ansible://mon1", "ansible://mon2"]

DAEMONS = ("prometheus", "node_exporter")
DOOMED = ["--no-such-flag"]  # no checker knows the flags: only the process itself can say no

# mon1 has Debian's packages, mon2 what the collection prometheus.prometheus leaves.
DEBIANS = "prometheus-node-exporter"
OLD_UNITS = {
    "mon1": {"prometheus": "prometheus", "node_exporter": DEBIANS},
    "mon2": {"prometheus": "prometheus", "node_exporter": "node_exporter"},
}
OLD_DATA = {"mon1": "/var/lib/prometheus/metrics2", "mon2": "/var/lib/prometheus"}
FOUND = {
    "mon1": {
        "prometheus": [
            "/etc/prometheus exists",
            "/etc/systemd/system/prometheus.service.d/limits.conf changes the unit",
            "/usr/lib/systemd/system/prometheus.service exists (package prometheus)",
            "/var/lib/prometheus/metrics2 holds data",
        ],
        "node_exporter": [
            f"/usr/lib/systemd/system/{DEBIANS}.service does the same job (package {DEBIANS})",
        ],
    },
    "mon2": {
        "prometheus": [
            "/etc/prometheus exists",
            "/etc/systemd/system/prometheus.service exists",
            "/usr/local/bin/prometheus is of an earlier installation",
            "/usr/local/bin/promtool is of an earlier installation",
            "/var/lib/prometheus holds data",
        ],
        "node_exporter": [
            "/etc/node_exporter exists",
            "/etc/systemd/system/node_exporter.service exists",
            "/usr/local/bin/node_exporter is of an earlier installation",
        ],
    },
}


def name(host: Host) -> str:
    return str(host.backend.get_hostname())


# Its values differ from scrape to scrape: equal ones are the same samples.
WITNESS = 'go_memstats_alloc_bytes_total{job="prometheus",instance="localhost:9090"}'


def samples(host: Host, until: float) -> list[Any]:
    """What Prometheus serves of the witness for the ten minutes up to a time, as it was scraped."""
    query = urlencode({"query": f"{WITNESS}[10m]", "time": until})
    result = json.loads(page(host, f"http://127.0.0.1:9090/api/v1/query?{query}") or "{}")
    return [sample for found in result["data"]["result"] for sample in found["values"]] if result else []


def now(host: Host) -> float:
    return float(host.check_output("date +%s.%N"))


def collects(host: Host) -> bool:
    """Whether a sample comes that is newer than this question."""
    asked = now(host)
    return bool(eventually(lambda: (found := samples(host, now(host))) and found[-1][0] > asked, 15))


def listing(host: Host) -> str:
    """All that an installation is made of but accounts and what is in the data: to be compared with what it was."""
    accounts = " ".join(f"! -name '{file}*'" for file in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"))
    parts = "/etc /usr/local /usr/lib/systemd /var/lib/prometheus"
    names = f"find {parts} {accounts} ! -path '*/wal/*' ! -path '*/chunks_head/*' -printf '%p %M %u:%g %l\\n' | sort"
    contents = f"find /etc /usr/local /usr/lib/systemd -type f {accounts} -exec sha256sum {{}} + | sort"
    owners = "find /var/lib/prometheus -printf '%u:%g\\n' | sort -u"
    return str(host.check_output(f"{names}; {contents}; {owners}"))


def services(host: Host) -> dict[str, dict[str, str]]:
    """The old services: from which files, whether they run now and after a boot, and which binaries."""
    shown = ("FragmentPath", "DropInPaths", "LimitNOFILE", "ActiveState", "UnitFileState")
    return {old: unit(host, old, *shown) | {"runs": running(host, old)} for old in OLD_UNITS[name(host)].values()}


def processes(host: Host) -> list[str]:
    return [unit(host, old, "MainPID")["MainPID"] for old in OLD_UNITS[name(host)].values()]


def hashes(host: Host, paths: str) -> str:
    return str(host.run(f"find {paths} -type f -exec sha256sum {{}} + | sort").stdout)


@dataclass(frozen=True)
class Before:
    """A host as it was found."""

    listing: str
    services: dict[str, dict[str, str]]
    processes: list[str]
    accounts: str
    files: str
    samples: list[Any]

    @property
    def until(self) -> float:
        return float(self.samples[-1][0])


@pytest.fixture(scope="module")
def before(host: Host) -> Before:
    found = Before(
        listing(host),
        services(host),
        processes(host),
        host.check_output("getent passwd; getent group"),
        hashes(host, "/etc/prometheus/ /etc/systemd/system/prometheus.service* /usr/local/bin/prom*"),
        samples(host, now(host)),
    )
    assert len(found.samples) >= 3
    assert {service["ActiveState"] for service in found.services.values()} == {"active"}
    return found


# --- refused


@pytest.mark.parametrize("options", [(), ("--check", "--diff")], ids=["run", "check mode"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_it_is_refused_with_what_was_found_and_nothing_changes(
    host: Host, play: Play, before: Before, daemon: str, options: tuple[str, ...]
) -> None:
    run = play("--limit", name(host), "--tags", daemon, *options)
    assert (run.code, run.changed) == (2, 0)
    told = "; ".join(FOUND[name(host)][daemon])
    assert f"this host already holds what this role did not put there: {told}. Nothing was changed." in run.output
    assert "daemon_adopt: true" in run.output
    assert listing(host) == before.listing
    assert host.check_output("getent passwd; getent group") == before.accounts
    assert [host.file(path).exists for path in ("/opt/tds", "/prometheus", "/var/backups/tds")] == [False] * 3
    assert (services(host), processes(host)) == (before.services, before.processes)
    assert collects(host)


# --- given back


@pytest.mark.parametrize("daemon", DAEMONS)
def test_what_is_not_proven_gives_all_of_it_back(host: Host, play: Play, before: Before, daemon: str) -> None:
    variables: dict[str, Any] = {f"{daemon}_arguments": DOOMED}
    run = play("--limit", name(host), "--tags", daemon, daemon_adopt=True, **variables)
    assert (run.code, run.changed) == (2, 0)
    assert "unknown long flag '--no-such-flag'" in run.output
    assert "It was the first installation and has been withdrawn; what was there before is back." in run.output
    assert listing(host) == before.listing
    assert services(host) == before.services
    assert eventually(lambda: samples(host, before.until), 5) == before.samples
    assert collects(host)
    assert page(host, "http://127.0.0.1:9100/metrics")


# --- taken over


def test_check_mode_tells_what_would_be_taken_over_and_takes_nothing(host: Host, play: Play, before: Before) -> None:
    run = play("--limit", name(host), "--check", "--diff", daemon_adopt=True)
    # blackbox_exporter and Alertmanager, which neither had; the slice; and how soon the log is written out.
    assert (run.code, run.changed) == (0, 6)
    for finding in [finding for found in FOUND[name(host)].values() for finding in found]:
        assert f"  taken over: {finding}\n" in run.output
    assert (listing(host), services(host)) == (before.listing, before.services)


def assert_ours_runs_and_the_old_does_not(host: Host) -> None:
    for daemon in DAEMONS:
        state = unit(host, daemon, "FragmentPath", "ActiveState", "UnitFileState")
        assert state == {
            "FragmentPath": f"/etc/systemd/system/{daemon}.service",
            "ActiveState": "active",
            "UnitFileState": "enabled",
        }
        assert running(host, daemon) == host.check_output(f"readlink -f /opt/tds/{daemon}/current/release/{daemon}")
    for old in set(OLD_UNITS[name(host)].values()) - set(DAEMONS):
        assert unit(host, old, "LoadState", "ActiveState") == {"LoadState": "masked", "ActiveState": "inactive"}
    assert "node_exporter_build_info" in page(host, f"https://{address(host)}:9100/metrics")


def test_adopted_it_is_ours_that_runs_and_is_up(host: Host, play: Play, before: Before) -> None:  # noqa: ARG001
    run = play("--limit", name(host), daemon_adopt=True)
    assert (run.code, run.changed) == (0, 6), run.output
    assert_ours_runs_and_the_old_does_not(host)
    up = f'up{{job=~"node|prometheus",instance=~"{name(host)}:.*"}} == 1'
    url = f"http://127.0.0.1:9090/api/v1/query?{urlencode({'query': up})}"
    assert eventually(lambda: len(json.loads(page(host, url))["data"]["result"]) == 2, 30)


def test_the_samples_from_before_are_served(host: Host, before: Before) -> None:
    assert samples(host, before.until) == before.samples


def test_the_data_is_where_it_belongs_and_its_accounts(host: Host) -> None:
    flags = json.loads(page(host, "http://127.0.0.1:9090/api/v1/status/flags"))["data"]
    assert flags["storage.tsdb.path"] == "/prometheus/data"
    assert host.check_output("find /prometheus/data -printf '%u:%g\\n' | sort -u") == "prometheus:prometheus"
    assert not host.file(OLD_DATA[name(host)]).exists


def test_what_stood_in_the_way_is_in_the_backup_as_it_was_and_root_s_alone(host: Host, before: Before) -> None:
    backups = "/var/backups/tds/prometheus-*"
    assert re.sub(r"/var/backups/tds/prometheus-\w+", "", hashes(host, backups)) == before.files
    assert "Permission denied" in host.run(f"runuser -u nobody -- ls {backups}").stderr


def test_the_next_run_changes_nothing_whether_it_may_adopt_or_not(host: Host, play: Play) -> None:
    for run in (play("--limit", name(host)), play("--limit", name(host), daemon_adopt=True)):
        assert (run.code, run.changed) == (0, 0), run.output


def test_after_a_reboot_it_is_still_ours_that_runs(host: Host, before: Before) -> None:
    boot = host.check_output("systemctl show --property=UserspaceTimestamp")
    lab("reboot", lab_name(), name(host))
    assert host.check_output("systemctl show --property=UserspaceTimestamp") != boot
    assert eventually(lambda: page(host, "http://127.0.0.1:9090/-/ready"), 20)
    assert_ours_runs_and_the_old_does_not(host)
    assert samples(host, before.until) == before.samples
