"""Queries as data: what is refused, and that whatever is accepted makes a page that Prometheus can read."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from duckdb_exporter import Query, QueryError
from duckdb_exporter.metrics import Page
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

GOOD: dict[str, Any] = {"name": "trades", "sql": "SELECT 1 AS value", "help": "Trades."}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "0trades"}, "name must be letters"),
        ({"name": "trades:sum"}, "name must be letters"),
        ({"name": "duckdb_tables"}, "one of the exporter's own"),
        ({"name": ""}, "name must be a text that is not empty"),
        ({"sql": 7}, "sql must be a text"),
        ({"help": " "}, "help must be a text"),
        ({"type": "histogram"}, "type must be gauge or counter, not 'histogram'"),
        ({"type": "counter"}, "a counter's name ends in _total"),
        ({"name": "trades_total"}, "a counter's name ends in _total"),
        ({"labels": ["__name__"]}, "no names of labels: __name__"),
        ({"labels": ["a-b"]}, "no names of labels: a-b"),
        ({"labels": "side"}, "labels must be a list"),
        ({"labels": ["side", "side"]}, "named twice"),
        ({"labels": ["value"]}, "named twice"),
        ({"timeout": 0}, "timeout must be a number"),
        ({"timeout": 61}, "at most 60"),
        ({"timeout": "1s"}, "timeout must be a number"),
        ({"timeout": math.nan}, "timeout must be a number"),
        ({"interval": 1}, "unknown interval; known are"),
    ],
)
def test_a_mistake_is_told_with_the_query_s_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        Query.from_mapping({**GOOD, **change})
    assert repr(change.get("name", "trades")) in str(caught.value)


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_what_is_missing_is_told(missing: str) -> None:
    with pytest.raises(QueryError, match=f"{missing} is missing"):
        Query.from_mapping({key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize("data", [None, "SELECT 1", ["SELECT 1"]])
def test_what_is_no_mapping_is_told(data: Any) -> None:
    with pytest.raises(QueryError, match="a query is a mapping"):
        Query.from_mapping(data)


# What DuckDB gives for its types: text may hold anything but the halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals(allow_nan=False)
HUGE = 10**308
CELLS = st.none() | TEXT | st.integers() | st.dates()
ROWS = st.lists(st.tuples(NUMBERS, CELLS, CELLS), max_size=6)


@given(ROWS)
def test_rows_make_a_readable_page_or_are_refused(rows: list[tuple[Any, Any, Any]]) -> None:
    query = Query.from_mapping({**GOOD, "labels": ["side", "day"]})
    keys = [["" if cell is None else str(cell) for cell in labels] for value, *labels in rows if value is not None]
    try:
        samples = query.samples(rows)
    except (QueryError, OverflowError):
        is_huge = any(isinstance(row[0], int | Decimal) and not -HUGE < row[0] < HUGE for row in rows)
        assert is_huge or any(keys.count(key) > 1 for key in keys)
        return
    page = Page([query.metric])
    for value, labels in samples:
        page.add(query.name, value, *labels)

    class Registered:
        def collect(self) -> Page:
            return page

    registry = CollectorRegistry()
    registry.register(Registered())
    read = [
        [sample.labels["side"], sample.labels["day"]]
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    ]
    assert read == keys


@given(TEXT)
def test_names_of_columns_cannot_leave_their_quotes(name: str) -> None:
    if name.strip():
        statement = Query.from_mapping({**GOOD, "value": name}).statement
        quoted = statement.removeprefix('SELECT "').partition('" FROM (\n')[0]
        assert quoted.replace('""', "").count('"') == 0
        assert quoted.replace('""', '"') == name
