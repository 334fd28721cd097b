"""The shipped inventories give the roles what the user's catalogue says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.roles import ROOT

PROD, LAB = ROOT / "inventories/prod", ROOT / "inventories/lab"


def value(name: str, *arguments: str, host: str = "mon1") -> Any:
    """A variable as a task on the host sees it; it reaches no host."""
    shown = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible")),
            host,
            *arguments,
            "-m",
            "ansible.builtin.debug",
            "-a",
            f"var={name}",
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(shown.partition("=> ")[2])[name]


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("inventories/*/**/*.yml")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_file_is_a_mapping(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict)


def test_lab_derives_as_production_does() -> None:
    derived = "group_vars/all/derived.yml"
    assert (LAB / derived).is_symlink()
    assert (LAB / derived).resolve() == (PROD / derived).resolve()


def test_production_scrapes_what_the_requirements_list() -> None:
    own = [["node", f"{host}:9100"] for host in ("app1", "db1", "mon1")]
    own += [["prometheus", "mon1:9090"], ["redis_exporter", "app1:9121"]]
    own += [["alertmanager", "mon1:9093"], ["blackbox_exporter", "mon1:9115"], ["grafana", "mon1:3000"]]
    own += [["proxy", "mon1:9180"]]
    services = [
        ["redis", "redis-trade-state:6379"],
        ["redis", "redis-instance-state:6380"],
        ["redis", "redis-signal-stream:6381"],
        ["redis", "redis-result-stream:6382"],
        ["duckdb", "app1:1234"],
        ["clickhouse", "clickhouse-node:8123"],
        ["backend", "backend:8000"],
        ["rust-trade-engine", "trade-engine:9000"],
    ]
    # Each host, each service's port, and each certificate of the stack's own.
    probes = [["host", host] for host in ("app1", "db1", "mon1")]
    probes += [["probe", instance] for _, instance in services]
    probes += [["probe", instance] for job, instance in own if job in ("node", "redis_exporter")]
    assert value("prometheus_expected_targets", "-i", str(PROD)) == sorted([*services, *own, *probes])


def test_production_scrapes_as_often_as_the_requirements_say() -> None:
    jobs = value("prometheus_scrape_configs", "-i", str(PROD))
    intervals = {job["job_name"]: job["scrape_interval"] for job in jobs}
    required = {"redis": "1s", "duckdb": "5s", "clickhouse": "5s", "backend": "1s", "rust-trade-engine": "1s"}
    assert intervals.items() >= required.items()


def test_result_does_not_depend_on_the_limit() -> None:
    everyone = value("prometheus_targets", "-i", str(PROD))
    assert value("prometheus_targets", "-i", str(PROD), "--limit", "mon1") == everyone
    assert value("redis_exporter_hosts", "-i", str(PROD), "--limit", "mon1") == ["app1"]


def allowed(host: str, *arguments: str) -> set[tuple[str, int, str]]:
    """What the firewall of a host lets in, one entry for each address."""
    entries = value("firewall_allow", "-i", str(PROD), *arguments, host=host)
    return {(entry["name"], entry["port"], who) for entry in entries for who in entry["from"] or ["nobody"]}


def test_an_application_host_restricts_the_exporters_that_it_has_and_nothing_else() -> None:
    exporters = {("node_exporter", 9100, "192.0.2.10"), ("redis_exporter", 9121, "192.0.2.10")}
    assert allowed("app1") == exporters
    assert allowed("app1", "--limit", "app1") == exporters
    assert allowed("db1") == {("node_exporter", 9100, "192.0.2.10")}
    assert value("firewall_policy", "-i", str(PROD), host="app1") == "accept"


def test_a_prometheus_host_is_closed_but_for_ssh_and_its_like() -> None:
    assert allowed("mon1") == {
        ("node_exporter", 9100, "192.0.2.10"),
        ("prometheus", 9090, "192.0.2.10"),
        ("prometheus", 9090, "nobody"),
        ("alertmanager", 9093, "192.0.2.10"),
        ("alertmanager", 9093, "nobody"),
        ("alertmanager_cluster", 9094, "192.0.2.10"),
        ("proxy", 443, "192.0.2.10"),
        ("ssh", 22, "0.0.0.0/0"),
        ("ssh", 22, "::/0"),
        ("https", 443, "nobody"),
    }
    assert value("firewall_policy", "-i", str(PROD)) == "drop"


def test_a_client_beyond_the_prometheus_hosts_is_let_in_by_address_and_by_name() -> None:
    client = json.dumps({"prometheus_clients": ["192.0.2.20"], "prometheus_client_names": ["app1"]})
    assert {("alertmanager", 9093, "192.0.2.20"), ("prometheus", 9090, "192.0.2.20")} <= allowed("mon1", "-e", client)
    assert value("alertmanager_tls.clients", "-i", str(PROD), "-e", client) == ["mon1", "app1"]
    assert value("prometheus_alertmanagers", "-i", str(PROD), "-e", client) == ["192.0.2.10:9093"]


def test_several_prometheus_hosts_tell_every_alertmanager_which_are_one_cluster(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("prometheus: {hosts: {app1: }}\n", encoding="utf-8")
    both = ("-i", str(PROD), "-i", str(tmp_path / "hosts.yml"))
    assert value("prometheus_alertmanagers", *both) == ["192.0.2.10:9093", "192.0.2.20:9093"]
    assert value("alertmanager_peers", *both) == ["192.0.2.20:9094"]
    assert value("prometheus_alertmanagers", "-i", str(PROD)) == ["127.0.0.1:9093"]


def test_grafana_is_beside_each_prometheus_that_is_to_have_it_and_asks_as_finely_as_is_scraped(tmp_path: Path) -> None:
    asked = "[grafana_hosts, preflight_ports.mon1.grafana | default(0), 'grafana' in preflight_daemons]"
    present = json.dumps({"x": f"{{{{ {asked} }}}}"})
    assert value("x", "-i", str(PROD), "-e", present) == [["mon1"], 3000, True]
    absent = json.dumps({"grafana_state": "absent", "x": f"{{{{ {asked} }}}}"})
    assert value("x", "-i", str(PROD), "-e", absent) == [[], 0, False]
    assert value("grafana_scrape_interval", "-i", str(PROD)) == "1000ms"
    (tmp_path / "hosts.yml").write_text("prometheus: {hosts: {app1: {grafana_state: absent}}}\n", encoding="utf-8")
    both = ("-i", str(PROD), "-i", str(tmp_path / "hosts.yml"))
    assert value("grafana_hosts", *both) == ["mon1"]
    tls = "[grafana_prometheus_url, grafana_alertmanager_url, grafana_groups, grafana_tls.client]"
    assert value("x", *both, "-e", json.dumps({"x": f"{{{{ {tls} }}}}"})) == [
        "https://192.0.2.10:9090",
        "https://192.0.2.10:9093",
        ["tds-tls-client"],
        "/etc/tds/tls/client.pem",
    ]


def test_a_mistake_in_the_catalogue_does_not_keep_the_preflight_from_the_rest() -> None:
    wrong = json.dumps({"monitored_services": {"redis": {"scrape_intervall": "1s", "instances": [{"host": "nope"}]}}})
    given = "preflight_daemons + (preflight_ports | list) + preflight_names + (preflight_capacity | list)"
    assert value("preflight_catalogue", "-i", str(PROD), "-e", wrong)
    assert value("x", "-i", str(PROD), "-e", wrong, "-e", json.dumps({"x": f"{{{{ {given} }}}}"})) == []
    without = {"grafana_secret_key": "", "grafana_admin_password": ""}  # production's are in a vault that is not here
    assert value("preflight_secrets", "-i", str(PROD), "-e", wrong) == without
    secret = json.dumps({"alertmanager_secrets": {"pager": "changeme"}})
    assert value("preflight_secrets", "-i", str(PROD), "-e", wrong, "-e", secret) == without | {
        "alertmanager_secrets.pager": "changeme"
    }


def test_what_preflight_looks_at_is_that_of_all_hosts() -> None:
    inspected = {entry["port"] for entry in value("preflight_allow", "-i", str(PROD), "--limit", "db1", host="db1")}
    assert inspected == {22, 443, 9090, 9093, 9094, 9100, 9121, 9125}
    assert value("preflight_ports", "-i", str(PROD))["app1"] == {"node_exporter": 9100, "redis_exporter": 9121}
    assert value("preflight_allow", "-i", str(PROD), "-e", "firewall_state=absent") == []


def test_a_port_that_clickhouse_opens_for_us_is_open_to_prometheus_only_and_its_own_is_left_alone() -> None:
    def of_clickhouse(*more: str) -> tuple[int, list[int]]:
        allow = value("firewall_allow", "-i", str(PROD), *more, host="db1")
        ports = [entry["port"] for entry in allow if entry["name"] == "clickhouse_metrics"]
        return value("clickhouse_metrics_port", "-i", str(PROD), *more, host="db1"), ports

    moved = {"host": "db1", "name": "c", "target": "clickhouse-node:9363"}
    services = {"clickhouse": {"scrape_interval": "5s", "clickhouse": True, "instances": [moved]}}
    assert of_clickhouse() == (8123, [])
    assert of_clickhouse("-e", json.dumps({"monitored_services": services})) == (9363, [9363])
    assert value("clickhouse_metrics_state", "-i", str(PROD), host="app1") == "absent"


def test_what_prometheus_keeps_follows_from_the_newest_look_at_its_filesystem() -> None:
    looked = {"__preflight_host": {"facts": {"disk": {"size_bytes": 7}}}}
    assert value("prometheus_data_bytes", "-i", str(PROD)) == 0
    assert value("prometheus_data_bytes", "-i", str(PROD), "-e", json.dumps(looked)) == 7
    made = looked | {"ansible_facts": {"storage_bytes": 9}}
    assert value("prometheus_data_bytes", "-i", str(PROD), "-e", json.dumps(made)) == 9


def test_lab_needs_only_the_hosts_that_the_lab_has(tmp_path: Path) -> None:
    # Stands for what lab.py says while a lab is up.
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(
        "all: {hosts: {mon1: {ansible_host: 192.0.2.1}, app1: {ansible_host: 192.0.2.2}}}", encoding="utf-8"
    )
    expected = value("prometheus_expected_targets", "-i", str(LAB / "hosts.yml"), "-i", str(hosts))
    assert [instance for job, instance in expected if job == "node"] == ["app1:9100", "mon1:9100"]
    assert len([job for job, _ in expected if job == "redis"]) == 4


def test_daemons_read_the_files_that_the_role_certificates_writes() -> None:
    """The inventory names them for the roles, and a role does not look into another's variables."""
    made = yaml.safe_load((ROOT / "roles/certificates/vars/main.yml").read_text(encoding="utf-8"))
    directory, purposes = made["__certificates_directory"], made["__certificates_purposes"]
    named = value("monitoring_tls", "-i", str(PROD))
    assert named["ca"] == f"{directory}/ca.crt"
    assert {purpose: named[purpose] for purpose in purposes} == {
        purpose: f"{directory}/{purpose}.pem" for purpose in purposes
    }
    assert value("prometheus_groups", "-i", str(PROD)) == [purposes["client"]["group"]]
    unit = (ROOT / "roles/daemon/templates/daemon.service.j2").read_text(encoding="utf-8")
    assert f"['{purposes['server']['group']}']" in unit


def test_an_inventory_without_a_prometheus_host_has_hosts_to_watch_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {app1: {ansible_host: 192.0.2.20}}}\n", encoding="utf-8")
    (tmp_path / "group_vars").symlink_to(PROD / "group_vars")
    assert value("prometheus_listen_addresses", "-i", str(tmp_path), host="app1") == ["127.0.0.1"]
    assert value("monitoring_tls.clients", "-i", str(tmp_path), host="app1") == ["app1"]
