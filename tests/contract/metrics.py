"""The tables in docs/metrics.md, made from the contract and from the rules that use its metrics.

`make docs` writes them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from tests.contract.roles import ROOT

FILE = ROOT / "docs/metrics.md"
PROMETHEUS = ROOT / "roles/prometheus"
CONTRACT = PROMETHEUS / "vars/main/contract.yml"
TABLE = re.compile(r"<!-- (contract|used) (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL)
RULE = re.compile(r"^ *- (alert|record): (\S+)$", re.MULTILINE)
PARTS = r"(?:_bucket|_sum|_count)?"


def contract(name: str) -> list[dict[str, Any]]:
    """The metrics of a contract, or of what all contracts have in common (process)."""
    found: list[dict[str, Any]] = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))[f"__prometheus_contract_{name}"]
    return found


def rules() -> Iterator[tuple[str, str, str]]:
    """Kind, name and text of every shipped rule."""
    for file in sorted((PROMETHEUS / "templates").glob("**/*.yml.j2")):
        if file.parent.name not in ("templates", "alerts") or file.name in ("prometheus.yml.j2", "targets.yml.j2"):
            continue
        pieces = RULE.split(file.read_text(encoding="utf-8"))
        yield from zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)


def alerts_on(metric: str) -> set[str]:
    """The alerts that look at a metric, by recording rules too."""
    found: set[str] = set()
    for kind, name, text in rules():
        if re.search(rf"(?<![\w:]){re.escape(metric)}{PARTS}(?![\w:])", text):
            found |= {name} if kind == "alert" else alerts_on(name)
    return found


def used(prefix: str) -> list[str]:
    """The metrics of that prefix that rules look at."""
    return sorted({name for _, _, text in rules() for name in re.findall(rf"(?<![\w:.]){prefix}\w*_\w+", text)})


def document() -> str:
    """docs/metrics.md as it should be."""
    return TABLE.sub(lambda match: _table(match[1], match[2]), FILE.read_text(encoding="utf-8"))


def _table(kind: str, name: str) -> str:
    if kind == "contract":
        rows = ["| metric | type | unit | labels | meaning | alerts |", "|---|---|---|---|---|---|"]
        rows += [
            f"| `{metric['name']}` | {metric['type']} | {metric['unit']} | {_code(metric['labels'])} |"
            f" {metric['meaning']} | {_links(metric['name'])} |"
            for metric in contract(name)
        ]
    else:
        rows = ["| metric | alerts |", "|---|---|", *(f"| `{each}` | {_links(each)} |" for each in used(name))]
    return "\n".join([f"<!-- {kind} {name} -->", *rows, f"<!-- /{kind} -->"])


def _code(labels: list[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _links(metric: str) -> str:
    return ", ".join(f"[{alert}](runbooks/{alert}.md)" for alert in sorted(alerts_on(metric)))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m tests.contract.metrics --write")
    FILE.write_text(document(), encoding="utf-8")
