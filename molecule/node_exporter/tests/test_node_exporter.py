"""node_exporter: what only a running, sandboxed one can show."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from tests.hosts import address, eventually, exposure, page, series, unit

PORT = 19100


@pytest.fixture
def url(host: Host) -> str:
    return f"http://{address(host)}:{PORT}/metrics"


def test_it_sees_this_host(host: Host, url: str) -> None:
    memory = int(host.check_output("awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo"))
    shown = series(page(host, url))
    assert shown["node_memory_MemTotal_bytes"] == memory
    assert f'nodename="{host.check_output("uname -n")}"' in next(name for name in shown if "node_uname_info" in name)


def test_it_listens_where_it_is_told_and_nowhere_else(host: Host) -> None:
    process = unit(host, "node_exporter", "MainPID")["MainPID"]
    listening = host.check_output("ss --tcp --listening --numeric --processes --no-header | grep pid=%s,", process)
    assert re.findall(r"(\S+):(\d+) +\S+:\*", listening) == [(address(host), str(PORT))]


def test_a_regular_expression_reaches_it_unharmed(host: Host, url: str) -> None:
    devices = re.findall(r'node_network_receive_bytes_total\{device="([^"]+)"\}', page(host, url))
    assert devices
    assert "lo" not in devices


def test_the_sandbox_hides_nothing_from_it(host: Host, url: str) -> None:
    """The same binary with the same flags, unsandboxed and as root, shows the same series."""
    process = unit(host, "node_exporter", "MainPID")["MainPID"]
    command = host.file(f"/proc/{process}/cmdline").content_string.rstrip("\0").split("\0")
    flags = [flag for flag in command[1:] if "listen-address" not in flag]
    flags.append("--web.listen-address=127.0.0.1:19200")
    host.check_output("systemd-run --unit=unsandboxed %s " + "%s " * len(flags), command[0], *flags)
    try:
        free = eventually(lambda: series(page(host, "http://127.0.0.1:19200/metrics")), 10)
    finally:
        host.run("systemctl stop unsandboxed")
    # Series of its own process, and of mounts that only exist while a unit with a private mount namespace runs.
    own = re.compile(r"^(go_|process_|promhttp_|node_scrape_collector_duration)")
    missing = {name for name in free if not own.match(name)} - set(series(page(host, url)))
    assert len(free) > 300
    assert missing == set()


def test_its_limits_are_in_force(host: Host) -> None:
    shown = unit(host, "node_exporter", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(96 << 20), "TasksMax": "48", "CPUQuotaPerSecUSec": "300ms"}


def test_its_process_has_no_rights(host: Host) -> None:
    process = unit(host, "node_exporter", "MainPID")["MainPID"]
    status = dict(re.findall(r"^(\w+):\s+(.*)$", host.file(f"/proc/{process}/status").content_string, re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["Uid"].split()[0] == str(host.user("node_exporter").uid)
    assert exposure(host, "node_exporter") <= 1.4


def test_a_killed_one_comes_back(host: Host, url: str) -> None:
    host.check_output("systemctl kill --signal=KILL node_exporter")
    assert eventually(lambda: page(host, url), 10)
