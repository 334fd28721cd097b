"""Proof: what probes ask, and when a proof holds, fails or waits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.proof import Unproven, check, prove, walk

PAGE = """\
# HELP up Whether it is up.
# TYPE up gauge
up 1
reloaded_at 1.7e+09
file_read{name="a",kind="a \\"b\\""} 1000
file_read{name="b"} 7
"""
RULES = json.dumps(
    {"data": {"groups": [{"rules": [{"name": "A", "type": "x"}]}, {"rules": [{"name": "B", "type": "x"}]}]}}
)
ACTED_AT = 1.7e9


def ask(probe: dict[str, Any], body: str = PAGE, acted_at: float | None = ACTED_AT) -> str | None:
    return check({"url": "http://x/"} | probe, acted_at, lambda _url: body)


@pytest.mark.parametrize(
    "probe",
    [
        {},
        {"metric": {"name": "up"}},
        {"metric": {"name": "up", "value": 1.0}},
        {"metric": {"name": "reloaded_at", "after_action": True}},
        {"metric": {"name": "file_read", "labels": {"name": "a"}, "value": 1000}},
    ],
)
def test_a_probe_holds(probe: dict[str, Any]) -> None:
    assert ask(probe) is None


@pytest.mark.parametrize(
    ("metric", "answer"),
    [
        ({"name": "u"}, "u is missing"),
        ({"name": "up", "labels": {"a": "b"}}, r"up\{'a': 'b'\} is missing"),
        ({"name": "up", "value": 0.0}, "up is 1 instead of 0"),
        (
            {"name": "file_read", "labels": {"name": "b"}, "value": 1000.0},
            "is 7 instead of 1000",
        ),
    ],
)
def test_a_metric_that_is_not_as_it_must_be_is_told(metric: dict[str, Any], answer: str) -> None:
    assert ask({"metric": metric}) is not None
    with pytest.raises(AssertionError, match=answer):
        raise AssertionError(ask({"metric": metric}))


def test_a_reload_before_the_action_proves_nothing() -> None:
    probe = {"metric": {"name": "reloaded_at", "after_action": True}}
    assert ask(probe, acted_at=ACTED_AT + 5) == "http://x/: reloaded_at is 5.0 s older than the action"
    assert ask(probe, acted_at=None) is None  # nothing was done, so nothing is newer


ROWS = {"at": "data.groups.rules", "keys": ["type", "name"]}


def test_rows_are_equal_in_any_order() -> None:
    assert ask({"rows": ROWS | {"equal": [["x", "B"], ["x", "A"]]}}, RULES) is None


@pytest.mark.parametrize(
    ("equal", "told"),
    [
        ([["x", "A"]], "also has ['x', 'B']"),
        ([["x", "A"], ["x", "B"], ["x", "C"]], "lacks ['x', 'C']"),
        ([["x", "A"], ["x", "B"], ["x", "B"]], "lacks ['x', 'B']"),
    ],
)
def test_rows_that_differ_are_named(equal: list[list[str]], told: str) -> None:
    assert ask({"rows": ROWS | {"equal": equal}}, RULES) == f"http://x/: data.groups.rules {told}"


def test_an_answer_that_is_no_json_or_none_at_all_is_told() -> None:
    assert ask({"rows": ROWS | {"equal": []}}, "<html>") == "http://x/: is not JSON"

    def refuse(_url: str) -> str:
        raise ConnectionRefusedError("refused")

    assert check({"url": "http://x/"}, None, refuse) == "http://x/ does not answer: refused"


def test_walk_flattens_lists_and_passes_over_what_is_not_there() -> None:
    assert walk({"a": [{"b": [1, 2]}, {"c": 3}, {"b": 4}]}, "a.b") == [1, 2, 4]
    assert walk({"a": 1}, "x.y") == []


class Process:
    """A process and a clock that only moves when the proof sleeps."""

    def __init__(self, ready_at: float = 0, dies_at: float = 1e9, progresses_until: float = 0) -> None:
        self.now = 0.0
        self.ready_at, self.dies_at, self.progresses_until = ready_at, dies_at, progresses_until

    def fetch(self, _url: str) -> str:
        if self.now < self.ready_at:
            raise ConnectionRefusedError("not yet")
        return PAGE

    def exited(self) -> str | None:
        return "the process exited" if self.now >= self.dies_at else None

    def progress(self) -> str:
        return str(min(self.now, self.progresses_until))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def prove(self, acted_at: float | None = 1.0, timeout: float = 20) -> float:
        prove(
            [{"url": "http://x/"}], acted_at, timeout=timeout, fetch=self.fetch, exited=self.exited,
            progress=self.progress, clock=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip
        return self.now


def test_a_restarted_process_must_live_for_a_second() -> None:
    assert Process().prove() >= 1
    assert Process().prove(acted_at=None) == 0


def test_a_process_that_exits_fails_at_once_also_when_another_answers_in_its_place() -> None:
    process = Process(dies_at=0.5)
    with pytest.raises(Unproven, match="the process exited"):
        process.prove()
    assert process.now < 1


def test_a_proof_fails_at_its_timeout_with_what_did_not_hold() -> None:
    process = Process(ready_at=1e9)
    with pytest.raises(Unproven, match="not yet"):
        process.prove()
    assert 20 <= process.now < 21


def test_a_proof_that_holds_does_not_fail_for_the_second_that_the_process_must_live() -> None:
    assert Process().prove(timeout=0.5) >= 1


def test_a_slow_start_is_awaited_while_it_progresses_and_no_longer() -> None:
    assert Process(ready_at=300, progresses_until=290).prove() >= 300
    stuck = Process(ready_at=1e9, progresses_until=100)
    with pytest.raises(Unproven):
        stuck.prove()
    assert 120 <= stuck.now < 122
