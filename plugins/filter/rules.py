"""Filters that turn rule sets given as data into files, and into what Prometheus must show of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError


def yaml_files(documents: Mapping[str, Any], directory: str, action: str, variable: str) -> list[dict[str, str]]:
    """One file of a generation per document, named after its key.

    Raises:
        AnsibleFilterError: ``documents`` is no mapping; the message names ``variable``.
    """
    if not isinstance(documents, Mapping):
        raise AnsibleFilterError(f"{variable} is {documents!r}: write a mapping of file names to contents")
    return [
        {
            "path": f"{directory}/{name}.yml",
            "content": f"# Ansible managed: {variable}.{name}\n"
            + yaml.safe_dump(_plain(document), sort_keys=False, allow_unicode=True, width=120),
            "action": action,
            "source": f"{variable}.{name}",
        }
        for name, document in documents.items()
    ]


def expected_rules(documents: Iterable[Any]) -> list[list[str]]:
    """``[type, name]`` of every rule, as ``/api/v1/rules`` shows them; documents of another form are the
    checker's to refuse and count as empty."""
    rules = [
        rule
        for document in documents
        if isinstance(document, Mapping)
        for group in document.get("groups") or []
        if isinstance(group, Mapping)
        for rule in group.get("rules") or []
        if isinstance(rule, Mapping)
    ]
    return sorted(
        ["alerting", str(rule["alert"])] if "alert" in rule else ["recording", str(rule.get("record"))]
        for rule in rules
    )


def rule_test_commands(tests: Mapping[str, Any], promtool: str) -> list[dict[str, Any]]:
    """One check of a generation per rule test, so that a refusal names the test."""
    return [
        {
            "command": [promtool, "test", "rules", f"{{etc}}/tests/{name}.yml"],
            "source": f"prometheus_rule_tests.{name}, or the rules that it tests",
        }
        for name in tests
    ]


def _plain(value: Any) -> Any:
    """The value in YAML's own types; Ansible's carry tags that a dumper does not know."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"yaml_files": yaml_files, "expected_rules": expected_rules, "rule_test_commands": rule_test_commands}
