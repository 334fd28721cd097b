"""The runbooks, and the list of them: each alert with its severity and what it says. `make docs` writes it."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.contract.roles import ROOT
from tests.rules.mutation import RuleFile
from tests.rules.rendering import SHIPPED, render, rule_files

DIRECTORY = ROOT / "docs/runbooks"
README = DIRECTORY / "README.md"
QUERY = re.compile(r"^q '([^']+)'", re.MULTILINE)
SEVERITIES = ("critical", "warning", "info")
INTRODUCTION = """# Runbooks

One page for each alert: what it means, what it does to the trade path, what to look at and what to do.
**critical**: somebody must act now; **warning**: today; **info**: to know. `…` stands for the instance or service.
"""


def files() -> list[Path]:
    """The runbooks, without the list of them."""
    return sorted(path for path in DIRECTORY.glob("*.md") if path != README)


def queries(runbook: Path) -> list[str]:
    """What it has one ask Prometheus."""
    return QUERY.findall(runbook.read_text(encoding="utf-8"))


def listing(alerts: Iterable[dict[str, Any]]) -> str:
    """The list as it should be, the most urgent first."""
    severities: dict[str, set[int]] = {}
    summaries: dict[str, str] = {}
    for alert in alerts:
        severities.setdefault(alert["alert"], set()).add(SEVERITIES.index(alert["labels"]["severity"]))
        summaries.setdefault(alert["alert"], _readable(alert["annotations"]["summary"]))
    rows = sorted((sorted(found), name) for name, found in severities.items())
    table = [
        f"| [{name}]({name}.md) | {', '.join(SEVERITIES[severity] for severity in found)} | {summaries[name]} |"
        for found, name in rows
    ]
    return "\n".join([INTRODUCTION, "| alert | severity | says |", "|---|---|---|", *table, ""])


def _readable(summary: str) -> str:
    optional = re.sub(r"\{\{ (?:with|if) [^}]*\}\}(.*?)\{\{ end \}\}", r"\1", summary)
    return re.sub(r"\{\{.*?\}\}", "…", optional).replace("… …", "…")


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m tests.contract.runbooks --write")
    with tempfile.TemporaryDirectory() as directory:
        render(SHIPPED, Path(directory))
        rules = [rule for name in rule_files() for rule in RuleFile.read(Path(directory), name).rules]
    README.write_text(listing(rule for rule in rules if "alert" in rule), encoding="utf-8")


if __name__ == "__main__":
    main()
