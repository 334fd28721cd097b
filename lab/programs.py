"""The lab's trading system as one archive: its programs, and the Python packages that its hosts cannot get."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.common import LabError, Paths, repository, run

LOCK = "requirements/trading.txt"
PLATFORM = "x86_64-manylinux_2_28"


def show(arguments: argparse.Namespace, paths: Paths) -> None:
    """The verb: prints the path of the archive for one version of Python."""
    print(archive(arguments.python, repository(), paths.cache / "programs"))


def archive(python: str, root: Path, cache: Path) -> Path:
    """An archive whose name changes with what is in it; made when the cache has not got it."""
    sources = dict(_sources(root))
    digest = hashlib.sha256((root / LOCK).read_bytes())
    for name, file in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + file.read_bytes())
    wanted = cache / f"trading-{python}-{digest.hexdigest()[:12]}.tar.gz"
    if wanted.exists():
        return wanted
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        packages = Path(work, "packages")
        _install(python, root / LOCK, packages)
        packed = Path(work, wanted.name)
        with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
            tar.add(packages, wanted.name.removesuffix(".tar.gz"), filter=_of_root)
            for name, file in sorted(sources.items()):
                tar.add(file, f"{wanted.name.removesuffix('.tar.gz')}/{name}", filter=_of_root)
        packed.replace(wanted)
    return wanted


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Files by their place in the archive."""
    yield "lab/__init__.py", root / "lab/__init__.py"
    for parent, package in ((root, root / "lab/trading"), (root / "python", root / "python/duckdb_exporter")):
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(parent)), file


def _install(python: str, lock: Path, target: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        raise LabError(f"{uv} is not there: run `make venv`, and use its Python")
    which = ["--python-version", python, "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-deps"]
    run([str(uv), "pip", "install", "--quiet", "--require-hashes", *which, "--target", str(target), "-r", str(lock)])


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
