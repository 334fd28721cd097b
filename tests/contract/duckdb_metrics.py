"""The table of metrics in python/README.md, made from the code. `make docs` writes it."""

from __future__ import annotations

import re
import sys

from duckdb_exporter.metrics import COLLECTOR, DATABASE, FILES, Metric

from tests.contract.roles import ROOT

README = ROOT / "python/README.md"
TABLE = re.compile(r"<!-- metrics -->\n.*?<!-- /metrics -->", re.DOTALL)
WHERE = {"your process, and files with `read`": DATABASE, "every scrape": COLLECTOR, "the standalone service": FILES}


def readme() -> str:
    """The README as it should be."""
    rows = ["| metric | labels | what it is | where |", "|---|---|---|---|"]
    rows += [_row(metric, where) for where, metrics in WHERE.items() for metric in metrics]
    table = "\n".join(["<!-- metrics -->", *rows, "<!-- /metrics -->"])
    return TABLE.sub(lambda _: table, README.read_text(encoding="utf-8"))


def _row(metric: Metric, where: str) -> str:
    return f"| `{metric.name}` | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} | {where} |"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m tests.contract.duckdb_metrics --write")
    README.write_text(readme(), encoding="utf-8")
