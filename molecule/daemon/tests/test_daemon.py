"""A real daemon on a real host: in force, changed, refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.canary import leaks
from tests.hosts import Play, eventually, installation, lab, unit
from tests.probe import ARP, OTHER_FLAGS, assert_the_declaration_is_in_force, generation, process, served

testinfra_hosts = ["ansible://mon1"]


# --- in force


def test_the_directories_are_as_the_design_says(host: Host) -> None:
    number = generation(host)
    version = Path(host.check_output("readlink /opt/tds/probe/current/release")).name
    listed = host.check_output("find /opt/tds/probe /etc/probe /srv/probe -printf '%p %m %u:%g %l\\n'")
    found = {path: tuple(facts) for path, *facts in (line.rstrip().split(" ") for line in listed.splitlines())}
    root, inside = "/opt/tds/probe", f"/opt/tds/probe/generations/{number}"
    kept = [path for path in found if re.fullmatch(rf"{root}/(generations|releases)/\w[\w.]*", path)]
    assert set(kept) >= {inside, f"{root}/releases/{version}"}
    assert {path: facts for path, facts in found.items() if not path.startswith(tuple(set(kept) - {inside}))} == {
        root: ("755", "root:root"),
        f"{root}/current": ("777", "root:root", f"generations/{number}"),
        f"{root}/journal": ("644", "root:root"),
        f"{root}/lock": ("644", "root:root"),
        f"{root}/generations": ("755", "root:root"),
        f"{root}/releases": ("755", "root:root"),
        inside: ("755", "root:root"),
        f"{inside}/env": ("644", "root:root"),
        f"{inside}/manifest.json": ("600", "root:root"),
        f"{inside}/release": ("777", "root:root", f"../../releases/{version}"),
        f"{inside}/unit": ("644", "root:root"),
        f"{inside}/etc": ("750", "root:observer"),
        f"{inside}/etc/flags": ("644", "root:observer"),
        f"{inside}/etc/note": ("640", "root:observer"),
        f"{inside}/etc/textfile": ("750", "root:observer"),
        f"{inside}/etc/textfile/secret.prom": ("440", "root:observer"),
        f"{inside}/etc/textfile/value.prom": ("640", "root:observer"),
        "/etc/probe": ("777", "root:root", "/opt/tds/probe/current/etc"),
        "/srv/probe": ("755", "root:root"),
        "/srv/probe/textfile": ("777", "root:root", "/etc/probe/textfile"),
        "/srv/probe/data": ("700", "observer:observer"),
    }


def test_release_files_flags_links_and_environment_reach_the_process(host: Host) -> None:
    assert_the_declaration_is_in_force(host)
    assert served(host)["go_gc_gogc_percent"] == 77


def test_limits_and_sandbox_are_in_force(host: Host) -> None:
    names = ("MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "PrivateTmp", "ProtectHome", "LogRateLimitBurst")
    shown = unit(host, "probe", *names)
    assert shown == {
        "MemoryMax": str(96 << 20),
        "TasksMax": "48",
        "CPUQuotaPerSecUSec": "300ms",
        "PrivateTmp": "no",  # null leaves it out
        "ProtectHome": "yes",
        "LogRateLimitBurst": "50",
    }
    assert "node_memory_MemTotal_bytes" in served(host)  # not with the sandbox's own ProcSubset
    pid = process(host)
    assert re.search(r"Max open files +4444 +4444", host.file(f"/proc/{pid}/limits").content_string)
    status = dict(re.findall(r"^(\w+):\s+(.*)$", host.file(f"/proc/{pid}/status").content_string, re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16)) == ("1", "2", 0)
    assert status["Uid"].split() == [str(host.user("observer").uid)] * 4
    assert status["Cpus_allowed_list"] == "0"
    assert "/tds.slice/probe.service" in host.file(f"/proc/{pid}/cgroup").content_string
    assert host.file(f"/proc/{pid}/oom_score_adj").content_string.strip() == "500"


def test_a_go_program_knows_its_limits(host: Host) -> None:
    shown = served(host)
    assert shown["go_sched_gomaxprocs_threads"] == 1  # of 30 % of a CPU
    assert shown["go_gc_gomemlimit_bytes"] == 72 << 20  # of 96 MiB


@pytest.mark.parametrize("interruptions", [("reboot",), ("cut", "reboot")], ids=" and ".join)
def test_it_is_back_after(host: Host, interruptions: tuple[str, ...]) -> None:
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp")
    for verb in interruptions:
        lab(verb, os.environ["LAB_NAME"], "mon1")
    assert (
        host.check_output("cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp") != boot
    )
    assert eventually(lambda: served(host), 20)
    assert_the_declaration_is_in_force(host)


def test_what_a_power_cut_left_needs_no_change(play: Play) -> None:
    assert play().changed == 0


# --- changed


@pytest.mark.usefixtures("restored")
def test_a_change_takes_no_more_than_it_needs(host: Host, play: Play) -> None:
    before, pid = generation(host), process(host)
    assert play(probe_value=2).changed == 1
    assert (served(host)["probe_value"], generation(host), process(host)) == (2, before + 1, pid)
    assert play(probe_value=2, probe_flags=OTHER_FLAGS).changed == 1
    assert ARP in served(host)
    assert generation(host) == before + 2
    assert process(host) != pid
    assert host.check_output("ls /opt/tds/probe/generations").split() == [str(before + 1), str(before + 2)]


@pytest.mark.usefixtures("restored")
def test_a_secret_is_served_and_nowhere_to_be_read(host: Host, play: Play) -> None:
    secrets = ["31415926", "27182818"]
    run = play("--diff", "-vvv", probe_secret=27182818)
    assert run.changed == 1
    assert served(host)["probe_secret"] == 27182818
    assert "another secret" in run.output
    # The generation to go back to has taken over the new one, and nothing has the old one any more.
    kept = host.check_output("ls /opt/tds/probe/generations").split()
    holding = [f"/opt/tds/probe/generations/{number}/etc/textfile/secret.prom" for number in kept]
    assert len(kept) == 2
    assert sorted(leaks(host, secrets, output=run.output)) == [("27182818", file) for file in holding]
    assert leaks(host, secrets, allowed=["/opt/tds/probe/generations/*/etc/textfile/secret.prom"]) == []


# --- refused


def refusals() -> Iterator[Any]:
    elsewhere = {"daemon_version": "99.0.0", "daemon_pins": {"99.0.0": {"amd64": "0" * 64}}}
    yield pytest.param(elsewhere, [r"sha256 is \w{64}, the pin says 0{64}", "Nothing was unpacked"], id="wrong pin")
    yield pytest.param(
        elsewhere | {"daemon_archive": "nothing-99.0.0.tar.gz"},
        ["nothing-99.0.0.tar.gz cannot be fetched: .*404", "Check artifact_source"],
        id="404",
    )
    yield pytest.param(
        elsewhere | {"daemon_artifact_source": "/nonexistent"},
        ["artifact_source: /nonexistent on the controller has no node_exporter", "Put the archive there"],
        id="not on the controller",
    )
    yield pytest.param(
        {"daemon_version": "99.0.0", "daemon_pins": {"1.0.0": {}}},
        ["probe_pins has no sha256 for version 99.0.0", "sha256sums.txt"],
        id="no pin",
    )
    yield pytest.param(
        {"probe_value": "many", "daemon_proof": []},
        ["/etc/probe/textfile/value.prom holds no number", "Mend: probe_value"],
        id="a checker",
    )
    yield pytest.param(
        {"daemon_limits": {"MemoryMax": "much"}},
        ["systemd-analyze verify refuses", "Invalid memory limit 'much'"],
        id="systemd",
    )
    yield pytest.param(
        {"daemon_frozen": "it is trading hours", "probe_flags": OTHER_FLAGS},
        ["would be restarted or stopped, because .*flags.*: it is trading hours", "change_freeze_override"],
        id="a freeze",
    )


@pytest.mark.once
@pytest.mark.parametrize(("variables", "told"), list(refusals()))
def test_what_is_refused_changes_nothing(host: Host, play: Play, variables: dict[str, Any], told: list[str]) -> None:
    before, pid = installation(host, "probe"), process(host)
    run = play(**variables)
    assert (run.code, run.changed) == (2, 0)
    for words in told:
        assert re.search(words, run.output), run.output
    assert (installation(host, "probe"), process(host)) == (before, pid)
    assert_the_declaration_is_in_force(host)
