"""From a bare host to a bare host: small releases from a directory of the controller come, change and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Run, installation, unit
from tests.little_server import served, server

testinfra_hosts = ["ansible://bare1"]

DOOMED = "#!/bin/sh\necho I am doomed >&2\nexit 1\n"
Module = Callable[..., dict[str, Any]]
Declare = Callable[..., Run]


def assert_nothing_is_installed(host: Host) -> None:
    for gone in ("/etc/probe", "/opt/tds/probe/current", "/etc/systemd/system/probe.service"):
        assert not host.file(gone).exists
    assert unit(host, "probe", "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}
    assert host.run("find /etc/systemd /run/systemd -name 'probe.service*'").stdout == ""
    assert "19301" not in host.check_output("ss --tcp --listening --numeric")


def test_check_mode_leaves_a_bare_host_bare(host: Host, declare: Declare) -> None:
    run = declare("--check", "--diff")
    assert run.code == 0
    assert "first installation" in run.output
    assert "+Description=A probe of the daemon role" in run.output
    assert not host.file("/opt/tds").exists
    assert not host.user("observer").exists
    assert_nothing_is_installed(host)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"program": DOOMED}, "I am doomed"),
        # It must have come to answer when the proof's timeout is over.
        ({"value": 2, "daemon_files": [{"path": "value", "content": "1\n"}]}, "probe_value is 1 instead of 2"),
    ],
    ids=["exits", "never proven"],
)
def test_a_first_installation_that_fails_is_withdrawn(
    host: Host, declare: Declare, variables: dict[str, Any], told: str
) -> None:
    run = declare(**variables)
    assert run.code == 2
    assert "It was the first installation and has been withdrawn." in run.output
    assert told in run.output
    assert_nothing_is_installed(host)


def test_an_archive_of_the_controller_travels_once(host: Host, declare: Declare) -> None:
    assert declare().code == 0
    assert served(host) == server("1.0.0", 1)
    assert host.check_output("ls -A ~/.ansible/tmp || true") == ""  # the archive is not left there
    pid = unit(host, "probe", "MainPID")
    # An unchanged run needs it no more, nor does another generation of the same release: here a reload.
    for value, changed in ((1, 0), (2, 1)):
        run = declare(value=value, daemon_artifact_source="/nonexistent")
        assert (run.code, run.changed) == (0, changed)
        assert (served(host), unit(host, "probe", "MainPID")) == (server("1.0.0", value), pid)


def test_an_upgrade_and_the_way_back(host: Host, declare: Declare, module: Module) -> None:
    """One history: up, not down, back by hand, up again; each step as the process shows it."""
    assert declare(version="1.0.0", value=2).code == 0
    assert declare(version="1.9.0", value=3).code == 0
    assert served(host) == server("1.9.0", 3)

    before = installation(host, "probe")
    refused = declare(version="1.0.0", value=2)
    assert refused.code == 2
    assert "release 1.0.0 is older than 1.9.0" in refused.output
    assert "set allow_downgrade" in refused.output
    assert (installation(host, "probe"), served(host)) == (before, server("1.9.0", 3))

    back = module("bare1", name="probe", user="observer", state="previous")
    assert (back["action"], back["changed"]) == ("restart", True)
    assert served(host) == server("1.0.0", 2)
    assert declare(version="1.0.0", value=2).changed == 0

    assert declare(version="1.10.0", value=4).code == 0
    assert served(host) == server("1.10.0", 4)
    assert host.check_output("ls /opt/tds/probe/generations | wc --lines") == "2"
    assert host.check_output("ls /opt/tds/probe/releases").split() == ["1.0.0", "1.0.0.json", "1.10.0", "1.10.0.json"]


def test_absent_leaves_only_the_data(host: Host, declare: Declare, module: Module) -> None:
    assert declare(version="0.9.0", value=5, daemon_allow_downgrade=True).code == 0
    starts = host.check_output("cat /srv/probe/data/starts")
    assert starts.splitlines()[-1] == "0.9.0"
    assert module("bare1", name="probe", user="observer", state="absent")["changed"]
    assert_nothing_is_installed(host)
    assert not host.file("/opt/tds/probe").exists
    assert host.check_output("cat /srv/probe/data/starts") == starts
    assert not module("bare1", name="probe", user="observer", state="absent")["changed"]
