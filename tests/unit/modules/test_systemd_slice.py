"""A slice's unit: written, read by systemd, and seen to be read; a bad one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tds.monitoring.plugins.modules import systemd_slice

UNIT = "[Slice]\nCPUWeight=50\n"


class Systemd:
    """What the module asks and tells systemd."""

    def __init__(self) -> None:
        self.stale = False
        self.obeys = True
        self.reloads = 0
        self.complaint: str | None = None
        self.runs = False
        self.set: list[list[str]] = []
        self.refuses = ""

    def run(self, command: list[str]) -> CompletedProcess[str]:
        match command[1]:
            case "daemon-reload":
                self.reloads += 1
                self.stale = self.stale and not self.obeys
            case "is-active":
                return CompletedProcess(command, 0 if self.runs else 3, "", "")
            case "set-property":
                self.set.append(command[2:])
                (systemd_slice.OVERRIDES / "tds.slice.d").mkdir(parents=True, exist_ok=True)
                return CompletedProcess(command, 1 if self.refuses else 0, "", self.refuses)
        return CompletedProcess(command, 0, "yes\n" if self.stale else "no\n", "")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    fake = Systemd()
    monkeypatch.setattr(systemd_slice, "UNITS", tmp_path)
    monkeypatch.setattr(systemd_slice, "OVERRIDES", tmp_path / "control")
    monkeypatch.setattr(systemd_slice, "run", fake.run)
    monkeypatch.setattr(systemd_slice, "verify_unit", lambda *_words: fake.complaint)
    return fake


@pytest.fixture
def put(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(*, check_mode: bool = False) -> dict[str, Any]:
        arguments = {"name": "tds.slice", "unit": UNIT, "_ansible_check_mode": check_mode}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            systemd_slice.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


Put = Callable[..., dict[str, Any]]


def test_it_is_written_and_read_once(systemd: Systemd, tmp_path: Path, put: Put) -> None:
    assert put()["changed"] is True
    assert (tmp_path / "tds.slice").read_text() == UNIT
    assert put()["changed"] is False
    assert systemd.reloads == 1


def test_check_mode_says_so_and_does_nothing(systemd: Systemd, tmp_path: Path, put: Put) -> None:
    answer = put(check_mode=True)
    assert (answer["changed"], answer["diff"]["after"]) == (True, UNIT)
    assert not (tmp_path / "tds.slice").exists()
    assert systemd.reloads == 0


def test_what_runs_in_it_has_the_new_limits_and_not_those_that_are_gone(
    systemd: Systemd, tmp_path: Path, put: Put
) -> None:
    (tmp_path / "tds.slice").write_text("[Unit]\nDescription=x\n\n[Slice]\nCPUWeight=40\nMemoryMax=1G\n")
    systemd.runs = True
    assert put()["changed"] is True
    assert systemd.set == [["--runtime", "tds.slice", "CPUWeight=50", "MemoryMax="]]
    assert not (tmp_path / "control/tds.slice.d").exists()  # it would go before the file
    assert put()["changed"] is False


def test_a_run_that_was_cut_short_after_it_set_the_limits_is_finished(
    systemd: Systemd, tmp_path: Path, put: Put
) -> None:
    put()
    systemd.runs = True
    (tmp_path / "control/tds.slice.d").mkdir(parents=True)
    assert put()["changed"] is True
    assert not (tmp_path / "control/tds.slice.d").exists()


def test_a_limit_that_what_runs_does_not_take_is_refused_and_the_old_is_left(
    systemd: Systemd, tmp_path: Path, put: Put
) -> None:
    (tmp_path / "tds.slice").write_text("[Slice]\n")
    systemd.runs, systemd.refuses = True, "Cannot set property Foo"
    assert "Cannot set property Foo" in put()["msg"]
    assert (tmp_path / "tds.slice").read_text() == "[Slice]\n"


@pytest.mark.parametrize("what", ["a hand edit", "a run that was cut short before systemd read it"])
def test_drift_is_mended(systemd: Systemd, tmp_path: Path, put: Put, what: str) -> None:
    put()
    systemd.stale = True
    if what == "a hand edit":
        (tmp_path / "tds.slice").write_text("[Slice]\nCPUWeight=1000\n")
    assert put()["changed"] is True
    assert (tmp_path / "tds.slice").read_text() == UNIT
    assert systemd.reloads == 2


def test_what_systemd_would_ignore_is_refused_and_the_old_is_left(systemd: Systemd, tmp_path: Path, put: Put) -> None:
    (tmp_path / "tds.slice").write_text("[Slice]\n")
    systemd.complaint = "tds.slice:2: Failed to parse CPUWeight"
    answer = put()
    assert answer["failed"]
    assert "Failed to parse CPUWeight" in answer["msg"]
    assert (tmp_path / "tds.slice").read_text() == "[Slice]\n"


def test_a_systemd_that_does_not_read_it_is_a_failure(systemd: Systemd, put: Put) -> None:
    systemd.stale, systemd.obeys = True, False
    assert "has not read" in put()["msg"]
