"""Rendering the prometheus role's files without a host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/prometheus"


def variables(name: str) -> dict[str, Any]:
    """A file of the role's vars as it is written."""
    return dict(yaml.safe_load((ROLE / f"vars/main/{name}.yml").read_text(encoding="utf-8")))


SHIPPED: dict[str, Any] = {
    "prometheus_memory_limits": [{"service": "backend", "bytes": 1 << 30}],
    "prometheus_services": ["redis", "duckdb", "clickhouse", "backend", "rust-trade-engine"],
    "prometheus_redis_services": ["redis"],
    "prometheus_scrape_configs": [{"job_name": "backend", "scrape_interval": "1s"}]
    + [
        {"job_name": job, "scrape_interval": "15s"}
        for job in (
            "alertmanager",
            "blackbox_exporter",
            "host",
            "node",
            "probe",
            "prometheus",
            "proxy",
            "redis_exporter",
        )
    ],
}
"""What the production inventory derives for the rules; thresholds as shipped."""
SHIPPED_THRESHOLDS: dict[str, Any] = variables("thresholds")["__prometheus_shipped_thresholds"]


def rule_files() -> list[str]:
    """The role's rule files, without .yml."""
    return list(variables("rules")["__prometheus_rule_names"])


def render(site: dict[str, Any], directory: Path) -> None:
    """Write what the role renders with these variables into a directory."""
    command = ["ansible-playbook", str(ROOT / "tests/rules/render.yml"), "--inventory=localhost,"]
    command += ["--extra-vars", json.dumps(site | {"directory": str(directory)})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for path, content in json.loads((directory / "rendered.json").read_text(encoding="utf-8")).items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(content, encoding="utf-8")
