"""What holds for every alert, whichever file it is in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import runbooks
from tests.contract.roles import Role
from tests.metrics import names
from tests.rules.mutation import Rule, RuleFile
from tests.rules.record import SYNTHETIC, recorded
from tests.rules.rendering import ROLE, SHIPPED_THRESHOLDS, rule_files, variables

ANNOTATIONS = {"summary", "description", "runbook_url"}
EMPTY = re.compile(r"<no value>|%!|  |^ | $| \.|\{\{")
"""What is left of a text when a label or value was not there."""
HISTOGRAM = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def files(shipped: Path) -> list[RuleFile]:
    return [RuleFile.read(shipped, name) for name in rule_files()]


@pytest.fixture(scope="module")
def alerts(files: list[RuleFile]) -> list[Rule]:
    return [rule for file in files for rule in file.rules if "alert" in rule]


@pytest.fixture(scope="module")
def questions(files: list[RuleFile]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What the tests ask of alerts, each with its test."""
    return [(test, question) for file in files for test in file.tests["tests"] for question in test["alert_rule_test"]]


def test_every_alert_has_a_severity_and_says_what_it_is_and_what_to_do(alerts: list[Rule]) -> None:
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}, alert["alert"]
        assert alert["annotations"].keys() == ANNOTATIONS, alert["alert"]
        assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert['alert']}.md")


def test_the_trade_path_is_grouped_by_severity(files: list[RuleFile]) -> None:
    """As the requirements ask."""
    groups = [group for file in files for group in file.groups if group["name"].startswith("trade-system-")]
    for group in groups:
        severities = {rule["labels"]["severity"] for rule in group["rules"] if "alert" in rule}
        assert severities <= {group["name"].removeprefix("trade-system-")}, group["name"]


def test_an_alert_of_a_name_that_is_there_twice_has_labels_to_tell_it_by(alerts: list[Rule]) -> None:
    found = Counter((alert["alert"], *sorted(alert["labels"].items())) for alert in alerts)
    assert [labels for labels, times in found.items() if times > 1] == []


def test_every_alert_has_a_runbook_and_every_runbook_an_alert(alerts: list[Rule]) -> None:
    assert {path.stem for path in runbooks.files()} == {alert["alert"] for alert in alerts}


def test_every_alert_is_made_to_fire(
    alerts: list[Rule], questions: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    fired = {question["alertname"] for _, question in questions if question["exp_alerts"]}
    assert {alert["alert"] for alert in alerts} - fired == set()


def test_every_alert_is_asked_without_data(
    alerts: list[Rule], questions: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    asked = {question["alertname"] for test, question in questions if not test.get("input_series")}
    assert {alert["alert"] for alert in alerts} - asked == set()


def test_annotations_have_no_holes(questions: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """promtool compares them with what the tests expect; here it is what they expect."""
    for _, question in questions:
        for expected in question["exp_alerts"]:
            assert expected["exp_annotations"].keys() == ANNOTATIONS, question["alertname"]
            for text in expected["exp_annotations"].values():
                assert text
                assert not EMPTY.search(text), f"{question['alertname']}: {text!r}"


def contract() -> Iterator[str]:
    """The names that the site's own programs must expose."""
    for part, metrics in variables("contract").items():
        if isinstance(metrics, list):
            assert part.startswith("__prometheus_contract_")
            for metric in metrics:
                ends = HISTOGRAM if metric["type"] == "histogram" else ("",)
                yield from (metric["name"] + end for end in ends)


def strangers(expressions: dict[str, list[str]], records: set[str]) -> list[str]:
    """Which expression, by the name of its place, speaks of a metric that nothing exposes."""
    known = recorded() | set(contract()) | records
    return sorted(
        f"{place}: {name}"
        for place, texts in expressions.items()
        for text in texts
        for name in names(text)
        if name not in known and (":" in name or not SYNTHETIC.fullmatch(name))
    )


@pytest.fixture(scope="module")
def records(files: list[RuleFile]) -> set[str]:
    return {rule["record"] for file in files for rule in file.rules if "record" in rule}


def test_rules_speak_of_metrics_that_are_there(files: list[RuleFile], records: set[str]) -> None:
    """`python3 -m tests.rules.record LAB` writes down what the programs of a lab expose."""
    assert recorded()
    rules = {(rule.get("alert") or rule["record"]): [rule["expr"]] for file in files for rule in file.rules}
    assert strangers(rules, records) == []
    assert strangers({"a": ["rate(redis_evicted_keys[1m]) > up"]}, records) == ["a: redis_evicted_keys"]


def test_a_runbook_asks_for_what_is_there(records: set[str]) -> None:
    asked = {path.stem: runbooks.queries(path) for path in runbooks.files()}
    assert [name for name, queries in asked.items() if not queries] == []
    assert strangers(asked, records) == []


def test_the_list_of_runbooks_is_current(alerts: list[Rule]) -> None:
    assert runbooks.README.read_text(encoding="utf-8") == runbooks.listing(alerts), "stale: run `make docs`"


def test_every_threshold_is_documented() -> None:
    options = Role(ROLE).options["prometheus_thresholds"]["options"]
    assert {name: option["default"] for name, option in options.items()} == SHIPPED_THRESHOLDS


def test_every_threshold_is_used() -> None:
    templates = [ROLE / "templates" / f"{name}.yml.j2" for name in rule_files()]
    text = "".join(path.read_text(encoding="utf-8") for path in [*templates, ROLE / "vars/main/rules.yml"])
    composed = [re.sub(r"%\w", r"\\w+", name) + r"\w*" for name in re.findall(r"\['([\w%]+)' [~%]", text)]
    used = re.compile("|".join([*re.findall(r"(?<=\.)\w+", text), *composed]))
    assert [name for name in SHIPPED_THRESHOLDS if not used.fullmatch(name)] == []
