"""The archive of the trading system: named after what is in it, and made once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import programs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout, as much of it as goes into the archive."""
    for name in ("lab/__init__.py", "lab/trading/a.py", "lab/trading/__pycache__/a.pyc", programs.LOCK):
        file = tmp_path / "checkout" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name, encoding="utf-8")
    package = tmp_path / "checkout/python/duckdb_exporter"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return tmp_path / "checkout"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions of Python that packages were installed for."""
    asked: list[str] = []

    def install(python: str, _lock: Path, target: Path) -> None:
        asked.append(python)
        (target / "duckdb").mkdir(parents=True)

    monkeypatch.setattr(programs, "_install", install)
    return asked


def test_it_holds_programs_and_packages_in_a_directory_of_its_own_name(
    root: Path, tmp_path: Path, installed: list[str]
) -> None:
    archive = programs.archive("3.13", root, tmp_path / "cache")
    top = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
        assert {entry.uname for entry in tar.getmembers()} == {"root"}
    inside = {"lab/__init__.py", "lab/trading/a.py", "duckdb", "duckdb_exporter/__init__.py"}
    assert names == {top, *(f"{top}/{name}" for name in inside)}
    assert installed == ["3.13"]


def test_it_is_made_anew_only_when_something_in_it_has_changed(
    root: Path, tmp_path: Path, installed: list[str]
) -> None:
    first = programs.archive("3.13", root, tmp_path / "cache")
    assert programs.archive("3.13", root, tmp_path / "cache") == first
    assert len(installed) == 1
    for name in ("lab/trading/a.py", programs.LOCK):
        (root / name).write_text("changed", encoding="utf-8")
        assert programs.archive("3.13", root, tmp_path / "cache") != first
        first = programs.archive("3.13", root, tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()) == []
