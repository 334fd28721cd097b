"""The run record of a host: one line for each run that changed a daemon or tried to, for people and machines."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = Path("var/log/tds/runs.jsonl")


def append(entry: dict[str, Any], host: Path = Path("/")) -> None:
    """Add a run to ``/var/log/tds/runs.jsonl``, as one write, so that runs of several daemons do not mix.

    Raises:
        OSError: it cannot be written.
    """
    path = host / RUNS
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **entry}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def append_or_warn(entry: dict[str, Any], warn: Callable[[str], None]) -> None:
    """Add a run that is over; that it cannot be recorded is no reason to call it failed."""
    try:
        append(entry)
    except OSError as error:
        warn(f"{entry['daemon']}: this run is not in the run record: {error}")


def run_by() -> str:
    """Who runs this, asked on the controller."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
