"""A real daemon on a real host: in force, changed, refused, rolled back, mended."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Play, Run, eventually, installation, lab, page, running, series, unit

testinfra_hosts = ["ansible://mon1"]

URL = "http://127.0.0.1:19300/metrics"
ARP = 'node_scrape_collector_success{collector="arp"}'
OTHER_FLAGS = ["--no-collector.bonding"]  # so the arp collector is back


def served(host: Host) -> dict[str, float]:
    return series(page(host, URL))


def generation(host: Host) -> int:
    return int(host.check_output("readlink /opt/tds/probe/current").removeprefix("generations/"))


def process(host: Host) -> str:
    return unit(host, "probe", "MainPID")["MainPID"]


def assert_the_declaration_is_in_force(host: Host) -> None:
    """What the process runs and serves, not what the files say."""
    assert running(host, "probe") == host.check_output("readlink -f /opt/tds/probe/current/release/node_exporter")
    shown = served(host)
    assert (shown["probe_value"], shown["probe_secret"]) == (1, 31415926)
    assert ARP not in shown
    state = unit(host, "probe", "ActiveState", "UnitFileState", "TasksMax")
    assert state == {"ActiveState": "active", "UnitFileState": "enabled", "TasksMax": "48"}


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
    shown = unit(host, "probe", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "PrivateTmp", "ProtectHome")
    assert shown == {
        "MemoryMax": str(96 << 20),
        "TasksMax": "48",
        "CPUQuotaPerSecUSec": "300ms",
        "PrivateTmp": "no",  # null leaves it out
        "ProtectHome": "yes",
    }
    assert "node_memory_MemTotal_bytes" in served(host)  # not with the sandbox's own ProcSubset
    pid = process(host)
    assert re.search(r"Max open files +4444 +4444", host.file(f"/proc/{pid}/limits").content_string)
    status = dict(re.findall(r"^(\w+):\s+(.*)$", host.file(f"/proc/{pid}/status").content_string, re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16)) == ("1", "2", 0)
    assert status["Uid"].split() == [str(host.user("observer").uid)] * 4


@pytest.mark.parametrize("interruptions", [("reboot",), ("cut", "reboot")], ids=" and ".join)
def test_it_is_back_after(host: Host, interruptions: tuple[str, ...]) -> None:
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp")
    for verb in interruptions:
        lab(verb, os.environ["LAB_NAME"], "mon1")
    assert (
        host.check_output("cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp") != boot
    )
    assert eventually(lambda: served(host), 5)
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
    run = play("--diff", "-vvv", probe_secret=27182818)
    assert run.changed == 1
    assert served(host)["probe_secret"] == 27182818
    assert "another secret" in run.output
    for secret in ("27182818", "31415926"):
        assert secret not in run.output
        assert host.run("journalctl --quiet --no-pager --all | grep --fixed-strings %s", secret).stdout == ""
    # The generation to go back to has taken over the new one, and nothing has the old one any more.
    kept = host.check_output("ls /opt/tds/probe/generations").split()
    assert len(kept) == 2
    assert holding(host, "27182818") == {f"/opt/tds/probe/generations/{n}/etc/textfile/secret.prom" for n in kept}
    assert holding(host, "31415926") == set()


def holding(host: Host, text: str) -> set[str]:
    """The files of the host that have this text in them."""
    found = host.run("grep --recursive --files-with-matches %s /opt /etc /srv /var /root /tmp /run", text)
    return set(found.stdout.split())


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


@pytest.mark.parametrize(("variables", "told"), list(refusals()))
def test_what_is_refused_changes_nothing(host: Host, play: Play, variables: dict[str, Any], told: list[str]) -> None:
    before, pid = installation(host, "probe"), process(host)
    run = play(**variables)
    assert (run.code, run.changed) == (2, 0)
    for words in told:
        assert re.search(words, run.output), run.output
    assert (installation(host, "probe"), process(host)) == (before, pid)
    assert_the_declaration_is_in_force(host)


# --- rolled back

DOOMED = "#!/bin/sh\necho I am doomed >&2\nexit 1\n"


def failures() -> Iterator[Any]:
    yield pytest.param({"doomed": True}, ["the process exited", "I am doomed"], id="exits")
    yield pytest.param(
        {"probe_flags": ["--no-such-flag"]}, ["the process exited", "unknown long flag '--no-such-flag'"], id="flag"
    )
    yield pytest.param(
        {"probe_value": 2, "daemon_proof": [{"url": URL, "metric": {"name": "probe_value", "value": 7}}]},
        [r"after \d s: http://\S+: probe_value is 2 instead of 7"],
        id="never proven",
    )
    # node_exporter knows no SIGHUP and dies of it.
    yield pytest.param({"probe_note": "second"}, ["the process exited", "Reloading"], id="dies of a reload")


@pytest.mark.parametrize(("variables", "told"), list(failures()))
def test_what_is_not_proven_is_rolled_back(
    host: Host,
    play: Play,
    release: Callable[..., dict[str, Any]],
    variables: dict[str, Any],
    told: list[str],
) -> None:
    before, started = installation(host, "probe", ["journal"]), time.monotonic()
    run = play(**(release("99.0.0", DOOMED) if "doomed" in variables else variables))
    assert time.monotonic() - started < 30
    assert (run.code, run.changed) == (2, 0)
    number = generation(host)
    for words in [
        r"generation \d+ of probe is not proven: ",
        f"generation {number} is in force and proven",
        r"The last lines of its journal:\n\S",
        *told,
    ]:
        assert re.search(words, run.output), run.output
    assert_the_declaration_is_in_force(host)
    assert installation(host, "probe", ["journal"]) == before


def test_after_a_roll_back_nothing_is_owed(play: Play) -> None:
    assert play().changed == 0


# --- mended

UNIT = "/etc/systemd/system/probe.service"
BY_HAND = {
    "files": (
        [
            "echo --web.max-requests=3 >>/etc/probe/flags",
            "chmod 0666 /etc/probe/textfile/value.prom",
            "chown nobody /etc/probe/note",
            "touch /etc/probe/textfile/more.prom",
        ],
        [
            r"flags: was edited by hand",
            r"value\.prom: mode is 0666 instead of 0640",
            r"note: owner is \d+:\d+ instead of 0:\d+",
            r"more\.prom: is not declared",
        ],
        "--- before: /etc/probe/flags\n",
        "\n---web.max-requests=3\n",
    ),
    "service": (
        ["systemctl stop probe", "systemctl disable probe"],
        [r"probe\.service: does not run", r"probe\.service: is not enabled"],
    ),
    "mask": (
        [f"ln -sf /dev/null {UNIT}", "systemctl daemon-reload", "systemctl stop probe"],
        [r"probe\.service: is not a regular file", r"probe\.service: is masked"],
    ),
    "release, links, unit and data": (
        [
            "cp /opt/tds/probe/current/release/node_exporter /tmp/damaged",
            "echo more >>/tmp/damaged",
            "mv /tmp/damaged /opt/tds/probe/current/release/node_exporter",
            "rm /etc/probe /srv/probe/textfile",
            "rmdir /srv/probe/data",
            f"sed -i s/TasksMax=48/TasksMax=50/ {UNIT}",
            "systemctl daemon-reload",
        ],
        [
            r"node_exporter differs from the archive",
            r"runs .* \(deleted\)",
            r"/etc/probe: points at nothing instead of /opt/tds/probe/current/etc",
            r"/srv/probe/textfile: points at nothing instead of /etc/probe/textfile",
            r"/srv/probe/data: is missing",
            r"probe\.service: was edited by hand",
        ],
        "\n-TasksMax=50\n+TasksMax=48\n",
    ),
}


@pytest.mark.parametrize(
    ("commands", "reasons", "diff"), [(c, r, d) for c, r, *d in BY_HAND.values()], ids=list(BY_HAND)
)
def test_what_was_done_by_hand_is_shown_and_mended(
    host: Host, play: Play, commands: list[str], reasons: list[str], diff: list[str]
) -> None:
    for command in commands:
        host.check_output(command)
    before, pid = installation(host, "probe"), process(host)
    shown = play("--check", "--diff")
    assert (shown.code, shown.changed) == (0, 1)
    # These and no other: so what the test before left unmended shows here.
    told = re.search(r"^action: \w+, because\n((?:  .*\n)+)", shown.output, re.MULTILINE)
    assert told
    assert all(re.search(reason, told[1]) for reason in reasons)
    assert len(told[1].splitlines()) == len(reasons)
    assert all(words in shown.output for words in diff)
    assert (installation(host, "probe"), process(host)) == (before, pid)
    assert play().changed == 1
    assert_the_declaration_is_in_force(host)


def test_what_is_mended_stays_so(play: Play) -> None:
    assert play().changed == 0


# --- two at once, and killed


def test_of_two_runs_at_once_none_is_mixed_with_the_other(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda value: play(probe_value=value, probe_flags=OTHER_FLAGS), (11, 12)))
    for run in runs:
        assert run.code == 0 or "another run is changing probe on this host: process " in run.output
    assert 0 in {run.code for run in runs}
    shown = served(host)
    assert ARP in shown
    assert shown["probe_value"] in {value for value, run in zip((11, 12), runs, strict=True) if run.code == 0}
    assert play(probe_value=int(shown["probe_value"]), probe_flags=OTHER_FLAGS).changed == 0


def awaits_proof(host: Host) -> bool:
    last = json.loads(host.check_output("tail -n 1 /opt/tds/probe/journal"))
    return bool(last["event"] == "acted")


def judges_the_staged(host: Host) -> bool:
    return bool(host.run("pgrep --exact sleep").stdout)


@contextmanager
def under_way(host: Host, play: Play, reached: Callable[[Host], bool], **variables: Any) -> Iterator[Future[Run]]:
    """A run that has come that far; when left, its module has been killed on the host."""
    with ThreadPoolExecutor() as pool:
        run = pool.submit(play, **variables)
        assert eventually(lambda: reached(host), 15), run.result().output
        try:
            yield run
        finally:
            holder = host.check_output("cat /opt/tds/probe/lock").split(",")[0].removeprefix("process ")
            host.check_output("kill -KILL %s", holder)
        assert run.result().code == 2


@pytest.mark.parametrize(
    ("reached", "obstacle"),
    [
        (judges_the_staged, {"daemon_checks": [{"command": ["sleep", "60"]}]}),
        (awaits_proof, {"daemon_proof": [{"url": "http://127.0.0.1:9/"}], "daemon_proof_timeout": 60}),
    ],
)
def test_a_killed_run_holds_nobody_up_and_the_next_heals(
    host: Host, play: Play, reached: Callable[[Host], bool], obstacle: dict[str, Any]
) -> None:
    with under_way(host, play, reached, probe_value=2, probe_flags=OTHER_FLAGS, **obstacle):
        before = installation(host, "probe")
        second = play(probe_value=3)
        assert second.code == 2
        assert "another run is changing probe on this host: process " in second.output
        assert installation(host, "probe") == before
    healed = play()
    assert healed.code == 0
    assert_the_declaration_is_in_force(host)
    assert not healed.changed or play().changed == 0
