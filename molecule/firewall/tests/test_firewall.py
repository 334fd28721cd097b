"""What the firewall lets in and what not, seen from the hosts around it; and what it leaves alone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from tests.firewall import DOOR, NODE, PROMETHEUS, REDIS, TABLE, TRADING, Trade, address, asks, state
from tests.hosts import Play, eventually, exposure, lab, lab_name, on, run_record, unit

SOMEBODY = "nft list table inet somebody"

ASKED = [
    ("mon1", "app1", NODE, "served"),
    ("mon1", "app1", REDIS, "served"),
    ("out1", "app1", NODE, "dropped"),
    ("out1", "app1", REDIS, "dropped"),
    ("out1", "app1", PROMETHEUS, "served"),  # nothing of ours is there, so it is not ours to restrict
    ("out1", "app1", TRADING, "served"),
    ("app1", "app1", NODE, "served"),
    ("app1", "mon1", PROMETHEUS, "dropped"),
    ("app1", "mon1", NODE, "dropped"),
    ("app1", "mon1", TRADING, "dropped"),
    ("mon1", "mon1", TRADING, "served"),
    ("mon1", "out1", TRADING, "served"),
]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("source", "target", "port", "ends"), ASKED)
def test_who_is_meant_to_is_served_and_nobody_else(
    source: str, target: str, port: int, ends: str, version: int
) -> None:
    assert asks(on(source), on(target), port, version) == ends


def test_a_door_is_open_to_whom_it_is_opened_only(mon1: Host, app1: Host, out1: Host) -> None:
    assert (asks(out1, mon1, DOOR), asks(app1, mon1, DOOR)) == ("served", "dropped")


def test_the_controller_reaches_prometheus_and_nothing_else(mon1: Host) -> None:
    with socket.create_connection((address(mon1), PROMETHEUS), 1):
        pass
    with pytest.raises(TimeoutError):
        socket.create_connection((address(mon1), DOOR), 1)


@pytest.mark.parametrize("version", [4, 6])
def test_a_closed_host_answers_pings_but_not_a_flood_of_them(mon1: Host, out1: Host, version: int) -> None:
    out1.check_output("command -v ping || (apt-get update && apt-get install --yes iputils-ping)")
    out1.check_output("ping -c 1 -W 2 %s", address(mon1, version))
    flood = out1.run("ping -f -c 300 -W 1 %s", address(mon1, version)).stdout
    received = int(flood.split(" received")[0].rsplit(" ", 1)[1])
    assert 10 < received < 290


def drops(host: Host) -> int:
    rule = host.check_output("nft list chain inet tds_monitoring unwelcome").split("counter packets ")[1]
    return int(rule.split()[0])


def test_what_is_dropped_is_counted(app1: Host, out1: Host) -> None:
    before = drops(app1)
    asks(out1, app1, NODE)
    assert drops(app1) > before


def test_no_connection_of_an_application_host_is_tracked(mon1: Host, app1: Host, trade: Trade) -> None:
    assert trade.went_on()
    count = "cat /proc/sys/net/netfilter/nf_conntrack_count"
    assert int(mon1.check_output(count)) > 0  # it counts
    assert int(app1.check_output(count)) == 0


# Connects and only listens; and the other, which speaks when the new table has been there for a while.
LISTENER = "import socket; c = socket.create_connection(('{}', 7100), 30); open('/run/heard', 'wb').write(c.recv(9))"
SPEAKER = """
import pathlib, socket, time
server = socket.create_server(("", 7100))
connection, _ = server.accept()
while not pathlib.Path("/run/speak").exists():
    time.sleep(0.1)
connection.sendall(b"late")
time.sleep(3)
"""


def test_a_connection_that_is_older_than_the_table_goes_on(mon1: Host, out1: Host, play: Play) -> None:
    """The first packet of it that the new table sees is the other's, which conntrack takes for a new connection."""
    assert play(firewall_state="absent").code == 0
    mon1.run("rm -f /run/heard")
    out1.run("rm -f /run/speak")
    out1.check_output("systemd-run --quiet --collect --unit=speaker python3 -c %s", SPEAKER)
    assert eventually(lambda: "7100" in out1.check_output("ss -Hltn"), 5)
    mon1.check_output("systemd-run --quiet --collect --unit=listener python3 -c %s", LISTENER.format(address(out1)))
    assert eventually(lambda: "7100" in out1.check_output("ss -Htn state established"), 5)
    assert play().changed == 2
    out1.check_output("touch /run/speak")
    assert eventually(lambda: mon1.run("cat /run/heard").stdout == "late", 5)


def test_a_silent_user_answers_and_asks_nobody(app1: Host, out1: Host, play: Play) -> None:
    assert "skuid" not in app1.check_output(TABLE)  # the account is not there yet, and nothing failed
    app1.check_output("useradd --system hush")
    run = play("--diff")
    assert run.code == 0
    assert run.recap["app1"]["changed"] == 1
    assert "+\t\tmeta skuid" in run.output
    as_hush = "setpriv --reuid hush --clear-groups"
    in_a_sandbox = (
        "systemd-run --pipe --quiet --property=User=hush --property=PrivateUsers=yes"  # as the daemons' units
    )
    for version in (4, 6):
        assert asks(app1, out1, TRADING, version) == "served"
        for target in (out1, app1):
            for how in (as_hush, in_a_sandbox):
                assert asks(app1, target, TRADING, version, how) == "Connection refused"
    send = "import socket; socket.socket(2, 2).sendto(b'x', ('{}', 53))"
    assert app1.run(f"{as_hush} python3 -c %s", send.format(address(out1))).rc != 0
    server = "--unit=hushed --property=User=hush /usr/local/bin/echo-server 7200"
    app1.check_output(f"systemd-run --quiet --collect {server}")
    assert eventually(lambda: asks(out1, app1, 7200) == "served", 5)
    app1.check_output("systemctl stop hushed; userdel hush")
    assert play().recap["app1"]["changed"] == 1


def test_the_unit_is_sandboxed(app1: Host) -> None:
    assert exposure(app1, "tds-firewall") <= 1.5


def test_somebody_else_s_flush_brings_it_back(app1: Host, out1: Host, play: Play) -> None:
    for verb in ("restart", "reload"):
        app1.check_output(f"systemctl {verb} nftables")
        assert eventually(lambda: asks(out1, app1, NODE) == "dropped", 5), verb
    assert play("--check").changed == 0


def test_it_is_there_after_a_reboot(app1: Host, out1: Host, play: Play) -> None:
    somebody = app1.check_output(SOMEBODY)
    for name in ("app1", "mon1"):
        lab("reboot", lab_name(), name)
    assert eventually(lambda: asks(out1, app1, TRADING) == "served", 10)
    assert asks(out1, app1, NODE) == "dropped"
    assert eventually(lambda: asks(on("mon1"), app1, NODE, 6) == "served", 10)
    assert asks(app1, on("mon1"), TRADING) == "dropped"
    assert app1.check_output(SOMEBODY) == somebody
    assert play().changed == 0


# What somebody does by hand, and how a run tells it.
DRIFTS = {
    "a rule is deleted": (
        "nft flush chain inet tds_monitoring input",
        "table inet tds_monitoring in the kernel differs",
    ),
    "the table is deleted": (
        "nft delete table inet tds_monitoring",
        "table inet tds_monitoring in the kernel is missing",
    ),
    "all tables are flushed": ("nft flush ruleset", "table inet tds_monitoring in the kernel is missing"),
    "the unit is stopped": ("systemctl stop tds-firewall", "tds-firewall.service: does not run"),
    "the unit is disabled": ("systemctl disable --quiet tds-firewall", "tds-firewall.service: is not enabled"),
    "the file is edited": (
        "sed -i 's/7999/1/; s/19100/19101/' /etc/tds/firewall/rules.nft",
        "/etc/tds/firewall/rules.nft: differs from the declaration",
    ),
    "the file is opened": (
        "chmod 0666 /etc/tds/firewall/rules.nft",
        "/etc/tds/firewall/rules.nft: mode is 0666 instead of 0644",
    ),
    "the file is removed": ("rm -r /etc/tds/firewall", "/etc/tds/firewall/rules.nft: is missing"),
    "the unit is edited": (
        "sed -i s/ProtectHome=true/ProtectHome=no/ /etc/systemd/system/tds-firewall.service",
        "/etc/systemd/system/tds-firewall.service: differs from the declaration",
    ),
    "a drop-in is added": (
        "cd /etc/systemd/system; mkdir tds-firewall.service.d; echo '[Service]' >tds-firewall.service.d/a.conf",
        "a.conf: is a drop-in that is not declared",
    ),
}


def somebody_s_table_is_loaded_again(host: Host) -> None:
    host.check_output("sed /^flush/d /etc/nftables.conf | nft --file -")


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_told_and_mended(app1: Host, out1: Host, play: Play, drift: str) -> None:
    whole = state(app1)
    by_hand, told = DRIFTS[drift]
    app1.check_output(by_hand)
    drifted = state(app1)
    shown = play("--check", "--diff", "--limit", "app1")
    assert (shown.code, shown.changed) == (0, 1), shown.output
    assert told in shown.output
    assert state(app1) == drifted
    mended = play("--limit", "app1")
    assert (mended.code, mended.changed) == (0, 1), mended.output
    assert state(app1) == whole
    assert asks(out1, app1, NODE) == "dropped"
    assert play("--limit", "app1").changed == 0
    if drift == "all tables are flushed":
        somebody_s_table_is_loaded_again(app1)


CHANGES: list[Callable[[Play], Any]] = [
    lambda play: play(redis_exporter_port=19122),
    lambda play: play(firewall_state="absent"),
    lambda play: play(),
]


def test_the_trade_goes_on_while_it_is_changed_removed_and_applied(app1: Host, play: Play, trade: Trade) -> None:
    somebody = app1.check_output(SOMEBODY)
    assert trade.went_on()
    for change in CHANGES:
        run = change(play)
        assert (run.code, run.recap["app1"]["changed"]) == (0, 1), run.output
        assert trade.went_on()
        assert app1.check_output(SOMEBODY) == somebody


def test_absent_leaves_nothing_of_ours_and_all_of_others(app1: Host, out1: Host, play: Play) -> None:
    somebody = app1.check_output("nft list ruleset").split("table inet tds_monitoring")[0]
    shown = play("--check", "--diff", firewall_state="absent")
    assert shown.changed == 2
    assert asks(out1, app1, NODE) == "dropped"
    assert play(firewall_state="absent").changed == 2
    assert app1.check_output("nft list ruleset").strip() == somebody.strip()
    assert asks(out1, app1, NODE) == "served"
    left = app1.check_output("find /etc /run /usr/local -name '*tds*firewall*' -o -path '/etc/tds*'")
    assert left == ""
    assert unit(app1, "tds-firewall", "LoadState") == {"LoadState": "not-found"}
    assert play(firewall_state="absent").changed == 0
    assert run_record(app1)[-1] | {"at": "", "by": ""} == {
        "at": "",
        "by": "",
        "daemon": "firewall",
        "state": "absent",
        "result": "proven",
        "why": [
            "table inet tds_monitoring is in force",
            "/etc/tds/firewall is there",
            "/etc/systemd/system/tds-firewall.service is there",
        ],
    }
    assert play().changed == 2
