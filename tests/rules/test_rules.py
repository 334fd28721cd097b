"""The shipped rules under promtool: green at any threshold, red when an expression is changed.

The tests themselves are the role's (``roles/prometheus/templates/tests/``), so every run on a host passes
them too.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rules.rendering import render

PROD: dict[str, Any] = {
    "prometheus_thresholds": {"memory_ratio": 0.8, "sync_latency_seconds": 0.2, "for": "5s"},
    "prometheus_memory_limits": [{"service": "backend", "bytes": 1 << 30}],
    "prometheus_redis_services": ["redis"],
}
SITES: dict[str, dict[str, Any]] = {
    "as shipped": PROD,
    "with other thresholds": PROD
    | {
        "prometheus_thresholds": {"memory_ratio": 0.55, "sync_latency_seconds": 1.5, "for": "12s"},
        "prometheus_memory_limits": [{"service": "engine", "bytes": 3_000_000_000}, {"service": "backend", "bytes": 5}],
    },
    "with patience and two kinds of Redis": PROD
    | {
        "prometheus_thresholds": {"memory_ratio": 0.9, "sync_latency_seconds": 60, "for": "5m"},
        "prometheus_redis_services": ["redis", "redis-cache"],
    },
    "without patience": PROD | {"prometheus_thresholds": PROD["prometheus_thresholds"] | {"for": "0s"}},
    "without Redis and without limits": PROD | {"prometheus_memory_limits": [], "prometheus_redis_services": []},
}
MUTATIONS = [
    # what is changed in rules.yml, and to what
    (r"> 0\.8", "< 0.8"),
    (r"> 0\.8", "> 1.1"),
    (r"> 0\.8", "> 0.5"),
    (r"on \(service\)", "on ()"),
    (r"vector\(1073741824\)", "vector(2147483648)"),
    (r"redis_up(\{.*?\}) == 0", r"redis_up\1 == 1"),
    (r"or up\{.*?\} == 0", ""),
    (r"or absent\(.*?\)", ""),
    (r"avg_over_time\(sync_latency_seconds\[10s\]\)", "max_over_time(sync_latency_seconds[10m])"),
    (r"> 0\.2", "> 20"),
    (r"severity: warning", "severity: info"),
    (r"for: 5s", "for: 10m"),
]


def judge(promtool: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool, "test", "rules", "tests/rules.yml"], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("site", SITES)
def test_the_rules_pass_their_tests(promtool: Path, tmp_path: Path, site: str) -> None:
    render(SITES[site], tmp_path)
    done = judge(promtool, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lint = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", "rules.yml"]
    checked = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shipped")
    render(PROD, directory)
    return directory


@pytest.mark.parametrize(("pattern", "mutant"), MUTATIONS)
def test_a_changed_rule_turns_a_test_red(
    promtool: Path, shipped: Path, tmp_path: Path, pattern: str, mutant: str
) -> None:
    text = (shipped / "rules.yml").read_text()
    changed = re.sub(pattern, mutant, text)
    assert changed != text, "the mutation does not apply: the rules have changed, so must this table"
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules.yml").write_text(changed)
    (tmp_path / "tests/rules.yml").write_bytes((shipped / "tests/rules.yml").read_bytes())
    assert judge(promtool, tmp_path).returncode != 0


def test_every_alert_has_a_severity_and_a_runbook(shipped: Path) -> None:
    text = (shipped / "rules.yml").read_text()
    alerts = re.split(r"- alert: ", text)[1:]
    assert len(alerts) == 3
    for alert in alerts:
        name = alert.split("\n", 1)[0]
        assert re.search(r"severity: (info|warning|critical)", alert)
        assert f"/{name}.md" in alert
