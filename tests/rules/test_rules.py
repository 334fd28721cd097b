"""The shipped rules under promtool: green at any threshold, red when one part of one rule is changed.

The tests themselves are the role's (``roles/prometheus/templates/tests/``), so every run on a host passes
them too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.rules.mutation import Mutant, RuleFile, mutants, passes, promtool_says
from tests.rules.rendering import SHIPPED, SHIPPED_THRESHOLDS, render, rule_files

PROCESSES = 2
WHOLE = ("rules", "alerts/clickhouse", "alerts/duckdb")
"""The files whose tests notice whatever part of a rule is changed; test_hosts_and_monitoring has its own table."""


def another(threshold: Any) -> Any:
    """A threshold that the rules must do with as well."""
    if isinstance(threshold, str):
        return "12s"
    return threshold * 3 if isinstance(threshold, int) else threshold * 0.6


OTHER_THRESHOLDS = {name: another(value) for name, value in SHIPPED_THRESHOLDS.items()}
SITES: dict[str, dict[str, Any]] = {
    "as shipped": SHIPPED,
    "with other thresholds and two kinds of Redis": SHIPPED
    | {
        "prometheus_thresholds": OTHER_THRESHOLDS,
        "prometheus_memory_limits": [{"service": "engine", "bytes": 3_000_000_000}, {"service": "backend", "bytes": 5}],
        "prometheus_services": ["redis", "engine", "redis-cache", "backend"],
        "prometheus_redis_services": ["redis", "redis-cache"],
    },
    "without patience, with Redis only": SHIPPED
    | {"prometheus_thresholds": {"for": "0s"}, "prometheus_memory_limits": [], "prometheus_services": ["redis"]},
    "with nothing to watch": {name: [] for name in SHIPPED},
}


def judge(promtool: Path, directory: Path) -> str:
    """What promtool has to say against the rendered rules and their tests."""
    files = [f"{name}.yml" for name in rule_files()]
    tests = [f"tests/{Path(name).name}" for name in files]
    complaints = [
        promtool_says(promtool, directory, "check", "rules", "--lint=all", "--lint-fatal", *files),
        promtool_says(promtool, directory, "test", "rules", *tests),
    ]
    return "".join(done.stdout + done.stderr for done in complaints if done.returncode)


@pytest.fixture(scope="module")
def verdicts(promtool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What promtool says against each site; side by side, for they take seconds."""

    def verdict(site: dict[str, Any]) -> str:
        directory = tmp_path_factory.mktemp("site")
        render(site, directory)
        return judge(promtool, directory)

    with ThreadPoolExecutor(PROCESSES) as pool:
        return dict(zip(SITES, pool.map(verdict, SITES.values()), strict=True))


@pytest.mark.parametrize("site", SITES)
def test_the_rules_pass_their_tests(verdicts: dict[str, str], site: str) -> None:
    assert verdicts[site] == ""


@pytest.mark.parametrize("name", WHOLE)
def test_a_changed_rule_turns_a_test_red(promtool: Path, shipped: Path, tmp_path: Path, name: str) -> None:
    file = RuleFile.read(shipped, name)
    same = [Mutant(rule, rule, "unchanged") for rule in file.rules]
    changed = [mutant for rule in file.rules for mutant in mutants(rule)]
    assert len(changed) > 4 * len(same)

    def survives(number: int, mutant: Mutant) -> bool:
        return passes(promtool, *file.excerpt(mutant), tmp_path / str(number))

    with ThreadPoolExecutor(PROCESSES) as pool:
        survived = list(pool.map(survives, range(len(same + changed)), same + changed))
    living = [mutant for mutant, lives in zip(same + changed, survived, strict=True) if lives]
    assert [str(mutant) for mutant in living if mutant in changed] == []
    assert living == same, "what is not changed passes alone, or a test would be red of itself"
