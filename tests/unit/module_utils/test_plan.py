"""The planning core: every case is a line of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import plan as planning
from ansible_collections.tds.monitoring.plugins.module_utils.plan import (
    UNCHANGED,
    Action,
    Drift,
    FileFact,
    Manifest,
    Observed,
    Refusal,
    Release,
)
from hypothesis import given
from hypothesis import strategies as st

N = Manifest(
    generation=4,
    release=Release("3.9.2", "a" * 64, ("prometheus",)),
    files={
        "unit": FileFact("u", "0644"),
        "env": FileFact("e", "0644"),
        "etc/prometheus.yml": FileFact("p", "0640", "reload"),
        "etc/targets.yml": FileFact("t", "0640", "none"),
    },
    links={"/prometheus/rules.yml": "/etc/prometheus/rules.yml"},
    data=("/prometheus/data",),
    proof=({"url": "http://127.0.0.1:9090/-/ready"},),
)


def with_file(path: str, **changes: Any) -> Manifest:
    return replace(N, files={**N.files, path: replace(N.files[path], **changes)})


def without_file(path: str) -> Manifest:
    return replace(N, files={other: fact for other, fact in N.files.items() if other != path})


WITH_A_BOARD = replace(  # a file that the daemon looks for by itself, and the link by which it does
    N,
    files={**N.files, "etc/dashboards/trade.json": FileFact("d", "0640", "none")},
    links={**N.links, "/etc/grafana-dashboards/trade.json": "/etc/grafana/dashboards/trade.json"},
)
DECLARED = [
    # what is declared, the least force that applies it, and the reason that is told
    (with_file("etc/targets.yml", sha256="new"), Action.NONE, "etc/targets.yml changed"),
    (with_file("etc/prometheus.yml", sha256="new"), Action.RELOAD, "etc/prometheus.yml changed"),
    (with_file("etc/prometheus.yml", mode="0600"), Action.RELOAD, "etc/prometheus.yml changed"),
    (with_file("env", sha256="new"), Action.RESTART, "env changed"),
    (with_file("unit", sha256="new"), Action.RESTART, "unit changed"),
    (without_file("etc/prometheus.yml"), Action.RELOAD, "etc/prometheus.yml removed"),
    (replace(N, files={**N.files, "etc/new": FileFact("n", "0640", "reload")}), Action.RELOAD, "etc/new added"),
    (replace(N, release=Release("3.10.0", "b" * 64)), Action.RESTART, "release 3.9.2 -> 3.10.0"),
    (WITH_A_BOARD, Action.NONE, "etc/dashboards/trade.json added"),
    (replace(N, proof=()), Action.NONE, "links, data directories or proof changed"),
    (replace(N, links={}), Action.NONE, "links, data directories or proof changed"),
]


@pytest.mark.parametrize(("declared", "action", "reason"), DECLARED)
def test_a_change_is_staged_and_applied_with_the_least_force(declared: Manifest, action: Action, reason: str) -> None:
    assert planning.plan(declared, Observed(current=N)) == planning.Plan(stage=True, action=action, reasons=(reason,))


def test_what_a_daemon_looks_for_by_itself_leaves_it_alone_when_it_goes_too() -> None:
    reasons = ("etc/dashboards/trade.json removed",)
    assert planning.plan(N, Observed(current=WITH_A_BOARD)) == planning.Plan(True, Action.NONE, reasons)


def test_what_is_in_force_and_proven_is_left_alone() -> None:
    same = replace(N, generation=0)
    assert planning.plan(same, Observed(current=N)) == UNCHANGED
    assert not UNCHANGED.changed


DRIFT = [
    (Drift("etc/rules.yml", "was edited by hand", Action.RELOAD, staged=True), True, Action.RELOAD),
    (Drift("prometheus.service", "does not run", Action.RESTART), False, Action.RESTART),
    (Drift("prometheus.service", "is not enabled"), False, Action.NONE),
]


@pytest.mark.parametrize(("drift", "stage", "action"), DRIFT)
def test_drift_is_put_right_with_a_fresh_generation_only_when_it_lies_inside_one(
    drift: Drift, stage: bool, action: Action
) -> None:
    assert planning.plan(N, Observed(current=N, drift=[drift])) == planning.Plan(stage, action, (str(drift),))


def test_the_strongest_cause_decides() -> None:
    observed = Observed(current=N, owed=Action.RESTART, drift=[DRIFT[2][0]])
    decided = planning.plan(with_file("etc/prometheus.yml", sha256="new"), observed)
    assert decided.action is Action.RESTART
    assert len(decided.reasons) == 3


def test_the_first_installation_starts_the_daemon() -> None:
    decided = planning.plan(N, Observed())
    assert (decided.stage, decided.action, decided.reasons) == (True, Action.RESTART, ("first installation",))


def test_a_host_that_someone_else_set_up_is_refused_with_what_was_found() -> None:
    with pytest.raises(Refusal, match=r"/etc/prometheus exists.*Move it away"):
        planning.plan(N, Observed(foreign=["/etc/prometheus exists"]))


def test_a_downgrade_is_refused_unless_it_is_allowed() -> None:
    older = replace(N, release=Release("3.9.1", "b" * 64))
    with pytest.raises(Refusal, match=r"3\.9\.1 is older than 3\.9\.2.*allow_downgrade"):
        planning.plan(older, Observed(current=N))
    assert planning.plan(older, Observed(current=N), allow_downgrade=True).action is Action.RESTART


@pytest.mark.parametrize(
    ("older", "newer"),
    [("3.9.2", "3.10.0"), ("3.9", "3.9.1"), ("1.86.0", "1.90.0"), ("2.55.1", "3.0.0"), ("3.13.0-rc.1", "3.13.0")],
)
def test_versions_are_compared_by_number(older: str, newer: str) -> None:
    assert planning.version_key(older) < planning.version_key(newer)


def test_a_manifest_survives_its_file() -> None:
    assert Manifest.from_json(N.to_json()) == N
    assert Manifest.from_json(replace(N, release=None).to_json()).release is None


def switch(old: int | None, new: int, action: str = "reload") -> dict[str, Any]:
    return {"event": "switch", "from": old, "to": new, "action": action}


def proven(generation: int) -> dict[str, Any]:
    return {"event": "proven", "generation": generation}


WITHDRAWN = {"event": "withdrawn", "generation": 1}
JOURNALS: list[tuple[list[dict[str, Any]], int, Action | None, int | None]] = [
    # journal, generation in force, what is owed, what to go back to
    ([switch(None, 1, "restart"), proven(1)], 1, None, 1),
    ([switch(None, 1, "restart")], 1, Action.RESTART, None),
    ([proven(1), switch(1, 2)], 1, None, 1),  # died before the rename
    ([proven(1), switch(1, 2), switch(1, 3, "restart")], 1, None, 1),  # so did two
    ([proven(1), switch(1, 2)], 2, Action.RELOAD, 1),  # died after it
    ([proven(1), switch(1, 2, "restart"), switch(2, 1, "restart")], 1, Action.RESTART, 1),  # died while rolling back
    ([proven(1), switch(1, 2), switch(2, 3, "none")], 3, Action.RELOAD, 1),  # the older debt counts too
    ([proven(1), switch(1, 2), switch(2, 1), proven(1)], 1, None, 1),
    ([proven(1), switch(1, 2), proven(2)], 1, Action.RESTART, 2),  # put in force by hand, and not proven
    ([], 1, Action.RESTART, None),  # the journal is lost
    ([proven(1), WITHDRAWN], 1, Action.RESTART, None),
]


@pytest.mark.parametrize(("journal", "current", "owed", "fallback"), JOURNALS)
def test_the_journal_tells_what_is_owed_and_what_to_go_back_to(
    journal: list[dict[str, Any]], current: int, owed: Action | None, fallback: int | None
) -> None:
    assert planning.owed(journal, current) == owed
    assert planning.last_proven(journal) == fallback


def test_the_history_has_each_proven_generation_once_the_last_proven_at_the_end() -> None:
    assert planning.history([proven(1), proven(2), proven(3), proven(2), switch(2, 4), proven(5)]) == [1, 3, 2, 5]
    assert planning.history([proven(1), WITHDRAWN, proven(7)]) == [7]


def test_a_manifest_of_a_later_module_can_be_read() -> None:
    later = N.to_json() | {"invented": 1}
    later["files"]["unit"]["invented"] = later["release"]["invented"] = 1
    assert Manifest.from_json(later) == N


hashes = st.text("0123456789abcdef", min_size=4, max_size=4)
facts = st.builds(FileFact, hashes, st.sampled_from(["0640", "0600"]), st.sampled_from(["none", "reload", "restart"]))
manifests = st.builds(Manifest, files=st.dictionaries(st.sampled_from(["unit", "env", "etc/a", "etc/b"]), facts))


@given(manifests, manifests)
def test_a_plan_changes_something_exactly_when_the_declarations_differ(declared: Manifest, current: Manifest) -> None:
    decided = planning.plan(declared, Observed(current=current))
    assert decided.changed == (declared.identity() != current.identity())
    assert decided.stage == decided.changed
