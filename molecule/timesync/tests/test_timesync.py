"""timesync: whom a running chronyd follows, and what a change does to it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Play, address, eventually, unit

FILES = "/etc/chrony/tds.* /etc/chrony/sources.d/tds.sources /etc/systemd/system/chrony.service.d/tds.conf"
ALWAYS = [{"weekdays": ["sunday:saturday"]}]


def sources(host: Host) -> dict[str, str]:
    """By the name that a source was given, how chronyd marks it: ``^*`` is the one that it follows."""
    rows = host.check_output("chronyc -N -c sources -a").splitlines()
    return {row.split(",")[2]: "".join(row.split(",")[:2]) for row in rows}


def follows(host: Host, server: str) -> bool:
    return bool(eventually(lambda: sources(host).get(server) == "^*", 30))


def state(host: Host) -> str:
    """Our files and the process."""
    pid = unit(host, "chrony", "MainPID")["MainPID"]
    return str(host.check_output(f"sha256sum {FILES}; stat --format=%Y {FILES}; ls -a /etc/chrony; echo {pid}"))


def servers(host: Host, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"address": address(host), "options": "iburst minpoll 0 maxpoll 0"}, *more]


def test_it_follows_the_declared_server_and_knows_the_offset(mon1: Host, app1: Host) -> None:
    assert follows(mon1, address(app1))
    tracking = mon1.check_output("chronyc -c tracking").split(",")
    assert (tracking[1], tracking[2], tracking[13]) == (address(app1), "4", "Normal")
    assert 0 < abs(float(tracking[5])) < 0.02  # s, the last offset; the containers have one clock


def test_nobody_else_is_asked(mon1: Host, app1: Host) -> None:
    """Debian's own pool above all, whose configuration stays as the package has it."""
    assert sources(mon1).keys() == {address(app1), "nobody.example"}
    assert mon1.run("dpkg --verify chrony | grep chrony.conf").stdout == ""


def test_settings_are_in_force(mon1: Host) -> None:
    read = mon1.check_output("tr '\\0' ' ' </proc/%s/cmdline", unit(mon1, "chrony", "MainPID")["MainPID"])
    assert re.search(r"-F 1 -x -f /etc/chrony/tds.conf", read)  # the administrator's options stay
    shown = mon1.check_output("chronyd -p -f /etc/chrony/tds.conf")
    assert {"maxslewrate 400", "logchange 0.2", "makestep 1 3", "maxchange 1 3 -1", "rtcsync"} <= {*shown.splitlines()}


def test_a_killed_one_comes_back(mon1: Host, app1: Host) -> None:
    mon1.check_output("systemctl kill --signal=KILL chrony")
    assert eventually(lambda: unit(mon1, "chrony", "ActiveState")["ActiveState"] == "active", 10)
    assert follows(mon1, address(app1))


def test_another_server_comes_without_a_restart_and_while_the_market_is_open(
    mon1: Host,
    app1: Host,
    play: Play,
    restored: None,  # noqa: ARG001
) -> None:
    process, before = unit(mon1, "chrony", "MainPID"), state(mon1)
    wanted = {"timesync_servers": servers(app1, {"kind": "pool", "address": "pool.example"})}
    shown = play("--check", "--diff", **wanted)
    assert (shown.code, shown.changed) == (0, 1), shown.output
    assert "+pool pool.example" in shown.output
    assert state(mon1) == before
    run = play(change_freeze=ALWAYS, **wanted)
    assert (run.code, run.changed) == (0, 1), run.output
    assert sources(mon1).keys() == {address(app1), "pool.example"}
    assert unit(mon1, "chrony", "MainPID") == process


def test_what_needs_a_restart_waits_for_the_market_to_close(
    mon1: Host,
    play: Play,
    restored: None,  # noqa: ARG001
) -> None:
    before = state(mon1)
    wanted = {"timesync_settings": {"maxslewrate": 300}}
    run = play(change_freeze=ALWAYS, **wanted)
    assert run.code != 0
    assert "chronyd would be restarted, because /etc/chrony/tds.conf differs, and nothing was changed" in run.reason
    assert state(mon1) == before
    process = unit(mon1, "chrony", "MainPID")
    assert play(change_freeze_override=True, change_freeze=ALWAYS, **wanted).changed == 1
    assert unit(mon1, "chrony", "MainPID") != process


def test_what_chronyd_refuses_changes_nothing(mon1: Host, play: Play) -> None:
    before = state(mon1)
    for options in ((), ("--check",)):
        run = play(*options, timesync_settings={"makestep": "often"})
        assert run.code != 0
        assert "chronyd refuses the new configuration; nothing was changed: " in run.reason
        assert "Missing arguments for makestep directive" in run.reason
        assert state(mon1) == before


def test_what_chronyd_ends_of_is_undone(mon1: Host, app1: Host, play: Play) -> None:
    """Its syntax is right, and there is no such clock."""
    contents = state(mon1).splitlines()[:4]
    run = play(timesync_servers=servers(app1, {"kind": "refclock", "address": "PHC", "options": "/dev/ptp9"}))
    assert run.code != 0
    assert "/dev/ptp9" in run.reason
    assert "rolled back, the configuration from before is in force" in run.reason
    assert state(mon1).splitlines()[:4] == contents
    assert follows(mon1, address(app1))
    assert play().changed == 0


@pytest.mark.parametrize("owed", ["reload", "restart"])
def test_what_a_killed_run_owed_is_done_by_the_next(mon1: Host, play: Play, owed: str) -> None:
    process = unit(mon1, "chrony", "MainPID")
    mon1.check_output("echo %s >/etc/chrony/.tds.pending", owed)
    run = play("--diff")
    assert (run.code, run.changed) == (0, 1), run.output
    assert "a run before has not come to its end" in run.output
    assert (unit(mon1, "chrony", "MainPID") != process) == (owed == "restart")
    assert play().changed == 0


def test_a_site_that_keeps_its_clocks_itself_is_left_alone(mon1: Host, play: Play) -> None:
    before = state(mon1)
    run = play(timesync_servers=[])
    assert (run.code, run.changed, run.recap["mon1"]["skipped"]) == (0, 0, 1)
    assert state(mon1) == before


def test_absent_leaves_chrony_as_its_package_has_it(mon1: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    run = play("--diff", timesync_state="absent")
    assert (run.code, run.changed) == (0, 1), run.output
    assert "-maxslewrate 400" in run.output
    assert mon1.run(f"ls {FILES}").stdout == ""
    assert mon1.file("/etc/systemd/system/chrony.service.d/lab.conf").exists
    read = mon1.check_output("tr '\\0' ' ' </proc/%s/cmdline", unit(mon1, "chrony", "MainPID")["MainPID"])
    assert "tds.conf" not in read
    assert play(timesync_state="absent").changed == 0
