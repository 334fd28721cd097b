"""blackbox_exporter: what it says of a host, a port and a certificate is what is so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Run, address, eventually, exposure, on, page, run_playbook, series, unit

testinfra_hosts = ["ansible://mon1"]

PORT, TLS_PORT = 19115, 19100


@pytest.fixture(scope="module")
def app1() -> Host:
    return on("app1")


def probe(host: Host, module: str, target: str, timeout: float = 0.9) -> dict[str, float]:
    """The answer to a scrape that has so many seconds."""
    header = f"--header 'X-Prometheus-Scrape-Timeout-Seconds: {timeout}'"
    url = f"http://127.0.0.1:{PORT}/probe?module={module}&target={target}"
    return series(host.check_output(f"curl --silent --fail --max-time {timeout} {header} '{url}'"))


@pytest.fixture
def silent(app1: Host) -> Iterator[str]:
    """The address of a host that answers no ping."""
    app1.check_output("sysctl --quiet net.ipv4.icmp_echo_ignore_all=1")
    yield address(app1)
    app1.check_output("sysctl --quiet net.ipv4.icmp_echo_ignore_all=0")


def test_a_host_that_is_there_answers(host: Host, app1: Host) -> None:
    shown = probe(host, "icmp", address(app1))
    assert shown["probe_success"] == 1
    assert 0 < shown["probe_duration_seconds"] < 0.9


def test_a_host_that_is_gone_is_told_within_the_scrape(host: Host, app1: Host, silent: str) -> None:
    assert probe(host, "icmp", silent)["probe_success"] == 0
    app1.check_output("sysctl --quiet net.ipv4.icmp_echo_ignore_all=0")
    assert probe(host, "icmp", silent)["probe_success"] == 1


def test_a_ping_each_second_logs_nothing(host: Host, app1: Host) -> None:
    count = "journalctl --unit blackbox_exporter --output cat | wc -l"
    before = host.check_output(count)
    assert all(probe(host, "icmp", address(app1))["probe_success"] == 1 for _ in range(3))
    assert host.check_output(count) == before


def test_an_open_port_and_a_closed_one(host: Host, app1: Host) -> None:
    assert probe(host, "tcp_connect", f"{address(app1)}:22")["probe_success"] == 1
    assert probe(host, "tcp_connect", f"{address(app1)}:1")["probe_success"] == 0


def test_what_speaks_http_and_what_does_not(host: Host, app1: Host) -> None:
    assert probe(host, "http_2xx", f"127.0.0.1:{PORT}")["probe_success"] == 1
    assert probe(host, "http_2xx", f"{address(app1)}:22")["probe_success"] == 0


@pytest.mark.parametrize("module", ["tls_connect", "tls_expiry"])
def test_a_certificates_end_is_the_one_that_is_written_in_it(host: Host, app1: Host, module: str) -> None:
    shown = probe(host, module, f"{address(app1)}:{TLS_PORT}")
    assert shown["probe_success"] == 1
    assert shown["probe_ssl_earliest_cert_expiry"] == ends(app1)


def ends(host: Host, file: str = "/etc/tds/tls/server.pem") -> float:
    text = host.check_output(f'date --date="$(openssl x509 -noout -enddate -in {file} | cut -d= -f2)" +%s')
    return float(text)


@pytest.fixture
def stranger(app1: Host) -> Iterator[str]:
    """A listener with a certificate that no authority of the site has signed, for another name."""
    app1.check_output("""
cd /run; openssl req -x509 -newkey ed25519 -nodes -days 3 -subj /CN=x -keyout x.key -out x.crt
systemd-run --unit=stranger openssl s_server -accept 4433 -key /run/x.key -cert /run/x.crt -quiet""")
    yield f"{address(app1)}:4433"
    app1.check_output("systemctl stop stranger")


def test_a_certificate_that_the_site_does_not_trust_fails_and_its_end_is_seen_all_the_same(
    host: Host, app1: Host, stranger: str
) -> None:
    assert eventually(lambda: probe(host, "tls_expiry", stranger)["probe_success"] == 1, 5)
    assert probe(host, "tls_expiry", stranger)["probe_ssl_earliest_cert_expiry"] == ends(app1, "/run/x.crt")
    assert probe(host, "tls_connect", stranger)["probe_success"] == 0


def test_its_own_certificate_is_read_at_each_probe(host: Host, app1: Host) -> None:
    before = unit(host, "blackbox_exporter", "MainPID")
    where = f"{address(app1)}:{TLS_PORT}"
    host.check_output("cp /etc/tds/tls/ca.crt /run/ca.crt && echo >/etc/tds/tls/ca.crt")
    try:
        assert probe(host, "tls_connect", where)["probe_success"] == 0
    finally:
        host.check_output("cat /run/ca.crt >/etc/tds/tls/ca.crt")
    assert probe(host, "tls_connect", where)["probe_success"] == 1
    assert unit(host, "blackbox_exporter", "MainPID") == before


def test_it_listens_on_loopback_only(host: Host) -> None:
    process = unit(host, "blackbox_exporter", "MainPID")["MainPID"]
    listening = host.check_output("ss --tcp --listening --numeric --processes --no-header | grep pid=%s,", process)
    assert re.findall(r"(\S+):(\d+) +\S+:\*", listening) == [("127.0.0.1", str(PORT))]


def test_it_has_the_right_to_ping_and_no_other(host: Host) -> None:
    process = unit(host, "blackbox_exporter", "MainPID")["MainPID"]
    status = dict(re.findall(r"^(\w+):\s+(.*)$", host.file(f"/proc/{process}/status").content_string, re.MULTILINE))
    net_raw = 1 << 13
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == net_raw
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split()[0] == str(host.user("blackbox_exporter").uid)
    assert exposure(host, "blackbox_exporter") <= 1.5
    shown = unit(host, "blackbox_exporter", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(96 << 20), "TasksMax": "48", "CPUQuotaPerSecUSec": "300ms"}


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[..., Run]]:
    """The role with other variables; the scenario's are in force again afterwards."""
    options = ("--limit", "mon1", "--tags", "blackbox_exporter")
    yield partial(run_playbook, *options)
    assert run_playbook(*options).code == 0


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ({"prober": "tcp", "tcp": {"query_respone": []}}, ["query_respone", "Mend: blackbox_exporter_modules"]),
        ({"prober": "tpc"}, ["blackbox_exporter_modules.ssh.prober is 'tpc': write icmp, tcp, http"]),
    ],
    ids=["told by the tool", "taken by the tool"],
)
def test_a_mistake_in_a_module_is_refused(
    host: Host, play: Callable[..., Run], module: dict[str, Any], words: list[str]
) -> None:
    before = page(host, f"http://127.0.0.1:{PORT}/config")
    run = play(blackbox_exporter_modules={"ssh": module})
    assert run.code != 0
    assert [word for word in words if word not in run.reason] == []
    assert page(host, f"http://127.0.0.1:{PORT}/config") == before


def test_a_new_module_is_reloaded_and_not_restarted(host: Host, app1: Host, play: Callable[..., Run]) -> None:
    before = unit(host, "blackbox_exporter", "MainPID")
    ssh = {"prober": "tcp", "tcp": {"query_response": [{"expect": "^SSH-2.0-"}]}}
    run = play(blackbox_exporter_modules={"ssh": ssh})
    assert (run.code, run.changed) == (0, 1), run.output
    assert probe(host, "ssh", f"{address(app1)}:22")["probe_success"] == 1
    assert probe(host, "ssh", f"{address(app1)}:{TLS_PORT}")["probe_success"] == 0
    assert unit(host, "blackbox_exporter", "MainPID") == before
