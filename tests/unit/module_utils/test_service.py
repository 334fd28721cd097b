"""What the service module reads from a process; systemd itself is met in molecule/daemon."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import service
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Action

SHOWN = """\
ActiveState=active
SubState=running
MainPID=0
NRestarts=0
UnitFileState=enabled
LoadState=loaded
FragmentPath=/etc/systemd/system/demo.service
NeedDaemonReload={}
"""


@pytest.mark.parametrize(
    ("ours", "root", "told"),
    [
        ("yes", "no", ["demo.service: was changed on disk and not loaded"]),
        ("yes", "yes", []),  # another unit was enabled: no reason to restart this one
        ("no", "no", []),
    ],
)
def test_a_unit_that_is_stale_is_told_from_all_units_that_are(
    monkeypatch: pytest.MonkeyPatch, ours: str, root: str, told: list[str]
) -> None:
    def systemctl(command: list[str]) -> subprocess.CompletedProcess[str]:
        shown = f"{root}\n" if command[-1] == "-.slice" else SHOWN.format(ours)
        return subprocess.CompletedProcess(command, 0, shown, "")

    monkeypatch.setattr(service, "run", systemctl)
    assert [str(drift) for drift in service.Service("demo").drift(None)] == told


def state_of(pid: int) -> service.State:
    return service.State(True, False, pid, 0, True, False, False, service._executable(pid))


def test_a_script_of_a_release_is_told_from_another_releases(tmp_path: Path) -> None:
    """Its executable is the interpreter; the script is the word after the interpreter's only option."""
    for version in ("1.0", "1.1"):
        script = tmp_path / version / "server"
        script.parent.mkdir()
        script.write_text("#!/bin/sh -e\necho up\nread _line\n")
        script.chmod(0o755)
    (tmp_path / "current").symlink_to("1.1")
    command = [str(tmp_path / "current/server"), "/argument"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"  # by now the kernel shows its arguments
        state = state_of(process.pid)
        assert service._runs(state, tmp_path / "1.1")
        assert not service._runs(state, tmp_path / "1.0")
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("ActiveState=activating\nSubState=auto-restart\nNRestarts=0", "the process exited"),
        ("ActiveState=active\nSubState=running\nNRestarts=1", "the process exited"),  # systemd has started another
        ("ActiveState=active\nSubState=running\nNRestarts=0", "systemctl reload demo.service: Job failed."),
    ],
)
def test_a_reload_that_fails_because_the_process_died_says_so(
    monkeypatch: pytest.MonkeyPatch, shown: str, told: str
) -> None:
    def systemctl(command: list[str]) -> subprocess.CompletedProcess[str]:
        verb = command[1]
        return subprocess.CompletedProcess(command, int(verb == "reload"), shown * (verb == "show"), "Job failed.\n")

    monkeypatch.setattr(service, "run", systemctl)
    with pytest.raises(service.ServiceError) as error:
        service.Service("demo").act(Action.RELOAD)
    assert str(error.value) == told


STARTED = ["Started demo.service.", "level=INFO msg=listening"]
DIED = ["panic: nil map", "demo.service: Main process exited, code=killed, status=11/SEGV"]
RESTART = "demo.service: Scheduled restart job, restart counter is at 1."


@pytest.mark.parametrize(
    ("since", "told"),
    [
        ([*STARTED, *DIED], DIED),
        ([*STARTED, *DIED, RESTART, *STARTED], DIED),
        ([], ["long ago"]),
    ],
)
def test_last_words_are_those_of_the_process_that_ended(
    monkeypatch: pytest.MonkeyPatch, since: list[str], told: list[str]
) -> None:
    asked = []

    def journalctl(command: list[str], **_options: float) -> subprocess.CompletedProcess[str]:
        asked.append(command[1])
        if command[1] == "--sync":
            raise service.ServiceError("timed out")  # then what there is must do
        return subprocess.CompletedProcess(command, 0, "\n".join(since or ["long ago"] * ("=2" in command[1])), "")

    monkeypatch.setattr(service, "run", journalctl)
    assert service.Service("demo").last_words(7.5, lines=2) == told
    assert asked[:2] == ["--sync", "--since=@7.5"]
