"""The first look at a host's certificates: each thing that the role would mend is a finding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.modules.certificates_look import findings

from tests.authority import Authority

GROUP = "nogroup"
PURPOSES = {"server": GROUP, "client": GROUP}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """As the role leaves it."""
    authority = Authority()
    tmp_path.chmod(0o755)
    write(tmp_path / "ca.crt", authority.pem, 0o644)
    for purpose in PURPOSES:
        certificate, key = authority.issue(["app1"])
        write(tmp_path / f"{purpose}.crt", certificate, 0o644)
        write(tmp_path / f"{purpose}.key", key, 0o600)
        write(tmp_path / f"{purpose}.pem", certificate + key, 0o640)
        shutil.chown(tmp_path / f"{purpose}.pem", group=GROUP)
    return tmp_path


def write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def look(directory: Path, authorities: str | None = None) -> list[str]:
    trusted = (directory / "ca.crt").read_text(encoding="utf-8") if authorities is None else authorities
    return list(findings(directory, PURPOSES, trusted))


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another group")


def test_what_is_as_it_must_be_is_no_finding(directory: Path) -> None:
    assert look(directory) == []


def another_key(directory: Path) -> None:
    """In the file of the key, and in that of both."""
    certificate = (directory / "server.crt").read_text(encoding="utf-8")
    _, key = Authority().issue(["app1"])
    write(directory / "server.key", key, 0o600)
    write(directory / "server.pem", certificate + key, 0o640)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda there: there.chmod(0o700), "owner, group and mode of"),
        (lambda there: (there / "ca.crt").unlink(), "there is no ca.crt"),
        (lambda there: (there / "ca.crt").chmod(0o666), "owner, group and mode of ca.crt are 0, 0 and 0666"),
        (lambda there: (there / "client.key").chmod(0o644), "owner, group and mode of client.key are 0, 0 and 0644"),
        (lambda there: (there / "client.crt").unlink(), "there is no client.crt"),
        (lambda there: (there / "client.key").unlink(), "there is no client.key"),
        (lambda there: (there / "server.pem").unlink(), "there is no server.pem"),
        (lambda there: shutil.chown(there / "server.crt", user=1), "owner, group and mode of server.crt are 1, 0 and"),
        (lambda there: shutil.chown(there / "server.pem", group=0), "owner, group and mode of server.pem are 0, 0 and"),
        (lambda there: (there / "server.pem").write_text("else"), "server.pem is not server.crt and server.key"),
        (another_key, "server.key is not the key of server.crt"),
    ],
)
def test_what_the_role_would_mend_is_a_finding(directory: Path, wrong: Callable[[Path], object], found: str) -> None:
    trusted = (directory / "ca.crt").read_text(encoding="utf-8")
    wrong(directory)
    assert any(finding.startswith(found) for finding in look(directory, trusted)), look(directory, trusted)


def test_other_authorities_are_a_finding(directory: Path) -> None:
    assert look(directory, Authority().pem) == ["ca.crt has other authorities"]


def test_a_certificate_that_lacks_its_last_newline_is_taken_as_it_is_put_together(directory: Path) -> None:
    certificate = (directory / "server.crt").read_text(encoding="utf-8")
    write(directory / "server.crt", certificate.removesuffix("\n"), 0o644)
    assert look(directory) == []


def test_nothing_at_all_is_a_finding_for_each_file(tmp_path: Path) -> None:
    names = ("ca.crt", "server.crt", "server.key", "server.pem", "client.crt", "client.key", "client.pem")
    assert {f"there is no {name}" for name in names} <= set(look(tmp_path, "PEM"))
