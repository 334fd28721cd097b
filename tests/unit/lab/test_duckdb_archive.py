"""The archive of duckdb_exporter: the same bytes each time, and a program that runs from it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import prometheus_client
import pytest

from lab import duckdb_archive, repack

ROOT = Path(__file__).resolve().parents[3]
NAME = "duckdb_exporter-0.1.0.linux-amd64.tar.gz"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """prometheus_client as a wheel, from where it is installed; DuckDB's are too large for here."""
    path, package = tmp_path / "prometheus_client.whl", Path(prometheus_client.__file__).parent
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(package.rglob("*.py")):
            packed.write(file, file.relative_to(package.parent))
    return path


def test_the_same_files_give_the_same_archive(wheel: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        duckdb_archive.pack(ROOT, [wheel], tmp_path / name, tmp_path / f"{name}.tar.gz", name=NAME)
    assert repack.sha256(tmp_path / "first.tar.gz") == repack.sha256(tmp_path / "second.tar.gz")


def test_what_is_in_it_runs_and_needs_nothing_else(wheel: Path, tmp_path: Path) -> None:
    archive, target = tmp_path / NAME, tmp_path / "unpacked"
    duckdb_archive.pack(ROOT, [wheel], tmp_path / "root", archive, name=NAME)
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    program = target / NAME.removesuffix(".tar.gz") / "duckdb_exporter"
    assert program.read_text().startswith("#!/usr/bin/python3 -IB\n")
    assert program.stat().st_mode & 0o111
    done = subprocess.run([sys.executable, "-ISB", program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "duckdb_exporter 0.1.0\n"
