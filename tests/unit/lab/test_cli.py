"""Verbs about labs that do not exist."""

import os
from pathlib import Path

import pytest

from lab import checks, cli, network


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


@pytest.mark.parametrize("argv", [[], ["up", "demo"], ["down"], ["up", "demo", "--suite", "sid", "mon1"]])
def test_a_wrong_command_line_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
