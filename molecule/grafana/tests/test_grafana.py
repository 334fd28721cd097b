"""Grafana by its role: where it is, who gets in, what changes without a restart, and what never comes into force.

Where the mirror has Grafana's archive it is Grafana that runs. Else a stand-in does (lab/grafana), which shows what the
role does; what only Grafana itself can show is skipped, and says so.
"""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
import yaml
from ansible_collections.tds.monitoring.plugins.filter.grafana import known_keys
from testinfra.host import Host

from lab import inventory
from lab.common import Paths
from tests.canary import leaks
from tests.hosts import Play, address, eventually, exposure, installation, page, run_record, series, unit

testinfra_hosts = ["ansible://mon1"]

IS_GRAFANA = "grafana" in inventory.artifacts(Paths.from_environment())
# The mirror has it where somebody gave it one: make test GRAFANA_ARCHIVE=FILE. More words would be cut in the output.
product = pytest.mark.skipif(not IS_GRAFANA, reason="a stand-in runs, not Grafana itself")
PORT = 13000
URL = f"http://127.0.0.1:{PORT}/boards"
SECRETS = {
    "secret_key": "canary-key-5f0c1e7d2b",
    "admin_password": "canary-password-9e1d4a6c",
    "mail": "canary-mail-3c7b8e2f",
}


def ask(host: Host, path: str, *, user: str = "anna", role: str = "Viewer") -> Any:
    """What the API answers to somebody whom the door has let in."""
    headers = f"--header 'X-Webauth-User: {user}' --header 'X-Webauth-Role: {role}'"
    answer = host.run(f"curl --silent --fail --max-time 10 {headers} %s", f"{URL}{path}")
    return json.loads(answer.stdout) if answer.rc == 0 else None


def code(host: Host, url: str, options: str = "") -> str:
    """The status that a URL answers with; 000 when nobody answers."""
    show = "--output /dev/null --write-out '%{http_code}'"
    return str(host.run(f"curl --silent --max-time 10 {show} {options} {url}").stdout)


def titles(host: Host) -> dict[str, str]:
    return {entry["uid"]: entry["title"] for entry in ask(host, "/api/search?type=dash-db") or []}


def board(title: str, name: str = "molecule") -> str:
    return json.dumps({"uid": name, "title": title, "schemaVersion": 41, "panels": []})


def written(host: Host) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read_string("[-]\n" + host.check_output("cat /etc/grafana/grafana.ini"))
    return read


def process(host: Host) -> dict[str, str]:
    return unit(host, "grafana", "InvocationID", "MainPID")


# --- what is there


def test_it_is_well_and_reached_below_its_path_on_loopback_only(host: Host) -> None:
    assert json.loads(page(host, f"{URL}/api/health"))["database"] == "ok"
    assert any(name.startswith("grafana_build_info") for name in series(page(host, f"{URL}/metrics")))
    listening = host.check_output("ss --tcp --listening --numeric --no-header --processes").splitlines()
    ours = re.compile(rf":{PORT}\s")
    assert [line.split()[3] for line in listening if ours.search(line)] == [f"127.0.0.1:{PORT}"]
    assert code(host, f"http://{address(host)}:{PORT}/boards/api/health") == "000"


def test_who_does_not_come_through_the_door_is_nobody(host: Host) -> None:
    assert code(host, f"{URL}/api/search") == "401"
    assert code(host, f"{URL}/api/search", "--user local-admin:canary-password-9e1d4a6c") == "401"
    assert ask(host, "/api/search") is not None


def test_the_dashboards_are_those_that_are_declared(host: Host) -> None:
    shipped = host.check_output("ls /etc/grafana/dashboards").split()
    assert {f"{uid}.json" for uid in titles(host)} == set(shipped)
    assert titles(host)["molecule"] == "First"


def test_its_settings_are_the_roles_and_the_users(host: Host) -> None:
    ini = written(host)
    assert ini["server"]["root_url"] == "https://door.example/boards/"
    assert (ini["server"]["serve_from_sub_path"], ini["server"]["domain"]) == ("true", "door.example")
    assert ini["users"]["default_theme"] == "light"
    assert ini["dashboards"]["default_home_dashboard_path"] == "/etc/grafana-dashboards/molecule.json"
    assert (ini["database"]["type"], ini["database"]["high_availability"]) == ("sqlite3", "false")
    sources = yaml.safe_load(host.check_output("cat /etc/grafana/provisioning/datasources/datasources.yml"))[
        "datasources"
    ]
    assert {source["uid"]: source["url"] for source in sources} == {
        "prometheus": "http://127.0.0.1:9090",
        "alertmanager": "http://127.0.0.1:9093",
    }
    assert sources[0]["jsonData"]["timeInterval"] == "2000ms"


def test_secrets_are_files_for_it_alone_and_nowhere_else(host: Host, play: Play) -> None:
    for name, secret in SECRETS.items():
        file = host.file(f"/etc/grafana/secrets/{name}")
        assert (file.content_string, oct(file.mode), file.user, file.group) == (secret, "0o640", "root", "grafana")
    ini = host.file("/etc/grafana/grafana.ini")
    assert (oct(ini.mode), ini.user, ini.group) == ("0o640", "root", "grafana")
    run = play("--tags", "grafana", "--check", "--diff", "-vvv", grafana_ini={})
    assert (run.code, run.changed) == (0, 1), run.reason
    kept = ["/opt/tds/grafana/generations/*/etc/secrets/*"]
    assert leaks(host, list(SECRETS.values()), allowed=kept, output=run.output) == []
    environment = host.check_output(f"tr '\\0' '\\n' </proc/{process(host)['MainPID']}/environ")
    assert not re.search("^GF_", environment, re.MULTILINE)


def test_it_is_limited_and_sandboxed(host: Host) -> None:
    shown = unit(host, "grafana", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "LimitNOFILE", "ReadWritePaths")
    assert shown == {
        "MemoryMax": str(900 << 20),
        "TasksMax": "400",
        "CPUQuotaPerSecUSec": "900ms",
        "LimitNOFILE": "12345",
        "ReadWritePaths": "/var/lib/grafana",
    }
    assert exposure(host, "grafana") <= 1.5
    assert host.check_output("stat --format='%a %U' /var/lib/grafana") == "700 grafana"
    assert host.file("/var/lib/grafana/grafana.db").exists


# --- changes


def test_a_changed_dashboard_is_there_without_reload_or_restart_and_none_is_made_anew(
    host: Host,
    play: Play,
    restored: None,  # noqa: ARG001
) -> None:
    before = process(host)
    run = play(
        "--tags", "grafana", grafana_dashboards={"molecule": board("Second"), "further": board("New", "further")}
    )
    assert (run.code, run.changed) == (0, 1), run.reason
    assert eventually(lambda: titles(host).get("molecule") == "Second" and titles(host).get("further") == "New", 20)
    assert process(host) == before
    last = run_record(host)[-1]
    assert (last["action"], last["result"]) == ("none", "proven")
    assert {"etc/dashboards/further.json added", "etc/dashboards/molecule.json changed"} <= set(last["why"])
    if not IS_GRAFANA:
        assert series(page(host, f"{URL}/metrics"))["stand_in_dashboards_deleted"] == 0
    run = play("--tags", "grafana", grafana_dashboards={"molecule": board("Third")})
    assert (run.code, run.changed) == (0, 1), run.reason
    assert eventually(lambda: "further" not in titles(host) and titles(host).get("molecule") == "Third", 20), titles(
        host
    )
    assert process(host) == before
    assert host.run("test -e /etc/grafana-dashboards/further.json").rc != 0


def test_another_setting_takes_a_restart(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    before = process(host)
    run = play("--tags", "grafana", "--diff", grafana_ini={"users": {"default_theme": "dark"}})
    assert (run.code, run.changed) == (0, 1), run.reason
    assert "-default_theme = light" in run.output
    assert process(host) != before
    assert run_record(host)[-1]["action"] == "restart"


def test_what_it_does_not_start_with_is_rolled_back(host: Host, play: Play) -> None:
    mail = {"enabled": True, "from_address": "nobody"}
    run = play("--tags", "grafana", grafana_ini={"users": {"default_theme": "light"}, "smtp": mail})
    assert run.code != 0
    assert "Rolled back" in run.output
    assert "invalid email address for SMTP from_address config" in run.output
    assert "enabled" not in written(host)["smtp"]
    assert page(host, f"{URL}/api/health")
    assert play("--tags", "grafana").changed == 0


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"grafana_ini": {"users": {"default_thme": "dark"}}},
        "grafana_ini.users.default_thme is not a key that Grafana knows",
    ),
    ({"grafana_ini": {"auth.anonymous": {"enabled": True}}}, "grafana_ini.auth.anonymous.enabled is the role's to set"),
    ({"grafana_listen_address": "0.0.0.0"}, "grafana_listen_address is '0.0.0.0', where others read it in clear"),  # noqa: S104
    ({"grafana_secret_key": "changeme"}, "grafana_secret_key is a placeholder: write it into vault.yml"),
    (
        {"grafana_dashboards": {"molecule": board("x", "other")}},
        "grafana_dashboards.molecule has the uid 'other': write",
    ),
]


def test_what_cannot_work_is_refused_all_at_once_and_changes_nothing(host: Host, play: Play) -> None:
    before = installation(host, "grafana")
    wrong: dict[str, Any] = {"grafana_ini": {}}
    for variables, _told in REFUSED:
        wrong["grafana_ini"] |= variables.get("grafana_ini", {})
        wrong |= {name: value for name, value in variables.items() if name != "grafana_ini"}
    run = play(**wrong)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    for _variables, told in REFUSED:
        assert told in run.output
    assert "; nothing was changed" in run.output
    assert installation(host, "grafana") == before


def test_it_goes_and_leaves_its_data(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    assert play("--tags", "grafana", grafana_state="absent").changed == 1
    assert code(host, f"{URL}/api/health") == "000"
    assert host.run("ls /etc/grafana-dashboards/* /etc/grafana").rc != 0
    assert host.file("/var/lib/grafana/grafana.db").exists


# --- what only Grafana itself can show


@product
def test_it_knows_every_key_that_the_list_has(host: Host) -> None:
    text = host.check_output("cat /opt/tds/grafana/current/release/conf/defaults.ini")
    there, section = set(), ""
    for line in text.splitlines():
        if header := re.match(r"\[(.+)\]", line.strip()):
            section = header[1]
        elif key := re.match(r"[#;]? ?([\w-]+) *=", line.strip()):
            there.add((section, key[1]))
    used = {(name, key) for name, keys in written(host).items() for key in keys if name not in ("-", "DEFAULT")}
    assert used - there == set()
    assert {(section, key) for section, key in there if section not in known_keys()} == set()


@product
@pytest.mark.parametrize("role", ["Viewer", "Editor", "Admin"])
def test_the_doors_role_is_its_role(host: Host, role: str) -> None:
    assert ask(host, "/api/user", user=f"a-{role}", role=role)["login"] == f"a-{role}"
    (org,) = ask(host, "/api/user/orgs", user=f"a-{role}", role=role)
    assert org["role"] == role
    assert ask(host, "/api/user", user=f"a-{role}", role=role)["isGrafanaAdmin"] is False


@product
def test_its_data_sources_are_the_declared_ones_and_read_only(host: Host) -> None:
    found = {entry["uid"]: entry for entry in ask(host, "/api/datasources", user="chief", role="Admin")}
    assert found.keys() == {"prometheus", "alertmanager"}
    assert all(entry["readOnly"] for entry in found.values())
    assert found["prometheus"]["jsonData"]["httpMethod"] == "POST"


@product
def test_a_provisioned_dashboard_cannot_be_saved(host: Host) -> None:
    meta = ask(host, "/api/dashboards/uid/molecule", user="chief", role="Editor")["meta"]
    assert meta["provisioned"] is True
    assert meta["canSave"] is False


@product
def test_nobody_can_log_in_or_sign_up(host: Host) -> None:
    login = '--json \'{"user": "local-admin", "password": "canary-password-9e1d4a6c"}\''
    assert code(host, f"{URL}/login", login) in ("401", "403", "404")
    settings = ask(host, "/api/frontend/settings")
    assert settings["disableLoginForm"] is True
    assert settings["anonymousEnabled"] is False
