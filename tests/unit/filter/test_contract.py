"""The contract filter: whatever a developer can get wrong is told, and only that."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter import contract as subject

CONTRACT = [
    {"name": "sync_latency_seconds", "type": "gauge", "labels": []},
    {"name": "orders_total", "type": "counter", "labels": ["result"]},
    {"name": "order_seconds", "type": "histogram", "labels": ["side"], "threshold": "order_seconds"},
]
TARGET = {"job": "backend", "instance": "backend:8000"}
GOOD: dict[str, tuple[str, list[dict[str, str]]]] = {
    "sync_latency_seconds": ("gauge", [{}]),
    "orders_total": ("counter", [{"result": "filled"}, {"result": "failed"}]),
    "order_seconds": ("histogram", [{"side": "buy"}]),
    "python_info": ("gauge", [{"version": "3"}]),
}
ENDS = ("0.1", "0.25", "+Inf")


def findings(
    exposed: dict[str, tuple[str, list[dict[str, str]]]], ends: tuple[str, ...] = ENDS, **thresholds: float
) -> list[dict[str, str]]:
    metadata = [{"target": TARGET, "metric": name, "type": kind} for name, (kind, _series) in exposed.items()]
    series: list[dict[str, str]] = []
    for name, (kind, labels) in exposed.items():
        parts: list[dict[str, str]] = (
            [{}] if kind != "histogram" else [{"part": "_sum"}, {"part": "_count"}, *({"le": end} for end in ends)]
        )
        for each in labels:
            for part in parts:
                full = name + part.get("part", "_bucket" if "le" in part else "")
                series.append({"__name__": full, **TARGET, **each, **({"le": part["le"]} if "le" in part else {})})
    return subject.contract_findings(
        [["backend", "backend:8000"], ["redis", "redis:6379"]],
        {"backend": "desk"},
        {"desk": CONTRACT},
        metadata,
        series,
        {"order_seconds": 0.25} | thresholds,
    )


def test_a_service_that_keeps_its_contract_has_no_finding() -> None:
    assert findings(GOOD) == []


def test_openmetrics_leaves_out_a_counters_ending_and_that_is_no_finding() -> None:
    metadata = [{"target": TARGET, "metric": "orders", "type": "counter"}]
    series = [{"__name__": "orders_total", **TARGET, "result": "filled"}]
    assert (
        subject.contract_findings(
            [["backend", "backend:8000"]], {"backend": "desk"}, {"desk": CONTRACT[1:2]}, metadata, series, {}
        )
        == []
    )


@pytest.mark.parametrize(
    ("change", "metric", "said"),
    [
        ({"sync_latency_seconds": None}, "sync_latency_seconds", "is missing: expose it as a gauge"),
        (
            {"sync_latency_seconds": None, "sync_latency_second": ("gauge", [{}])},
            "sync_latency_seconds",
            "is missing: did you mean it by sync_latency_second?",
        ),
        ({"sync_latency_seconds": ("counter", [{}])}, "sync_latency_seconds", "is exposed as counter: make it a gauge"),
        ({"orders_total": ("counter", [{"outcome": "x"}])}, "orders_total", "lacks the label result"),
        ({"orders_total": ("counter", [])}, "orders_total", "has no series orders_total yet: begin each"),
        ({"order_seconds": ("histogram", [{}])}, "order_seconds", "lacks the label side"),
        ({"order_seconds": ("gauge", [{"side": "buy"}])}, "order_seconds", "is exposed as gauge: make it a histogram"),
    ],
)
def test_each_mistake_is_the_only_finding(change: dict[str, Any], metric: str, said: str) -> None:
    exposed = {name: entry for name, entry in (GOOD | change).items() if entry}
    (found,) = findings(exposed)
    assert (found["service"], found["instance"], found["metric"]) == ("backend", "backend:8000", metric)
    assert found["finding"].startswith(said)


def test_a_histogram_needs_a_bucket_that_ends_at_its_threshold() -> None:
    (found,) = findings(GOOD, order_seconds=0.2)
    assert found["finding"] == ("has no bucket that ends at 0.2, which its alert compares with: it has 0.1, 0.25, inf")
    assert findings(GOOD, ("0.1", "0.2", "+Inf"), order_seconds=0.2) == []


def test_an_instance_that_prometheus_has_nothing_from_is_one_finding() -> None:
    (found,) = findings({})
    assert (found["metric"], found["finding"]) == ("all", "Prometheus has nothing from this instance: is it up?")


def test_the_table_lines_up() -> None:
    lines = subject.contract_table(findings({}) + findings({**GOOD, "orders_total": ("gauge", [{}])}))
    assert (
        len({line.index(word) for line, word in zip(lines, ("finding", "Prometheus", "is exposed"), strict=True)}) == 1
    )
