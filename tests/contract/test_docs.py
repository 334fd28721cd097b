"""What the documents say is there, is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.contract import runbooks
from tests.contract.roles import ROOT
from tests.contract.test_repository import files

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# A command in code: the whole of `make demo`, a line that begins with it, or one after && or ;.
MAKE = re.compile(r"(?:^|[`;&]) *make +(?:-\S+ +)*([a-z][a-z-]*)", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
LONGEST_RUNBOOK = 40


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links(document: Path) -> Iterator[str]:
    for target in LINK.findall(CODE_BLOCK.sub("", text(document))):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as they are made where the documents are read."""
    headings = HEADING.findall(CODE_BLOCK.sub("", text(document)))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets(document: Path) -> set[str]:
    return {target for code in CODE.findall(text(document)) for target in MAKE.findall(code)}


def playbooks() -> list[Path]:
    found = sorted((ROOT / "playbooks").glob("*.yml"))
    assert found
    assert all(isinstance(yaml.safe_load(text(path)), list) for path in found)
    return found


@pytest.mark.parametrize("runbook", runbooks.files(), ids=lambda path: path.stem)
def test_a_runbook_is_short_and_says_what_to_do(runbook: Path) -> None:
    content = text(runbook)
    assert len(content.splitlines()) <= LONGEST_RUNBOOK
    assert f"# {runbook.stem}\n" in content
    for part in ("**Meaning.**", "**Impact.**", "## What to look at", "## What to do"):
        assert part in content


def test_readme_names_every_playbook() -> None:
    readme = text(ROOT / "README.md")
    assert [path.name for path in playbooks() if f"playbooks/{path.name}" not in readme] == []


@EVERY_DOCUMENT
def test_playbooks_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"(?<![\w/])playbooks/[\w-]+\.yml", text(document)))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@EVERY_DOCUMENT
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in links(document):
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@EVERY_DOCUMENT
def test_make_targets_that_are_named_exist(document: Path) -> None:
    there = set(re.findall(r"^([a-z][a-z-]*)(?=[ a-z-]*:(?!=))", text(ROOT / "Makefile"), re.MULTILINE))
    assert make_targets(document) <= there
