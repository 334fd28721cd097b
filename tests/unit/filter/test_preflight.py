"""From facts to findings: each rule once broken and once just kept, alone and all together."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.capacity import tsdb_findings
from ansible_collections.tds.monitoring.plugins.filter.catalogue import catalogue_findings
from ansible_collections.tds.monitoring.plugins.filter.envelope import envelope_findings
from ansible_collections.tds.monitoring.plugins.filter.freeze import freeze_findings
from ansible_collections.tds.monitoring.plugins.filter.network import clear_findings, network_findings
from ansible_collections.tds.monitoring.plugins.filter.preflight import (
    CHECKS,
    address_findings,
    declared_secrets,
    preflight_findings,
    preflight_json,
    preflight_table,
    secret_findings,
    target_hosts,
)
from ansible_collections.tds.monitoring.plugins.filter.timesync import timesync_findings
from hypothesis import given
from hypothesis import strategies as st

MIB, GIB = 2**20, 2**30
PROMETHEUS = {"url": "https://mirror.example/prometheus-3.13.4.tar.gz", "version": "3.13.4"}
HOST: dict[str, Any] = {
    "facts": {
        "machine": "x86_64",
        "system": {"id": "debian", "release": "trixie"},
        "systemd": 257,
        "cpus": 2,
        "cpu_numbers": {"online": "0-3", "isolated": "3"},
        "memory_bytes": 3 * GIB,
        "cgroup": {"version": 2, "controllers": ["cpu", "io", "memory", "pids"]},
        "clock": {"synchronised": True, "max_error": 0.01, "time": 1000.0},
        "time_daemons": ["chronyd"],
        "disk": {
            "mount": "/prometheus",
            "filesystem": "xfs",
            "options": ["noatime", "rw"],
            "size_bytes": 50 * GIB,
            "fsync_seconds": 0.001,
        },
        "storage": {},
        "listeners": {},
        "names": {"app1": ["192.0.2.20"]},
        "archives": {"prometheus": ""},
        "prometheus": {},
    },
    "needs": {
        "cpus": 2.0,
        "pinned": "0-1",
        "memory": 2 * GIB,
        "memory_together": 3 * GIB,
        "prometheus_memory": 2 * GIB,
        "data": "/prometheus/data",
        "storage": {
            "device": "/dev/sdb",
            "filesystem": "xfs",
            "mount_options": ["noatime"],
            "wipe": "",
            "flush_seconds": 3,
        },
        "retention_size": "39GB",
        "retention_time": "30d",
        "capacity": {
            "samples_per_second": 4000,
            "by_service": {"redis": 2240, "backend": 1760},
            "series": 4500,
            "block_seconds": 7200,
        },
        "ports": {"prometheus": 9090},
        "archives": {"prometheus": PROMETHEUS},
        "clock_sources": [],
    },
    "accepted": [],
    "declared": [],
}
# A disk for the data: one that is not there, and a blank one.
NO_DISK = {"path": "", "mounted": {}, "crooked": "", "hidden": [], "block": False, "unreadable": ""}
DISK = NO_DISK | {
    "path": "/dev/sdb", "block": True, "number": "8:16", "size_bytes": 50 * GIB, "disk": "disk 7", "read_only": False,
    "partitions": [], "users": [], "busy": False, "signatures": [], "holds": "", "filesystem_bytes": 0, "making": [],
}  # fmt: skip
OURS = {"type": "xfs", "label": "tds-storage", "uuid": "1", "offset": "0x0"}
LISTENER = {"exe": "/usr/bin/cockpit-ws", "name": "cockpit-ws"}


def changed(path: str, value: object) -> dict[str, Any]:
    """A good host with one thing changed: ``facts.disk.filesystem``."""
    host = copy.deepcopy(HOST)
    *parents, last = path.split(".")
    at = host
    for key in parents:
        at = at[key]
    at[last] = value
    return host


def found(*hosts: dict[str, Any], site: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """The findings, but for the note of the days that fit, which is always there."""
    findings = preflight_findings({f"host{number}": host for number, host in enumerate(hosts)}, site)
    return [finding for finding in findings if (finding["check"], finding["level"]) != ("capacity", "note")]


BROKEN = [
    # what is changed, the check that sees it, its level, and words of the finding
    ("facts.machine", "riscv64", "machine", "error", "riscv64"),
    ("facts.machine", "", "machine", "error", "x86_64 or aarch64"),
    ("facts.system", {"id": "ubuntu", "release": "noble"}, "system", "warning", "ubuntu noble"),
    ("facts.system", {"id": "debian", "release": "buster"}, "system", "warning", "debian buster"),
    ("facts.system", {"id": "", "release": ""}, "system", "warning", "unknown"),
    ("facts.systemd", 251, "systemd", "error", "252 or newer"),
    ("facts.systemd", 0, "systemd", "error", "none"),
    ("facts.cpus", 1, "cpus", "error", "CPUQuota"),
    ("needs.pinned", "2-3", "isolation", "error", "2-3, of which 3 is isolated"),
    ("needs.pinned", "0-1,9", "isolation", "error", "0-1,9, of which 9 is not there"),
    ("needs.pinned", "0", "isolation", "error", "2 CPUs, as CPUQuota says"),
    ("facts.memory_bytes", int(1.7 * GIB), "memory", "error", "1.7 GiB"),
    ("facts.memory_bytes", int(1.9 * GIB), "memory", "warning", "3.0 GiB for all"),
    ("facts.memory_bytes", 3 * GIB - 1, "memory", "warning", "HostMemoryPressure"),
    ("facts.memory_bytes", 0, "memory", "error", "MemoryMax"),
    ("facts.cgroup", {"version": 1, "controllers": []}, "cgroup", "error", "unified_cgroup_hierarchy"),
    ("facts.cgroup.controllers", [], "cgroup", "error", "no controller"),
    ("facts.cgroup.controllers", ["cpu", "io", "pids"], "cgroup", "error", "give it memory"),
    ("facts.cgroup.controllers", ["io", "memory", "pids"], "cgroup", "error", "give it cpu"),
    ("facts.cgroup.controllers", ["cpu", "memory"], "cgroup", "error", "give it pids"),
    ("facts.clock.synchronised", False, "clock", "error", "set timesync_servers"),
    ("facts.clock.max_error", 2.001, "clock", "error", "2.001 s wrong"),
    ("facts.disk.filesystem", "nfs4", "disk", "error", "nfs4"),
    ("facts.disk.filesystem", "tmpfs", "disk", "error", "ext4 or xfs"),
    ("facts.disk.filesystem", "fuse.sshfs", "disk", "error", "a local filesystem"),
    ("facts.disk.options", ["noatime", "ro"], "disk", "error", "read-only"),
    ("facts.disk.options", ["rw"], "disk", "warning", "noatime"),
    ("facts.disk.size_bytes", 430 * MIB, "disk", "error", "0.4 GiB for the write-ahead log alone"),
    ("facts.disk.fsync_seconds", 0.021, "fsync", "warning", "21 ms"),
    ("facts.disk.fsync_seconds", 0.51, "fsync", "error", "510 ms"),
    ("facts.listeners", {"9090": LISTENER}, "port", "error", "cockpit-ws (/usr/bin/cockpit-ws)"),
    ("facts.listeners", {"9090": {"exe": "", "name": ""}}, "port", "error", "the kernel"),
    (
        "facts.listeners",
        {"9090": {"exe": "/usr/bin/prometheus", "name": "prometheus"}},
        "port",
        "warning",
        "daemon_adopt",
    ),
    ("facts.listeners", {"9090": {"exe": "/opt/tdsx/a", "name": "a"}}, "port", "error", "a free port"),
    ("facts.names", {"app1": []}, "names", "error", "app1"),
    ("facts.names", {"app1": ["192.0.2.20"], "db1": []}, "names", "error", "/etc/hosts"),
    ("facts.archives", {"prometheus": "HTTP 404"}, "archive", "error", "3.13.4.tar.gz: HTTP 404"),
    ("facts.archives", {"prometheus": "timed out"}, "archive", "error", "artifact_source"),
    ("needs.archives", {"prometheus": {"url": "/srv/none.tar.gz", "version": "1"}}, "archive", "error", "is not there"),
    ("needs.retention_size", "50 gigs", "disk", "error", "'50 gigs'"),
    ("needs.retention_size", "0GB", "disk", "error", "such as 50GB"),
    ("needs.retention_size", "39GiB", "disk", "error", "'39GiB'"),
    ("needs.retention_size", "", "disk", "error", "''"),
    ("needs.retention_size", "-1GB", "disk", "error", "'-1GB'"),
    ("needs.retention_time", "60d1h", "capacity", "error", "60.0 days fit into 39GB"),
    ("needs.retention_time", "30 days", "capacity", "error", "'30 days'"),
    ("needs.retention_time", "", "capacity", "error", "such as 30d"),
    ("needs.capacity.samples_per_second", 8000, "capacity", "error", "2240 of the samples/s are of redis"),
    ("needs.capacity.samples_per_second", 8000, "capacity", "error", "29.7 days fit into 39GB"),
    ("facts.prometheus", {"samples_per_second": 8000.0}, "capacity", "error", "29.7 days fit into 39GB"),
    ("facts.prometheus", {"block_bytes": 5.0}, "capacity", "error", "24.0 days fit into 39GB"),
    ("needs.capacity.block_seconds", 760_000, "capacity", "error", "1.2 days fit"),
    ("needs.capacity.block_seconds", 800_000, "disk", "error", "39GB of 50.0 GiB"),
    ("needs.capacity.series", 700_000, "capacity", "error", "1.6 GiB for 700,000 series"),
    ("facts.prometheus", {"series": 700_000.0}, "capacity", "error", "prometheus_limits.MemoryMax"),
    ("declared", ["prometheus_port is 0: write a port"], "declaration", "error", "write a port"),
    ("declared", ["these cannot both be"], "declaration", "error", "these cannot both be"),
]


def test_a_good_host_is_no_finding() -> None:
    assert found(HOST) == []
    assert preflight_table([]) == ""


@pytest.mark.parametrize(("path", "value", "check", "level", "words"), BROKEN)
def test_what_is_broken_is_found_and_nothing_else(path: str, value: object, check: str, level: str, words: str) -> None:
    (finding,) = found(changed(path, value))
    assert (finding["host"], finding["check"], finding["level"]) == (
        "host0" if check != "declaration" else "all",
        check,
        level,
    )
    assert words in " ".join(finding.values())
    assert words in preflight_table([finding])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("facts.machine", "aarch64"),
        ("facts.system", {"id": "debian", "release": "bookworm"}),
        ("facts.systemd", 252),
        ("facts.cpus", 64),
        ("facts.memory_bytes", 64 * GIB),
        ("facts.clock.max_error", 2.0),
        ("facts.time_daemons", ["ntpd"]),  # whom the site keeps its clocks with
        ("needs.clock_sources", [{"address": "192.0.2.123"}]),
        ("facts.disk.filesystem", "ext4"),
        ("facts.disk.options", ["relatime", "rw"]),
        ("facts.disk.size_bytes", 46 * GIB),
        ("facts.storage", DISK),
        ("facts.storage", DISK | {"mounted": {"number": "8:16"}, "busy": True, "signatures": [OURS], "holds": "1"}),
        ("facts.disk.fsync_seconds", 0.02),
        ("facts.disk.fsync_seconds", None),
        ("facts.listeners", {"9090": {"exe": "/opt/tds/prometheus/releases/3/prometheus", "name": "prometheus"}}),
        ("facts.listeners", {"22": {"exe": "/usr/sbin/sshd", "name": "sshd"}}),
        ("facts.archives", {}),
        ("needs.retention_size", "42GB"),
        ("needs.retention_time", "60d"),
        ("needs.capacity.samples_per_second", 7900),
        ("needs.capacity.series", 600_000),
        ("facts.prometheus", {"samples_per_second": 100.0, "series": 100.0, "block_bytes": 0.7}),
        ("needs.cpus", 0.5),
        ("needs.pinned", ""),
        ("needs.pinned", "0,2"),
        ("needs.pinned", "no list"),  # told as a declaration
        ("facts.cpu_numbers", {"online": "0-1", "isolated": ""}),
    ],
)
def test_what_just_does_is_no_finding(path: str, value: object) -> None:
    assert found(changed(path, value)) == []


@pytest.mark.parametrize(
    ("declared", "told"), [("43GB", "43520MB"), ("50GB", "43520MB"), ("1PB", "43520MB"), ("43520MB", ""), ("42GB", "")]
)
def test_a_size_that_is_more_than_the_filesystem_has_room_for_is_told_with_what_is_kept(
    declared: str, told: str
) -> None:
    findings = found(changed("needs.retention_size", declared) | {"accepted": ["disk"]})
    assert [finding["level"] for finding in findings] == ["note"] * bool(told)
    assert told in preflight_table(findings)
    if told:
        assert f"Prometheus is told {told}" in findings[0]["remedy"]
        assert preflight_table(findings).endswith("0 errors, 0 warnings")


def test_a_prometheus_without_a_limit_is_not_judged_by_that_of_another_daemon() -> None:
    host = changed("needs.capacity.series", 5_000_000)
    assert [finding["variable"] for finding in found(host)] == ["prometheus_limits.MemoryMax"]
    host["needs"]["prometheus_memory"] = 0
    assert found(host) == []


def test_the_days_that_fit_are_always_told() -> None:
    (note,) = preflight_findings({"mon1": HOST})
    assert (note["level"], note["value"], note["need"]) == ("note", "30d of 4000 samples/s", "60.0 days fit into 39GB")
    assert note["remedy"] == "691 MB a day, 389 MB of log, 4,500 series, 0.4 MB/s of pages"
    measured = changed("facts.prometheus", {"samples_per_second": 4100.4, "series": 5000.0, "block_bytes": 1.0})
    (note,) = preflight_findings({"mon1": measured})
    assert (note["value"], note["need"]) == ("30d of 4100 samples/s", "117.1 days fit into 39GB")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("facts.storage", NO_DISK, "storage_device is /dev/sdb: no such device is on this host"),
        ("facts.storage", DISK | {"busy": True}, "storage_device is /dev/sdb: it is in use"),
        ("needs.storage.filesystem", "zfs", "storage_filesystem is 'zfs': write one of ext4, xfs"),
    ],
)
def test_a_disk_that_may_not_be_used_is_told_of_its_host_and_nobody_can_accept_it(
    path: str, value: object, words: str
) -> None:
    findings = found(HOST, changed(path, value) | {"accepted": list(CHECKS)})
    assert [(finding["host"], finding["level"]) for finding in findings] == [("host1", "error")]
    assert words in preflight_table(findings)


@pytest.mark.parametrize(
    "what", [{"facts.disk.size_bytes": 20 * GIB}, {"facts.storage": DISK | {"size_bytes": 20 * GIB}}]
)
def test_days_are_counted_in_what_is_kept(what: dict[str, Any]) -> None:
    ((path, value),) = what.items()
    days, size = found(changed(path, value))
    assert (days["check"], days["level"], size["level"]) == ("capacity", "error", "note")
    assert days["need"].startswith("25.")
    assert days["need"].endswith(" days fit into 17408MB")


def test_a_disk_that_is_not_mounted_yet_is_judged_in_place_of_what_is_there() -> None:
    host = changed("facts.storage", DISK | {"size_bytes": 100 * GIB})
    host["facts"]["disk"] |= {"filesystem": "nfs", "size_bytes": 1, "fsync_seconds": 9.0}
    host["needs"]["retention_size"] = "80GB"
    assert found(host) == []
    host["facts"]["storage"] |= {"signatures": [OURS], "holds": "1", "filesystem_bytes": 90 * GIB}
    assert [finding["remedy"] for finding in found(host)] == ["Prometheus is told 78336MB: the rest is for compaction"]


def test_a_disk_that_is_mounted_is_judged_as_it_is() -> None:
    host = changed("facts.storage", DISK | {"mounted": {"number": "8:16"}, "signatures": [OURS], "holds": "1"})
    host["facts"]["disk"]["fsync_seconds"] = 9.0
    assert [finding["check"] for finding in found(host)] == ["fsync"]


def test_a_host_without_data_may_have_any_disk() -> None:
    host = changed("needs.data", "")
    host["needs"]["storage"] = {}
    host["facts"]["disk"] |= {"filesystem": "nfs", "size_bytes": 1, "fsync_seconds": 9.0}
    assert found(host) == []


@pytest.mark.parametrize(("path", "value", "check", "level", "_words"), BROKEN)
def test_what_is_accepted_is_a_warning(path: str, value: object, check: str, level: str, _words: str) -> None:
    if check != "declaration":
        (finding,) = found(changed(path, value) | {"accepted": [check]})
        assert finding["level"] == "warning"
        (other,) = found(changed(path, value) | {"accepted": [name for name in CHECKS if name != check]})
        assert other["level"] == level


@pytest.mark.parametrize("accepted", [["clocks"], ["declaration"], ["clock", "everything"]])
def test_what_nobody_can_accept_is_refused(accepted: list[str]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"preflight_accepted of host0 has .*: write one of archive, "):
        found(HOST | {"accepted": accepted})


FOLLOWS = [{"address": "192.0.2.123"}]
CARD = [{"address": "PHC", "kind": "refclock", "options": "/dev/ptp0"}]


@pytest.mark.parametrize(
    ("running", "sources", "told"),
    [
        (["ntpd"], FOLLOWS, "set, and ntpd runs"),
        (["chronyd", "phc2sys", "ptp4l"], FOLLOWS, "set, and phc2sys, ptp4l runs"),
        (["phc2sys", "ptp4l"], CARD, "set, and phc2sys runs"),  # both would set it
        (["timemaster"], CARD, "set, and timemaster runs"),
        (["chronyd", "ptp4l"], CARD, None),
        (["systemd-timesyn"], FOLLOWS, None),  # leaves when the package chrony comes
        (["ntpd"], [], None),
    ],
)
def test_two_do_not_set_one_clock(running: list[str], sources: list[dict[str, str]], told: str | None) -> None:
    host = changed("facts.time_daemons", running)
    host["needs"]["clock_sources"] = sources
    assert [finding["value"] for finding in found(host)] == ([told] if told else [])
    assert {finding["level"] for finding in found(host | {"accepted": ["time_daemon"]})} <= {"warning"}


@pytest.mark.parametrize(
    ("path", "value"), [("facts.clock.synchronised", False), ("facts.clock.max_error", 9.0), ("facts.clock.time", 2e9)]
)
def test_a_clock_that_the_run_will_mend_does_not_stop_it(path: str, value: object) -> None:
    host = changed(path, value)
    assert found(host, HOST, HOST)[0]["level"] == "error"
    host["needs"]["clock_sources"] = FOLLOWS
    assert [finding["level"] for finding in found(host, HOST, HOST)] == ["warning"]


def test_clocks_are_compared() -> None:
    ahead = changed("facts.clock.time", 1006.0)
    (finding,) = found(HOST, HOST, ahead)
    assert (finding["host"], finding["value"]) == ("host2", "+6 s beside the others")
    assert found(HOST, changed("facts.clock.time", 1005.0)) == []
    assert [finding["level"] for finding in found(HOST, HOST, ahead | {"accepted": ["clock"]})] == ["warning"]


def test_every_rule_broken_at_once_is_one_table_with_every_finding() -> None:
    hosts = [changed(path, value) for path, value, *_ in BROKEN]
    findings = found(*hosts, site=("monitored_services.a is 'b': write c",))
    assert len(findings) == len(BROKEN) + 1
    levels = [finding["level"] for finding in findings]
    assert levels == sorted(levels), "errors come first"
    table = preflight_table(findings)
    assert all(words in table for *_, words in BROKEN)
    assert "monitored_services.a is 'b': write c" in table
    errors = levels.count("error")
    assert table.endswith(f"{errors} errors, {len(levels) - errors} warnings; nothing was changed")
    assert json.loads(preflight_json(findings)) == findings


def test_what_is_said_of_all_hosts_is_said_once() -> None:
    said = HOST | {"declared": ["the authority is old: make it anew"]}
    assert [finding["host"] for finding in found(said, said)] == ["all"]
    assert [finding["host"] for finding in found(said, HOST, said)] == ["host0, host2"]


@given(st.lists(st.sampled_from(BROKEN), max_size=6, unique_by=lambda row: row[0]))
def test_findings_add_up(rows: list[tuple[Any, ...]]) -> None:
    """No broken rule hides another one, but for the few that are about the same thing."""
    host = copy.deepcopy(HOST)
    for path, value, *_ in rows:
        *parents, last = path.split(".")
        at = host
        for key in parents:
            at = at[key]
        at[last] = copy.deepcopy(value)
    checks = {check for _path, _value, check, *_ in rows}
    if "capacity" in checks:
        checks.add("disk")  # of a log that is larger than what is kept
    overlapping = {"needs.archives", "facts.archives", "facts.disk.size_bytes", "facts.cgroup", "facts.prometheus",
                   "facts.cgroup.controllers", "facts.clock.synchronised", "facts.clock.max_error"}  # fmt: skip
    seen = {finding["check"] for finding in found(host)}
    assert seen <= checks
    told = {check for path, _value, check, *_ in rows if path not in overlapping and not path.startswith("needs.")}
    assert told <= seen


@pytest.mark.parametrize(
    "value", ["", None, "changeme", "CHANGE_ME", "change-me", "TODO", "xxx", "<token>", "secret", "..."]
)
def test_a_placeholder_is_no_secret(value: object) -> None:
    (told,) = secret_findings({"alertmanager_secrets.slack": value})
    assert told.startswith("alertmanager_secrets.slack is ")
    assert not value or str(value) not in told.replace("alertmanager_secrets", "").replace("ansible-vault", "")


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        ({"mon1": "192.0.2.10", "app1": "192.0.2.10"}, ["monitoring_address of mon1 and app1 is '192.0.2.10'"]),
        ({"mon1": "", "app1": "192.0.2.20"}, ["monitoring_address of mon1 is ''"]),
        ({"mon1": "192.0.2.10", "app1": "192.0.2.20"}, []),
        ({}, []),
    ],
)
def test_each_host_has_an_address_of_its_own(addresses: dict[str, str], told: list[str]) -> None:
    assert [finding.partition(":")[0] for finding in address_findings(addresses)] == told


CATALOGUE = {
    "redis": {"redis": {"username": "monitoring", "password": "changeme"}},
    "backend": {"bearer_token": "<token>"},
    "engine": {"basic_auth": {"username": "prometheus", "password": "correct horse battery staple"}},
    "empty": {"bearer_token": "", "basic_auth": "x", "redis": None},  # catalogue_findings tells of these
    "none": None,
}


def test_every_secret_of_the_catalogue_is_looked_at_and_none_is_shown() -> None:
    found = secret_findings(declared_secrets(CATALOGUE))
    assert found == [
        f"monitored_services.{where} is a placeholder: write it into vault.yml with `ansible-vault edit`"
        for where in ("redis.redis.password", "backend.bearer_token")
    ]
    assert len(declared_secrets(CATALOGUE)) == 3
    assert declared_secrets("garbage") == {}


def test_a_secret_is_one() -> None:
    assert secret_findings({"a": "correct horse battery staple", "b": "https://hooks.example/T00/todo"}) == []


def test_the_targets_names_are_those_of_the_catalogue() -> None:
    instances = [{"target": target} for target in ("redis:6379", "localhost:1", "[2001:db8::1]:80", "redis:6380")]
    assert target_hosts({"redis": {"instances": instances}, "none": {}}) == ["redis", "2001:db8::1"]
    assert target_hosts("garbage") == []


# --- What is declared: each mistake with its variable, its value and the remedy, in the table

HOSTS = {"mon1": "192.0.2.10", "app1": "192.0.2.20"}
ALWAYS = [{"weekdays": ["sunday:saturday"]}]


def service(**settings: Any) -> list[str]:
    good = {"scrape_interval": "1s", "instances": [{"name": "backend", "host": "app1", "target": "backend:8000"}]}
    return catalogue_findings({"backend": good | settings}, HOSTS, {"redis_exporter": 9121})


def target(text: object) -> list[str]:
    return service(instances=[{"name": "backend", "host": "app1", "target": text}])


def limit(**limits: object) -> list[str]:
    return envelope_findings({"prometheus_limits": limits})


def hours(start: str, end: str) -> list[str]:
    return freeze_findings([{"times": [{"start_time": start, "end_time": end}]}])


def clock(**server: object) -> list[str]:
    return timesync_findings([{"address": "192.0.2.1"} | server])


def door(**entry: object) -> list[str]:
    good = {"name": "ssh", "port": 22, "from": ["192.0.2.0/24"], "source": "firewall_ssh_from"}
    return network_findings([good | entry], {})


BAD_VALUES: list[tuple[list[str], str, str]] = [
    # what is said, its beginning with variable and value, and words of the remedy
    (limit(CPUQuota=0), "prometheus_limits.CPUQuota is 0", "such as 200%"),
    (limit(CPUQuota="0%"), "prometheus_limits.CPUQuota is '0%'", "such as 200%"),
    (limit(CPUQuota="2"), "prometheus_limits.CPUQuota is '2'", "such as 200%"),
    (limit(CPUQuota="-5%"), "prometheus_limits.CPUQuota is '-5%'", "such as 200%"),
    (limit(CPUQuota="two"), "prometheus_limits.CPUQuota is 'two'", "such as 200%"),
    (limit(MemoryMax=0), "prometheus_limits.MemoryMax is 0", "such as 2G"),
    (limit(MemoryMax="0G"), "prometheus_limits.MemoryMax is '0G'", "such as 2G"),
    (limit(MemoryMax="2GB"), "prometheus_limits.MemoryMax is '2GB'", "such as 2G"),
    (limit(MemoryMax="2 gigs"), "prometheus_limits.MemoryMax is '2 gigs'", "such as 2G"),
    (limit(MemoryMax="-1G"), "prometheus_limits.MemoryMax is '-1G'", "such as 2G"),
    (limit(TasksMax=0), "prometheus_limits.TasksMax is 0", "such as 512"),
    (limit(TasksMax="many"), "prometheus_limits.TasksMax is 'many'", "such as 512"),
    (envelope_findings({"prometheus_limits": "2G"}), "prometheus_limits is '2G'", "write a mapping"),
    (envelope_findings({"monitoring_limits": {"CPUWeight": 0}}), "monitoring_limits.CPUWeight is 0", "from 1 to 10000"),
    (tsdb_findings("30 minutes", 120), "prometheus_min_block_duration is '30 minutes'", "such as 30m"),
    (tsdb_findings("0s", 120), "prometheus_min_block_duration is '0s'", "such as 30m"),
    (tsdb_findings(None, 120), "prometheus_min_block_duration is None", "such as 30m"),
    (tsdb_findings("30m", 0), "prometheus_samples_per_chunk is 0", "such as 120"),
    (tsdb_findings("30m", "many"), "prometheus_samples_per_chunk is 'many'", "such as 120"),
    (envelope_findings({}, "two"), "monitoring_cpus is 'two'", "such as 0-1,4"),
    (address_findings({"mon1": "192.0.2.10", "app1": "192.0.2.10"}),
     "monitoring_address of mon1 and app1 is '192.0.2.10'", "write each host its own"),
    (address_findings({"mon1": ""}), "monitoring_address of mon1 is ''", "write each host its own"),
    (freeze_findings(ALWAYS), f"change_freeze is {ALWAYS}", "leave time for changes"),
    (hours("00:00", "24:00"), "change_freeze is [{'times'", "leave time"),
    (freeze_findings("always"), "change_freeze is 'always'", "write intervals"),
    (freeze_findings([{}]), "change_freeze[0] is {}", "write intervals"),
    (freeze_findings([{"weekdays": ["mon:fri"]}]), "change_freeze[0] has 'mon:fri'", "write intervals"),
    (freeze_findings([{"weekdays": "monday"}]), "change_freeze[0] has weekdays 'monday'", "write a list"),
    (hours("8:00", "17:00"), "change_freeze[0] has the time '8:00'", "write it as"),
    (hours("22:00", "02:00"), "change_freeze[0] has times from 22:00", "write two"),
    (freeze_findings([{"days_of_month": ["32"]}]), "change_freeze[0] has days_of_month '32'", "write 1 to 31"),
    (freeze_findings([{"weekdays": ["monday"], "location": "London"}]),
     "change_freeze[0] has location 'London'", "write a time zone"),
    (clock(address=""), "timesync_servers[0].address is ''", "write one IP address or name"),
    (clock(address="a b"), "timesync_servers[0].address is 'a b'", "write one IP address or name"),
    (clock(kind="ntp"), "timesync_servers[0].kind is 'ntp'", "write one of server"),
    (clock(options="iburts"), "timesync_servers[0].options is 'iburts'", "did you mean iburst?"),
    (clock(options="minpoll"), "timesync_servers[0].options is 'minpoll'", "write a value"),
    (clock(kind="refclock", address="ptp0", options="/dev/ptp0"),
     "timesync_servers[0].address is 'ptp0'", "one of PPS"),
    (timesync_findings("192.0.2.1"), "timesync_servers is '192.0.2.1'", "write a list"),
    (timesync_findings([], {"makestep": [1, 3]}), "timesync_settings.makestep is [1, 3]", "write one line"),
    (secret_findings({"alertmanager_secrets.slack": ""}), "alertmanager_secrets.slack is empty", "ansible-vault edit"),
    (secret_findings({"certificates_ca_passphrase": "<passphrase>"}),
     "certificates_ca_passphrase is a placeholder", "ansible-vault edit"),
    (secret_findings(declared_secrets(CATALOGUE))[:1],
     "monitored_services.redis.redis.password is a placeholder", "ansible-vault edit"),
    (secret_findings(declared_secrets(CATALOGUE))[1:],
     "monitored_services.backend.bearer_token is a placeholder", "ansible-vault edit"),
    (door(port=0), "port of ssh in firewall_allow is 0", "write"),
    (door(port="ssh"), "port of ssh in firewall_allow is 'ssh'", "write"),
    (door(port=65536), "port of ssh in firewall_allow is 65536", "write"),
    (door(**{"from": ["bastion"]}), "firewall_ssh_from is 'bastion'", "write an IP address"),
    (door(**{"from": ["192.0.2.300"]}), "firewall_ssh_from is '192.0.2.300'", "write"),
    (door(**{"from": ["192.0.2.1/24"]}), "firewall_ssh_from is '192.0.2.1/24'", "write"),
    (network_findings([], {"mon1": {"prometheus": 9100, "node_exporter": 9100}}),
     "node_exporter_port is 9100", "choose another"),
    (clear_findings([{"variable": "prometheus_listen_addresses", "addresses": ["192.0.2.10"], "tls": {}}]),
     "prometheus_listen_addresses is '192.0.2.10'", "set its _tls"),
    (service(scrape_interval="1 second"), "monitored_services.backend.scrape_interval is '1 second'", "write"),
    (service(scrape_interval=0), "monitored_services.backend.scrape_interval is 0", "write"),
    (service(scrape_interval="0s"), "monitored_services.backend.scrape_interval is '0s'", "write"),
    (service(scrape_timeout="2s"),
     "monitored_services.backend.scrape_timeout is '2s'", "may not exceed scrape_interval"),
    (service(scrape_intervall="1s"),
     "monitored_services.backend.scrape_intervall is not known", "did you mean scrape_interval?"),
    (service(memory_limit="1 gig"), "monitored_services.backend.memory_limit is '1 gig'", "write"),
    (service(memory_limit=0), "monitored_services.backend.memory_limit is 0", "write"),
    (service(sample_limit=-1), "monitored_services.backend.sample_limit is -1", "write"),
    (service(scheme="ftp"), "monitored_services.backend.scheme is 'ftp'", "write"),
    (service(metrics_path="metrics"), "monitored_services.backend.metrics_path is 'metrics'", "write"),
    (service(contract="front"), "monitored_services.backend.contract is 'front'", "known are"),
    (service(probe="udp"), "monitored_services.backend.probe is 'udp'", "write one of"),
    (service(exporter="redis_exportr"), "monitored_services.backend.exporter is 'redis_exportr'", "redis_exporter"),
    (service(instances="backend:8000"), "monitored_services.backend.instances is 'backend:8000'", "write"),
    (service(instances=[]), "monitored_services.backend.instances is []", "write"),
    (service(instances=[{"name": "backend", "host": "ap1", "target": "backend:8000"}]),
     "monitored_services.backend.instances[0].host is 'ap1'", "app1"),
    (target("backend"), "monitored_services.backend.instances[0].target is 'backend'", "write host:port"),
    (target("backend:0"), "monitored_services.backend.instances[0].target is 'backend:0'", "write host:port"),
    (target("backend:80000"), "monitored_services.backend.instances[0].target is 'backend:80000'", "write host:port"),
    (target("http://backend:8000"),
     "monitored_services.backend.instances[0].target is 'http://backend:8000'", "write host:port"),
    (target(""), "monitored_services.backend.instances[0].target is ''", "write host:port"),
]  # fmt: skip


def test_the_table_of_bad_values_is_long() -> None:
    assert len(BAD_VALUES) >= 60


@pytest.mark.parametrize(
    ("said", "begins", "remedy"), BAD_VALUES, ids=[begins for _said, begins, _remedy in BAD_VALUES]
)
def test_a_bad_value_stands_in_the_table_with_its_variable_and_the_remedy(
    said: list[str], begins: str, remedy: str
) -> None:
    (text,) = said
    assert text.startswith(begins)
    table = preflight_table(found(HOST | {"declared": said}))
    (line,) = (line for line in table.splitlines() if line.startswith("error"))
    assert begins in line
    assert remedy in line.partition(begins)[2]
    assert table.endswith("1 errors, 0 warnings; nothing was changed")
