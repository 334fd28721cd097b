"""What holds for every dashboard; whether its panels show something is for molecule/site to say."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tds.monitoring.plugins.filter import dashboards as filters
from ansible_collections.tds.monitoring.plugins.module_utils.dashboards import LABEL_VALUES, expressions, metric_names
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import FILES, parts
from dashboards.all import BOARDS, files
from tests.contract import runbooks
from tests.contract.roles import ROOT, Role
from tests.metrics import names
from tests.rules.conftest import promtool  # noqa: F401  # a fixture

JSON = {path.stem: path for path in sorted((FILES / "dashboards").glob("*.json"))}
DASHBOARDS: dict[str, dict[str, Any]] = {
    name: json.loads(path.read_text(encoding="utf-8")) for name, path in JSON.items()
}
PANELS = [
    pytest.param(panel, id=f"{name}/{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")
OF_GRAFANA = {"__rate_interval": "4s", "__interval": "1s", "__range": "1h"}
every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)
every_panel = pytest.mark.parametrize("panel", PANELS)


def resolved(text: str) -> str:
    """As Prometheus gets it, with some value for each variable."""
    return VARIABLE.sub(lambda match: OF_GRAFANA.get(match[1] or match[2], "x"), text)


def urls(part: Any) -> Iterator[str]:
    """All in it that is a link."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "url" and value)
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from urls(inner)


def test_what_is_committed_is_what_the_code_makes() -> None:
    made = files()
    assert {path: path.read_text(encoding="utf-8") for path in made} == made, "run `make dashboards`"
    assert set(JSON.values()) | {FILES / "site_values.json"} == made.keys()


@every_dashboard
def test_it_is_of_the_sdks_model(name: str) -> None:
    """What is not in the model does not come back from it."""
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[name]), cls=JSONEncoder))
    assert again == DASHBOARDS[name]


def test_uids_are_the_files_names_and_titles_are_unique() -> None:
    assert {name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()} == {name: name for name in DASHBOARDS}
    assert len({dashboard["title"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS) == len(BOARDS)


@every_dashboard
def test_panels_are_within_the_grid_and_none_is_over_another(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} is over {taken[cell]}"
            taken[cell] = panel["title"]
    bottom = max(y for _, y in taken) + 1
    widths = Counter(y for _, y in taken)
    assert dict(widths) == dict.fromkeys(range(bottom), 24), "there is a hole"


def test_the_trade_overview_is_one_screen() -> None:
    """About 30 rows of the grid are 1080 pixels without a browser's own parts."""
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in DASHBOARDS["trade-overview"]["panels"]) <= 26


@every_panel
def test_it_says_what_it_shows_and_in_what(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith((".", "?"))
    assert len(panel["description"]) > 5
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for override in panel["fieldConfig"].get("overrides", []):
        for each in override["properties"]:
            assert each["id"] != "unit" or each["value"] in UNITS


@every_panel
def test_series_can_be_told_from_each_other(panel: dict[str, Any]) -> None:
    """Each query has a legend of its own; one that shows several series has a label in it."""
    legends = [target.get("legendFormat", "") for target in panel["targets"]]
    if panel["type"] in ("timeseries", "state-timeline"):
        assert all(legends)
    if panel["type"] != "table" and len(legends) > 1:
        assert len(set(legends)) == len(legends)


@every_panel
def test_columns_of_several_queries_have_the_same_labels(panel: dict[str, Any]) -> None:
    """Else Grafana does not put them into one row."""
    if panel["type"] == "table" and len(panel["targets"]) > 1:
        groupings = {re.findall(r" by \([^)]*\)", target["expr"])[0] for target in panel["targets"]}
        assert len(groupings) == 1


@every_panel
def test_it_asks_the_provisioned_data_source_not_more_often_than_there_are_samples(panel: dict[str, Any]) -> None:
    assert panel["interval"] in parts.INTERVALS.values()
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "prometheus"}


@every_dashboard
def test_variables_that_are_used_are_defined_and_the_other_way_round(name: str) -> None:
    dashboard = DASHBOARDS[name]
    defined = {variable["name"] for variable in dashboard.get("templating", {}).get("list", [])}
    used = {match[1] or match[2] for each in expressions(dashboard) for match in VARIABLE.finditer(each.text)}
    assert used - OF_GRAFANA.keys() == defined


@every_dashboard
def test_variables_are_labels_of_the_catalogue(name: str) -> None:
    for variable in DASHBOARDS[name].get("templating", {}).get("list", []):
        query = variable["query"]["query"]
        assert LABEL_VALUES.fullmatch(query)
        label = query.rstrip(")").rpartition(",")[2].strip()
        assert label in {"service", "instance_name", "host", "job", "severity"}


@every_dashboard
def test_links_lead_to_dashboards_and_runbooks_that_are_there(name: str) -> None:
    links = list(urls(DASHBOARDS[name]))
    assert links
    for url in links:
        if url.startswith(f"{parts.RUNBOOKS}/"):
            alert = url.removeprefix(f"{parts.RUNBOOKS}/").removesuffix(".md")
            assert alert == "${__value.text}" or alert in {path.stem for path in runbooks.files()}, url
        else:
            uid = re.match(r"/d/([a-z-]+)\?", url)
            assert uid, url
            assert uid[1] in DASHBOARDS, url
            variable = re.search(r"var-(\w+)=", url)
            assert not variable or variable[1] in {each["name"] for each in DASHBOARDS[uid[1]]["templating"]["list"]}, (
                url
            )


def test_every_alert_has_a_panel_that_leads_to_its_runbook() -> None:
    led = {Path(url).stem for url in urls(DASHBOARDS) if url.startswith(parts.RUNBOOKS)}
    assert {path.stem for path in runbooks.files()} - led == set()


def test_runbooks_are_where_the_alerts_say() -> None:
    assert Role(ROOT / "roles/prometheus").defaults["prometheus_runbook_url"] == parts.RUNBOOKS
    assert filters.SHIPPED_RUNBOOKS == parts.RUNBOOKS


EXPRESSIONS = sorted({each.text for dashboard in DASHBOARDS.values() for each in expressions(dashboard)})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_tokenizer_finds_what_a_parser_finds(text: str) -> None:
    assert metric_names(text) == names(resolved(text))


def test_promtool_takes_every_query(promtool: Path, tmp_path: Path) -> None:  # noqa: F811
    rules = [{"record": f"query:number{number}", "expr": resolved(text)} for number, text in enumerate(EXPRESSIONS)]
    assert len(rules) > 100
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=none", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_document_lists_them_all_in_their_order() -> None:
    listed = re.findall(r"^\| ([A-Z][^|]*) \|", (ROOT / "docs/dashboards.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [board.title for board in BOARDS]


@every_dashboard
def test_every_metric_is_known(name: str) -> None:
    text = JSON[name].read_text(encoding="utf-8")
    assert filters.dashboard_findings({"own": text}) == []


def test_a_threshold_is_one_of_the_rules() -> None:
    named = [
        threshold
        for board in BOARDS
        for panel in board.site_values().values()
        for threshold in panel.get("thresholds", [])
        if threshold
    ]
    assert len(named) > 30
    assert set(named) <= parts.THRESHOLDS.keys()
    assert all(isinstance(parts.THRESHOLDS[name], int | float) for name in named)


def test_colours_of_limits_go_from_well_to_critical() -> None:
    assert parts.Limits(1, 2).steps() == [("green", None), ("orange", 1), ("red", 2)]
    assert parts.Limits(critical=2).steps() == [("green", None), ("red", 2)]
    assert parts.Limits(14, 3, falling=True).steps() == [("red", None), ("orange", 3), ("green", 14)]
    assert parts.Limits("a", falling=True).steps() == [("orange", None), ("green", "a")]


def test_a_row_that_is_full_is_refused() -> None:
    panel = parts.graph("Wide", "Why.", parts.COUNT, width=24)
    with pytest.raises(ValueError, match="0 of 24 are left for 1 panels"):
        parts.row("", panel, replace(panel, width=0))
