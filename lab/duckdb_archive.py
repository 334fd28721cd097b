"""The release of duckdb_exporter: a launcher, the package of this checkout, and the locked wheels of what it needs.

The wheels are those of requirements/duckdb_exporter.txt, checked by hash: the same checkout gives the same archive.
DuckDB is in it for each Python of Debian bookworm, trixie and forky: from 3.12 on they share one library.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lab import pins, repack
from lab.common import architecture
from lab.upstream import NotAvailableError

COMPONENT = "duckdb_exporter"
PYTHONS = ("3.11", "3.13")
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = ("2_28", "2_27", "2_17")  # bookworm has 2.36
REQUIREMENTS = "requirements/duckdb_exporter.txt"
LAUNCHER = """\
#!/usr/bin/python3 -IB
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from duckdb_exporter.__main__ import main

sys.exit(main())
"""


def sources(repository: Path) -> list[Path]:
    """The files of the checkout that the archive is made of."""
    return [repository / REQUIREMENTS, *sorted((repository / "python/duckdb_exporter").glob("*.py"))]


def digest(repository: Path) -> str:
    """Changes when the archive would."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in [Path(__file__), *sources(repository)])).hexdigest()


def build(repository: Path, target: Path, *, name: str, machine: str) -> None:
    """Writes the archive; NotAvailableError when the wheels cannot be had."""
    with tempfile.TemporaryDirectory(prefix="tds-duckdb-") as directory:
        wheels, root = Path(directory, "wheels"), Path(directory, "root")
        for python in PYTHONS:
            _download(repository / REQUIREMENTS, wheels, python, PLATFORMS[machine])
        pack(repository, sorted(wheels.glob("*.whl")), root, target, name=name)


def pack(repository: Path, wheels: list[Path], root: Path, target: Path, *, name: str) -> None:
    """Writes the archive of these wheels, by way of an empty directory."""
    library = root / "lib"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(library)
    for path in sources(repository)[1:]:
        copy = library / COMPONENT / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (root / COMPONENT).write_text(LAUNCHER, encoding="utf-8")
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    repack.pack(target, files, name=name)


def _download(requirements: Path, wheels: Path, python: str, machine: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [
        "--require-hashes",
        "--requirement",
        str(requirements),
        "--dest",
        str(wheels),
        "--python-version",
        python,
    ]
    command += [word for glibc in GLIBC for word in ("--platform", f"manylinux_{glibc}_{machine}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise NotAvailableError(f"its wheels cannot be had: {' '.join(done.stderr.split())[-300:]}")


def main() -> None:
    directory, repository = Path(sys.argv[1]), Path(__file__).resolve().parents[1]
    directory.mkdir(parents=True, exist_ok=True)
    component = next(one for one in pins.read(repository, architecture()) if one.name == COMPONENT)
    archive = directory / component.archive
    build(repository, archive, name=component.archive, machine=component.architecture)
    actual = repack.sha256(archive)
    print(f"{archive} ({archive.stat().st_size >> 20} MiB), sha256 {actual}")
    if actual != component.sha256:
        pin = f"{{{component.version}: {{{component.architecture}: {actual}}}}}"
        print(f"The role's pin is another: set duckdb_exporter_pins: {pin}")


if __name__ == "__main__":
    main()
