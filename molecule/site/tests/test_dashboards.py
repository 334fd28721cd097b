"""Each query of the shipped dashboards, asked of the Prometheus of a system that is well, as Grafana asks it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.dashboards import LABEL_VALUES, SYNTHETIC, metric_names
from testinfra.host import Host

from dashboards import FILES
from dashboards.all import BOARDS
from dashboards.parts import INTERVALS, Board, Panel, Query
from tests.hosts import CERTIFICATES, eventually

API = "https://127.0.0.1:9090/api/v1"
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Asked:
    """A query and its panel."""

    panel: Panel
    query: Query

    def __str__(self) -> str:
        return f"{self.panel.title}: {self.query.expr}"


def asked(board: Board) -> list[Asked]:
    return [Asked(panel, query) for panel, _place in board.panels() for query in panel.queries]


def answers(host: Host, urls: list[str]) -> list[dict[str, Any]]:
    """What the API says to each, asked in one go: a connection to the host takes longer than all of them."""
    quoted = " ".join(f"'{API}/{url}'" for url in urls)
    lines = host.check_output(f"curl --silent --globoff --max-time 30 --write-out '\\n' {CERTIFICATES} {quoted}")
    return [json.loads(line) for line in lines.splitlines() if line]


def chosen(host: Host, board: Board) -> dict[str, str]:
    """Each variable of a dashboard when it is opened: all its values, or the first one."""
    found: dict[str, str] = {}
    for variable in board.variables:
        match = LABEL_VALUES.fullmatch(variable.query)
        assert match, variable.query
        label = variable.query.rstrip(") ").rpartition(",")[2].strip()
        selector = {"match[]": VARIABLE.sub(lambda name: found[name[1]], match[1])}
        (answer,) = answers(host, [f"label/{label}/values?{urlencode(selector)}"])
        assert answer["data"], f"{variable.query} has no values"
        values = [re.escape(value).replace("\\", "\\\\") for value in answer["data"]]
        found[variable.name] = f"({'|'.join(values)})" if len(values) > 1 and variable.several else values[0]
    return found


def url(each: Asked, variables: Mapping[str, str], now: float) -> str:
    """The question that Grafana asks for a query, of the last minute."""
    interval = INTERVALS[each.panel.every]
    seconds = int(interval.removesuffix("s"))
    own = {"__interval": interval, "__rate_interval": f"{4 * seconds}s", "__range": "60s"}
    query = {"query": VARIABLE.sub(lambda name: {**variables, **own}[name[1]], each.query.expr)}
    if each.panel.kind in ("graph", "states"):
        return f"query_range?{urlencode({**query, 'start': now - 60, 'end': now, 'step': seconds})}"
    return f"query?{urlencode(query)}"


def empty(host: Host, questions: list[Asked], variables: Mapping[str, str]) -> Iterator[Asked]:
    """Those that are answered without an error and without a series."""
    now = time.time()
    for each, answer in zip(questions, answers(host, [url(each, variables, now) for each in questions]), strict=True):
        assert answer["status"] == "success", f"{each}: {answer}"
        if not answer["data"]["result"]:
            yield each


@pytest.mark.once
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_each_panel_shows_something(mon1: Host, board: Board) -> None:
    assert (FILES / "dashboards" / f"{board.uid}.json").read_text(encoding="utf-8") == board.json()
    variables = chosen(mon1, board)
    rest = asked(board)

    def all_shown() -> bool:
        nonlocal rest
        rest = list(empty(mon1, rest, variables))
        return all(each.query.may_be_empty for each in rest)

    # Rates of what is scraped every 15 s, and rules on them, take a minute after a first start.
    eventually(all_shown, 120)
    assert [str(each) for each in rest if not each.query.may_be_empty] == []


@pytest.mark.once
def test_each_metric_is_there(mon1: Host) -> None:
    (answer,) = answers(mon1, ["label/__name__/values"])
    named = {
        (name, str(each))
        for board in BOARDS
        for each in asked(board)
        if not each.query.may_be_empty
        for name in metric_names(each.query.expr)
        if not SYNTHETIC.fullmatch(name)
    }
    assert len(named) > len(BOARDS)
    assert {(name, where) for name, where in named if name not in answer["data"]} == set()
