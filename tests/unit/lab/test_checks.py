"""What is missing is said at once, with the command that brings it."""

import os

import pytest

from lab import checks, cli, processes
from lab.common import LabError


def test_nothing_is_missing_on_a_machine_that_has_it_all() -> None:
    assert checks.missing_packages(lambda _: True) == []


def test_a_package_is_named_once() -> None:
    assert checks.missing_packages(lambda name: name not in ("ssh", "ssh-keygen", "mmdebstrap")) == [
        "mmdebstrap",
        "openssh-client",
    ]


def test_the_message_has_the_line_to_type() -> None:
    message = checks.packages_message(["mmdebstrap", "openssh-client"])
    assert "apt-get install --no-install-recommends mmdebstrap openssh-client" in message
    assert "lab/setup" in message


def test_everything_in_the_way_is_said_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(checks, "missing_packages", lambda: ["mmdebstrap"])
    monkeypatch.setattr(processes, "cgroup2_mount", lambda _: None)
    with pytest.raises(LabError) as error:
        checks.require_everything()
    for part in ("run it as root", "mmdebstrap", "cgroup2"):
        assert part in str(error.value)


@pytest.mark.parametrize("argv", [["up", "demo", "mon1"], ["down", "demo"], ["reboot", "demo", "mon1"]])
def test_verbs_that_change_things_are_refused_without_root(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(argv) == 1
    assert "run it as root" in capsys.readouterr().err
