"""Secrets in the open: whether a host, a run's output or the controller's own files show one.

assert leaks(host, ["s3cr3t"], allowed=["/opt/tds/prometheus/generations/*/etc/web.yml"], output=run.output) == []
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from testinfra.host import Host

from tests import canary_search
from tests.hosts import lab, lab_name


class Leak(NamedTuple):
    """A secret and where it can be read."""

    secret: str
    place: str


def leaks(host: Host, secrets: Sequence[str], *, allowed: Sequence[str] = (), output: str = "") -> list[Leak]:
    """Where secrets are that should not be there.

    On the host: arguments and environments of processes, what systemd and the journal say, and every file that is not
    the kernel's or in /usr. ``allowed`` are patterns of paths that may hold them, if not everybody can read them. Here:
    what a run printed, and what Ansible leaves on the controller.
    """
    program = Path(canary_search.__file__).read_text(encoding="utf-8")
    program += f"\n\nsearch({list(secrets)!r}, {list(allowed)!r})\n"
    there = json.loads(lab("ssh", lab_name(), host.backend.host, "python3", "-I", "-", text=program))
    here = [(secret, place) for place, text in _here(output) for secret in secrets if secret.encode() in text]
    return [Leak(*found) for found in [*there, *here]]


def _here(output: str) -> Iterator[tuple[str, bytes]]:
    yield "the run's output", output.encode()
    for place in (Path.home() / ".ansible", *Path(tempfile.gettempdir()).glob("ansible*")):
        files = [Path(top, name) for top, _below, names in os.walk(place) for name in names]
        for path in files or [place]:
            with suppress(FileNotFoundError):  # another run ends meanwhile, and takes its own away
                if path.is_file():
                    yield f"{path} on the controller", path.read_bytes()
