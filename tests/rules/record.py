"""Writes down which metrics the lab's real programs expose, by job, for the tests that no rule
and no dashboard speaks of another.

``python3 -m tests.rules.record LAB`` asks the Prometheus of a lab that is up. What only some set-ups show, such as a
replica or a cluster, comes from a page: ``curl ... | python3 -m tests.rules.record --page redis``. Names are only
added: no lab shows all.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

METRICS = Path(__file__).resolve().parents[2] / "roles/grafana/files/metrics"
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[ {])", re.MULTILINE)
SYNTHETIC = re.compile(r"up|scrape_\w+|ALERTS(_FOR_STATE)?|.*:.*")
"""Prometheus makes these itself, the last by rules."""


def recorded() -> set[str]:
    """Every name that was written down."""
    return {name for file in METRICS.glob("*.txt") for name in file.read_text(encoding="utf-8").split()}


def write(job: str, names: set[str]) -> None:
    file = METRICS / f"{job}.txt"
    known = set(file.read_text(encoding="utf-8").split()) if file.exists() else set()
    file.write_text("".join(f"{name}\n" for name in sorted(known | names)), encoding="utf-8")
    print(f"{job}: {len(names - known)} new, {len(known | names)} in all")


def ask(lab: str, path: str, *parameters: str) -> Any:
    """An answer of the API on the lab's Prometheus host."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--globoff",
        "--get",
        f"http://127.0.0.1:9090/api/v1/{path}",
    ]
    command += [part for parameter in parameters for part in ("--data-urlencode", f"'{parameter}'")]
    done = subprocess.run(
        [sys.executable, "-m", "lab", "ssh", lab, "mon1", *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout)["data"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("lab", nargs="?", help="name of a lab that is up")
    source.add_argument("--page", metavar="JOB", help="read a page from standard input")
    arguments = parser.parse_args()
    METRICS.mkdir(exist_ok=True)
    if arguments.page:
        write(arguments.page, set(SAMPLE.findall(sys.stdin.read())))
        return
    for job in ask(arguments.lab, "label/job/values"):
        names = set(ask(arguments.lab, "label/__name__/values", f'match[]={{job="{job}"}}'))
        write(job, {name for name in names if not SYNTHETIC.fullmatch(name)})


if __name__ == "__main__":
    main()
