"""What the benchmarks share: a lab's verbs, playbooks on its hosts, and where the results are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"


def lab(*words: str, text: str | None = None) -> str:
    """A verb of the lab, with a text as its standard input; what it prints."""
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(command, cwd=ROOT, check=True, input=text, stdout=subprocess.PIPE, text=True).stdout


def play(
    lab_name: str,
    playbook: str,
    variables: Mapping[str, Any] | None = None,
    callback: str = "",
    inventories: Sequence[str] = (),
) -> str:
    """A playbook with inventories/lab and others; what it prints. That ends the program when it fails."""
    command = ["ansible-playbook", playbook, "-i", "inventories/lab"]
    command += [option for inventory in inventories for option in ("-i", inventory)]
    command += ["-e", json.dumps(variables)] if variables else []
    environment = os.environ | {"LAB_NAME": lab_name} | ({"ANSIBLE_STDOUT_CALLBACK": callback} if callback else {})
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def save(name: str, result: Mapping[str, Any]) -> None:
    """``bench/results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def load(name: str) -> dict[str, Any]:
    """What was saved before; empty for nothing."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found
