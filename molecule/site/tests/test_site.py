"""The shipped site.yml, on several hosts: what a newcomer is promised."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.door import Door
from tests.firewall import trading
from tests.hosts import Play, Run, address, eventually, lab, lab_name, on, page, run_playbook, run_record, unit

REDIS = {"redis-trade-state:6379", "redis-instance-state:6380", "redis-signal-stream:6381", "redis-result-stream:6382"}


# The rest of the requirements' systems, as they name them; job and instance.
TRADING = {
    "duckdb app1:1234",
    "clickhouse clickhouse-node:8123",
    "backend backend:8000",
    "rust-trade-engine trade-engine:9000",
}
INTERVALS = {"redis": 1, "duckdb": 5, "clickhouse": 5, "backend": 1, "rust-trade-engine": 1}


def api(host: Host, path: str, **query: str) -> Any:
    answer = page(host, f"https://127.0.0.1:9090/api/v1/{path}?{urlencode(query)}")
    return json.loads(answer)["data"] if answer else None


def targets(host: Host) -> dict[str, str]:
    shown = api(host, "targets", state="active")["activeTargets"]
    return {f"{target['labels']['job']} {target['labels']['instance']}": target["health"] for target in shown}


def firing(host: Host) -> set[tuple[str, str]]:
    """The critical ones: that a Redis was restarted, or has come and gone, is said for minutes after."""
    alerts = [a for a in api(host, "alerts")["alerts"] if a["labels"]["severity"] == "critical"]
    return {(a["labels"]["alertname"], a["labels"].get("instance", "")) for a in alerts if a["state"] == "firing"}


def test_every_host_and_every_system_of_the_requirements_is_up(mon1: Host) -> None:
    wanted = (
        {f"redis {instance}" for instance in REDIS}
        | TRADING
        | {f"node {host}:9100" for host in ("app1", "app2", "mon1", "mon2")}
    )
    wanted |= {"prometheus mon1:9090", "prometheus mon2:9090", "redis_exporter app1:9121"}
    wanted |= {"alertmanager mon1:9093", "alertmanager mon2:9093"}
    probes = {f"probe {name.split()[1]}" for name in wanted}  # a port, or a certificate
    probes |= {f"host {host}" for host in ("app1", "app2", "mon1", "mon2")}
    wanted |= probes | {"blackbox_exporter mon1:9115", "proxy mon1:9180"}
    assert eventually(lambda: targets(mon1) == dict.fromkeys(wanted, "up"), 20), targets(mon1)
    shown = {
        result["metric"]["instance"]: result["value"][1] for result in api(mon1, "query", query="redis_up")["result"]
    }
    assert shown == dict.fromkeys(REDIS, "1")
    succeeded = "probe_success == 1"
    assert eventually(lambda: len(api(mon1, "query", query=succeeded)["result"]) == len(probes), 20), targets(mon1)


def test_the_requirements_systems_carry_their_labels_and_are_asked_as_often_as_they_say(mon1: Host) -> None:
    shown = [
        target
        for target in api(mon1, "targets", state="active")["activeTargets"]
        if target["labels"]["job"] in INTERVALS
    ]
    assert len(shown) == len(REDIS) + len(TRADING)
    for target in shown:
        labels = target["labels"]
        assert labels["service"] == labels["job"]
        assert target["scrapeInterval"] == f"{INTERVALS[labels['job']]}s"
        assert labels["host"] == "app1"
        assert labels["instance_name"]


def test_the_trading_system_is_alive_and_keeps_its_contract(mon1: Host) -> None:
    moving = ("sync_rows_total", "trade_orders_total", "ClickHouseProfileEvents_InsertedRows")
    for name in moving:
        assert eventually(lambda name=name: api(mon1, "query", query=f"sum(rate({name}[20s])) > 1")["result"], 30), name
    assert eventually(lambda: api(mon1, "query", query='duckdb_table_rows{table="trades"} > 0')["result"], 20)
    run = run_playbook("--tags", "contract", playbook="playbooks/verify.yml")
    assert run.code == 0, run.output
    assert "backend keeps the contract backend" in run.output


def test_a_developer_is_told_what_the_contract_lacks() -> None:
    wrong = {"backend": "trade_engine"}
    run = run_playbook("--tags", "contract", playbook="playbooks/verify.yml", prometheus_contracts=wrong)
    assert run.code != 0
    assert "backend backend:8000 trade_orders_total: is missing: expose it as a counter" in run.output


def scrapes(host: Host) -> dict[str, int]:
    """How often each Redis was scraped in 20 s."""
    result = api(host, "query", query="count_over_time(redis_up[20s])")["result"]
    return {sample["metric"]["instance"]: int(sample["value"][1]) for sample in result}


def test_each_redis_is_scraped_each_second(mon1: Host) -> None:
    # A window of 20 s holds 19 to 21; wait for the first whole one after the start.
    assert eventually(lambda: set(scrapes(mon1)) == REDIS and min(scrapes(mon1).values()) >= 19, 40), scrapes(mon1)


@pytest.fixture
def signal_stream(app1: Host) -> Iterator[Host]:
    yield app1
    app1.check_output("systemctl restart redis-server@signal-stream")


@pytest.mark.parametrize("how", ["KILL", "STOP"])
def test_a_redis_that_dies_or_hangs_fires_within_eight_seconds_and_recovers(
    mon1: Host, mon2: Host, signal_stream: Host, how: str
) -> None:
    assert eventually(lambda: not firing(mon1) | firing(mon2), 20)
    signal_stream.check_output("systemctl kill --signal=%s redis-server@signal-stream", how)
    killed = time.monotonic()
    alert = {("RedisDown", "redis-signal-stream:6381")}
    assert eventually(lambda: firing(mon1) == alert, 8), firing(mon1)
    assert eventually(lambda: firing(mon2) == alert, 8 - (time.monotonic() - killed) + 1), firing(mon2)
    signal_stream.check_output("systemctl kill --signal=KILL redis-server@signal-stream; sleep 0.2")
    signal_stream.check_output("systemctl restart redis-server@signal-stream")
    assert eventually(lambda: not firing(mon1) | firing(mon2), 10)


def test_a_run_that_changes_nothing_is_short_and_fetches_nothing(play: Play) -> None:
    before = json.loads(lab("traffic", lab_name()))
    run = play()
    assert (run.code, run.changed) == (0, 0), run.output
    assert run.tasks("mon1") <= 55
    assert json.loads(lab("traffic", lab_name())) == before


@pytest.mark.once
def test_check_and_diff_say_nothing_on_a_converged_site(play: Play) -> None:
    run = play("--check", "--diff")
    assert (run.code, run.changed) == (0, 0)
    assert "+++" not in run.output


@pytest.mark.once
@pytest.mark.parametrize(
    "options", [("--limit", "mon1"), ("--tags", "prometheus"), ("--limit", "mon1", "--tags", "prometheus")]
)
def test_limit_and_tags_do_not_change_what_is_declared(play: Play, options: tuple[str, ...]) -> None:
    run = play(*options)
    assert (run.code, run.changed) == (0, 0), run.output


@pytest.mark.once
def test_a_mistake_in_the_catalogue_is_refused_before_any_host_is_touched(play: Play) -> None:
    wrong = {"name": "a", "host": "app9", "target": "redis"}
    services = {
        "redis": {"scrape_interval": "1s", "exporter": "redis_exporter", "instances": [wrong]},
        "backend": {"scrape_intervall": "1s", "instances": []},
    }
    run = play(monitored_services=services)
    assert run.code != 0
    for told in (
        "monitored_services.redis.instances[0].target is 'redis'",
        "monitored_services.redis.instances[0].host is 'app9'",
        "monitored_services.backend.scrape_intervall",
    ):
        assert f"error all {told}" in re.sub(" +", " ", run.output)  # in the table, with what is wrong with the hosts
    assert run.changed == 0
    assert "PLAY [Watch every host]" not in run.output


@pytest.mark.once
def test_everything_that_is_wrong_with_hosts_is_one_table_before_anything_changes(
    play: Play, mon1: Host, app1: Host
) -> None:
    wrong = {
        "preflight_accepted": [],
        "preflight_names": ["nowhere.invalid"],
        "prometheus_retention_size": "1000PB",
        "storage_device": "/dev/nowhere",
        "prometheus_limits": {"MemoryMax": "900G", "CPUQuota": "6400%"},
        "prometheus_version": "9.9.9",
        "alertmanager_port": 9555,
        "alertmanager_secrets": {"pager": "changeme"},
        "change_freeze": [{"weekdays": ["mon"]}],
    }
    mon1.check_output("systemd-run --quiet --collect --unit=squatter python3 -m http.server 9555")
    assert eventually(lambda: mon1.socket("tcp://0.0.0.0:9555").is_listening, 10)
    for host in (mon1, app1):
        host.check_output("touch /run/before")
    try:
        run = play(**wrong)
    finally:
        mon1.check_output("systemctl stop squatter")
    assert (run.code, run.changed) == (2, 0)
    for host in (mon1, app1):
        assert host.check_output("find /etc /opt /usr -cnewer /run/before") == ""
    for words in (
        "error    all   change_freeze[0] has 'mon'",
        "error    all   alertmanager_secrets.pager is a placeholder",
        "error    mon1  CPUs ",
        "error    mon1  memory ",
        "note     mon1  prometheus_retention_size",
        "error    mon1  storage_device is /dev/nowhere: no such device is on this host",
        "error    mon1  alertmanager_port",
        "where python3",
        "error    mon1  nowhere.invalid",
        "error    app1  nowhere.invalid",
        "error    mon1  release of prometheus",
        "error    app1  cgroup controllers",
        "error    app1  clock",
    ):
        assert re.sub(" +", " ", words) in re.sub(" +", " ", run.output), words
    assert "; nothing was changed" in run.output
    assert "changeme" not in run.output


@pytest.mark.once
def test_a_new_target_is_scraped_by_both_when_the_run_ends(play: Play, mon1: Host, mon2: Host, restored: None) -> None:  # noqa: ARG001
    own = api(mon1, "status/config")["yaml"]
    assert "job_name: redis" in own
    services = {
        "redis": {
            "scrape_interval": "1s",
            "exporter": "redis_exporter",
            "instances": [{"name": "trade-state", "host": "app1", "target": "redis-trade-state:6379"}],
        }
    }
    run = play(monitored_services=services)
    assert run.code == 0, run.output
    for host in (mon1, mon2):
        assert {name for name in targets(host) if name.startswith("redis ")} == {"redis redis-trade-state:6379"}


@pytest.mark.once
def test_an_exporter_leaves_a_host_that_has_no_redis_any_more(play: Play, app1: Host, restored: None) -> None:  # noqa: ARG001
    assert "redis_exporter_build_info" in page(app1, f"https://{address(app1)}:9121/metrics")
    # And the firewall leaves its port alone, ClickHouse its metrics, and the slice has less to bound.
    assert play("--limit", "app1", monitored_services={}).changed == 4
    assert unit(app1, "redis_exporter", "LoadState", "ActiveState") == {
        "LoadState": "not-found",
        "ActiveState": "inactive",
    }
    assert not app1.file("/opt/tds/redis_exporter").exists
    again = play("--limit", "app1", monitored_services={})
    assert (again.code, again.changed) == (0, 0)


@pytest.mark.once
def test_a_user_who_is_not_root_runs_the_site_with_sudo(play: Play) -> None:
    gone = play("--become", "--limit", "app1", ansible_user="deploy", monitored_services={})
    assert (gone.code, gone.changed) == (0, 4), gone.output
    back = play("--become", ansible_user="deploy")
    assert (back.code, back.recap["app1"]["changed"]) == (0, 4), back.output
    again = play("--become", ansible_user="deploy")
    assert (again.code, again.changed) == (0, 0), again.output


@pytest.mark.once
def test_several_prometheus_roll_out_one_after_the_other_and_stop_at_the_first_failure(
    play: Play, mon1: Host, mon2: Host
) -> None:
    processes = [unit(host, "prometheus", "InvocationID") for host in (mon1, mon2)]
    run = play(prometheus_arguments=["--no-such-flag"])
    assert run.code != 0
    assert run.recap["mon1"]["failed"] == 1
    assert "unknown long flag" in run.output
    assert page(mon1, "https://127.0.0.1:9090/-/ready")
    assert unit(mon1, "prometheus", "InvocationID") != processes[0]  # it was tried, and rolled back
    assert unit(mon2, "prometheus", "InvocationID") == processes[1]  # it was not even tried
    assert run_playbook().changed == 0


def duration_of_redis_down(host: Host) -> int:
    rules = [rule for group in api(host, "rules")["groups"] for rule in group["rules"]]
    return int(next(rule["duration"] for rule in rules if rule["name"] == "RedisDown"))


def rollback(*options: str, **variables: Any) -> Run:
    return run_playbook(*options, playbook="playbooks/rollback.yml", **variables)


@pytest.mark.once
def test_going_back_needs_no_declaration(play: Play, mon1: Host, mon2: Host, restored: None) -> None:  # noqa: ARG001
    thresholds = {"memory_ratio": 0.8, "sync_latency_seconds": 0.2, "for": "9s"}
    assert play(prometheus_thresholds=thresholds).code == 0
    processes = [unit(host, "prometheus", "MainPID") for host in (mon1, mon2)]
    refused = rollback()
    assert refused.code != 0
    assert "daemon is not set: say which one goes back" in refused.output
    misspelt = rollback(daemon="promtheus")
    assert misspelt.code != 0
    assert "daemon is promtheus: no host of this run has it" in misspelt.output
    shown = rollback("--check", "--diff", daemon="prometheus")
    assert (shown.code, shown.recap["mon1"]["changed"]) == (0, 1), shown.output
    assert "-        for: 9s\n+        for: 5s" in shown.output
    assert [duration_of_redis_down(host) for host in (mon1, mon2)] == [9, 9]
    run = rollback(daemon="prometheus")
    assert {name: counts["changed"] for name, counts in run.recap.items()} == {
        "mon1": 1, "mon2": 1, "app1": 0, "app2": 0,
    }  # fmt: skip
    assert [duration_of_redis_down(host) for host in (mon1, mon2)] == [5, 5]
    assert [unit(host, "prometheus", "MainPID") for host in (mon1, mon2)] == processes  # a reload was enough
    last = run_record(mon1)[-1]
    assert (last["state"], last["result"], last["action"]) == ("previous", "proven", "reload")
    assert last["by"].endswith(f"@{socket.gethostname()}")


@pytest.fixture(scope="module")
def nmap() -> None:
    for name in ("mon1", "app2"):
        on(name).check_output("apt-get update -q && apt-get install -yq --no-install-recommends nmap")


TRADING_PORTS = {6379, 6380, 6381, 6382, 1234, 8000, 8123, 9000}
WEBHOOK = 9080  # of the lab, which the Alertmanagers tell


@pytest.mark.parametrize(
    ("source", "target", "reached"),
    [
        ("app2", "mon1", set()),  # SSH is for the controller only, here
        ("app2", "app1", {22} | TRADING_PORTS),  # what was open before; of ours nothing
        ("mon1", "app1", {22, 9100, 9121} | TRADING_PORTS),
        ("mon1", "mon2", {443, 9090, 9093, 9094, 9100}),
        ("mon1", "app2", {22, 9100, WEBHOOK}),
    ],
)
def test_from_another_host_only_what_is_meant_to_can_be_reached(
    nmap: None,  # noqa: ARG001
    source: str,
    target: str,
    reached: set[int],
) -> None:
    scan = f"nmap -n -Pn -sS -p- --min-rate 10000 --max-retries 1 -oG - {address(on(target))}"
    shown = on(source).check_output(scan)
    assert "Status: Up" in shown
    assert {int(port) for port in re.findall(r"(\d+)/open/tcp", shown)} == reached
    ours = "|".join(on(target).check_output("ls /opt/tds").split())
    assert re.findall(rf'"(?:{ours})"', on(target).check_output("ss --udp --listening --numeric --processes")) == []


@pytest.mark.once
def test_redis_is_there_for_those_who_use_it_whatever_the_stack_does(play: Play, app1: Host, restored: None) -> None:  # noqa: ARG001
    with trading(on("app2"), app1, 6379, say="PING", hear="+PONG") as client:
        for change in (
            {"firewall_state": "absent"},
            {"certificates_renew_days": 500},
            {"redis_exporter_limits": {"TasksMax": 60}, "node_exporter_port": 9101},
            {},
        ):
            run = play("--limit", "app1", **change)
            assert run.code == 0, run.reason
            assert run.changed > 0
            assert client.went_on()


def test_node_exporter_asks_nobody(app1: Host) -> None:
    ask = f"curl --silent --max-time 2 http://{address(app1)}:6379/"
    assert app1.run(ask).rc == 52  # Redis: connected, and no HTTP
    refused = 7
    assert app1.run(f"setpriv --reuid node_exporter --clear-groups {ask}").rc == refused


VERA = ("vera", "vera-looks-on")


@pytest.fixture
def door(mon1: Host, tmp_path: Path) -> Door:
    authority = tmp_path / "ca.crt"
    authority.write_text(mon1.file("/etc/tds/tls/ca.crt").content_string)
    return Door(address(mon1), 443, "mon1", authority)


def test_behind_the_door_the_other_host_answers_where_its_own_prometheus_is_gone(door: Door, mon1: Host) -> None:
    def answers() -> bool:
        return door.ask("/prometheus/api/v1/query?query=up", user=VERA).status == 200

    assert door.ask("/prometheus/api/v1/query?query=up").status == 401
    assert answers()
    mon1.check_output("systemctl stop prometheus")
    try:
        assert eventually(answers, 5)
        assert all(answers() for _again in range(20))
    finally:
        mon1.check_output("systemctl start prometheus")
    assert eventually(lambda: page(mon1, "https://127.0.0.1:9090/-/ready"), 20)


def all_up(name: str) -> bool:
    host = on(name)
    return bool(api(host, "targets")) and set(targets(host).values()) == {"up"}


def test_all_of_it_comes_back_after_a_reboot() -> None:
    lab("reboot", lab_name(), "mon1")
    assert eventually(lambda: all_up("mon1"), 30)
    assert run_playbook().changed == 0
