"""Verbs about labs that do not exist."""

import os
from pathlib import Path

import pytest

from lab import checks, cli, network
from lab.common import Paths
from lab.state import Lab, change


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TDS_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(checks, "missing_packages", list)


@pytest.mark.parametrize("argv", [["status"], ["down", "--all"]])
def test_no_lab_at_all(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == "no lab is up\n"


def test_ending_what_is_not_there_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network, "remove_bridge", lambda: None)
    assert cli.main(["down", "none"]) == 0
    assert "does not exist" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["status", "traffic", "ssh", "cut", "reboot", "logs"])
def test_an_unknown_lab_is_an_error_in_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    host = [] if verb in ("status", "traffic") else ["mon1"]
    assert cli.main([verb, "none", *host]) == 1
    assert capsys.readouterr().err.startswith("lab: there is no lab 'none' (up now: none)")


def test_a_bad_name_is_refused_before_anything_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "demo", "Bad_Name"]) == 1
    assert "cannot be a host name" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--kind", "vm"], "lab demo runs container: end it before it can run vm"),
        (["--suite", "forky"], "lab demo runs trixie: end it before it can run forky"),
        (["--memory", "3G"], "--memory 3G: containers share this machine's memory; --kind vm has its own"),
    ],
)
def test_a_lab_stays_of_its_kind(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with change(Paths.from_environment()) as state:
        state.labs["demo"] = Lab(1, "trixie", "/image", 0.0)
    assert cli.main(["up", "demo", "mon2", *options]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["up", "demo"], ["down"], ["up", "demo", "--suite", "sid", "mon1"]])
def test_a_wrong_command_line_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
