"""What breaks in a trading system, and who is told of it: the right alert, and no other.

The shipped rules at the shipped thresholds, two Prometheus, two Alertmanagers, and a webhook that writes down what
arrives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import eventually, lab, lab_name, on, page
from tests.metrics import names
from tests.webhook import Told, notifications

Alert = tuple[str, str]
"""Its name, and the instance_name of what it is about."""


def control(service: str, **switches: Any) -> str:
    """The command that tells a stand-in what to be like."""
    port = {"backend": 8000, "trade-engine": 9000, "clickhouse-node": 8123}[service]
    return f"curl --silent --show-error --fail --max-time 5 --json '{json.dumps(switches)}' http://{service}:{port}/control"


def redis(name: str, verb: str) -> str:
    return f"systemctl {verb} redis-server@{name}"


@dataclass(frozen=True)
class Fault:
    """Commands on app1, and who is said to be ill within so many seconds."""

    breaks: str
    mends: str
    alerts: set[Alert]
    seconds: float
    recovers: bool = True
    """Whether its end is told too before the next begins; those that look back a minute or more take as long."""


# The requirements' "for" of 5 s, a scrape and an evaluation of 1 s each, and what the machine adds.
FAST = 8
USED = "redis-cli -p 6382 info memory | sed -n 's/^used_memory:\\([0-9]*\\).*/\\1/p'"
FAULTS = {
    "a Redis is killed": Fault(
        redis("trade-state", "kill --signal=KILL"),
        redis("trade-state", "start"),
        {("RedisDown", "trade-state")},
        FAST,
    ),
    "a Redis hangs": Fault(
        redis("instance-state", "kill --signal=STOP"),
        redis("instance-state", "kill --signal=CONT"),
        {("RedisDown", "instance-state")},
        FAST,
    ),
    "the backend dies, and with it its DuckDB": Fault(
        control("backend", die=True) + " || true",
        "systemctl start trading-backend",
        {("ServiceDown", "backend"), ("ServiceDown", "duckdb")},
        FAST + 5,
    ),
    "ClickHouse does not answer": Fault(
        control("clickhouse-node", answers="hang"),
        control("clickhouse-node", answers="normal"),
        {("ServiceDown", "clickhouse")},
        FAST + 10,
    ),
    "the sync is slow": Fault(
        control("backend", sync="slow"),
        control("backend", sync="normal"),
        {("SlowSync", "backend")},
        30,
        recovers=False,
    ),
    "the sync stalls": Fault(
        control("backend", sync="stall"),
        control("backend", sync="normal"),
        {("SyncStalled", "backend")},
        45,
    ),
    "syncs fail": Fault(
        control("backend", sync="fail"),
        control("backend", sync="normal"),
        {("SyncFailing", "backend")},
        25,
        recovers=False,
    ),
    "the backend answers with errors": Fault(
        control("backend", http="errors"),
        control("backend", http="normal"),
        {("HighErrorRate", "backend")},
        30,
        recovers=False,
    ),
    "signals wait": Fault(
        control("trade-engine", orders="stall"),
        control("trade-engine", orders="normal"),
        {("SignalsWaiting", "trade-engine")},
        15,
    ),
    "orders are slow": Fault(
        control("trade-engine", orders="slow"),
        control("trade-engine", orders="normal"),
        {("SlowOrders", "trade-engine")},
        40,
        recovers=False,
    ),
    "orders fail": Fault(
        control("trade-engine", orders="fail"),
        control("trade-engine", orders="normal"),
        {("OrdersFailing", "trade-engine")},
        30,
        recovers=False,
    ),
    "the engine leaks": Fault(
        control("trade-engine", memory="leak"),
        control("trade-engine", memory="normal"),
        {("HighMemoryUsage", "trade-engine")},
        30,
    ),
    "a Redis is nearly full": Fault(
        f"redis-cli -p 6382 config set maxmemory $(($({USED}) * 10 / 9))",
        "redis-cli -p 6382 config set maxmemory 0",
        {("RedisMemoryHigh", "result-stream")},
        20,
        recovers=False,
    ),
    "a Redis cannot save": Fault(
        "chmod 0500 /var/lib/redis && redis-cli -p 6381 bgsave",
        "chmod 0750 /var/lib/redis && redis-cli -p 6381 bgsave",
        {("RedisPersistenceFailing", "signal-stream")},
        20,
    ),
}
SLOW_FAULTS = {
    "app1": (
        control("clickhouse-node", readonly_replicas=1),
        control("clickhouse-node", readonly_replicas=0),
        {("ClickHouseReplicaReadonly", "clickhouse")},
    ),
    "app2": (
        "systemctl stop node_exporter",
        "systemctl start node_exporter",
        {("ExporterDown", "app2"), ("ProbeFailed", "app2")},
    ),
    "mon2": (
        "systemd-run --quiet --unit=broken false",
        "systemctl reset-failed broken",
        {("HostUnitFailed", "mon2")},
    ),
}


NOT_HERE = {
    "node_timex_maxerror_seconds",  # a container may not ask for the clock's state
    "node_timex_sync_status",
    "duckdb_file_size_bytes",  # files without an owner: the scenario duckdb_exporter
    "duckdb_file_success",
    "duckdb_file_wal_size_bytes",
    "redis_cluster_slots_fail",  # a cluster: the scenario redis_exporter
    "redis_cluster_state",
    "redis_master_link_up",  # a replica
    "instance:redis_memory_used_bytes:max_ratio",  # a maxmemory, which a fault below sets
    "instance:prometheus_retention_seconds:rate1h",  # after an hour
}
BUSY: set[Alert] = {("HostCpuBusy", host) for host in ("app1", "app2", "mon1", "mon2")}


def query(host: Host, expression: str) -> list[dict[str, Any]]:
    answer = page(host, f"https://127.0.0.1:9090/api/v1/query?{urlencode({'query': expression})}")
    return list(json.loads(answer)["data"]["result"]) if answer else []


def heard(since: float, status: str = "firing") -> list[Told]:
    """What the webhook was told; of restarts (info) nobody need be told at once.

    The hosts are containers: the CPU that they show is the machine's, and that is busy with these tests.
    """
    shown = notifications(on("app2"), since, status=status)
    return [one for one in shown if one.labels["severity"] != "info" and subject(one) not in BUSY]


def told(since: float, status: str = "firing") -> set[Alert]:
    """Of whom the webhook was told that it has begun since, or ended.

    When both Alertmanagers look just as an alert ends, the second tells once more that it fires, and then that it is
    over (docs/architecture.md): that is no beginning.
    """
    return {subject(one) for one in heard(since, status) if status == "resolved" or one.began > since}


def subject(one: Told) -> Alert:
    return one.labels["alertname"], one.labels.get("instance_name", "")


def firing() -> set[Alert]:
    shown = query(on("mon1"), 'ALERTS{alertstate="firing", severity!="info"}')
    return {(one["metric"]["alertname"], one["metric"].get("instance_name", "")) for one in shown}


@pytest.fixture(scope="module", autouse=True)
def mended() -> Iterator[None]:
    """Whatever a test left broken is mended for those after it."""
    yield
    for fault in FAULTS.values():
        on("app1").run(fault.mends)


@pytest.mark.once
def test_nobody_is_told_anything_of_a_healthy_system_for_five_minutes(mon1: Host) -> None:
    began = float(query(mon1, "min(max_over_time((time() - timestamp(up == 1))[15m:1s]))")[0]["value"][1])
    assert began < 60
    # Half a minute longer: what fired of a host that was yet to be installed has ended by then.
    well = " and ".join(f"min_over_time(min({metric})[5m30s:5s]) == 1" for metric in ("up", "probe_success"))
    assert eventually(lambda: query(mon1, f"{well} and count(up offset 330s) > 0"), 390)
    unwell = 'count_over_time(ALERTS{alertname!~"Watchdog|HostCpuBusy", alertstate="firing"}[5m]) > 0'
    assert [one["metric"] for one in query(mon1, unwell)] == []
    assert heard(time.time() - 300) == []
    beats = notifications(on("app2"), time.time() - 300, "/heartbeat", alertname="Watchdog")
    assert len(beats) >= 300 / 15


@pytest.mark.once
def test_each_rule_is_in_force_and_looks_at_metrics_that_are_there(mon1: Host) -> None:
    groups = json.loads(page(mon1, "https://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len([rule for rule in rules if rule["type"] == "alerting"]) >= 45
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    known = set(json.loads(page(mon1, "https://127.0.0.1:9090/api/v1/label/__name__/values"))["data"])
    used = set().union(*(names(rule["query"]) for rule in rules))
    assert used - known <= NOT_HERE


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=[] if name.startswith("a Redis is killed") else pytest.mark.once) for name in FAULTS],
)
def test_the_right_alert_arrives_and_no_other(app1: Host, fault: str) -> None:
    broken = FAULTS[fault]
    since = time.time()
    app1.check_output(broken.breaks)
    try:
        assert eventually(lambda: told(since) >= broken.alerts, broken.seconds), (told(since), firing())
    finally:
        mended = time.time()
        app1.check_output(broken.mends)
    if broken.recovers:
        assert eventually(lambda: told(mended, "resolved") >= broken.alerts, 40), firing()
    assert told(since) == broken.alerts


@pytest.mark.once
def test_two_that_are_killed_one_after_the_other_are_told_apart(app1: Host) -> None:
    since = time.time()
    app1.check_output(redis("signal-stream", "kill --signal=KILL"))
    time.sleep(3)
    app1.check_output(redis("result-stream", "kill --signal=KILL"))
    first, second = {("RedisDown", "signal-stream")}, {("RedisDown", "result-stream")}
    assert eventually(lambda: told(since) >= first, FAST - 3), firing()
    assert eventually(lambda: told(since) >= first | second, FAST), firing()
    app1.check_output(redis("signal-stream", "start"))
    time.sleep(3)
    app1.check_output(redis("result-stream", "start"))
    assert eventually(lambda: told(since, "resolved") >= first | second, 10), firing()
    redis_down = notifications(on("app2"), since, alertname="RedisDown")
    assert [one.status for one in redis_down[:3]] == ["firing", "firing", "resolved"]  # whichever of two said so
    assert [{subject(one)} for one in redis_down[:2]] == [first, second]
    assert len({one.notification["groupKey"] for one in redis_down}) == 2


@pytest.mark.once
def test_what_has_to_last_a_minute_is_told_as_well() -> None:
    since = time.time()
    expected: set[Alert] = set().union(*(alerts for _, _, alerts in SLOW_FAULTS.values()))
    for host, (breaks, _, _) in SLOW_FAULTS.items():
        on(host).check_output(breaks)
    try:
        assert eventually(lambda: told(since) >= expected, 150), (told(since), firing())
    finally:
        for host, (_, mends, _) in SLOW_FAULTS.items():
            on(host).check_output(mends)
    assert told(since) == expected


@pytest.mark.once
def test_of_a_host_that_is_gone_one_alert_is_told_and_none_of_what_was_on_it() -> None:
    since = time.time()
    lab("cut", lab_name(), "app1")
    try:
        gone = {("HostDown", "app1")}
        assert eventually(lambda: told(since) >= gone, FAST), firing()
        # All of it fires by now, and is silenced.
        assert eventually(lambda: len(firing()) > 5, 15), firing()
        time.sleep(10)
        assert told(since) == gone
    finally:
        lab("reboot", lab_name(), "app1")
    assert eventually(lambda: told(since, "resolved") >= gone, 30), firing()
