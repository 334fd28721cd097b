"""The stand-in as an archive shaped as Grafana's own is: `bin/grafana` and `conf/defaults.ini` below one directory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import repack
from lab.grafana.stand_in import VERSION
from lab.pins import Component

COMPONENT = "grafana_stand_in"
PROGRAM = "lab/grafana/stand_in.py"


def components(repository: Path, architecture: str) -> Iterator[Component]:
    """The component, where the checkout has the stand-in; no role wants it, the scenario `grafana` does."""
    if (repository / PROGRAM).is_file():
        name = f"{COMPONENT}_{VERSION}_linux_{architecture}.tar.gz"
        yield Component(COMPONENT, VERSION, "", name, "", {}, architecture, digest(repository))


def digest(repository: Path) -> str:
    """Changes when the archive would."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (Path(__file__), repository / PROGRAM))).hexdigest()


def build(repository: Path, target: Path, *, name: str, machine: str) -> None:  # noqa: ARG001  Python runs on any
    """Writes the archive."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as defaults:
        defaults.write("; Grafana's own has its defaults here; the stand-in has none.\n")
        defaults.flush()
        files = {"bin/grafana": repository / PROGRAM, "conf/defaults.ini": Path(defaults.name)}
        repack.pack(target, files, name=name)
