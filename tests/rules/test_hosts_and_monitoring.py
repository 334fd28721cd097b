"""alerts/hosts.yml and alerts/monitoring.yml under promtool: green at any threshold, red when an expression is changed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rules.rendering import render

JOBS = ["alertmanager", "backend", "blackbox_exporter", "host", "node", "probe", "prometheus", "redis_exporter"]
PROD: dict[str, Any] = {
    "prometheus_scrape_configs": [{"job_name": "backend", "scrape_interval": "1s"}]
    + [{"job_name": job, "scrape_interval": "15s"} for job in JOBS if job != "backend"],
}
OTHER_THRESHOLDS = {
    "host_down_for": "7s",
    "cpu_busy_ratio": 0.6,
    "memory_pressure_ratio": 0.4,
    "disk_full_in_4h_free_ratio": 0.2,
    "disk_full_in_24h_free_ratio": 0.3,
    "inodes_free_ratio": 0.2,
    "network_error_ratio": 0.02,
    "clock_offset_milliseconds": 3,
    "scrape_time_ratio": 0.5,
    "scrapes_missed_ratio": 0.3,
    "rules_time_ratio": 0.4,
    "rules_missed_ratio": 0.2,
    "notifications_failing_ratio": 0.3,
    "certificate_days_warning": 30,
    "certificate_days_critical": 10,
}
SITES: dict[str, dict[str, Any]] = {
    "as shipped": PROD,
    "with other thresholds": PROD | {"prometheus_thresholds": OTHER_THRESHOLDS},
    "with nothing of its own to scrape": {},
}
MUTATIONS: dict[str, list[tuple[str, str]]] = {
    # what is changed in alerts/<name>.yml, and to what
    "hosts": [
        (r'probe_success\{job="host"\} == 0', "probe_success == 0"),
        (r'mode=~"idle\|iowait"', 'mode="idle"'),
        (r"waiting_seconds_total\[2m\]\) > 0\.1", "waiting_seconds_total[2m]) > 0.2"),
        (r"rate\(node_network_receive_errs_total\[5m\]\) \+ ", ""),
        (r"- timestamp\(node_time_seconds\)", "- 1 * timestamp(node_time_seconds) - 0.015"),
        (r"abs\((instance:clock\S+)\)", r"\1"),
        (r"increase\(node_vmstat_oom_kill\[10m\]\) > 0", "node_vmstat_oom_kill > 1e9"),
        (r'state="failed"', 'state=~"failed|active"'),
        (r"\) <= 0\n", ") < 0\n"),
        (r"< 0\.4", "< 2"),
        (r"< 0\.6", "< 2"),
        (r"24 \* 3600", "240 * 3600000"),
        (r"\(node_filesystem_files > 0\)", "(node_filesystem_files + 1)"),
        (r"or min_over_time\(node_filesystem_readonly\[7d:1h\]\) == 0", ""),
        (r"and \(min_over_time\(\S+\) == 0 or .*\)", ""),
        (r"or node_filesystem_device_error\S+ == 1", ""),
        (r"tmpfs\|ramfs", "ramfs"),
    ],
    "monitoring": [
        (r"vector\(1\)$", "vector(1) == 0"),
        (r'or absent\(up\{job="node"\}\)', ""),
        (r'unless on \(\) up\{job="blackbox_exporter"\} == 0', ""),
        (r"== -1", "<= 0"),
        (r"\(scrape_sample_limit > 0\)", "scrape_sample_limit"),
        (r"up == 0 and scrape_samples_scraped > 0", "up == 0"),
        (r"and on \(\) increase\(.*?\) > 0", ""),
        (r'\{job!~"host\|probe"\}', ""),
        (r"\n *and up == 1", ""),
        (r"and up offset 5m", ""),
        (r"\* 300 / job:scrape_interval_seconds", "* 150 / job:scrape_interval_seconds"),
        (r"last_reload_successful == 0", "last_reload_successful == 3"),
        (r"or prometheus_rule_group_last_duration_seconds\n.*seconds\n", ""),
        (r"\(prometheus_tsdb_compaction_chunk_samples_sum > 0\)", "(prometheus_tsdb_compaction_chunk_samples_sum + 1)"),
        (r"- prometheus_tsdb_wal_storage_size_bytes", ""),
        (r"or increase\(prometheus_tsdb_wal_writes_failed_total\[30m\]\) > 0", ""),
        (r"or rate\(prometheus_notifications_dropped_total\[5m\]\) > 0", ""),
        (r"sum without \(reason\) ", ""),
        (r"or alertmanager_cluster_failed_peers > 0", ""),
        (r'count\(up\{job="alertmanager"\}\)', "count(up) * 0"),
        (r'probe_success\{job="probe"\}', "probe_success"),
        (r"< 3 \* 86400", "< 14 * 86400"),
    ],
}


def judge(promtool: Path, directory: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [promtool, "test", "rules", f"tests/{name}.yml"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("site", SITES)
def test_the_rules_pass_their_tests(promtool: Path, tmp_path: Path, site: str) -> None:
    render(SITES[site], tmp_path)
    for name in MUTATIONS:
        done = judge(promtool, tmp_path, name)
        assert done.returncode == 0, done.stdout + done.stderr
        lint = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", f"alerts/{name}.yml"]
        checked = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shipped")
    render(PROD, directory)
    return directory


@pytest.mark.parametrize(
    ("name", "pattern", "mutant"),
    [(name, *mutation) for name, mutations in MUTATIONS.items() for mutation in mutations],
)
def test_a_changed_rule_turns_a_test_red(
    promtool: Path, shipped: Path, tmp_path: Path, name: str, pattern: str, mutant: str
) -> None:
    text = (shipped / f"alerts/{name}.yml").read_text()
    changed = re.sub(pattern, mutant, text, flags=re.MULTILINE)
    assert changed != text, "the mutation does not apply: the rules have changed, so must this table"
    shutil.copytree(shipped, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"alerts/{name}.yml").write_text(changed)
    assert judge(promtool, tmp_path, name).returncode != 0
