"""The run record of a host: one line for each run that changed a daemon or tried to, for people and machines."""

from __future__ import annotations

import json
import os
import time
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
