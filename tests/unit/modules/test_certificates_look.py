"""The first look at a host's certificates: each thing that the role would mend is a finding."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tds.monitoring.plugins.modules import certificates_look, preflight_look
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


@pytest.mark.parametrize("content", [b"\xff\xfe no text", b"line\r\nends\r\n"])
def test_what_is_no_text_or_has_other_line_ends_is_read_as_it_is(directory: Path, content: bytes) -> None:
    (directory / "ca.crt").write_bytes(content)
    assert look(directory, "else") == ["ca.crt has other authorities"]
    assert look(directory, content.decode(errors="replace")) == []


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (certificates_look, {"directory": "/etc/tds/tls", "purposes": {}, "authorities": ""}),
        (preflight_look, {"ports": [9090]}),
    ],
)
def test_who_is_not_root_is_told_before_half_of_a_host_is_taken_for_the_whole(
    module: ModuleType,
    arguments: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    told = json.loads(capsys.readouterr().out)
    assert told["failed"]
    assert "this run is not root on the host but the user with number 1000, and nothing was changed" in told["msg"]
