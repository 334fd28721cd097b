"""Filters that turn rule templates, and rule sets that are data, into files and into what Prometheus must show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.errors import AnsibleFilterError
from ansible.plugins.filter.core import FilterModule as AnsibleFilters
from ansible.plugins.filter.mathstuff import FilterModule as AnsibleMathematics
from ansible_collections.tds.monitoring.plugins.filter.catalogue import duration_seconds
from ansible_collections.tds.monitoring.plugins.module_utils.plain import plain

TEMPLATES = Path(__file__).resolve().parents[2] / "roles/prometheus/templates"


def shipped_rules(variables: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, str]]:
    """Files of a generation: each rule template of the role with ``variables``, and the template of its tests.

    It is Jinja alone, with Ansible's filters: through Ansible's own templating the same takes many times as long, and
    every run renders them. Rules have Prometheus' own ``{{ }}`` in them, so ours are ``[[ ]]``.

    Raises:
        AnsibleFilterError: what a template lacks or does not take, and which one it is.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, TEMPLATES / "tests"]),
        undefined=jinja2.StrictUndefined,
        variable_start_string="[[",
        variable_end_string="]]",
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # it is YAML
    )
    # Jinja's own first: some of Ansible's that are called the same count on its templating.
    environment.filters = AnsibleMathematics().filters() | AnsibleFilters().filters() | environment.filters
    environment.filters["tds.monitoring.duration_seconds"] = duration_seconds
    values = plain(variables)

    def render(path: str, action: str) -> dict[str, str]:
        try:
            content = environment.get_template(f"{path}.j2").render(values)
        except (jinja2.TemplateError, AnsibleFilterError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"{path}.j2 of the role prometheus: {error}") from error
        return {"path": path, "content": content, "action": action, "source": "prometheus_thresholds"}

    rules = [render(f"{name}.yml", "reload") for name in names]
    return rules + [render(f"tests/{Path(name).name}.yml", "none") for name in names]


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
            + yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True, width=120),
            "action": action,
            "source": f"{variable}.{name}",
        }
        for name, document in documents.items()
    ]


def expected_rules(documents: Iterable[Any]) -> list[list[str]]:
    """``[type, name]`` of every rule, as ``/api/v1/rules`` shows them, from documents or their text; those of another
    form are the checker's to refuse and count as empty."""
    rules = [
        rule
        for document in map(_document, documents)
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


def _document(given: Any) -> Any:
    return yaml.load(given, yaml.CSafeLoader) if isinstance(given, str) else given


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "yaml_files": yaml_files,
            "expected_rules": expected_rules,
            "rule_test_commands": rule_test_commands,
            "shipped_rules": shipped_rules,
        }
