"""Certificates: who is served and who is not, and that no change of one is noticed by a scrape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from lab.common import Paths
from tests.authority import Authority
from tests.hosts import CERTIFICATES, Play, Run, address, eventually, lab_name, on, page, refused_at_the_handshake, unit

HOSTS = ("mon1", "mon2", "app1")
SERVICES = {"node_exporter": ("app1", 9100), "redis_exporter": ("app1", 9121), "prometheus": ("mon2", 9090)}
EVERY_SERVICE = pytest.mark.parametrize("service", SERVICES)
TLS = "/etc/tds/tls"


def url(service: str) -> str:
    host, port = SERVICES[service]
    return f"https://{address(on(host))}:{port}/metrics"


def query(host: Host, expression: str) -> list[dict[str, Any]]:
    answer = page(host, f"https://127.0.0.1:9090/api/v1/query?{urlencode({'query': expression})}")
    return list(json.loads(answer)["data"]["result"])


def serials() -> dict[str, str]:
    shown = "for name in server client; do openssl x509 -noout -serial -in /etc/tds/tls/$name.pem; done"
    return {host: str(on(host).check_output(shown)) for host in HOSTS}


def processes() -> dict[str, str]:
    """Which run of each daemon's process, and how often it was reloaded or restarted, is in force."""
    daemons = {"mon1": ("node_exporter", "prometheus"), "app1": ("node_exporter", "redis_exporter")}
    return {
        f"{name} {daemon}": unit(on(name), daemon, "InvocationID", "NRestarts", "MainPID")
        for name, its in (daemons | {"mon2": daemons["mon1"]}).items()
        for daemon in its
    }  # type: ignore[return-value]


@contextmanager
def nothing_is_missed(mon1: Host) -> Iterator[None]:
    """While this lasts no scrape fails or is late, and each new connection is served: `up` would not tell of those."""
    urls = " ".join(url(service) for service in SERVICES)
    ask = f"curl --silent --show-error --fail --max-time 2 --output /dev/null {CERTIFICATES} $url"
    loop = f"while :; do for url in {urls}; do {ask} && echo served || echo failed $url; sleep 0.1; done; done"
    mon1.check_output("systemd-run --quiet --unit=asking sh -c %s", f"exec >/run/asking 2>&1; {loop}")
    since = float(mon1.check_output("date +%s.%N"))
    try:
        yield
        eventually(lambda: float(mon1.check_output("date +%s.%N")) - since > 5, 10)
    finally:
        mon1.run("systemctl stop asking")
    answers = mon1.check_output("cat /run/asking").splitlines()
    assert answers.count("served") > len(SERVICES)
    assert set(answers) == {"served"}, answers
    seconds = int(float(mon1.check_output("date +%s.%N")) - since)
    for host in (mon1, on("mon2")):
        assert query(host, f"min_over_time(up[{seconds}s]) < 1") == []
        # A window of n intervals holds n - 1 to n + 1 scrapes.
        assert query(host, f'count_over_time(up{{job="redis"}}[{seconds}s]) < {seconds - 1}') == []
        assert query(host, f"count_over_time(up[{seconds}s]) < {seconds // 2 - 1}") == []
        assert len(query(host, f"count_over_time(up[{seconds}s])")) == 28


# --- Who is served


@pytest.fixture
def strange(mon1: Host) -> Iterator[str]:
    """Files on mon1 of an authority that nobody trusts, and of its client certificate for mon1's very name."""
    authority = Authority()
    certificate, key = authority.issue(["mon1"])
    for name, text in {"ca.crt": authority.pem, "client.pem": certificate + key}.items():
        mon1.check_output("install -d /srv/strange && printf %%s %s > /srv/strange/%s", text, name)
    yield "/srv/strange"
    mon1.check_output("rm -r /srv/strange")


@EVERY_SERVICE
def test_who_shows_a_certificate_of_the_site_is_served(mon1: Host, service: str) -> None:
    assert "process_start_time_seconds" in page(mon1, url(service))


@EVERY_SERVICE
@pytest.mark.parametrize("shown", ["", "--cert /srv/strange/client.pem"], ids=["none", "of another authority"])
def test_who_shows_no_certificate_of_the_site_is_refused_at_the_handshake(
    mon1: Host,
    strange: str,  # noqa: ARG001
    service: str,
    shown: str,
) -> None:
    answer = mon1.run(f"curl --silent --show-error --max-time 3 --cacert {TLS}/ca.crt {shown} {url(service)}")
    assert refused_at_the_handshake(answer), answer.stderr


@EVERY_SERVICE
def test_it_shows_a_certificate_of_the_site_itself(mon1: Host, strange: str, service: str) -> None:
    answer = mon1.run(f"curl --silent --show-error --cacert {strange}/ca.crt --cert {TLS}/client.pem {url(service)}")
    assert (answer.rc, answer.stdout) == (60, "")


@EVERY_SERVICE
def test_nothing_is_told_in_clear(mon1: Host, service: str) -> None:
    answer = mon1.run(f"curl --silent --max-time 3 {url(service).replace('https', 'http')}")
    assert "_seconds" not in answer.stdout


def test_an_application_host_s_certificate_opens_its_own_exporters_only(mon1: Host, app1: Host) -> None:
    assert "node_memory" in page(app1, f"https://{address(app1)}:9100/metrics")  # its own proof must be served
    stolen = app1.check_output(f"cat {TLS}/client.pem")
    mon1.check_output("install -d -m 700 /srv/stolen && printf %%s %s > /srv/stolen/client.pem", stolen)
    ask = f"curl --silent --show-error --max-time 3 --cacert {TLS}/ca.crt --cert /srv/stolen/client.pem"
    refused = mon1.run(f"{ask} https://{address(on('mon2'))}:9100/metrics")
    assert mon1.run(f"{ask} https://{address(app1)}:9100/metrics").rc == 0
    mon1.check_output("rm -r /srv/stolen")
    assert refused_at_the_handshake(refused), refused.stderr


GOSSIP = "9094"


def test_only_tls_is_spoken_beyond_loopback() -> None:
    for name in HOSTS:
        host = on(name)
        daemons = host.check_output("ls /opt/tds").split()
        listening = host.check_output("ss --tcp --listening --numeric --processes --no-header")
        names = "|".join(daemon[:15] for daemon in daemons)  # as much of a name as the kernel keeps
        ours = re.findall(rf"(\S+):(\d+) +\S+ +users:\(\(\"(?:{names})\"", listening)
        assert len(ours) >= len(daemons)
        for where, port in ours:
            if port == GOSSIP:  # no HTTP
                files = f"-CAfile {TLS}/ca.crt -cert {TLS}/client.pem"
                said = host.run(f"openssl s_client -brief -connect {where}:{port} {files} </dev/null")
                assert "Protocol version: TLSv1.3" in said.stderr
            elif where != "127.0.0.1":
                assert (
                    host.run(f"curl --silent --fail --max-time 3 {CERTIFICATES} https://{where}:{port}/metrics").rc == 0
                )
                assert host.run(f"curl --silent --fail --max-time 3 http://{where}:{port}/metrics").rc == 22


@pytest.fixture(scope="module")
def sslscan() -> None:
    on("mon1").check_output("apt-get update -q && apt-get install -yq --no-install-recommends sslscan")


@EVERY_SERVICE
def test_sslscan_finds_nothing_below_a_modern_profile(mon1: Host, sslscan: None, service: str) -> None:  # noqa: ARG001
    host, port = SERVICES[service]
    shown = mon1.check_output(f"sslscan --no-colour --no-failed {address(on(host))}:{port}")
    protocols = dict(re.findall(r"^((?:SSL|TLS)v\S+) +(enabled|disabled)$", shown, re.MULTILINE))
    spoken = {protocol for protocol, state in protocols.items() if state == "enabled"}
    assert len(protocols) == 6
    # This exporter cannot be kept from 1.2 (roles/redis_exporter/vars).
    assert spoken == ({"TLSv1.2", "TLSv1.3"} if service == "redis_exporter" else {"TLSv1.3"})
    ciphers = re.findall(r"^(?:Preferred|Accepted) +TLSv1.\d +(\d+) bits +(\S+)", shown, re.MULTILINE)
    assert ciphers
    assert all(int(bits) >= 128 and re.search("GCM|CHACHA20", cipher) for bits, cipher in ciphers), ciphers
    assert (
        re.findall(r"(?<!not )vulnerable to heartbleed|Compression enabled|Signature Algorithm: .*(?:sha1|md5)", shown)
        == []
    )


# --- Keys


KEYS = [
    "client.key 600 root:root", "server.key 600 root:root",
    "client.pem 640 root:tds-tls-client", "server.pem 640 root:tds-tls-server",
]  # fmt: skip


def test_a_key_is_root_s_alone_and_with_its_certificate_of_those_who_serve(app1: Host) -> None:
    assert app1.check_output(f"cd {TLS} && stat -c '%n %a %U:%G' *.key *.pem").splitlines() == KEYS
    assert app1.run(f"runuser -u node_exporter -- cat {TLS}/server.pem").rc != 0  # its service can, its account not
    assert on("mon1").run(f"systemd-run --quiet --pipe -p User=redis_exporter cat {TLS}/client.pem").rc != 0


def assert_no_key_is_anywhere_else(run: Run) -> None:
    """No key of a host passes the controller, and the authority's no host."""
    assert "BEGIN CERTIFICATE" in run.output  # what it may show, it shows: the words would be found
    assert not re.search(r"BEGIN (EC |ENCRYPTED )?PRIVATE KEY", run.output)
    pki = Paths.from_environment().lab(lab_name()) / "pki"
    assert sorted(path.name for path in pki.iterdir()) == ["ca.crt", "ca.key"]
    assert "ENCRYPTED" in (pki / "ca.key").read_text(encoding="utf-8")
    assert (pki / "ca.key").stat().st_mode & 0o077 == 0
    line = (pki / "ca.key").read_text(encoding="utf-8").splitlines()[1]
    search = "grep -rsl --exclude-dir=proc --exclude-dir=sys -F -- %s /etc /opt /var /root /tmp"
    for host in HOSTS:
        assert on(host).run(search, line).stdout == ""


# --- Changes


def test_the_certificates_of_the_site_are_shown(play: Play) -> None:
    run = play(playbook="playbooks/certificates.yml")
    assert (run.code, run.changed) == (0, 0)
    shown = re.findall(r"(\d+) days left \(until \S+\)  (\S+) +(\S+)", run.output)
    expected = {("controller", "ca")} | {(host, use) for host in HOSTS for use in ("server", "client")}
    assert {(where, what) for _days, where, what in shown} == expected
    assert {int(days) for days, where, _what in shown if where != "controller"} == {396}


def test_a_renewal_of_every_certificate_costs_no_scrape_and_no_restart(play: Play, mon1: Host) -> None:
    before, running = serials(), processes()
    with nothing_is_missed(mon1):
        run = play("-vvv", "--tags", "certificates", certificates_renew_days=500)
        assert run.code == 0, run.reason
    assert_no_key_is_anywhere_else(run)
    assert "RUNNING HANDLER [certificates : Prove the certificates]" in run.output
    assert "it expires on" in run.output  # it says why
    after = serials()
    assert all(set(before[host].split()) & set(after[host].split()) == set() for host in HOSTS)
    assert processes() == running
    assert play().changed == 0


def rotate(play: Play, *options: str) -> Any:
    return play(*options, playbook="playbooks/rotate_ca.yml")


def test_another_authority_costs_no_scrape_and_no_restart(play: Play, mon1: Host) -> None:
    before, running = mon1.check_output(f"cat {TLS}/ca.crt"), processes()
    with nothing_is_missed(mon1):
        run = rotate(play)
        assert run.code == 0, run.output
    after = mon1.check_output(f"cat {TLS}/ca.crt")
    assert after != before
    assert after.count("BEGIN") == 1  # the old one is trusted no more
    assert processes() == running
    assert play().changed == 0
    # Those who knew the old one only are not served any more.
    mon1.check_output("printf %%s %s > /srv/old.crt", before)
    assert mon1.run(f"curl --silent --cacert /srv/old.crt --cert {TLS}/client.pem {url('node_exporter')}").rc == 60


def test_no_host_is_left_behind_by_another_authority(play: Play) -> None:
    run = rotate(play, "--limit", "mon1,mon2")
    assert (run.code != 0, run.changed) == (True, 0)
    assert "--limit leaves out app1" in run.output


def test_a_rotation_that_was_cut_short_is_finished_by_the_next(play: Play, mon1: Host) -> None:
    """As a controller that died leaves it: the new key is in place, and the new certificate not yet."""
    pki = Paths.from_environment().lab(lab_name()) / "pki"
    old = (pki / "ca.crt").read_text(encoding="utf-8")
    play(
        playbook="playbooks/rotate_ca.yml", certificates_names=["{{ undefined_on_purpose }}"]
    )  # dies after making next
    assert (pki / "next.key").exists()
    (pki / "previous.crt").write_text(old, encoding="utf-8")
    (pki / "next.key").replace(pki / "ca.key")
    refused = play()
    assert (refused.code != 0, refused.changed) == (True, 0)
    assert "ca.key is not the key of ca.crt" in refused.output
    with nothing_is_missed(mon1):
        run = rotate(play)
        assert run.code == 0, run.output
    assert sorted(path.name for path in pki.iterdir()) == ["ca.crt", "ca.key"]
    assert (
        mon1.check_output(f"cat {TLS}/ca.crt").strip()
        == (pki / "ca.crt").read_text(encoding="utf-8").strip()
        != old.strip()
    )
    assert play().changed == 0


@pytest.mark.parametrize(
    "edit",
    [
        f"rm {TLS}/server.key; echo junk > {TLS}/client.crt",
        f"rm -r {TLS}",
        f"chmod 644 {TLS}/server.pem; chgrp 0 {TLS}/client.pem",
        f"cp {TLS}/client.crt {TLS}/server.crt; echo >> {TLS}/ca.crt",
        f"sed -i 2d {TLS}/server.pem",
    ],
)
def test_what_was_edited_by_hand_is_put_right(play: Play, app1: Host, edit: str) -> None:
    app1.check_output(edit)
    run = play("--limit", "app1", "--tags", "certificates")
    assert run.code == 0, run.output
    assert run.changed > 0
    shown = f"cd {TLS} && stat -c '%n %a %U:%G' *.key *.pem && openssl verify -CAfile ca.crt server.crt client.crt"
    assert app1.check_output(shown).splitlines() == [*KEYS, "server.crt: OK", "client.crt: OK"]
    assert all(page(app1, f"https://{address(app1)}:{port}/metrics") for port in (9100, 9121))
