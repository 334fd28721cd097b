"""Rules with one thing changed each, and whether the tests notice.

A rule is looked at with what it is made of (the recording rules that it reads, and those that they read) and with the
tests that speak of it: that takes a twentieth of the time of all rules with all tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

from tests.metrics import names, nodes

Rule = dict[str, Any]
OPPOSITE = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
SET_OPERATORS = {"or", "and", "unless"}
LONGER = 20
"""How many times as long a changed duration is."""


@dataclass(frozen=True)
class Mutant:
    """A rule in whose place another stands."""

    original: Rule
    changed: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.original.get('alert') or self.original['record']}: {self.what}"


@dataclass(frozen=True)
class RuleFile:
    """A rendered rule file with its tests."""

    groups: list[dict[str, Any]]
    tests: dict[str, Any]

    @classmethod
    def read(cls, directory: Path, name: str) -> RuleFile:
        rules = yaml.safe_load((directory / f"{name}.yml").read_text(encoding="utf-8"))
        tests = yaml.safe_load((directory / f"tests/{Path(name).name}.yml").read_text(encoding="utf-8"))
        return cls(rules["groups"], tests)

    @property
    def rules(self) -> list[Rule]:
        return [rule for group in self.groups for rule in group["rules"]]

    def alerts_on(self, rule: Rule) -> set[str]:
        """The alert itself, or those that a recording rule is for."""
        if "alert" in rule:
            return {rule["alert"]}
        readers = [other for other in self.rules if rule["record"] in names(other["expr"])]
        return {alert for reader in readers for alert in self.alerts_on(reader)}

    def made_of(self, metrics: set[str]) -> set[str]:
        """These recorded metrics, and those that they are made of."""
        records = {rule["record"]: rule for rule in self.rules if rule.get("record") in metrics}
        deeper = {name for rule in records.values() for name in names(rule["expr"])}
        return metrics | (self.made_of(deeper) if deeper - metrics else deeper)

    def excerpt(self, mutant: Mutant) -> tuple[dict[str, Any], dict[str, Any]]:
        """The rules with the mutant in them, and the tests, as far as it matters."""
        alerts = self.alerts_on(mutant.original)
        read = {name for rule in self.rules if rule.get("alert") in alerts for name in names(rule["expr"])}
        wanted = alerts | self.made_of(read)
        groups = [
            group
            | {
                "rules": [
                    mutant.changed if rule is mutant.original else rule
                    for rule in group["rules"]
                    if (rule.get("alert") or rule["record"]) in wanted
                ]
            }
            for group in self.groups
        ]
        tests = [test for test in self.tests["tests"] if alerts & asked(test)]
        return {"groups": groups}, self.tests | {"tests": tests, "rule_files": ["rules.yml"]}


def asked(test: dict[str, Any]) -> set[str]:
    """The alerts that a test asks about."""
    return {question["alertname"] for question in test.get("alert_rule_test", [])}


def promtool_says(promtool: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # It lives for seconds: a third of them would go into collecting garbage.
    environment = os.environ | {"GOGC": "400"}
    return subprocess.run(
        [promtool, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def passes(promtool: Path, rules: dict[str, Any], tests: dict[str, Any], directory: Path) -> bool:
    directory.mkdir()
    # JSON is YAML, and a hundred times as fast to write.
    (directory / "rules.yml").write_text(json.dumps(rules), encoding="utf-8")
    (directory / "tests.yml").write_text(json.dumps(tests), encoding="utf-8")
    return not promtool_says(promtool, directory, "test", "rules", "tests.yml").returncode


def mutants(rule: Rule) -> Iterator[Mutant]:
    for what, expression in changed_expressions(rule["expr"]):
        yield Mutant(rule, rule | {"expr": expression}, f"{what}: {expression}")
    if "alert" not in rule:
        return
    for key in ("for", "keep_firing_for"):
        if rule.get(key, "0s") != "0s":
            longer = re.sub(r"\d+", lambda number: str(int(number[0]) * LONGER), rule[key])
            yield Mutant(rule, rule | {key: longer}, f"{key} {longer}")
            yield Mutant(rule, {name: value for name, value in rule.items() if name != key}, f"without {key}")
    severity = "info" if rule["labels"]["severity"] != "info" else "warning"
    yield Mutant(rule, rule | {"labels": rule["labels"] | {"severity": severity}}, f"severity {severity}")


def changed_expressions(expression: str) -> Iterator[tuple[str, str]]:
    """The expression with one part of it changed, for each part and each change of it."""
    tree = promql.parse(expression)
    for index, node in enumerate(nodes(tree)):
        for what, replacement in changes(node):
            yield what, str(_replaced(tree, index, promql.parse(replacement)))


def changes(node: promql.Expr) -> Iterator[tuple[str, str]]:
    """What may stand in place of one part."""
    if isinstance(node, promql.BinaryExpr) and str(node.op) in SET_OPERATORS:
        yield f"without what is after {node.op}", str(node.lhs)
        if str(node.op) != "unless":
            yield f"without what is before {node.op}", str(node.rhs)
    elif isinstance(node, promql.BinaryExpr) and str(node.op) in OPPOSITE:
        yield "the opposite", f"({node.lhs}) {OPPOSITE[str(node.op)]} ({node.rhs})"
        if isinstance(node.rhs, promql.NumberLiteral):
            for what, number in other_thresholds(node.rhs.val):
                yield f"a {what} threshold", f"({node.lhs}) {node.op} {number}"
    elif isinstance(node, promql.AggregateExpr):
        yield "one for all", f"{node.op}({node.expr})" if node.param is None else str(node.expr)
    elif isinstance(node, promql.VectorSelector):
        matchers = [f'{each.name}{_operator(each)}"{each.value}"' for each in node.matchers.matchers]
        for index, matcher in enumerate(matchers):
            rest = ", ".join(matchers[:index] + matchers[index + 1 :])
            yield f"without {matcher}", f"{node.name or ''}{{{rest}}}"


def other_thresholds(number: float) -> Iterator[tuple[str, float]]:
    """A tenth more and less; of what is counted at least one."""
    step = max(abs(number) / 10, 1.0 if number == int(number) and number > 1 else 0.0)
    if step:
        yield "higher", number + step
        yield "lower", number - step
    else:
        yield "higher", 1e9


def _operator(matcher: promql.Matcher) -> str:
    return {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}[str(matcher.op).rpartition(".")[2]]


def _replaced(tree: promql.Expr, index: int, replacement: promql.Expr) -> promql.Expr:
    counter = iter(range(10_000))
    return promql.transform(tree, pre_visit=lambda _: replacement if next(counter) == index else None)
