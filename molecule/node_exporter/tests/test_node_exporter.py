"""node_exporter: what only a running, sandboxed one can show."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from testinfra.host import Host

from tests.hosts import address, eventually, exposure, page, series, unit
from tests.sandbox import UNITS, start_copy

PORT = 19100


@pytest.fixture
def url(host: Host) -> str:
    return f"https://{address(host)}:{PORT}/metrics"


def test_it_sees_this_host(host: Host, url: str) -> None:
    memory = int(host.check_output("awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo"))
    shown = series(page(host, url))
    assert shown["node_memory_MemTotal_bytes"] == memory
    assert (
        shown['node_scrape_collector_success{collector="systemd"}'] == 1
    )  # through the bus, which the sandbox leaves open
    assert f'nodename="{host.check_output("uname -n")}"' in next(name for name in shown if "node_uname_info" in name)


def test_it_listens_where_it_is_told_and_nowhere_else(host: Host) -> None:
    process = unit(host, "node_exporter", "MainPID")["MainPID"]
    listening = host.check_output("ss --tcp --listening --numeric --processes --no-header | grep pid=%s,", process)
    assert re.findall(r"(\S+):(\d+) +\S+:\*", listening) == [(address(host), str(PORT))]


def test_a_regular_expression_reaches_it_unharmed(host: Host, url: str) -> None:
    devices = re.findall(r'node_network_receive_bytes_total\{device="([^"]+)"\}', page(host, url))
    assert devices
    assert "lo" not in devices


# --- what the sandbox hides, and what it adds

DISK = "/srv/disk"
MOUNTS = {
    "/home/box": "mount -t tmpfs -o size=1M box /home/box",
    "/tmp/box": "mount -t tmpfs -o size=2M box /tmp/box",  # noqa: S108  of a lab host
    "/mnt/box": "mount -t tmpfs -o size=3M box /mnt/box",
    "/srv/box": "mount -t tmpfs -o size=4M box /srv/box",
    "/srv/read_only": "mount -t tmpfs -o size=5M,ro box /srv/read_only",
    "/srv/bound": "mount --bind /srv/box /srv/bound && mount -o remount,bind,ro /srv/bound",
    DISK: f"mount -o errors=remount-ro $DEVICE {DISK}",
}
READ_ONLY = {"/srv/read_only", "/srv/bound"}


@pytest.fixture
def mounts(host: Host) -> Iterator[str]:
    """The device of a host with filesystems of every kind in places that a sandbox may change."""
    device = str(host.ansible.get_variables()["lab_disk"])
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)  # a loop device of this machine
    host.check_output("mkdir -p " + " ".join(MOUNTS))
    for command in MOUNTS.values():
        host.check_output(f"DEVICE={device}; {command}")
    yield device
    for place in reversed(MOUNTS):
        host.check_output(f"umount {place} && rmdir {place}")


@contextmanager
def unsandboxed(host: Host, daemon: str = "node_exporter") -> Iterator[str]:
    """The page of the same binary with the same flags, unsandboxed and as root."""
    process = unit(host, daemon, "MainPID")["MainPID"]
    command = host.file(f"/proc/{process}/cmdline").content_string.rstrip("\0").split("\0")
    own = "127.0.0.1:19200"
    flags = [*(flag for flag in command[1:] if not flag.startswith("--web.")), f"--web.listen-address={own}"]
    host.check_output("systemd-run --unit=unsandboxed %s " + "%s " * len(flags), command[0], *flags)
    try:
        assert eventually(lambda: page(host, f"http://{own}/metrics"), 10)
        yield f"http://{own}/metrics"
    finally:
        host.check_output("systemctl stop unsandboxed")


@pytest.fixture
def debian_s(host: Host) -> Iterator[str]:
    """A copy of the unit, running in place of it, with the release of the suite: 1.9 and 1.12 look at what a mount
    itself says of being read-only, 1.11 does not."""
    host.check_output("""
mkdir -p /usr/local/lib/debian_s && cd /usr/local/lib/debian_s && apt-get update --quiet
apt-get download --quiet prometheus-node-exporter && dpkg-deb --extract *.deb .""")
    host.check_output("systemctl stop node_exporter")
    name = start_copy(host, "node_exporter", "/usr/local/lib/debian_s/usr/bin/prometheus-node-exporter $ARGS")
    yield name
    host.check_output("systemctl stop %s; systemctl start node_exporter", name)
    host.check_output(f"rm -r /usr/local/lib/debian_s {UNITS}/{name}*; systemctl daemon-reload")


def filesystems(host: Host, url: str) -> dict[str, float]:
    """What is shown of each mount, but for what nspawn mounts twice at one place, once read-only: which of the two is
    shown is chance."""
    kind = re.compile('^node_filesystem_(readonly|size_bytes|files|device_error){(?!.*mountpoint="/run/host/)')
    return {name: value for name, value in series(page(host, url)).items() if kind.match(name)}


def flags(host: Host, url: str) -> dict[str, float]:
    """Whether each of the mounts is shown as read-only."""
    shown = re.findall(r'node_filesystem_readonly{.*mountpoint="(.*)"} (\d)', page(host, url))
    return {place: int(flag) for place, flag in shown if place in MOUNTS}


@pytest.mark.usefixtures("mounts")
def test_the_sandbox_hides_nothing_from_it_and_adds_nothing(host: Host, url: str) -> None:
    own = re.compile(r"^(go_|process_|promhttp_|node_scrape_collector_duration)")  # of its own process
    with unsandboxed(host) as free:
        shown, wanted = ({name for name in series(page(host, where)) if not own.match(name)} for where in (url, free))
        assert len(wanted) > 300
        assert shown == wanted
        assert set(flags(host, url)) == set(MOUNTS)
        assert filesystems(host, url) == filesystems(host, free)


def become_read_only(host: Host) -> None:
    # With an option beside ro, 1.11 would not see it.
    host.check_output(f"mount -o remount,ro,errors=continue {DISK}")


@pytest.mark.usefixtures("mounts")
def test_a_disk_that_becomes_read_only_is_shown_alike(host: Host, url: str) -> None:
    become_read_only(host)
    with unsandboxed(host) as free:
        assert flags(host, url)[DISK] == 1
        assert filesystems(host, url) == filesystems(host, free)


@pytest.mark.usefixtures("mounts")
def test_a_release_that_looks_at_the_mounts_sees_those_of_the_host(host: Host, url: str, debian_s: str) -> None:
    assert eventually(lambda: flags(host, url), 10) == {place: int(place in READ_ONLY) for place in MOUNTS}
    become_read_only(host)
    with unsandboxed(host, debian_s) as free:
        assert flags(host, url)[DISK] == 1
        assert filesystems(host, url) == filesystems(host, free)


def test_its_limits_are_in_force(host: Host) -> None:
    shown = unit(host, "node_exporter", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(96 << 20), "TasksMax": "48", "CPUQuotaPerSecUSec": "300ms"}


def test_its_process_has_no_rights(host: Host) -> None:
    process = unit(host, "node_exporter", "MainPID")["MainPID"]
    status = dict(re.findall(r"^(\w+):\s+(.*)$", host.file(f"/proc/{process}/status").content_string, re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["Uid"].split()[0] == str(host.user("node_exporter").uid)
    assert exposure(host, "node_exporter") <= 1.8  # 0.4 of it for adjtimex, which reads the clock's state


def test_a_killed_one_comes_back(host: Host, url: str) -> None:
    host.check_output("systemctl kill --signal=KILL node_exporter")
    assert eventually(lambda: page(host, url), 10)
