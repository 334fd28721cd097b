"""Runs that meet each other, or die half way, whatever it is that dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from subprocess import Popen
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Play, begin_playbook, eventually, installation, lab, lab_name
from tests.probe import ARP, OTHER_FLAGS, assert_the_declaration_is_in_force, served

testinfra_hosts = ["ansible://mon1"]


def test_of_two_runs_at_once_none_is_mixed_with_the_other(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda value: play(probe_value=value, probe_flags=OTHER_FLAGS), (11, 12)))
    for run in runs:
        assert run.code == 0 or "another run is changing probe on this host: process " in run.output
    assert 0 in {run.code for run in runs}
    shown = served(host)
    assert ARP in shown
    assert shown["probe_value"] in {value for value, run in zip((11, 12), runs, strict=True) if run.code == 0}
    assert play(probe_value=int(shown["probe_value"]), probe_flags=OTHER_FLAGS).changed == 0


def awaits_proof(host: Host) -> bool:
    last = json.loads(host.check_output("tail -n 1 /opt/tds/probe/journal"))
    return bool(last["event"] == "acted")


CHECKER = "^sleep 100$"  # others sleep too


def judges_the_staged(host: Host) -> bool:
    return host.run("pgrep --full %s", CHECKER).rc == 0


# How far a run comes, what holds it up there for longer than any test takes, and what lets it go on.
STAGES: dict[str, tuple[Callable[[Host], bool], dict[str, Any], str]] = {
    "judges the staged": (
        judges_the_staged,
        {"daemon_checks": [{"command": ["sleep", "100"]}]},
        f"pkill --full '{CHECKER}'",
    ),
    "awaits the proof": (
        awaits_proof,
        {"daemon_proof": [{"url": "http://127.0.0.1:9/"}], "daemon_proof_timeout": 100},
        "systemctl kill --signal=KILL probe",
    ),
}


def the_module(host: Host, _play: Popen[str]) -> None:
    host.check_output("kill -KILL %s", holder(host))


def the_controller(_host: Host, play: Popen[str]) -> None:
    os.killpg(play.pid, signal.SIGKILL)


def the_connection(host: Host, _play: Popen[str]) -> None:
    with suppress(RuntimeError):  # the connection that asks for it is one of those that end
        host.run("pkill -KILL --full '^sshd.*root@notty'")


def the_power(_host: Host, _play: Popen[str]) -> None:
    lab("cut", lab_name(), "mon1")
    lab("reboot", lab_name(), "mon1")


def holder(host: Host) -> str:
    """The process that has the lock, or had it last."""
    return str(host.check_output("cat /opt/tds/probe/lock")).split(",")[0].removeprefix("process ")


def is_over(host: Host) -> bool:
    return bool(host.run("flock --nonblock /opt/tds/probe/lock true").rc == 0)


def serves_one_whole_generation(host: Host) -> bool:
    """Value and flags are of the declaration before or of the new one, and the process runs the release in force."""
    shown = served(host)
    if not shown:
        return False
    state = (shown["probe_value"], ARP in shown)
    # The value is in force at the switch, the flags at the restart that follows.
    assert state in {(1, False), (2, True), (2, False)}, state
    return state != (2, False)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "kill",
    [the_module, *(pytest.param(kill, marks=pytest.mark.once) for kill in (the_controller, the_connection)), the_power],
)
def test_whatever_dies_leaves_a_whole_generation_and_the_next_run_heals(
    host: Host, play: Play, stage: str, kill: Callable[[Host, Popen[str]], None]
) -> None:
    reached, obstacle, release = STAGES[stage]
    with begin_playbook(probe_value=2, probe_flags=OTHER_FLAGS, **obstacle) as run:
        try:
            assert eventually(lambda: reached(host), 20)
            before = installation(host, "probe")
            second = play(probe_value=3)
            assert second.code == 2
            assert "another run is changing probe on this host: process " in second.output
            assert installation(host, "probe") == before
            kill(host, run)
            run.communicate(timeout=60)
            assert run.returncode != 0
            assert eventually(lambda: serves_one_whole_generation(host), 10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            host.run(release)
    # What lost its controller or its connection goes on, and back; the lock says until when.
    assert eventually(lambda: is_over(host), 45)
    assert eventually(lambda: serves_one_whole_generation(host), 10)
    healed = play()
    assert healed.code == 0, healed.output
    assert_the_declaration_is_in_force(host)
    assert not healed.changed or play().changed == 0
