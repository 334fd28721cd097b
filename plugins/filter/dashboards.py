"""Grafana's dashboards: the shipped ones with a site's values, and what is wrong with a site's own."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.catalogue import duration_ms
from ansible_collections.tds.monitoring.plugins.module_utils.dashboards import Known, unknown_metrics, with_site_values
from ansible_collections.tds.monitoring.plugins.module_utils.plain import plain

ROLES = Path(__file__).resolve().parents[2] / "roles"
FILES = ROLES / "grafana/files"
SHIPPED_RUNBOOKS = "https://github.com/tds/monitoring/blob/main/docs/runbooks"
"""As it is in the shipped dashboards."""
RECORD = re.compile(r"^ *- record: (\S+)$", re.MULTILINE)
HISTOGRAM = ("_bucket", "_sum", "_count")


def shipped_dashboards(files: Iterable[str], settings: Mapping[str, Any]) -> dict[str, str]:
    """The shipped dashboards as a site has them: JSON by name, which is the uid too.

    Args:
        files: paths of the shipped JSON.
        settings: ``thresholds`` (as prometheus_thresholds), ``runbook_url`` and ``intervals`` (how often each of
            trade, redis, duckdb, clickhouse, probes and own is scraped), each of which may be left out.

    Raises:
        AnsibleFilterError: a file that is not there or no JSON; the message names it.
    """
    return dict(_installed(tuple(sorted(map(str, files))), json.dumps(plain(settings), sort_keys=True)))


@cache
def _installed(files: Sequence[str], settings: str) -> dict[str, str]:
    """Once in a process: a role's variable is made anew wherever it is named, and this takes a tenth of a second."""
    site = json.loads(settings)
    runbooks = (SHIPPED_RUNBOOKS, str(site.get("runbook_url") or SHIPPED_RUNBOOKS).rstrip("/"))
    thresholds, intervals = site.get("thresholds") or {}, site.get("intervals") or {}
    panels = _json(FILES / "site_values.json")

    def made(path: Path) -> str:
        dashboard = with_site_values(_json(path), panels.get(path.stem, {}), thresholds, intervals, runbooks)
        return json.dumps(dashboard, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    return {path.stem: made(path) for path in map(Path, files)}


def dashboard_intervals(services: Mapping[str, Any], own: str, probes: str = "5s") -> dict[str, str]:
    """How often what the shipped dashboards show is scraped: of each kind the slowest service of the catalogue, for
    less than that its rates have holes.

    Args:
        services: ``monitored_services``.
        own: how often the exporters are.
        probes: how often probes are made.
    """
    found: dict[str, str] = {"own": own, "probes": probes}
    for service in plain(services).values():
        interval = service.get("scrape_interval")
        for kind in _kinds(service) if interval else ():
            found[kind] = max(found.get(kind, interval), interval, key=lambda each: duration_ms(each) or 0)
    return found


def _kinds(service: Mapping[str, Any]) -> list[str]:
    marks = {
        "redis": service.get("exporter") == "redis_exporter",
        "clickhouse": service.get("clickhouse"),
        "trade": service.get("contract"),
    }
    # A DuckDB has no mark of its own: its panels ask at most as often as what has none.
    return [kind for kind, marked in marks.items() if marked] or ["duckdb"]


def dashboard_findings(
    dashboards: Mapping[str, Any], known: Sequence[str] = (), rules: Mapping[str, Any] | None = None
) -> list[str]:
    """Every metric that a site's own dashboards ask for and nothing exposes, each with place and remedy.

    What is no dashboard at all is passed over: grafana_findings tells it.

    Args:
        dashboards: ``grafana_dashboards``: by name, each its JSON.
        known: further metrics, or their beginnings with ``*`` at the end (``grafana_known_metrics``).
        rules: the site's rule files, whose recording rules are known too (``prometheus_rule_files``).
    """
    if not dashboards:
        return []
    names = Known(_shipped_metrics() | set(map(str, known)) | set(_records(plain(rules or {}))))
    return [
        finding
        for name, given in plain(dashboards).items()
        for finding in _findings(f"grafana_dashboards.{name}", given, names)
    ]


def _findings(here: str, given: Any, known: Known) -> list[str]:
    try:
        dashboard = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return []
    if not isinstance(dashboard, Mapping):
        return []
    if dashboard.get("__inputs"):
        return [f"{here} has inputs that nobody is asked for here: export it without `Export for sharing externally`"]
    if "spec" in dashboard or "elements" in dashboard:
        return [f"{here} is a resource of version 2: export it from Grafana in its classic form, which has panels"]
    return [
        f"{here}, {expression.place} uses the metric {metric!r}, which nothing here exposes: "
        f"correct it{_meant(metric, known)}, or add it to grafana_known_metrics if a program of yours has it"
        for expression, metric in unknown_metrics(dashboard, known)
    ]


def _meant(metric: str, known: Known) -> str:
    close = difflib.get_close_matches(metric, known.names, n=1, cutoff=0.8)
    return f" (did you mean {close[0]}?)" if close else ""


@cache
def _shipped_metrics() -> frozenset[str]:
    """What the exporters were seen to expose, what the contracts ask of programs, and the recording rules."""
    seen = {name for file in (FILES / "metrics").glob("*.txt") for name in file.read_text(encoding="utf-8").split()}
    contracts = yaml.safe_load((ROLES / "prometheus/vars/main/contract.yml").read_text(encoding="utf-8"))
    asked = {
        metric["name"] + end
        for metrics in contracts.values()
        if isinstance(metrics, list)
        for metric in metrics
        for end in (HISTOGRAM if metric["type"] == "histogram" else ("",))
    }
    templates = (ROLES / "prometheus/templates").glob("**/*.yml.j2")
    records = {name for file in templates for name in RECORD.findall(file.read_text(encoding="utf-8"))}
    return frozenset(seen | asked | records)


def _records(rules: Any) -> Iterable[str]:
    """Names of the recording rules in a site's rule files; what has another form is the checker's to refuse."""
    if isinstance(rules, Mapping):
        if isinstance(rules.get("record"), str):
            yield rules["record"]
        yield from (name for part in rules.values() for name in _records(part))
    elif isinstance(rules, list):
        yield from (name for part in rules for name in _records(part))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnsibleFilterError(f"{path}: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "shipped_dashboards": shipped_dashboards,
            "dashboard_intervals": dashboard_intervals,
            "dashboard_findings": dashboard_findings,
        }
