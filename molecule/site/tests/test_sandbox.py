"""Every daemon of ours on every host, whichever they are: its score, and what its sandbox lets through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.hosts import daemons, exposure, unit
from tests.sandbox import OPEN_FILES, TEMPORARY, Report, inside, mounts, of_the_daemon, outside, planted, rights

testinfra_hosts = ["ansible://mon1", "ansible://app1"]

SCORES = {"blackbox_exporter": 1.5, "prometheus": 1.1, "alertmanager": 1.1, "redis_exporter": 1.1, "node_exporter": 1.8}
ANY_SCORE = 1.5
# Each is an exception that the role makes, with its reason there.
LET_THROUGH = {
    "node_exporter": {
        "open a socket: netlink",
        "open a socket: unix",
        "read /proc/1/mountinfo",
        *(f"read {file}" for file in OPEN_FILES),
    },
    "proxy": {"open a socket: unix"},
}
EVERY_DAEMON = {"open a socket: inet", "open a socket: inet6"}
OWN_NAMESPACES = ("ipc", "mnt", "user", "uts")
SHARED = {"blackbox_exporter": {"user"}, "proxy": {"user"}}
"""Namespaces of the host that an exception leaves a daemon in."""
OF_ROOT = {"run a setuid program", "see processes of others"}
"""What root may do by being root. No daemon of ours is."""
FORBIDDEN_FILES = ["/etc/shadow", "/proc/1/mountinfo", *OPEN_FILES]


def test_no_unit_is_more_exposed_than_it_has_to_be(host: Host) -> None:
    scores = {daemon: exposure(host, daemon) for daemon in daemons(host)}
    assert len(scores) >= 2
    assert {name: score for name, score in scores.items() if score > SCORES.get(name, ANY_SCORE)} == {}


def test_no_daemon_floods_the_journal(host: Host) -> None:
    for daemon in daemons(host):
        shown = unit(host, daemon, "LogRateLimitIntervalUSec", "LogRateLimitBurst")
        assert shown == {"LogRateLimitIntervalUSec": "30s", "LogRateLimitBurst": "1000"}


def test_all_daemons_are_bounded_together_and_go_before_who_trades(host: Host) -> None:
    limits = ("MemoryMax", "TasksMax", "Slice", "OOMScoreAdjust")
    each = [unit(host, daemon, *limits) for daemon in daemons(host)]
    assert {shown["Slice"] for shown in each} == {"tds.slice"}
    assert {shown["OOMScoreAdjust"] for shown in each} == {"500"}
    together = unit(host, "tds.slice", "MemoryMax", "TasksMax", "CPUWeight", "IOWeight", "NeedDaemonReload")
    assert together == {
        **{name: str(sum(int(shown[name]) for shown in each)) for name in ("MemoryMax", "TasksMax")},
        "CPUWeight": "40",
        "IOWeight": "40",
        "NeedDaemonReload": "no",
    }


def test_every_account_is_good_for_its_daemon_only(host: Host) -> None:
    for daemon in daemons(host):
        account = host.user(unit(host, daemon, "User")["User"])
        assert (account.shell, account.groups) == ("/usr/sbin/nologin", [account.name])
        assert not host.file(account.home).exists


def test_nobody_else_reads_the_data(host: Host) -> None:
    for daemon in daemons(host):
        user = unit(host, daemon, "User")["User"]
        for place in unit(host, daemon, "ReadWritePaths")["ReadWritePaths"].split():
            assert host.check_output(f"stat --format='%a %U:%G' {place}") == f"700 {user}:{user}"


@pytest.fixture(scope="module")
def prepared(host: Host) -> Iterator[Host]:
    with planted(host):
        yield host


def configuration(host: Host) -> list[str]:
    """The configuration files of all our daemons."""
    return [file for name in daemons(host) for file in host.check_output(f"find -L /etc/{name} -type f").split()]


def unexpected(host: Host, report: Report, daemon: str) -> set[str]:
    """What the probe did that the daemon need not do; to read its own configuration, it must."""
    own = {f"read {file}" for file in configuration(host) if file.startswith(f"/etc/{daemon}/")}
    return set(report.done) - EVERY_DAEMON - LET_THROUGH.get(daemon, set()) - own


def places(host: Host, daemon: str) -> set[str]:
    """The directories that its unit gives a daemon to write to."""
    shown = unit(host, daemon, "ReadWritePaths", "RuntimeDirectory", "PrivateTmp")
    run = {f"/run/{name}" for name in shown["RuntimeDirectory"].split()}
    return {*shown["ReadWritePaths"].split(), *run, *(TEMPORARY if shown["PrivateTmp"] == "yes" else ())}


def strangers(report: Report, places: set[str]) -> list[str]:
    return [path for path in report.writable if not any(f"{path}/".startswith(f"{place}/") for place in places)]


def test_every_daemon_can_do_nothing_but_its_work(prepared: Host) -> None:
    to_read = [*FORBIDDEN_FILES, *configuration(prepared)]
    for daemon in daemons(prepared):
        report = inside(prepared, daemon, to_read)
        assert unexpected(prepared, report, daemon) == set()
        assert strangers(report, places(prepared, daemon)) == []
        assert set(report.done) >= EVERY_DAEMON  # a probe that can do nothing at all shows nothing
        assert report.umask == "0077"
        # A call that is refused fails; it does not kill. Go's runtime makes some to see whether it may.
        assert [name for name, words in report.refused.items() if words.startswith("killed")] == []
        # The sandbox that was tried is the one that the daemon is in.
        assert (rights(report.rights), mounts(report.mounts)) == of_the_daemon(prepared, daemon)


def test_the_sandbox_holds_where_the_account_does_not(prepared: Host) -> None:
    """The same as root: what is refused now is refused by the sandbox alone."""
    shared = outside(prepared, []).namespaces
    for daemon in daemons(prepared):
        report = inside(prepared, daemon, list(OPEN_FILES), user="root")
        assert unexpected(prepared, report, daemon) - OF_ROOT == set()
        assert strangers(report, TEMPORARY) == []
        of_the_host = {name for name in OWN_NAMESPACES if report.namespaces[name] == shared[name]}
        assert of_the_host == SHARED.get(daemon, set())


def test_without_a_sandbox_the_probe_can_do_all_of_it(prepared: Host) -> None:
    """Else the other tests could not fail."""
    report = outside(prepared, [*FORBIDDEN_FILES, *configuration(prepared)])
    assert report.refused == {}
    assert {"/", "/dev", "/etc", "/home", "/opt/tds", "/run", "/usr/bin", "/var/lib"} <= set(report.writable)
    assert int(report.rights["CapEff"], 16) > 0
