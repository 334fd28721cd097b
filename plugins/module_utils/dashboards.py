"""Grafana's dashboards as data: their queries, the metrics that these name, and a site's values in the shipped ones.

All are functions of their arguments alone.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    | (?P<word>(?:[A-Za-z_:]|\$\{[^}]*\}|\$|\[\[\w+(?::\w+)?\]\])(?:[\w:]|\$\{[^}]*\}|\$|\[\[\w+(?::\w+)?\]\])*)
    | (?P<number>\.?\d[\w.]*)
    | (?P<operator>=~|!~|!=|==|=)
    | (?P<space>\s+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
"""PromQL, with Grafana's variables ($name, ${name:format}, [[name]]) as parts of words. A number is a duration too."""
GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
"""Label names in parentheses may follow."""
KEYWORDS = GROUPING | {
    "and",
    "or",
    "unless",
    "atan2",
    "bool",
    "offset",
    "inf",
    "nan",
    "start",
    "end",
    "smoothed",
    "anchored",
}
AGGREGATIONS = frozenset(
    {"avg", "bottomk", "count", "count_values", "group", "limit_ratio", "limitk", "max", "min", "quantile", "stddev",
     "stdvar", "sum", "topk"}
)  # fmt: skip
LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?:(.*)\s*,)?\s*[\w$]+\s*\)\s*", re.DOTALL)
QUERY_RESULT = re.compile(r"\s*query_result\((.*)\)\s*", re.DOTALL)
SYNTHETIC = re.compile(r"up|scrape_\w+|ALERTS(_FOR_STATE)?")
"""Prometheus makes these of every target and alert."""


@dataclass(frozen=True)
class Expression:
    """PromQL, and where it is in a dashboard, for people."""

    place: str
    text: str


def metric_names(expression: str) -> set[str]:
    """The metrics that PromQL asks for by their whole name. What a variable is part of, or what is asked for by a
    regular expression, has none. It need not be right PromQL: then it is a guess.
    """
    tokens = [
        (str(match.lastgroup), match[0])
        for match in TOKEN.finditer(expression)
        if match.lastgroup not in ("space", "comment")
    ]
    found, labels_end, inside = set(), 0, ""
    for index, (kind, text) in enumerate(tokens):
        after = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if index < labels_end:
            continue
        if kind == "other" and text in "{}[]":
            inside = text if text in "{[" else ""
        elif inside == "{":
            found |= _named_in_braces(tokens, index)
        elif inside == "[":  # how long: "5m:1m"
            continue
        elif kind == "word" and text.lower() in GROUPING:
            labels_end = _end_of_labels(tokens, index + 1)
        elif kind == "word" and not _is_no_metric(text, after):
            found.add(text)
    return found


def _is_no_metric(word: str, after: str) -> bool:
    return (
        "$" in word
        or "[[" in word
        or word.lower() in KEYWORDS
        or after == "("
        or (word.lower() in AGGREGATIONS and after.lower() in ("by", "without"))
    )


def _named_in_braces(tokens: list[tuple[str, str]], index: int) -> set[str]:
    """``__name__="x"``, and a name in quotes with no label before it."""
    kind, text = tokens[index]
    if kind != "string" or "$" in text or "[[" in text:
        return set()
    before = [token for _, token in tokens[max(index - 2, 0) : index]]
    if before == ["__name__", "="] or before[-1] in ("{", ","):
        return {text[1:-1]}
    return set()


def _end_of_labels(tokens: list[tuple[str, str]], begin: int) -> int:
    """Behind the parentheses that begin there, if they do."""
    if begin >= len(tokens) or tokens[begin][1] != "(":
        return begin
    return next((index + 1 for index in range(begin, len(tokens)) if tokens[index][1] == ")"), len(tokens))


def expressions(dashboard: Mapping[str, Any]) -> Iterator[Expression]:
    """All PromQL of a dashboard in Grafana's classic form: of its panels, those in rows too, its variables and its
    annotations. Queries to other kinds of data source are left out."""
    yield from _of_panels(dashboard.get("panels"))
    for variable in _mappings(_part(dashboard, "templating").get("list")):
        query = variable.get("query")
        text = query.get("query") if isinstance(query, Mapping) else query
        if variable.get("type") == "query" and isinstance(text, str) and _is_prometheus(variable):
            match = LABEL_VALUES.fullmatch(text) or QUERY_RESULT.fullmatch(text)
            if match and match[1]:
                yield Expression(f"variable {variable.get('name')!r}", match[1])
    for annotation in _mappings(_part(dashboard, "annotations").get("list")):
        text = annotation.get("expr") or _part(annotation, "target").get("expr")
        if isinstance(text, str) and _is_prometheus(annotation):
            yield Expression(f"annotation {annotation.get('name')!r}", text)


def _of_panels(panels: object) -> Iterator[Expression]:
    for panel in _mappings(panels):
        yield from _of_panels(panel.get("panels"))
        for target in _mappings(panel.get("targets")):
            source = target if target.get("datasource") else panel
            if isinstance(target.get("expr"), str) and _is_prometheus(source):
                yield Expression(f"panel {panel.get('title')!r}", target["expr"])


def _is_prometheus(part: Mapping[str, Any]) -> bool:
    """Unless it says another kind. Without one it is the default's, which is Prometheus."""
    source = part.get("datasource")
    kind = source.get("type") if isinstance(source, Mapping) else None
    return kind in (None, "", "prometheus", "datasource")


def _mappings(parts: object) -> list[Mapping[str, Any]]:
    return [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list | tuple) else []


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, Mapping) else {}


class Known:
    """Names of metrics, exact ones and beginnings (``trade_*``)."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._beginnings = tuple(name[:-1] for name in self.names if name.endswith("*"))

    def __contains__(self, name: str) -> bool:
        return bool(name in self.names or SYNTHETIC.fullmatch(name) or name.startswith(self._beginnings))


def unknown_metrics(dashboard: Mapping[str, Any], known: Known) -> list[tuple[Expression, str]]:
    """Each metric that a dashboard asks for and that is not known, once, with the first expression that does."""
    found: dict[str, Expression] = {}
    for expression in expressions(dashboard):
        for name in sorted(metric_names(expression.text)):
            if name not in known:
                found.setdefault(name, expression)
    return [(expression, name) for name, expression in found.items()]


def with_site_values(
    dashboard: Mapping[str, Any],
    panels: Mapping[str, Mapping[str, Any]],
    thresholds: Mapping[str, Any],
    intervals: Mapping[str, str],
    runbooks: tuple[str, str],
) -> dict[str, Any]:
    """A shipped dashboard with a site's thresholds, scrape intervals and address of the runbooks.

    Args:
        panels: by panel id, ``every`` (a key of ``intervals``) and ``thresholds`` (their names by step, null for what
            is no site's).
        runbooks: the address that is in it, and the site's.
    """
    site: dict[str, Any] = _replaced(copy.deepcopy(dict(dashboard)), *runbooks)
    for panel in _mappings(site.get("panels")):
        values = panels.get(str(panel.get("id")), {})
        if interval := intervals.get(values.get("every", "")):
            panel["interval"] = interval  # type: ignore[index]
        names = values.get("thresholds", ())
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"] if names else ()
        for step, name in zip(steps, names, strict=True):
            if name in thresholds:
                step["value"] = thresholds[name]
        if steps and "axisSoftMax" in (custom := panel["fieldConfig"]["defaults"].get("custom", {})):
            custom["axisSoftMax"] = max(step["value"] or 0 for step in steps)
    return site


def _replaced(part: Any, old: str, new: str) -> Any:
    """With another beginning of its URLs."""
    if isinstance(part, dict):
        return {
            key: new + value[len(old) :]
            if key == "url" and isinstance(value, str) and value.startswith(old)
            else _replaced(value, old, new)
            for key, value in part.items()
        }
    return [_replaced(each, old, new) for each in part] if isinstance(part, list) else part
