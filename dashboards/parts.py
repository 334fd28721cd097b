"""Building blocks: what a dashboard is made of here, and what Grafana gets of it.

Colours have a meaning. Green, orange and red are a judgement: well, warning, critical; so is the dashed red line of a
limit. Blue is an amount that nobody judges. All else has the colour that its name gives it, the same in each panel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import yaml
from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards import ROLES

DATA_SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
TAG = "tds"
"""Dashboards with it have links to each other."""
RUNBOOKS = "https://github.com/tds/monitoring/blob/main/docs/runbooks"
"""As prometheus_runbook_url is shipped; the role puts a site's there."""
THRESHOLDS: dict[str, Any] = yaml.safe_load(
    (ROLES / "prometheus/vars/main/thresholds.yml").read_text(encoding="utf-8")
)["__prometheus_shipped_thresholds"]
"""As the rules have them; the role puts a site's there."""
INTERVALS = {"trade": "1s", "redis": "1s", "duckdb": "5s", "clickhouse": "5s", "probes": "5s", "own": "15s"}
"""How often what a panel shows is scraped, as shipped: the least that $__interval can be, and a fourth of the least
$__rate_interval. The role puts a site's there."""

OK, WARNING, CRITICAL, AMOUNT = "green", "orange", "red", "blue"
SEVERITIES = {"critical": CRITICAL, "warning": WARNING, "info": AMOUNT}
UP = {0: ("down", CRITICAL), 1: ("up", OK)}
YES = {0: ("no", CRITICAL), 1: ("yes", OK)}

SECONDS, MILLISECONDS, DAYS = units.Seconds, units.Milliseconds, units.Days
BYTES, BYTES_PER_SECOND = units.BytesIEC, units.BytesPerSecondIEC
RATIO, COUNT, TEXT = units.PercentUnit, units.Short, units.String
OPERATIONS, REQUESTS, ROWS = units.OpsPerSecond, units.RequestsPerSecond, units.RowsPerSecond
EVENTS, PACKETS = units.EventsPerSecond, units.PacketsPerSecond


@dataclass(frozen=True)
class Query:
    """PromQL and the legend of its series, in which ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str = ""
    colour: str = ""
    limit: bool = False
    """Drawn as a dashed red line: what the other series of the panel must not reach."""
    may_be_empty: str = ""
    """Why it has no series in a system that is well; else tests hold that against it."""


@dataclass(frozen=True)
class Limits:
    """From which value on something is a warning and critical, each a number or the name of a threshold of the rules.

    ``falling``: the less the worse, and warning and critical are what it must not fall below.
    """

    warning: float | str | None = None
    critical: float | str | None = None
    falling: bool = False

    def steps(self) -> list[tuple[str, float | str | None]]:
        """Colour and beginning of each stretch, upwards; the first begins nowhere."""
        beginnings = [(WARNING, self.warning), (CRITICAL, self.critical)]
        given = [(colour, value) for colour, value in beginnings if value is not None]
        if not self.falling:
            return [(OK, None), *given]
        upwards = [*reversed(given), (OK, None)]
        ends = [None, *(value for _, value in upwards[:-1])]
        return [(colour, end) for (colour, _), end in zip(upwards, ends, strict=True)]


@dataclass(frozen=True)
class Column:
    """Of a table: the label or ``Value #A`` that it shows, and how."""

    field: str
    title: str
    unit: str = ""
    limits: Limits | None = None
    states: Mapping[int, tuple[str, str]] | None = None
    link: str = ""
    """A URL, in which ``${__value.text}`` stands for the cell's text."""


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    why: str
    """What it shows, to somebody who has not made it."""
    unit: str
    queries: tuple[Query, ...]
    every: str = "trade"
    """Of INTERVALS."""
    limits: Limits | None = None
    states: Mapping[int, tuple[str, str]] | None = None
    """Text and colour of a value."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """By a regular expression on the legend."""
    runbooks: tuple[str, ...] = ()
    to: str = ""
    """The uid of the dashboard that tells more."""
    reach: bool = False
    """The axis reaches the limits, however far from them the values are."""
    most: float | None = None
    stacked: bool = False
    width: int = 0
    """Of 24; 0 is a fair share of what is left of its row."""
    columns: tuple[Column, ...] = ()

    @property
    def description(self) -> str:
        empty = {query.may_be_empty: None for query in self.queries if query.may_be_empty}
        return " ".join([self.why, *(f"May be empty: {why}." for why in empty)])


def _of(kind: str, title: str, why: str, unit: str, *queries: Query, **options: Any) -> Panel:
    return Panel(kind, title, why, unit, queries, **options)


graph, number, bars, states, rows = (partial(_of, kind) for kind in ("graph", "number", "bars", "states", "table"))


@dataclass(frozen=True)
class Row:
    """Panels side by side, below a heading if there is one."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 7


def row(title: str, *panels: Panel, height: int = 7) -> Row:
    """Panels side by side; those without a width share what the others leave, the first ones what does not divide."""
    shares = sum(not panel.width for panel in panels)
    left = 24 - sum(panel.width for panel in panels)
    if left < shares:
        raise ValueError(f"{title or panels[0].title}: {left} of 24 are left for {shares} panels")
    widths = iter(left // shares + (number_ < left % shares) for number_ in range(shares))
    return Row(title, tuple(replace(panel, width=panel.width or next(widths)) for panel in panels), height)


@dataclass(frozen=True)
class Variable:
    """What the reader chooses: all of it at first, or the first one if there can be one only."""

    name: str
    label: str
    query: str
    several: bool = True


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    why: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    span: str = "1h"
    refresh: str = "10s"

    def panels(self) -> Iterator[tuple[Panel, model.GridPos]]:
        """Each with its place; a row without panels is a heading's."""
        y = 0
        for each in self.rows:
            y += bool(each.title)
            x = 0
            for panel in each.panels:
                yield panel, model.GridPos(x=x, y=y, w=panel.width, h=each.height)
                x += panel.width
            y += each.height

    def json(self) -> str:
        """As Grafana takes it."""
        made = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.why)
            .tags([TAG])
            .readonly()
            .refresh(self.refresh)
            .time(f"now-{self.span}", "now")
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .link(
                dashboard.DashboardLink("Dashboards")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .keep_time(True)
                .as_dropdown(True)
            )
            .annotation(
                dashboard.AnnotationQuery()
                .name("Critical alerts")
                .datasource(DATA_SOURCE)
                .icon_color(CRITICAL)
                .expr('ALERTS{alertstate="firing", severity="critical"}')
            )
        )
        for variable in self.variables:
            made = made.with_variable(_variable(variable))
        panels = list(self.panels())
        for number_, (panel, place) in enumerate(panels, 1):
            made = made.with_panel(_panel(panel).id(number_).grid_pos(place))
        headings = self._headings(len(panels))
        built = made.build()
        built.panels = [*(built.panels or []), *headings]
        built.panels.sort(key=lambda panel: (panel.grid_pos.y, panel.grid_pos.x))  # type: ignore[union-attr]
        return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def _headings(self, last_id: int) -> list[model.RowPanel]:
        found, y = [], 0
        for each in self.rows:
            if each.title:
                last_id += 1
                heading = dashboard.Row(each.title).id(last_id).grid_pos(model.GridPos(x=0, y=y, w=24, h=1))
                found.append(heading.build())
            y += each.height + bool(each.title)
        return found

    def site_values(self) -> dict[str, dict[str, Any]]:
        """By panel id what a site may have otherwise: how often it is scraped, the names of the thresholds by step."""
        return {
            str(number_): {"every": panel.every}
            | ({"thresholds": names} if any(names := _threshold_names(panel)) else {})
            for number_, (panel, _place) in enumerate(self.panels(), 1)
        }


def _threshold_names(panel: Panel) -> list[str | None]:
    steps = panel.limits.steps() if panel.limits else []
    return [value if isinstance(value, str) else None for _, value in steps]


def _variable(variable: Variable) -> dashboard.QueryVariable:
    everything = model.VariableOption(text="All", value="$__all", selected=True)
    made = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(DATA_SOURCE)
        .query({"query": variable.query, "refId": "variable"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.several)
        .include_all(variable.several)
    )
    return made.current(everything) if variable.several else made


def _panel(panel: Panel) -> Any:
    """The builder of its kind; the kinds share methods, and no type."""
    made = KINDS[panel.kind](panel)
    made = made.title(panel.title).description(panel.description).unit(panel.unit).datasource(DATA_SOURCE)
    made = made.interval(INTERVALS[panel.every]).no_value("none").color_scheme(_colours(panel))
    for ref, query in zip("ABCDEFGHIJKLMN", panel.queries, strict=False):
        made = made.with_target(_target(panel, query).ref_id(ref))
        if query.limit or query.colour:
            made = made.override_by_query(ref, _colour(CRITICAL if query.limit else query.colour, dashed=query.limit))
    for pattern, colour in panel.colours.items():
        made = made.override_by_regexp(f"/{pattern}/", _colour(colour))
    if panel.limits:
        made = made.thresholds(_thresholds(panel.limits))
    if panel.states:
        made = made.mappings([_mapping(panel.states)])
    if panel.most is not None:
        made = made.max(panel.most)
    if panel.reach and panel.limits:
        made = made.axis_soft_max(max(step.value or 0 for step in _thresholds(panel.limits).build().steps))
    runbooks = [_link(f"Runbook: {name}", f"{RUNBOOKS}/{name}.md").target_blank(True) for name in panel.runbooks]
    links = [*runbooks, *([_link("More", f"/d/{panel.to}?${{__url_time_range}}")] if panel.to else [])]
    return made.links(links) if links else made


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)


def _target(panel: Panel, query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).datasource(DATA_SOURCE)
    if query.legend:
        made = made.legend_format(query.legend)
    if panel.kind in ("graph", "states"):
        return made.range()
    # Now, or nothing: a stat of a range would show the last value of what has been dead for minutes.
    return made.instant().format(PromQueryFormat.TABLE if panel.kind == "table" else PromQueryFormat.TIME_SERIES)


def _colour(colour: str, *, dashed: bool = False) -> list[model.DynamicConfigValue]:
    fixed = [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
    line = [
        model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        model.DynamicConfigValue("custom.fillOpacity", 0),
        model.DynamicConfigValue("custom.stacking", {"mode": "none"}),
    ]
    return fixed + line if dashed else fixed


def _colours(panel: Panel) -> dashboard.FieldColor:
    if panel.kind == "graph":
        return dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    if panel.limits or panel.states:
        return dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    return dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(AMOUNT)


def _thresholds(limits: Limits) -> dashboard.ThresholdsConfig:
    steps = [
        model.Threshold(color=colour, value=THRESHOLDS[value] if isinstance(value, str) else value)
        for colour, value in limits.steps()
    ]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(states_: Mapping[int, tuple[str, str]]) -> model.ValueMap:
    return model.ValueMap(
        {
            str(value): model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(states_.items())
        }
    )


def _graph(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(30 if panel.stacked else 8)
        .show_points(looks.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.TABLE)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if panel.limits:
        made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    return made


LAST = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _number(panel: Panel) -> stat.Panel:
    judged = panel.limits or panel.states
    return (
        stat.Panel()
        .reduce_options(LAST)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.BACKGROUND if judged else looks.BigValueColorMode.VALUE)
        .text_mode(looks.BigValueTextMode.AUTO)
    )


def _bars(_panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .reduce_options(LAST)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .display_mode(looks.BarGaugeDisplayMode.BASIC)
        .min(0)
    )


def _states(_panel: Panel) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .show_value(looks.VisibilityMode.NEVER)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(70)
        .merge_values(True)
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(False)
        )
    )


def _table(panel: Panel) -> table.Panel:
    made = table.Panel().cell_height(looks.TableCellHeight.SM).filterable(False)
    names = [column.field for column in panel.columns]
    made = made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(
        model.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": names}})
    )
    made = made.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {column.field: column.title for column in panel.columns},
            },
        )
    )
    for column in panel.columns:
        if looks_like := list(_column(column)):
            made = made.override_by_name(column.title, looks_like)
    return made


def _column(column: Column) -> Iterator[model.DynamicConfigValue]:
    if column.unit:
        yield model.DynamicConfigValue("unit", column.unit)
    if column.limits:
        yield model.DynamicConfigValue("thresholds", _thresholds(column.limits).build())
        yield model.DynamicConfigValue("color", {"mode": "thresholds"})
    if column.states:
        yield model.DynamicConfigValue("mappings", [_mapping(column.states)])
    if column.limits or column.states:
        yield model.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    if column.link:
        yield model.DynamicConfigValue("links", [{"title": "${__value.text}", "url": column.link}])


KINDS: dict[str, Any] = {"graph": _graph, "number": _number, "bars": _bars, "states": _states, "table": _table}
