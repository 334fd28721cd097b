"""What a site is told of its own dashboards, and what it gets of the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.dashboards import (
    FILES,
    SHIPPED_RUNBOOKS,
    dashboard_findings,
    dashboard_intervals,
    shipped_dashboards,
)

SHIPPED = [str(path) for path in (FILES / "dashboards").glob("*.json")]


def asking(expr: str) -> dict[str, Any]:
    return {"title": "Mine", "panels": [{"title": "P", "targets": [{"expr": expr}]}]}


WELL = {
    "an exporter's metric": asking("redis_up + node_load1"),
    "a contract's": asking("trade_fills_total + trade_order_latency_seconds_bucket + process_open_fds"),
    "a recording rule": asking("instance:trade_orders:rate1m"),
    "what Prometheus makes": asking("up + ALERTS + scrape_duration_seconds"),
    "nothing yet": {"title": "Mine", "panels": []},
    "as text": json.dumps(asking("redis_up")),
}


@pytest.mark.parametrize("name", WELL)
def test_nothing_is_said_of_a_dashboard_that_asks_for_what_is_there(name: str) -> None:
    assert dashboard_findings({"mine": WELL[name]}) == []


def test_an_unknown_metric_is_told_with_its_place_and_the_one_that_was_meant() -> None:
    (finding,) = dashboard_findings({"mine": asking("rate(trade_fill_total[5m])")})
    assert finding == (
        "grafana_dashboards.mine, panel 'P' uses the metric 'trade_fill_total', which nothing here exposes: correct it "
        "(did you mean trade_fills_total?), or add it to grafana_known_metrics if a program of yours has it"
    )


def test_a_site_knows_metrics_of_its_own() -> None:
    dashboards = {"mine": asking("zebra_total + zoo_a + zoo:b")}
    rules = {"zoo": {"groups": [{"rules": [{"record": "zoo:b", "expr": "1"}, {"alert": "A"}]}]}}
    assert len(dashboard_findings(dashboards)) == 3
    assert dashboard_findings(dashboards, ["zebra_total", "zoo_*"], rules) == []


@pytest.mark.parametrize(
    ("dashboard", "told"),
    [
        ({"title": "A", "spec": {}}, "grafana_dashboards.mine is a resource of version 2: export it"),
        (asking("up") | {"__inputs": [{"name": "DS"}]}, "grafana_dashboards.mine has inputs that nobody is asked for"),
    ],
)
def test_a_form_that_cannot_be_looked_at_is_told(dashboard: Any, told: str) -> None:
    (finding,) = dashboard_findings({"mine": dashboard})
    assert finding.startswith(told)


@pytest.mark.parametrize("given", ["{", "[]", "1", [], None])
def test_what_is_no_dashboard_is_for_another_to_tell(given: Any) -> None:
    assert dashboard_findings({"mine": given}) == []


def test_every_shipped_dashboard_asks_for_what_is_known() -> None:
    assert len(SHIPPED) == 8
    own = {f"own-{Path(path).stem}": Path(path).read_text(encoding="utf-8") for path in SHIPPED}
    assert dashboard_findings(own) == []


def test_shipped_dashboards_are_as_they_are_where_a_site_says_nothing() -> None:
    made = shipped_dashboards(SHIPPED, {})
    assert made == {Path(path).stem: Path(path).read_text(encoding="utf-8") for path in SHIPPED}


def test_shipped_dashboards_have_a_sites_values() -> None:
    settings = {
        "thresholds": {"sync_latency_seconds": 0.123},
        "runbook_url": "https://wiki/runbooks/",
        "intervals": {"trade": "7s"},
    }
    made = shipped_dashboards(SHIPPED, settings)
    assert '"value": 0.123' in made["trade-overview"]
    assert '"interval": "7s"' in made["trade-overview"]
    assert "https://wiki/runbooks/SlowSync.md" in made["trade-overview"]
    assert "https://wiki/runbooks/${__value.text}.md" in made["alerts"]
    assert all(SHIPPED_RUNBOOKS not in text for text in made.values())


def test_a_file_that_is_no_dashboard_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    with pytest.raises(AnsibleFilterError, match=r"a\.json: "):
        shipped_dashboards([str(tmp_path / "a.json")], {})


def test_the_slowest_service_of_a_kind_says_how_often_it_is_asked() -> None:
    services = {
        "redis": {"exporter": "redis_exporter", "scrape_interval": "1s"},
        "cache": {"exporter": "redis_exporter", "scrape_interval": "1m30s"},
        "history": {"clickhouse": True, "scrape_interval": "10s"},
        "backend": {"contract": "backend", "scrape_interval": "2s"},
        "engine": {"contract": "trade_engine", "scrape_interval": "500ms"},
        "duckdb": {"scrape_interval": "5s"},
        "odd": {},
    }
    assert dashboard_intervals(services, "15s", "9s") == {
        "own": "15s", "probes": "9s", "redis": "1m30s", "clickhouse": "10s", "trade": "2s", "duckdb": "5s",
    }  # fmt: skip
