"""The report on a live site as one page: complete in itself, without a script and without anything from elsewhere.

What a page is made of is either ``Html``, which only ``tag`` makes, or text, which ``tag`` escapes: what comes from a
host cannot become markup.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.tds.monitoring.plugins.filter.verify import LEVELS, PROBE_JOBS, samples_per_second

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --card: #f6f8fa;
  --error: #c2252d; --warning: #9a6700; --skipped: #6e7781; --ok: #1a7f37;
  --s0: #0969da; --s1: #bf5700; --s2: #1a7f37; --s3: #8250df; --s4: #bf3989; --s5: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117;
  --card: #151b23; --error: #ff7b72; --warning: #e3b341; --skipped: #9198a1; --ok: #3fb950;
  --s0: #4493f8; --s1: #f0883e; --s2: #3fb950; --s3: #ab7df8; --s4: #db61a2; --s5: #9198a1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 3rem; font: 15px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .75rem; }
h3 { font-size: .95rem; margin: 0 0 .25rem; } p { margin: .25rem 0; } .soft, figcaption { color: var(--soft); }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; padding: 0; list-style: none; }
.counts li { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; background: var(--card); }
.counts b { font-size: 1.3rem; margin-right: .4rem; }
.scroll { overflow-x: auto; } td.seen { width: 100%; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } td { overflow-wrap: anywhere; } td.name { white-space: nowrap; }
.error { color: var(--error); } .warning { color: var(--warning); } .skipped { color: var(--skipped); }
.ok { color: var(--ok); } .level { font-weight: 700; white-space: nowrap; } .none { color: var(--soft); }
.plots { display: grid; align-items: start; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; background: var(--card); }
figcaption { font-size: .85rem; } svg { display: block; width: 100%; height: auto; }
text { font: 12px system-ui, sans-serif; fill: var(--ink); } text.axis { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); } .limit { stroke: var(--error); stroke-dasharray: 5 4; }
.mark { stroke: var(--ink); stroke-width: 2; }
.line { fill: none; stroke-width: 2; } .track { fill: var(--line); opacity: .5; } .held { fill: var(--s0); }
.bar { fill: var(--s0); opacity: .55; } .short { fill: var(--error); }
.f0 { fill: var(--s0); } .f1 { fill: var(--s1); } .f2 { fill: var(--s2); } .f3 { fill: var(--s3); }
.f4 { fill: var(--s4); } .f5 { fill: var(--s5); } .l0 { stroke: var(--s0); } .l1 { stroke: var(--s1); }
.l2 { stroke: var(--s2); } .l3 { stroke: var(--s3); } .l4 { stroke: var(--s4); } .l5 { stroke: var(--s5); }
"""
SERIES = 6
"""Colours. Whoever is beyond the fifth is drawn together with all others beyond it."""
WIDTH, LEFT, RIGHT, TOP, HEIGHT = 620, 52, 608, 10, 150
"""Of a plot, in its own units; labels stand left of LEFT and below HEIGHT."""
ROW = 33
LEAST_SHARE, DECADES = 1e-4, 4
"""Of an interval that a scrape takes: the bars begin here, and reach the interval so many tenfolds later."""


class Html(str):
    """Markup; any other text is escaped where it is used."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element; ``_`` in an attribute's name is ``-`` in HTML, and at its end nothing."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_text(at))}"' for key, at in attributes.items())
    inside = "".join(child if isinstance(child, Html) else escape(_text(child)) for child in children)
    return Html(f"<{name}{written}>{inside}</{name}>")


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _join(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def verify_page(report: Mapping[str, Any]) -> str:
    """The page. Its own policy lets in nothing but its style, whoever serves it."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    title = f"Verified: {report['site'] or 'the site'}"
    head = (
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    body = (
        tag("h1", title),
        tag("p", f"What the live site said of itself at {report['at']}.", class_="soft"),
        _counts(report["counts"]),
        _rows(report["rows"]),
        _join(_host(host, seen) for host, seen in report["drawn"].items()),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{tag("head", *head)}{tag("body", *body)}</html>\n'


def _counts(counts: Mapping[str, int]) -> Html:
    shown = (tag("li", tag("b", counts[level]), level, class_=level if counts[level] else "none") for level in LEVELS)
    return tag("ul", *shown, class_="counts")


def _rows(rows: Sequence[Mapping[str, str]]) -> Html:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("", "host", "check", "what is seen")))
    lines = (
        tag(
            "tr",
            tag("td", row["level"], class_=f"level {row['level']}"),
            tag("td", row["host"], class_="name"),
            tag("td", row["check"], class_="name"),
            tag("td", *_seen(row), class_="seen"),
        )
        for row in rows
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", *lines)), class_="scroll")


def _seen(row: Mapping[str, str]) -> Iterator[Html]:
    yield tag("div", row["value"] if row["what"] == row["check"] else f"{row['what']}: {row['value']}")
    if row["need"]:
        yield tag("div", "need: ", row["need"], class_="soft")
    if row["remedy"]:
        yield tag("div", "→ ", row["remedy"], class_="soft")


# --- What is drawn, of one Prometheus


def _host(host: str, seen: Mapping[str, Any]) -> Html:
    drawn = seen["drawn"]
    plots = [
        *_efficiency(seen["scrapes"]),
        *_samples(drawn.get("samples") or {}, seen["scrapes"]),
        *_latency(drawn.get("sync_latency") or {}, seen["sync_limit"]),
        *_rates(drawn.get("sync_rows") or {}),
        *_retention(seen["retention"]),
    ]
    if not plots:
        return Html("")
    return tag("section", tag("h2", f"As Prometheus on {host} sees it"), tag("div", *plots, class_="plots"))


def _figure(title: str, caption: str, height: float, *shapes: Html) -> Html:
    svg = tag("svg", tag("title", title), *shapes, viewBox=f"0 0 {WIDTH} {height:.0f}", role="img")
    return tag("figure", tag("h3", title), svg, tag("figcaption", caption))


def _efficiency(scrapes: Mapping[str, Mapping[str, float]]) -> Iterator[Html]:
    """By job, the share of its interval that a scrape takes, on a scale of tenfolds."""
    jobs = {
        job: one for job, one in sorted(scrapes.items()) if one.get("interval") and {"average", "slowest"} <= set(one)
    }
    if not jobs:
        return
    left, bottom = 140.0, 16.0 + ROW * len(jobs)

    def x(share: float) -> float:
        tenfolds = math.log10(min(1.0, max(LEAST_SHARE, share)) / LEAST_SHARE)
        return left + (RIGHT - left) * tenfolds / DECADES

    shapes = []
    for decade in range(DECADES + 1):
        share = LEAST_SHARE * 10**decade
        shapes.append(tag("line", x1=x(share), x2=x(share), y1=6, y2=bottom, class_="grid"))
        anchor = "end" if decade == DECADES else "middle"
        shapes.append(tag("text", f"{100 * share:g} %", x=x(share), y=bottom + 14, class_="axis", text_anchor=anchor))
    for index, (job, one) in enumerate(jobs.items()):
        top = 12.0 + ROW * index
        average, slowest = (one[what] / one["interval"] for what in ("average", "slowest"))
        said = f"{_time(one['average'])} on average, {_time(one['slowest'])} at most, of {one['interval']:g} s"
        late = slowest >= 1 and job not in PROBE_JOBS
        shapes += [
            tag("text", job, x=left - 8, y=top + 11, text_anchor="end"),
            tag("rect", x=left, y=top, width=RIGHT - left, height=7, class_="track"),
            tag("rect", x=left, y=top, width=x(average) - left, height=7, class_="short" if late else "bar"),
            tag("line", x1=x(slowest), x2=x(slowest), y1=top - 3, y2=top + 10, class_="mark"),
            tag("text", said, x=left, y=top + 20, class_="axis"),
        ]
    caption = "Share of its interval that a scrape takes: the bar is the average of 5 min, the mark the longest."
    yield _figure("Scrapes against their intervals", caption, bottom + 20, *shapes)


def _samples(series: Mapping[str, Sequence[Sequence[float]]], scrapes: Mapping[str, Any]) -> Iterator[Html]:
    """Samples per second by job, one above the other."""
    if not (several := _gathered(series)):
        return
    sums = {at: 0.0 for points in several.values() for at, _value in points}
    layers = []
    for points in several.values():
        lower, upper = [], []
        values = dict(points)
        for at in sorted(sums):
            lower.append((at, sums[at]))
            sums[at] += values.get(at, 0.0)
            upper.append((at, sums[at]))
        layers.append((lower, upper))
    plot = Plot(sorted(sums), max(sums.values()))
    shapes = [*plot.frame(_count)]
    for index, (lower, upper) in enumerate(layers):
        outline = " ".join(plot.at(*point) for point in [*upper, *reversed(lower)])
        shapes.append(tag("polygon", points=outline, class_=f"f{index}", opacity=0.7))
    total = f"{samples_per_second(scrapes):,.0f} samples/s now. " if scrapes else ""
    yield plot.figure("Samples per second", f"{total}Of the last 15 min, by job.", shapes, several, "f")


def _latency(series: Mapping[str, Sequence[Sequence[float]]], limit: float) -> Iterator[Html]:
    if several := _gathered(series):
        plot = Plot(_times(several), max(limit, _most(several)))
        shapes = [*plot.frame(_time), *plot.lines(several), *plot.limit(limit)]
        yield plot.figure("Latency of a sync", f"The dashed line is the limit, {_time(limit)}.", shapes, several, "f")


def _rates(series: Mapping[str, Sequence[Sequence[float]]]) -> Iterator[Html]:
    if several := _gathered(series):
        plot = Plot(_times(several), _most(several))
        shapes = [*plot.frame(_count), *plot.lines(several)]
        yield plot.figure("Rows synced per second", "Of the last 15 min.", shapes, several, "f")


def _retention(judged: Mapping[str, Any]) -> Iterator[Html]:
    """Days that fit, that are wanted and that are there."""
    if not judged:
        return
    days, wanted, held = (max(0.0, _finite(judged[what])) for what in ("days", "wanted_days", "held_days"))
    most = max(days, wanted, held, 1e-9)
    # What fits beyond twice of what is wanted says no more.
    most = min(most, 2 * wanted) if wanted and held <= wanted else most

    def x(value: float) -> float:
        return 10 + (RIGHT - 10) * min(value, most) / most

    shapes = [
        tag("rect", x=10, y=14, width=RIGHT - 10, height=22, class_="track"),
        tag("rect", x=10, y=14, width=x(days) - 10, height=22, class_="bar" if days >= wanted else "short"),
        tag("rect", x=10, y=26, width=x(held) - 10, height=10, class_="held"),
        tag("line", x1=x(wanted), x2=x(wanted), y1=8, y2=42, class_="mark"),
        tag("text", f"{wanted:.3g} days are wanted", x=x(wanted), y=58, text_anchor=_anchor(x(wanted)), class_="axis"),
    ]
    caption = f"{days:,.1f} days fit into {judged['kept']} ({judged['by']}); {held:.1f} are there."
    yield _figure("Retention", caption, 64, *shapes)


def _anchor(x: float) -> str:
    return "start" if x < WIDTH / 4 else "end" if x > WIDTH * 3 / 4 else "middle"


class Plot:
    """Axes of values over time, from zero to ``most``."""

    def __init__(self, times: Sequence[float], most: float) -> None:
        self.first, self.last = times[0], times[-1]
        self.step = _round_step(most if most > 0 else 1.0)
        self.most = self.step * max(1, math.ceil((most if most > 0 else 1.0) / self.step - 1e-9))

    def x(self, at: float) -> float:
        return LEFT + (RIGHT - LEFT) * (at - self.first) / (self.last - self.first or 1)

    def y(self, value: float) -> float:
        return HEIGHT - (HEIGHT - TOP) * max(0.0, value) / self.most

    def at(self, at: float, value: float) -> str:
        return f"{self.x(at):.1f},{self.y(value):.1f}"

    def frame(self, write: Callable[[float], str]) -> Iterator[Html]:
        for index in range(round(self.most / self.step) + 1):
            y = self.y(index * self.step)
            yield tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="grid")
            yield tag("text", write(index * self.step), x=LEFT - 6, y=y + 4, text_anchor="end", class_="axis")
        ago = (self.last - self.first) / 60
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
            said = "now" if share == 1 else f"{ago * (1 - share):.2g} min ago"
            x = LEFT + (RIGHT - LEFT) * share
            yield tag("text", said, x=x, y=HEIGHT + 15, text_anchor=anchor, class_="axis")

    def lines(self, several: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[Html]:
        for index, points in enumerate(several.values()):
            drawn = " ".join(self.at(*point) for point in points)
            yield tag("polyline", points=drawn, class_=f"line l{index}")

    def limit(self, value: float) -> Iterator[Html]:
        yield tag("line", x1=LEFT, x2=RIGHT, y1=self.y(value), y2=self.y(value), class_="limit")

    def figure(self, title: str, caption: str, shapes: Iterable[Html], several: Mapping[str, Any], kind: str) -> Html:
        """With a legend below, three to a line."""
        legend = []
        for index, name in enumerate(several):
            x, y = LEFT + 186 * (index % 3), HEIGHT + 36 + 18 * (index // 3)
            legend += [
                tag("rect", x=x, y=y - 10, width=11, height=11, class_=f"{kind}{index}"),
                tag("text", name, x=x + 17, y=y),
            ]
        return _figure(title, caption, HEIGHT + 44 + 18 * ((len(several) - 1) // 3), *shapes, *legend)


def _gathered(series: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, list[tuple[float, float]]]:
    """The largest series by name, and the sum of the others."""
    finite = {
        name: [(float(at), float(value)) for at, value in points if math.isfinite(value)]
        for name, points in series.items()
    }
    by_size = sorted((name for name in finite if finite[name]), key=lambda name: (-finite[name][-1][1], name))
    shown, rest = by_size[: SERIES - 1], by_size[SERIES - 1 :]
    found = {name: finite[name] for name in shown}
    if rest:
        sums: dict[float, float] = {}
        for name in rest:
            for at, value in finite[name]:
                sums[at] = sums.get(at, 0.0) + value
        found[f"{len(rest)} others"] = sorted(sums.items())
    return found


def _times(several: Mapping[str, Sequence[tuple[float, float]]]) -> list[float]:
    return sorted({at for points in several.values() for at, _value in points})


def _most(several: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    return max(value for points in several.values() for _at, value in points)


def _round_step(most: float) -> float:
    """A quarter, a half, one or two and a half of a power of ten, so that at most four steps reach ``most``."""
    tenfold = 10.0 ** math.floor(math.log10(most))
    return next((step for factor in (0.25, 0.5, 1.0, 2.5) if 0 < most / 4 <= (step := tenfold * factor)), most)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _time(seconds: float) -> str:
    if seconds >= 1 or seconds <= 0:
        return f"{seconds:.3g} s"
    return f"{1000 * seconds:.3g} ms"


def _count(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"verify_page": verify_page}
