"""What holds for the repository as a whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.contract.roles import ROOT

SITE_LINES = 30
# A checkout works wherever it is and whoever serves its packages. Written so that this file does not match itself.
ELSEWHERE = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.]org|(?:deb|ftp|security|snapshot)[.]debian[.]org|debian[.]net"
    r"|(?<![\w.\]})])/(?:work|root)/|/opt/(?:wheels|pypi)\b"
)


def files() -> list[Path]:
    """What is in git or will be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_nothing_names_a_registry_or_a_place_on_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (match := ELSEWHERE.search(line))
    ]
    assert found == []


def test_site_playbook_is_read_at_a_glance() -> None:
    assert len((ROOT / "playbooks/site.yml").read_text(encoding="utf-8").splitlines()) <= SITE_LINES


def test_versions_agree() -> None:
    collection = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert project
    assert project[1] == collection["version"]
