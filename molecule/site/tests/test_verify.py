"""playbooks/verify.yml on a live site: what it says of one that is well, and of one that is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import Run, eventually, on, page, run_playbook
from tests.webhook import notifications

HOSTS = ("mon1", "mon2", "app1", "app2")
OF_PROMETHEUS = {"targets", "rules", "contract", "alert", "retention", "scrapes", "sync"}


def verify(*options: str, **variables: Any) -> Run:
    return run_playbook(*options, playbook="playbooks/verify.yml", **variables)


def rows(directory: Path) -> list[dict[str, str]]:
    return list(json.loads((directory / "verify.json").read_text())["rows"])


@pytest.mark.once
def test_a_well_site_proves_itself_and_is_as_it_was(tmp_path: Path) -> None:
    for name in HOSTS:
        on(name).check_output("touch /run/before")
    since = time.time()
    run = verify(verify_output=str(tmp_path))
    assert (run.code, run.changed) == (0, 0), run.output
    assert run.tasks("mon1") <= 10
    found = rows(tmp_path)
    assert [row for row in found if row["level"] == "error"] == []
    checks = {name: {row["check"] for row in found if row["host"] == name} for name in HOSTS}
    always = {"certificates", "limits"}
    assert checks == {
        **dict.fromkeys(("mon1", "mon2"), always | OF_PROMETHEUS | {"door"}),
        "app1": always,
        "app2": always,
    }
    # Containers: nobody holds them to their limits, and the lab accepts that and a short retention.
    less = {(row["check"], row["level"]) for row in found if row["level"] != "ok"}
    assert less <= {("limits", "skipped"), ("retention", "warning")}
    assert {row["host"] for row in found if (row["check"], row["level"]) == ("limits", "ok")} == set(HOSTS)
    assert "ok       mon1  alert         Watchdog is there; lab took VerifyTest by webhook" in run.output
    assert "mon1 sees it" in (tmp_path / "verify.html").read_text()
    told = {"mon1", "mon2"}
    for status in ("firing", "resolved"):
        heard = eventually(lambda status=status: _told(since, status) == told and _told(since, status), 10)
        assert heard == told, status
    for name in HOSTS:
        assert on(name).check_output("find /etc /opt /usr -cnewer /run/before 2>/dev/null || true") == ""


def _told(since: float, status: str) -> set[str]:
    heard = notifications(on("app2"), since, alertname="VerifyTest", status=status)
    assert all("test" in one.annotations["summary"] for one in heard)
    return {one.labels["alertmanager"] for one in heard}


LOOSENED = "/run/systemd/system.control/alertmanager.service.d"
ILL = "redis-trade-state:6379"


@pytest.fixture
def ill(mon1: Host, app1: Host) -> Iterator[None]:
    """A Redis is dead, and a limit loosened by hand."""
    app1.check_output("systemctl stop redis-server@trade-state")
    mon1.check_output("systemctl set-property --runtime alertmanager.service MemoryMax=1G")
    gone = urlencode({"query": f'probe_success{{instance="{ILL}"}} == 0'})
    for name in ("mon1", "mon2"):
        assert eventually(
            lambda name=name: '"value"' in page(on(name), f"https://127.0.0.1:9090/api/v1/query?{gone}"), 15
        )
    yield
    mon1.check_output("rm -r %s && systemctl daemon-reload", LOOSENED)
    app1.check_output("systemctl start redis-server@trade-state")


@pytest.mark.once
@pytest.mark.usefixtures("ill")
def test_what_is_ill_is_an_error_and_all_else_is_not(tmp_path: Path) -> None:
    unreachable = tmp_path / "hosts.yml"
    arguments = "-o ControlPath=none -o ProxyCommand=false"
    unreachable.write_text(json.dumps({"all": {"hosts": {"app2": {"ansible_ssh_extra_args": arguments}}}}))
    rules = {"mine": {"groups": [{"name": "mine", "rules": [{"record": "mine:up", "expr": "up"}]}]}}
    run = verify("--inventory", str(unreachable), "--skip-tags", "alert",
                 verify_output=str(tmp_path), prometheus_rule_files=rules)  # fmt: skip
    assert run.code != 0
    found = {(row["host"], row["check"], row["what"]) for row in rows(tmp_path) if row["level"] == "error"}
    of_both = (("targets", f"redis {ILL}"), ("targets", f"probe {ILL}"), ("rules", "recording mine:up"))
    assert found == {(host, *row) for host in ("mon1", "mon2") for row in of_both} | {
        ("mon1", "limits", "alertmanager MemoryMax"),
        ("app2", "host", "this host"),
    }
    assert "alertmanager MemoryMax: 1073741824 for systemd (need: 268435456)" in run.output
    assert "8 errors: see the table above" in run.output
    assert run.changed == 0
