"""Rules of the hosts and of the stack itself: red when a part of one is changed; what else holds is in test_rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.mutation import Mutant, RuleFile, passes

FILES = ["alerts/hosts", "alerts/monitoring"]
MUTATIONS = [
    # the alert whose tests are run, what is changed in its file, and to what
    ("HostDown", r'probe_success\{job="host"\} == 0', "probe_success == 0"),
    ("HostCpuBusy", r'mode=~"idle\|iowait"', 'mode="idle"'),
    ("HostMemoryPressure", r"waiting_seconds_total\[2m\]\) > 0\.1", "waiting_seconds_total[2m]) > 0.2"),
    ("HostNetworkErrors", r"rate\(node_network_receive_errs_total\[5m\]\) \+ ", ""),
    ("HostClockOffset", r"abs\((instance:clock\S+)\)", r"\1"),
    ("HostClockOffset", r"\* 1000 > 20", "* 1000 > 10"),
    ("HostClockNotKept", r"> 2000", "> 1000"),
    ("HostClockNotKept", r"\n *or .* == 0", ""),
    ("HostClockNotKept", r"and node_timex_sync_status == 0", ""),
    ("HostOomKill", r"increase\(node_vmstat_oom_kill\[10m\]\) > 0", "node_vmstat_oom_kill > 0"),
    ("HostUnitFailed", r'state="failed"', 'state=~"failed|active"'),
    ("HostDiskFullIn4h", r"<= 0", "< 0"),
    ("HostDiskFullIn4h", r"< 0\.4", "< 2"),
    ("HostDiskFullIn24h", r"< 0\.6", "< 2"),
    ("HostDiskFullIn24h", r"24 \* 3600", "1 * 3600"),
    ("HostInodesLow", r"\(node_filesystem_files > 0\)", "(node_filesystem_files + 1)"),
    ("HostFilesystemReadOnly", r"or min_over_time\(node_filesystem_readonly\[7d:1h\]\) == 0", ""),
    ("HostFilesystemReadOnly", r"and \(min_over_time\(\S+\) == 0 or .*\)", ""),
    ("HostFilesystemReadOnly", r"or node_filesystem_device_error\S+ == 1", ""),
    ("HostFilesystemReadOnly", r"tmpfs\|ramfs", "ramfs"),
    ("Watchdog", r"vector\(1\)", "vector(1) == 0"),
    ("ExporterDown", r'or absent\(up\{job="node"\}\)', ""),
    ("ExporterDown", r'unless on \(\) up\{job="blackbox_exporter"\} == 0', ""),
    ("ScrapeLimitHit", r"== -1", "<= 0"),
    ("ScrapeLimitHit", r"\(scrape_sample_limit > 0\)", "scrape_sample_limit"),
    ("ScrapeLimitHit", r"up == 0 and scrape_samples_scraped > 0", "up == 0"),
    ("ScrapeLimitHit", r"total\[1m\]\) > 0", "total[1m]) > 1e9"),
    ("ScrapeSlow", r'\{job!~"host\|probe"\}', ""),
    ("ScrapeSlow", r"\n *and up == 1", ""),
    ("ScrapesMissed", r"\* 300 / job:scrape_interval_seconds", "* 150 / job:scrape_interval_seconds"),
    ("PrometheusReloadFailed", r"last_reload_successful == 0", "last_reload_successful == 3"),
    ("PrometheusRuleEvaluationSlow", r"or prometheus_rule_group_last_duration_seconds\n.*seconds\n", "\n"),
    ("PrometheusRuleFailing", r"evaluation_failures_total\[5m\]\) > 0", "evaluation_failures_total[5m]) >= 0"),
    ("PrometheusTsdbFailing", r"or increase\(prometheus_tsdb_wal_writes_failed_total\[30m\]\) > 0", ""),
    ("PrometheusRetentionShort", r"- prometheus_tsdb_wal_storage_size_bytes", ""),
    ("PrometheusRetentionShort", r"sum without \(type\) ", ""),
    ("PrometheusMemoryHigh", r'\{job="prometheus"\}', ""),
    ("PrometheusMemoryHigh", r"\* go_gc_gomemlimit_bytes", "* 2 * go_gc_gomemlimit_bytes"),
    ("PrometheusNotificationsFailing", r"or rate\(prometheus_notifications_dropped_total\[2m\]\) > 0", ""),
    ("AlertmanagerReloadFailed", r"alertmanager_config_last_reload_successful == 0", "vector(0) > 1"),
    ("AlertmanagerNotificationsFailing", r"sum without \(reason\) ", ""),
    ("AlertmanagerClusterDegraded", r"or alertmanager_cluster_failed_peers > 0", ""),
    ("AlertmanagerClusterDegraded", r'count\(up\{job="alertmanager"\}\)', "count(up) * 0"),
    ("ProbeFailed", r'probe_success\{job="probe"\}', "probe_success"),
    ("ProbeFailed", r'"probed_service"', '"no_such_label"'),
    ("CertificateExpiring", r"< 3 \* 86400", "< 14 * 86400"),
]


@pytest.fixture(scope="module")
def files(shipped: Path) -> list[RuleFile]:
    return [RuleFile.read(shipped, name) for name in FILES]


@pytest.mark.parametrize(("alert", "pattern", "changed"), MUTATIONS)
def test_a_changed_rule_turns_a_test_red(
    promtool: Path, files: list[RuleFile], tmp_path: Path, alert: str, pattern: str, changed: str
) -> None:
    candidates = [(file, rule) for file in files for rule in file.rules if alert in file.alerts_on(rule)]
    found = [(file, rule) for file, rule in candidates if re.search(pattern, rule["expr"])]
    assert found, "the mutation does not apply: the rules have changed, so must this table"
    file, rule = found[0]
    mutant = Mutant(rule, rule | {"expr": re.sub(pattern, changed, rule["expr"])}, changed)
    assert not passes(promtool, *file.excerpt(mutant), tmp_path / "mutant")


def test_every_alert_has_a_mutant_and_passes_as_it_is(promtool: Path, files: list[RuleFile], tmp_path: Path) -> None:
    alerts = {rule["alert"]: (file, rule) for file in files for rule in file.rules if "alert" in rule}
    assert alerts.keys() == {alert for alert, _pattern, _changed in MUTATIONS}
    for alert, (file, rule) in alerts.items():
        assert passes(promtool, *file.excerpt(Mutant(rule, rule, "unchanged")), tmp_path / alert), alert
