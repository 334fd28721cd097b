"""Rendering the prometheus role's files without a host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def render(site: dict[str, Any], directory: Path) -> None:
    """Write what the role renders with these variables into a directory."""
    for part in ("tests", "alerts"):
        (directory / part).mkdir()
    command = ["ansible-playbook", str(ROOT / "tests/rules/render.yml"), "--inventory=localhost,"]
    command += ["--extra-vars", json.dumps(site | {"directory": str(directory)})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
