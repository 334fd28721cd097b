"""Certificates of a firm's own authority: refused before the first change when they will not do, else served."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
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


def expired(firm: Firm) -> None:
    firm.certify("app1", days=-1)


def for_another_name(firm: Firm) -> None:
    firm.certify("app1", names=["app7"])


def with_another_key(firm: Firm) -> None:
    firm.write("app1-server.key", key_pem(new_key()))


def of_another_authority(firm: Firm) -> None:
    replace(firm, issuing=Authority("Issuing", issuer=Authority("Firm"))).certify("app1")


def without_its_chain(firm: Firm) -> None:
    certificate = firm.directory / "app1-server.crt"
    firm.write(certificate.name, certificate.read_text(encoding="utf-8").replace(firm.issuing.pem, ""))


def with_a_key_that_others_read(firm: Firm) -> None:
    (firm.directory / "app1-server.key").chmod(0o644)


def that_are_not_there(firm: Firm) -> None:
    (firm.directory / "app1-server.crt").unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (expired, "certificates_provided.server.certificate is 'app1-server.crt': it expired on "),
        (for_another_name, "certificates_provided.server.certificate is 'app1-server.crt': it is not for IP:"),
        (with_another_key, "certificates_provided.server.certificate is 'app1-server.crt': it belongs to another key"),
        (of_another_authority, "app1-server.crt': its issuer CN=Issuing does not lead to a trusted authority"),
        (without_its_chain, "app1-server.crt': its issuer CN=Issuing does not lead to a trusted authority"),
        (with_a_key_that_others_read, "certificates_provided.server.key is 'app1-server.key': others can read it"),
        (that_are_not_there, "certificates_provided.server.certificate is 'app1-server.crt': it cannot be read"),
    ],
)
def test_certificates_are_refused_before_the_first_change(
    play: Play, firm: Firm, spoil: Callable[[Firm], None], told: str
) -> None:
    spoil(firm)
    run = play(**firm.variables())
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert told in " ".join(run.output.split())
    assert "; nothing was changed" in run.output
    assert "PRIVATE KEY" not in run.output


def assert_all_is_watched(play: Play, **variables: Any) -> Run:
    run = play(playbook="playbooks/verify.yml", **variables)
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


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"node_exporter_tls": {}}, "node_exporter_listen_address is '10."),
        ({"firewall_ssh_from": ["10.0.0.0/33"]}, "10.0.0.0/33"),
        ({"node_exporter_port": 9121}, "redis_exporter_port is 9121: node_exporter_port is that too"),
    ],
)
def test_what_would_be_open_or_cannot_be_is_refused(play: Play, variables: dict[str, Any], told: str) -> None:
    run = play(**variables)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert told in run.output
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
