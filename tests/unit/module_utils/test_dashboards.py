"""Which metrics PromQL names, and what a site changes in a shipped dashboard."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.dashboards import (
    Known,
    expressions,
    metric_names,
    unknown_metrics,
    with_site_values,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics import names

EXPRESSIONS = {
    "up": {"up"},
    "  # a comment with words\n up # and more": {"up"},
    'up{job="a_metric", instance=~"b.*"}': {"up"},
    "rate(a_total[5m]) / rate(b_total[$__rate_interval])": {"a_total", "b_total"},
    "sum by (le, job) (rate(a_bucket[1m]))": {"a_bucket"},
    "sum(a) by (job)": {"a"},
    "sum without (x) (a)": {"a"},
    "SUM BY (job) (a) AND ON (job) b": {"a", "b"},
    "a / on (job, host) group_left (name) b": {"a", "b"},
    "a * ignoring (x) group_right b": {"a", "b"},
    "a unless on () b": {"a", "b"},
    "a or vector(0)": {"a"},
    "count(a == bool 1) > 2e3": {"a"},
    "a offset 5m @ start() + b @ 1609746000": {"a", "b"},
    "max_over_time(rate(a[5m])[30m:1m] offset 1w)": {"a"},
    'label_replace(a, "dst", "$1", "src", "(.+)")': {"a"},
    'count_values("version", build_info)': {"build_info"},
    "topk(5, a:b:rate1m)": {"a:b:rate1m"},
    "quantile(0.99, a) + Inf - NaN * 0x1F": {"a"},
    '{__name__="a", job="b"}': {"a"},
    '{job="b", __name__ = "a"}': {"a"},
    '{__name__=~"a|b"}': set(),
    '{"a.b", job="c"}': {"a.b"},
    'sum({job="b"})': set(),
    "a{x=\"}\"} + b{y='{c'} + d{z=`\\`}": {"a", "b", "d"},
    'a{x="\\"} b"}': {"a"},
    "$metric + ${metric:raw} + [[metric]] + node_${what}_total": set(),
    'rate(a{job=~"$job", host=~"${host:regex}"}[${window}])': {"a"},
    "topk($n, a)": {"a"},
    "sum by ($label) (a)": {"a"},
    "time() - on_time": {"on_time"},
    "": set(),
    "a{": {"a"},
    "sum by (": set(),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_metrics_that_promql_names(expression: str) -> None:
    assert metric_names(expression) == EXPRESSIONS[expression]


@given(st.text(alphabet="ab_:1 .,\"'`\\{}()[]$#=~!+\nby"))
def test_whatever_is_written_is_read_to_its_end(expression: str) -> None:
    assert all(name and "$" not in name for name in metric_names(expression))


word = st.from_regex(r"[a-z][a-z_]{0,6}_x(:y)?", fullmatch=True)
label = st.from_regex(r"[a-z][a-z_]{0,6}_l", fullmatch=True)
selector = st.builds(
    lambda name, labels, text: name + "{" + ", ".join(f'{each}="{text}"' for each in labels) + "}",
    word,
    st.lists(label, max_size=2),
    st.sampled_from(["a_x", "{a_x}", "by (a_x)", "#", "\\\\"]),
)
expression = st.recursive(
    selector,
    lambda inner: st.one_of(
        st.builds("sum by ({}) ({})".format, st.lists(label, max_size=2).map(", ".join), inner),
        st.builds("max({}) without ({})".format, inner, label),
        st.builds("rate(({})[5m:10s])".format, inner),
        st.builds("({}) + on ({}) group_left ({}2) ({})".format, inner, label, label, inner),
        st.builds("({}) unless ignoring ({}) ({})".format, inner, label, inner),
        st.builds('label_replace({}, "a_x", "$1", "b", "(.*)")'.format, inner),
        st.builds("{} # a_x\n".format, inner),
    ),
    max_leaves=4,
)


@given(expression)
def test_it_finds_what_a_parser_of_promql_finds(expression: str) -> None:
    assert metric_names(expression) == names(expression)


def panel(expr: str, **more: Any) -> dict[str, Any]:
    return {"title": "P", "targets": [{"refId": "A", "expr": expr}], **more}


DASHBOARDS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "panels, in rows too": (
        {"panels": [panel("a"), {"type": "row", "panels": [panel("b", title="Q")]}]},
        [("panel 'P'", "a"), ("panel 'Q'", "b")],
    ),
    "variables": (
        {
            "templating": {
                "list": [
                    {"name": "x", "type": "query", "query": "label_values(a, host)"},
                    {"name": "y", "type": "query", "query": {"query": 'label_values(b{x="y, z"}, host)'}},
                    {"name": "z", "type": "query", "query": "query_result(max(c))"},
                    {"name": "l", "type": "query", "query": "label_values(host)"},
                    {"name": "i", "type": "interval", "query": "1m,5m"},
                ]
            }
        },
        [("variable 'x'", "a"), ("variable 'y'", 'b{x="y, z"}'), ("variable 'z'", "max(c)")],
    ),
    "annotations": (
        {"annotations": {"list": [{"name": "one", "expr": "a"}, {"name": "two", "target": {"expr": "b"}}]}},
        [("annotation 'one'", "a"), ("annotation 'two'", "b")],
    ),
    "other data sources": (
        {
            "panels": [
                panel("{app} |= `x`", datasource={"type": "loki", "uid": "l"}),
                {"title": "P", "targets": [{"expr": "{x}", "datasource": {"type": "loki"}}]},
                {"title": "S", "targets": [{"rawSql": "SELECT 1"}]},
            ]
        },
        [],
    ),
    "what has another form": ({"panels": [1, {"targets": "x"}], "templating": [], "annotations": None}, []),
}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_expressions_of_a_dashboard(name: str) -> None:
    dashboard, wanted = DASHBOARDS[name]
    assert [(each.place, each.text) for each in expressions(dashboard)] == wanted


def test_unknown_is_what_neither_name_nor_beginning_nor_prometheus_itself_has() -> None:
    dashboard = {"panels": [panel("known + mine_a + up + ALERTS + scrape_samples_scraped + stranger / stranger")]}
    unknown = unknown_metrics(dashboard, Known({"known", "mine_*"}))
    assert [name for _, name in unknown] == ["stranger"]
    assert [name for _, name in unknown_metrics(dashboard, Known(set()))] == ["known", "mine_a", "stranger"]


SHIPPED: dict[str, Any] = {
    "panels": [
        {
            "id": 3,
            "interval": "1s",
            "links": [{"url": "https://shipped/A.md"}, {"url": "/d/redis"}],
            "fieldConfig": {"defaults": {"thresholds": {"steps": [{"value": None}, {"value": 0.2}, {"value": 9}]}}},
        },
        {"id": 4, "interval": "15s"},
    ]
}
VALUES: dict[str, dict[str, Any]] = {"3": {"every": "trade", "thresholds": [None, "sync", None]}, "4": {"every": "own"}}


def test_a_site_has_its_own_thresholds_intervals_and_runbooks() -> None:
    site = with_site_values(
        SHIPPED, VALUES, {"sync": 0.5, "other": 7}, {"trade": "2s"}, ("https://shipped", "https://wiki")
    )
    first, second = site["panels"]
    assert [step["value"] for step in first["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 0.5, 9]
    assert [link["url"] for link in first["links"]] == ["https://wiki/A.md", "/d/redis"]
    assert (first["interval"], second["interval"]) == ("2s", "15s")
    assert SHIPPED["panels"][0]["interval"] == "1s"


def test_an_axis_that_reaches_the_limits_reaches_a_sites() -> None:
    steps = [{"value": None}, {"value": 0.2}]
    defaults = {"thresholds": {"steps": steps}, "custom": {"axisSoftMax": 0.2, "lineWidth": 1}}
    values: dict[str, dict[str, Any]] = {"1": {"every": "trade", "thresholds": [None, "sync"]}}
    shipped = {"panels": [{"id": 1, "fieldConfig": {"defaults": defaults}}]}
    (panel,) = with_site_values(shipped, values, {"sync": 0.5}, {}, ("", ""))["panels"]
    assert panel["fieldConfig"]["defaults"]["custom"] == {"axisSoftMax": 0.5, "lineWidth": 1}


def test_a_site_that_says_nothing_has_it_as_it_is_shipped() -> None:
    assert with_site_values(SHIPPED, VALUES, {}, {}, ("https://shipped", "https://shipped")) == SHIPPED
