"""Wherever a run is killed, what was or what is declared is left running, and the next run mends the rest."""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import on

testinfra_hosts = ["ansible://mon1"]


def drive(host: Host, *words: object) -> Any:
    """What the driver on a host answers."""
    done = host.run(f"cd /srv/kills && python3 -m driver {' '.join(map(str, words))}")
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        ("configuration", "systemctl reload victim.service"),
        ("release", "systemctl restart victim.service"),
        ("installation", "useradd"),
    ],
)
def test_a_kill_at_any_call_leaves_no_half_state(kind: str, act: str, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = [on(name) for name in os.environ["LAB_HOSTS"].split()]
    with ThreadPoolExecutor(len(hosts)) as pool:
        parts = range(len(hosts))
        reports = list(pool.map(lambda part: drive(hosts[part], kind, part, len(hosts)), parts))
    calls, kills = reports[0]["calls"], [kill for report in reports for kill in report["kills"]]
    with capsys.disabled():
        print(f"\n{summary(kind, reports[0], kills)}")
    assert all(report["calls"] == calls for report in reports)
    assert any(call.startswith(f"while it runs: {act}") for call in calls)
    wrong = [kill for kill in kills if kill["half"] or kill["not_mended"]]
    assert not wrong, json.dumps(wrong, indent=1)
    assert {kill["place"] for kill in kills} == set(range(len(calls)))


def summary(kind: str, report: dict[str, Any], kills: list[dict[str, Any]]) -> str:
    """What was killed, and how it ended; the first line is short enough for Molecule's log to keep it whole."""
    ended = Counter(kill["ended"] for kill in kills)
    half, not_mended, announced = (
        sum(bool(kill[fact]) for kill in kills) for fact in ("half", "not_mended", "announced")
    )
    names = ", ".join(f"{name} {count}" for name, count in Counter(report["names"]).most_common())
    return (
        f"{kind}: {len(kills)} kills: {ended['N']} N, {ended['N+1']} N+1, {half} half states, {not_mended} not mended\n"
        f"  at {len(report['calls'])} state-changing system calls: {names}; {report['left_out']} more writes of the "
        f"same files left out; after {announced} of them the journal announces the rest"
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("nothing", None),
        ("current_was_renamed", "and the journal does not tell"),
        ("an_old_value_is_loaded", "the process is a mixture"),
        ("the_old_unit_is_loaded", "the process is a mixture"),
        ("another_binary_runs", "its binary is another"),
        ("a_file_is_torn", "etc/secret is not as it was made"),
        ("it_is_down", "nothing is served"),
    ],
)
def test_the_judge_sees_each_half_state(judged: dict[str, list[str]], state: str, told: str | None) -> None:
    complaints = judged[state]
    assert (not complaints) if told is None else any(told in complaint for complaint in complaints)


@pytest.fixture(scope="module")
def judged() -> Any:
    return drive(on("mon1"), "control")
