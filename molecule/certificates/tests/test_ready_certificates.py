"""Certificates of a firm's own authority: refused before the first change when they will not do, else served."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lab.common import Paths
from tests.authority import Authority, key_pem, new_key
from tests.hosts import ROOT, Play, Run, address, lab_name, on, page

HOSTS = ("mon1", "mon2", "app1")


@dataclass
class Firm:
    """Its files in a directory on the controller, and the variables that name them."""

    directory: Path
    root: Authority
    issuing: Authority

    def variables(self) -> dict[str, Any]:
        host = "{{ inventory_hostname }}"
        pairs = {use: {"certificate": f"{host}-{use}.crt", "key": f"{host}-{use}.key"} for use in ("server", "client")}
        return {
            "certificates_provided": {"ca": "ca.crt"} | pairs,
            "certificates_provided_directory": str(self.directory),
        }

    def write(self, name: str, text: str) -> Path:
        file = self.directory / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        return file

    def certify(self, host: str, **what: Any) -> None:
        for use, names in {"server": [address(on(host)), host], "client": [host]}.items():
            certificate, key = self.issuing.issue(what.pop("names", names), [use], **what)
            self.write(f"{host}-{use}.crt", certificate + self.issuing.pem)
            self.write(f"{host}-{use}.key", key)


@pytest.fixture
def firm(tmp_path: Path) -> Firm:
    root = Authority("Firm")
    made = Firm(tmp_path, root, Authority("Issuing", issuer=root))
    # While one authority replaces another, both are trusted.
    pki = Paths.from_environment().lab(lab_name()) / "pki"
    made.write("ca.crt", root.pem + (pki / "ca.crt").read_text(encoding="utf-8"))
    for host in HOSTS:
        made.certify(host)
    return made


def spoil(firm: Firm, host: str, how: str) -> str:
    """Spoils one file of a host; what has to be told of it."""
    certificate, key = firm.directory / f"{host}-server.crt", firm.directory / f"{host}-server.key"
    of_certificate = f"certificates_provided.server.certificate is '{certificate.name}': "
    of_key = f"certificates_provided.server.key is '{key.name}': "
    match how:
        case "expired":
            firm.certify(host, days=-1)
            return of_certificate + "it expired on "
        case "for another name":
            firm.certify(host, names=["app7"])
            return of_certificate + "it is not for IP:"
        case "with another key":
            firm.write(key.name, key_pem(new_key()))
            return of_certificate + "it belongs to another key"
        case "of another authority":
            replace(firm, issuing=Authority("Issuing", issuer=Authority("Firm"))).certify(host)
            return of_certificate + "its issuer CN=Issuing does not lead to a trusted authority"
        case "without its chain":
            firm.write(certificate.name, certificate.read_text(encoding="utf-8").replace(firm.issuing.pem, ""))
            return of_certificate + "its issuer CN=Issuing does not lead to a trusted authority"
        case "with a key that others read":
            key.chmod(0o644)
            return of_key + "others can read it"
        case "not there":
            certificate.unlink()
            return of_certificate + "it cannot be read"
    raise ValueError(how)


@pytest.mark.parametrize(
    "hows",
    [
        ("expired", "for another name", "with another key"),
        ("of another authority", "without its chain", "with a key that others read"),
        ("not there",),
    ],
    ids=" ".join,
)
def test_certificates_are_refused_before_the_first_change(play: Play, firm: Firm, hows: Sequence[str]) -> None:
    told = [spoil(firm, host, how) for host, how in zip(HOSTS, hows, strict=False)]
    run = play(**firm.variables())
    assert (run.code != 0, run.changed) == (True, 0), run.output
    for text in told:
        assert text in " ".join(run.output.split())
    assert "; nothing was changed" in run.output
    assert "PRIVATE KEY" not in run.output


def assert_all_is_watched(play: Play, **variables: Any) -> Run:
    run = play("--tags", "targets,certificates", playbook="playbooks/verify.yml", **variables)
    assert run.code == 0, run.output
    return run


def test_ready_certificates_are_served_and_the_site_s_own_again(play: Play, firm: Firm, tmp_path: Path) -> None:
    # As they should be kept: encrypted, and so for anybody's eyes.
    password = firm.write("password", "of a vault")
    keys = sorted(firm.directory.glob("*.key"))
    subprocess.run(["ansible-vault", "encrypt", "--vault-password-file", password, *keys], check=True, cwd=ROOT)
    for key in keys:
        key.chmod(0o644)
    run = play("-vvv", "--diff", "--vault-password-file", str(password), **firm.variables())
    assert run.code == 0, run.reason
    assert "PRIVATE KEY" not in run.output
    assert_all_is_watched(play)
    ask = f"openssl s_client -connect {address(on('app1'))}:9100 -CAfile /etc/tds/tls/ca.crt </dev/null"
    assert "issuer=CN = Issuing" in on("mon1").run(ask).stdout.replace("issuer=CN=Issuing", "issuer=CN = Issuing")
    assert play("--vault-password-file", str(password), **firm.variables()).changed == 0

    assert play().code == 0
    assert_all_is_watched(play)
    refused = f"curl --silent --cacert {tmp_path}/none --cert /etc/tds/tls/client.pem"
    assert on("mon1").run(refused + f" https://{address(on('app1'))}:9100/metrics").rc != 0
    assert page(on("mon1"), f"https://{address(on('app1'))}:9100/metrics")


def test_what_would_be_open_or_cannot_be_is_refused(play: Play) -> None:
    run = play(node_exporter_tls={}, firewall_ssh_from=["10.0.0.0/33"], node_exporter_port=9121)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert "node_exporter_listen_address is '10." in run.output
    assert "10.0.0.0/33" in run.output
    assert "redis_exporter_port is 9121: node_exporter_port is that too" in run.output
    assert "; nothing was changed" in run.output


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"certificates_ca_passphrase": ""}, "certificates_ca_passphrase is missing or shorter than 12 characters"),
        ({"certificates_ca_passphrase": "not the one it was"}, "ca.key is not opened by certificates_ca_passphrase"),
    ],
)
def test_a_passphrase_that_will_not_do_is_refused(play: Play, variables: dict[str, str], told: str) -> None:
    run = play(**variables)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert told in run.output
    assert "not the one it was" not in run.output
