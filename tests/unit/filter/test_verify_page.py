"""The page: nothing that a host says becomes markup, and whatever is drawn can be drawn."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser
from typing import Any

from ansible_collections.tds.monitoring.plugins.filter.verify import COLUMNS, LEVELS, verify_table
from ansible_collections.tds.monitoring.plugins.filter.verify_page import tag, verify_page
from hypothesis import given
from hypothesis import strategies as st

VOID = {"meta"}
EVIL = "<script>alert('x')</script>\"'&<img src=x onerror=y>"


class Reader(HTMLParser):
    """Elements, attributes and text of a page; it must be well formed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ROW = {"host": "mon1", "check": "targets", "level": "error", "what": "redis a:1", "value": "down", "need": "up",
       "remedy": "see whether it runs"}  # fmt: skip
DRAWN: dict[str, Any] = {
    "scrapes": {
        "redis": {"interval": 1, "average": 0.0021, "slowest": 0.02, "samples": 900},
        "clickhouse": {"interval": 5, "average": 0.1, "slowest": 6, "samples": 2000},
        "young": {"interval": 5},
    },
    "retention": {"kept": "40GB", "days": 21.3, "by": "estimated", "wanted_days": 30.0, "held_days": 2.0},
    "sync": {},
    "sync_limit": 0.2,
    "drawn": {
        "samples": {f"job{index}": [[1000.0, index], [1015.0, index + 1.0]] for index in range(8)},
        "sync_latency": {"backend:8000": [[1000.0, 0.01], [1015.0, float("nan")], [1030.0, 0.02]]},
        "sync_rows": {"backend:8000": [[1000.0, 100.0], [1015.0, 120.0]]},
    },
}


def report(*rows: dict[str, str], drawn: dict[str, Any] | None = None, site: str = "prod") -> dict[str, Any]:
    counts = {level: sum(row["level"] == level for row in rows) for level in LEVELS}
    return {"site": site, "at": "2027-01-15T08:00:00+00:00", "counts": counts, "rows": list(rows), "drawn": drawn or {}}


def test_the_page_has_the_rows_and_a_plot_of_each_kind() -> None:
    read = Reader(verify_page(report(ROW, drawn={"mon1": DRAWN})))
    for text in (
        "Verified: prod",
        "2027-01-15",
        "redis a:1: down",
        "see whether it runs",
        "As Prometheus on mon1 sees it",
    ):
        assert text in read.text
    assert sum(name == "svg" for name, _ in read.seen) == 5
    for text in (
        "2.1 ms on average, 20 ms at most, of 1 s",
        "3 others",
        "The dashed line is the limit, 200 ms.",
        "21.3 days fit into 40GB (estimated); 2.0 are there.",
    ):
        assert text in read.text
    assert "young" not in read.text
    late = [attributes for name, attributes in read.seen if name == "rect" and attributes.get("class") == "short"]
    assert len(late) == 2  # clickhouse's longest took more than its interval, and the days are too few


def test_what_could_not_be_asked_is_not_drawn() -> None:
    nothing = {"scrapes": {}, "retention": {}, "sync": {}, "drawn": {}, "sync_limit": 0.2}
    assert "As Prometheus" not in verify_page(report(drawn={"mon1": nothing}))


def test_the_page_needs_nobody_and_lets_nobody_in() -> None:
    page = verify_page(report(ROW, drawn={"mon1": DRAWN}))
    read = Reader(page)
    policy = next(a["content"] for name, a in read.seen if name == "meta" and "http-equiv" in a) or ""
    style = re.search("<style>(.*)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"
    assert {"script", "link", "img", "iframe", "object", "use"}.isdisjoint(name for name, _ in read.seen)
    for _name, attributes in read.seen:
        assert {"style", "src", "href"}.isdisjoint(attributes)
    assert "url(" not in page
    assert "http://" not in page


def test_what_a_host_says_is_text() -> None:
    evil = dict.fromkeys(COLUMNS, EVIL) | {"level": "error"}
    drawn = {
        **DRAWN,
        "drawn": {"samples": {EVIL: [[0.0, 1.0], [15.0, 2.0]]}},
        "scrapes": {EVIL: DRAWN["scrapes"]["redis"]},
    }
    read = Reader(verify_page(report(evil, drawn={EVIL: drawn}, site=EVIL)))
    assert {"script", "img"}.isdisjoint(name for name, _ in read.seen)
    assert read.text.count(EVIL) >= 8


@given(st.text(), st.text())
def test_a_tag_keeps_text_and_attributes_as_they_are(text: str, attribute: str) -> None:
    shown = str(tag("p", text, title=attribute))
    assert shown.count("<") == 2
    assert shown.count('"') == 2


NUMBERS = st.floats(width=32) | st.just(math.inf) | st.just(math.nan) | st.just(0.0)
POINTS = st.dictionaries(st.text(max_size=9), st.lists(st.tuples(st.floats(0, 2e9), NUMBERS), max_size=6), max_size=9)
JOB = st.fixed_dictionaries(
    {}, optional={"interval": st.floats(0, 1e4), "average": st.floats(0, 1e3), "slowest": st.floats(0, 1e3)}
)


@given(POINTS, st.dictionaries(st.text(max_size=9), JOB, max_size=4), NUMBERS, NUMBERS, st.floats(0, 1e3))
def test_whatever_is_measured_can_be_drawn(points: Any, scrapes: Any, days: float, held: float, limit: float) -> None:
    judged = {"kept": "1GB", "days": days, "by": "x", "wanted_days": 30.0, "held_days": held}
    drawn = {
        "scrapes": scrapes,
        "retention": judged,
        "sync": {},
        "sync_limit": limit,
        "drawn": {"samples": points, "sync_latency": points, "sync_rows": points},
    }
    read = Reader(verify_page(report(drawn={"mon1": drawn})))
    for name, attributes in read.seen:
        if name in ("rect", "line", "text", "polyline", "polygon"):
            for at in attributes:
                if at not in ("class", "text-anchor"):
                    assert re.fullmatch(r"[-0-9., e+]*", attributes[at] or ""), (name, attributes)
            assert float(attributes.get("width") or 0) >= 0


ANY_ROW = st.fixed_dictionaries({column: st.text() for column in COLUMNS if column != "level"}).flatmap(
    lambda row: st.sampled_from(LEVELS).map(lambda level: {**row, "level": level})
)


@given(st.lists(ANY_ROW, max_size=3))
def test_any_rows_are_a_table_and_a_page(rows: list[dict[str, str]]) -> None:
    shown = report(*rows)
    assert len(verify_table(shown)) >= len(rows) + 2
    Reader(verify_page(shown))
