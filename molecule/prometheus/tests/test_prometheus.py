"""Prometheus as it runs: what it says of itself, not what its files say."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import Play, eventually, exposure, page, unit

URL = "http://127.0.0.1:19090"


def api(host: Host, path: str, **query: str) -> Any:
    answer = page(host, f"{URL}/api/v1/{path}?{urlencode(query)}")
    return json.loads(answer)["data"] if answer else None


def value(host: Host, expression: str) -> float | None:
    result = api(host, "query", query=expression)["result"]
    return float(result[0]["value"][1]) if result else None


def healthy(host: Host) -> bool:
    return [target["health"] for target in api(host, "targets", state="active")["activeTargets"]] == ["up"]


def facts(host: Host) -> dict[str, str]:
    """What must not change when nothing is to be restarted, and what must when something is reloaded."""
    return {
        "process": unit(host, "prometheus", "InvocationID", "MainPID")["MainPID"],
        "reloaded": page(host, f"{URL}/metrics").split("reload_success_timestamp_seconds ")[-1].split()[0],
        "generation": host.file("/opt/tds/prometheus/current").linked_to,
    }


def test_it_scrapes_each_second_and_labels_what_it_scrapes(host: Host) -> None:
    samples = eventually(lambda: (value(host, 'count_over_time(up{service="backend"}[10s])') or 0) >= 9, 20)
    assert samples
    (target,) = api(host, "targets", state="active")["activeTargets"]
    assert target["labels"] == {
        "job": "backend", "service": "backend", "instance": "mon1:19090", "instance_name": "self", "host": "mon1",
    }  # fmt: skip


def test_its_settings_are_in_force(host: Host) -> None:
    flags = api(host, "status/flags")
    assert flags["storage.tsdb.wal-compression-type"] == "snappy"
    assert flags["storage.tsdb.path"] == "/prometheus/data"
    assert (flags["query.max-concurrency"], flags["query.max-samples"], flags["query.timeout"]) == (
        "3",
        "4444444",
        "11s",
    )
    assert flags["web.enable-lifecycle"] == flags["web.enable-admin-api"] == "false"
    assert api(host, "status/runtimeinfo")["storageRetention"] == "33d or 7GiB"
    configuration = api(host, "status/config")["yaml"]
    for setting in (
        "env: molecule",
        "sample_limit: 2222",
        "body_size_limit: 3MiB",
        "label_limit: 33",
        "scrape_timeout: 900ms",
    ):
        assert setting in configuration


def test_the_directory_of_the_requirements_is_there(host: Host) -> None:
    for name in ("prometheus.yml", "targets.yml", "rules.yml", "alerts"):
        assert host.file(f"/prometheus/{name}").linked_to == host.file(f"/etc/prometheus/{name}").linked_to
        assert host.file(f"/prometheus/{name}").exists
    assert host.file("/prometheus/data/wal").is_directory
    assert (host.file("/prometheus/data").mode, host.file("/prometheus/data").user) == (0o700, "prometheus")


def test_a_scrape_beyond_its_limits_is_refused(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    run = play(prometheus_scrape_limits={"sample_limit": 5})
    assert run.code == 0, run.output
    assert eventually(lambda: value(host, 'up{service="backend"}') == 0, 10)
    (target,) = api(host, "targets", state="active")["activeTargets"]
    assert "sample limit exceeded" in target["lastError"]


def test_it_is_sandboxed_and_limited(host: Host) -> None:
    shown = unit(host, "prometheus", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(900 << 20), "TasksMax": "333", "CPUQuotaPerSecUSec": "1.500000s"}
    assert exposure(host, "prometheus") <= 1.1
    assert "process_start_time_seconds" in page(host, f"{URL}/metrics")  # the sandbox hides nothing that it needs


def critical(host: Host) -> list[dict[str, Any]]:
    """Alerts that wait or fire. The restarts of the tests before have an information of their own."""
    return [alert for alert in api(host, "alerts")["alerts"] if alert["labels"]["severity"] == "critical"]


def test_memory_above_the_services_own_limit_fires(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    """The backend of this scenario is Prometheus itself: a limit below what it uses."""
    assert eventually(lambda: not critical(host), 30), critical(host)  # rules of 15 s still know the test before
    run = play(prometheus_memory_limits=[{"service": "backend", "bytes": 10 << 20}])
    assert run.code == 0, run.output
    firing = eventually(lambda: [a for a in critical(host) if a["state"] == "firing"], 15)
    assert [(alert["labels"]["alertname"], alert["labels"]["instance"]) for alert in firing] == [
        ("HighMemoryUsage", "mon1:19090")
    ]


DESK = {"groups": [{"name": "desk", "rules": [{"alert": "Desk", "expr": "up == 3"}]}]}


def test_a_changed_rule_is_a_reload_and_nothing_else(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    before = facts(host)
    run = play("--diff", prometheus_rule_files={"desk": DESK})
    after = facts(host)
    assert run.code == 0, run.output
    assert run.changed == 1
    assert "+++ after: /etc/prometheus/alerts/desk.yml" in run.output
    assert after["process"] == before["process"]
    assert after["reloaded"] != before["reloaded"]
    names = [rule["name"] for group in api(host, "rules")["groups"] for rule in group["rules"]]
    assert "Desk" in names


def test_a_changed_target_is_scraped_when_the_run_ends_without_a_reload(
    host: Host,
    play: Play,
    restored: None,  # noqa: ARG001
) -> None:
    before = facts(host)
    instances = [{"name": f"port-{port}", "host": "mon1", "target": f"localhost:{port}"} for port in (19090, 1)]
    run = play(backend={"scrape_interval": "1s", "instances": instances}, prometheus_memory_limits=[])
    assert run.code == 0, run.output
    after = facts(host)
    assert after["process"] == before["process"]
    shown = {target["labels"]["instance"] for target in api(host, "targets", state="active")["activeTargets"]}
    assert shown == {"mon1:19090", "mon1:1"}


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a rule with a syntax error": (
        {"prometheus_rule_files": {"desk": {"groups": [{"name": "d", "rules": [{"alert": "A", "expr": "up =="}]}]}}},
        ["could not parse expression", "Mend: prometheus_rule_files.desk"],
    ),
    "a rule whose unit test fails": (
        {
            "prometheus_rule_files": {"desk": DESK},
            "prometheus_rule_tests": {
                "desk": {
                    "rule_files": ["../alerts/desk.yml"],
                    "tests": [
                        {
                            "interval": "1s",
                            "input_series": [{"series": "up", "values": "1x10"}],
                            "alert_rule_test": [
                                {"eval_time": "5s", "alertname": "Desk", "exp_alerts": [{"exp_labels": {}}]}
                            ],
                        }
                    ],
                }
            },
        },
        ["alertname: Desk, time: 5s", "Mend: prometheus_rule_tests.desk"],
    ),
    "a job with a duplicate name": (
        {"prometheus_scrape_configs": [{"job_name": "a"}, {"job_name": "a"}]},
        ['multiple scrape configs with job name "a"', "Mend: prometheus_scrape_configs"],
    ),
    "targets that Prometheus cannot read": (
        {"prometheus_targets": [{"targets": "mon1:9090"}]},
        ["cannot unmarshal !!str `mon1:9090`", "Mend: prometheus_targets"],
    ),
    "a timeout above its interval": (
        {"prometheus_scrape_configs": [{"job_name": "a", "scrape_interval": "1s", "scrape_timeout": "2s"}]},
        ["timeout greater than scrape interval", "Mend: prometheus_scrape_configs"],
    ),
    "a release without a pin": (
        {"prometheus_version": "3.99.0", "prometheus_pins": {"3.5.3": {"amd64": "0" * 64}}},
        ["prometheus_pins has no sha256 for version 3.99.0 on amd64"],
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_refused_in_the_checkers_words_and_nothing_changes(host: Host, play: Play, mistake: str) -> None:
    variables, told = REFUSED[mistake]
    before = facts(host)
    run = play(**variables)
    assert run.code != 0
    for words in told:
        assert words in run.output
    assert (facts(host), run.changed) == (before, 0)
    assert eventually(lambda: healthy(host), 10)


def test_a_checker_that_gets_no_memory_refuses(host: Host, play: Play) -> None:
    before = facts(host)
    promtool = ["prlimit", "--as=200000000", "{release}/promtool", "check", "config", "{etc}/prometheus.yml"]
    run = play(prometheus_rule_files={"desk": DESK}, daemon_checks=[{"command": promtool}])
    assert run.code != 0
    assert "prlimit --as=200000000 {release}/promtool refuses the new configuration; nothing was changed" in run.output
    assert "fatal error: failed to reserve page summary memory" in run.output
    assert (facts(host), run.changed) == (before, 0)


def test_an_unknown_flag_is_rolled_back(host: Host, play: Play) -> None:
    before = facts(host)
    run = play(prometheus_arguments=["--no-such-flag"])
    assert run.code != 0
    assert "unknown long flag '--no-such-flag'" in run.output
    assert "is in force and proven" in run.output
    assert facts(host)["generation"] == before["generation"]
    assert page(host, f"{URL}/-/ready")


def test_a_configuration_that_only_fails_at_run_time_is_rolled_back(host: Host, play: Play) -> None:
    """promtool accepts a job that keeps none of its targets; the proof does not."""
    before = facts(host)
    lost = [{"targets": ["localhost:19090"], "labels": {"service": "misspelt"}}]
    run = play(prometheus_targets=lost)
    assert run.code != 0
    assert "data.activeTargets lacks ['backend', 'mon1:19090'" in run.output
    assert facts(host)["generation"] == before["generation"]
    assert eventually(lambda: healthy(host), 10)
    assert play("--check", "--diff").changed == 0


def test_a_hand_edit_shows_and_is_put_right(host: Host, play: Play) -> None:
    host.check_output("sed -i 's/for: 4s/for: 40s/' /etc/prometheus/rules.yml && systemctl reload prometheus")
    shown = play("--check", "--diff")
    assert (shown.code, shown.changed) == (0, 1)
    assert "-        for: 40s" in shown.output
    assert "for: 40s" in host.file("/etc/prometheus/rules.yml").content_string
    assert play().changed == 1
    rules = [rule for group in api(host, "rules")["groups"] for rule in group["rules"] if rule["type"] == "alerting"]
    assert 4 in (durations := {rule["duration"] for rule in rules})
    assert 40 not in durations
    assert play().changed == 0
