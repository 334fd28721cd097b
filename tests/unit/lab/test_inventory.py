"""What Ansible is told about a lab."""

import json
from pathlib import Path

import pytest

from lab import cli, inventory
from lab.common import Paths
from lab.state import Host, Lab, State, change


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("TDS_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TDS_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAB_NAME", raising=False)
    return Paths.from_environment()


def state() -> State:
    hosts = {"mon1": Host(10, disk="5G", device="/dev/loop3"), "app1": Host(11)}
    return State({"demo": Lab(7, "bookworm", "/image", 0.0, hosts)})


def test_hosts_are_reached_with_the_lab_s_key_and_checked_host_keys(paths: Paths) -> None:
    mon1 = inventory.inventory(state(), "demo", paths)["_meta"]["hostvars"]["mon1"]
    assert (mon1["ansible_host"], mon1["ansible_user"]) == ("10.203.7.10", "root")
    assert mon1["ansible_ssh_private_key_file"] == str(paths.private_key("demo"))
    assert "StrictHostKeyChecking=yes" in mon1["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={paths.known_hosts('demo')}" in mon1["ansible_ssh_common_args"]


def test_an_extra_disk_is_told_only_where_there_is_one(paths: Paths) -> None:
    hosts = inventory.inventory(state(), "demo", paths)["_meta"]["hostvars"]
    assert hosts["mon1"]["lab_disk"] == "/dev/loop3"
    assert "lab_disk" not in hosts["app1"]


def test_the_mirror_and_what_it_has_are_variables_of_all(paths: Paths) -> None:
    paths.artifacts.mkdir(parents=True)
    entry = {"version": "1", "archive": "a.tar.gz", "sha256": "s", "origin": "upstream"}
    record = {"available": {"thing": {**entry, "wanted": ["1"]}}, "unavailable": {}}
    (paths.artifacts / "state.json").write_text(json.dumps(record))
    variables = inventory.inventory(state(), "demo", paths)["all"]["vars"]
    assert variables == {
        "lab_artifact_source": "http://10.203.0.1:8480",
        "lab_artifacts": {"thing": entry},
        "lab_gateway": "10.203.0.1",
    }


def test_no_lab_is_an_empty_inventory_and_a_line_that_explains(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inventory", "--list"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"_meta": {"hostvars": {}}, "all": {"hosts": [], "vars": {}}}
    assert "there is no lab 'demo'" in printed.err
    assert not paths.home.exists()


def test_the_environment_names_the_lab(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with change(paths) as saved:
        saved.labs["other"] = state().labs["demo"]
    monkeypatch.setenv("LAB_NAME", "other")
    assert cli.main(["inventory", "--host", "app1"]) == 0
    assert json.loads(capsys.readouterr().out)["ansible_host"] == "10.203.7.11"
