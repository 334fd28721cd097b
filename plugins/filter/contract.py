"""What a program of the site's own exposes, compared with what the rules expect of it.

The input is Prometheus' own word, so that names are judged as rules will find them. Pure functions of their arguments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
CLOSE = 0.8
"""A slip of the pen is this like what was meant; a name of the same fashion is not."""
COLUMNS = ("service", "instance", "metric", "finding")


@dataclass
class Exposed:
    """What one instance exposes: the type by name, and the labels of each series by name."""

    types: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[Mapping[str, str]]] = field(default_factory=lambda: defaultdict(list))


def contract_findings(
    targets: Iterable[Sequence[str]],
    services: Mapping[str, str],
    contracts: Mapping[str, Sequence[Mapping[str, Any]]],
    metadata: Iterable[Mapping[str, Any]],
    series: Iterable[Mapping[str, str]],
    thresholds: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Everything in which a service's instances differ from its contract, by instance.

    Args:
        targets: job and instance of every declared target.
        services: name of the contract by service; other services are not looked at.
        contracts: the metrics of each contract, as in ``roles/prometheus/vars/main/contract.yml``.
        metadata: ``data`` of Prometheus' ``/api/v1/targets/metadata``.
        series: the labels of the current series, ``__name__`` too.
        thresholds: what rules compare with, by name; a histogram needs a bucket that ends at its own.
    """
    seen = _exposed(metadata, series)
    return [
        dict(zip(COLUMNS, (service, instance, metric, finding), strict=True))
        for service, instance in targets
        if service in services
        for metric, finding in _instance_findings(contracts[services[service]], seen[service, instance], thresholds)
    ]


def contract_table(findings: Sequence[Mapping[str, str]]) -> list[str]:
    """Findings as lines whose columns line up."""
    rows = [COLUMNS, *([finding[column] for column in COLUMNS] for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _exposed(
    metadata: Iterable[Mapping[str, Any]], series: Iterable[Mapping[str, str]]
) -> dict[tuple[str, str], Exposed]:
    found: dict[tuple[str, str], Exposed] = defaultdict(Exposed)
    for entry in metadata:
        found[entry["target"]["job"], entry["target"]["instance"]].types[entry["metric"]] = entry["type"]
    for labels in series:
        found[labels.get("job", ""), labels.get("instance", "")].series[labels["__name__"]].append(labels)
    return found


def _instance_findings(
    contract: Sequence[Mapping[str, Any]], exposed: Exposed, thresholds: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    if not exposed.types:
        yield "all", "Prometheus has nothing from this instance: is it up?"
        return
    named = {_family(metric["name"], metric["type"]) for metric in contract}
    strangers = [name for name in exposed.types if _family(name, exposed.types[name]) not in named]
    for metric in contract:
        if finding := _finding(metric, exposed, strangers, thresholds):
            yield metric["name"], finding


def _family(name: str, kind: str) -> str:
    """The name in a page's TYPE line, where OpenMetrics leaves out a counter's ending."""
    return name.removesuffix("_total") if kind == "counter" else name


def _finding(
    metric: Mapping[str, Any], exposed: Exposed, strangers: Sequence[str], thresholds: Mapping[str, Any]
) -> str | None:
    name, wanted = metric["name"], metric["type"]
    kind = exposed.types.get(name) or exposed.types.get(_family(name, wanted))
    if kind is None:
        close = get_close_matches(name, strangers, n=1, cutoff=CLOSE)
        return f"is missing: did you mean it by {close[0]}?" if close else f"is missing: expose it as a {wanted}"
    if kind != wanted:
        return f"is exposed as {kind}: make it a {wanted}"
    parts = HISTOGRAM_PARTS if wanted == "histogram" else ("",)
    if absent := [part for part in parts if not exposed.series.get(name + part)]:
        return f"has no series {name}{absent[0]} yet: begin each of its label values at 0 when the program starts"
    first = exposed.series[name + parts[0]]
    missing = [label for label in metric["labels"] if not all(label in labels for labels in first)]
    if missing:
        return f"lacks the label {', '.join(missing)}"
    if wanted == "histogram" and (threshold := thresholds.get(metric.get("threshold", ""))) is not None:
        return _bucket_finding(first, float(threshold))
    return None


def _bucket_finding(buckets: Sequence[Mapping[str, str]], threshold: float) -> str | None:
    ends = sorted({float(labels["le"]) for labels in buckets})
    if threshold in ends:
        return None
    shown = ", ".join(f"{end:g}" for end in ends)
    return f"has no bucket that ends at {threshold:g}, which its alert compares with: it has {shown}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (contract_findings, contract_table)}
