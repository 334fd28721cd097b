"""A mistake that would cut the controller off is refused, or undoes itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
from testinfra.host import Host

from tests.firewall import DOOR, NODE, TRADING, asks, state
from tests.hosts import Play, begin_playbook, eventually, lab, lab_name, run_record

NOBODY = ["192.0.2.0/24"]
OTHER = 19777


def on_mon1(play: Play, *options: str, **variables: object) -> tuple[int, str]:
    run = play("--limit", "mon1", *options, **variables)
    return run.code, run.output


def test_rules_that_would_cut_off_the_controller_are_refused(mon1: Host, play: Play) -> None:
    before = state(mon1)
    code, told = on_mon1(play, firewall_ssh_from=NOBODY)
    assert code != 0
    assert "these rules would cut off the controller, which comes from 10.203.0.1, and nothing was changed" in told
    assert "port 22 is open to 192.0.2.0/24 and 10.203.0.1 is not among them. Mend: firewall_ssh_from" in told
    assert on_mon1(play, "--check", firewall_ssh_from=NOBODY)[0] != 0
    code, told = on_mon1(play, firewall_ssh_port=2222)
    assert code != 0
    assert "no entry of firewall_allow opens port 22. Mend: firewall_ssh_port" in told
    assert state(mon1) == before
    assert run_record(mon1)[-1]["result"] == "refused"


def test_the_controller_is_known_behind_sudo_too(mon1: Host, play: Play) -> None:
    mon1.check_output("id deploy || useradd --create-home --shell /bin/bash deploy; cp -r ~/.ssh /home/deploy/")
    mon1.check_output("chown -R deploy: /home/deploy && echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy")
    deploy = {"ansible_user": "deploy", "ansible_become": True}
    code, told = on_mon1(play, firewall_ssh_from=NOBODY, **deploy)
    assert code != 0
    assert "these rules would cut off the controller, which comes from 10.203.0.1" in told
    assert on_mon1(play, prometheus_port=OTHER, **deploy)[0] == 0
    assert on_mon1(play, **deploy)[0] == 0


def test_names_and_bad_networks_are_refused_by_their_variables(mon1: Host, play: Play) -> None:
    before = state(mon1)
    code, told = on_mon1(play, monitoring_source_addresses=["mon1.example"], prometheus_clients=["10.0.0.1/8"])
    assert code != 0
    assert "monitoring_source_addresses of mon1 is 'mon1.example': write an IP address, or a network such as" in told
    assert "prometheus_clients is '10.0.0.1/8': write 10.0.0.0/8 for the network, or the address alone" in told
    assert state(mon1) == before


def lose_new_connections_once_the_new_rules_are_in_force(host: Host) -> None:
    """What no reading of the rules shows: a rule that is in the way as long as the new table is there."""
    host.run("systemctl stop block")
    block = "nft insert rule inet tds_monitoring input tcp dport 22 tcp flags '& (syn | ack) == syn' drop"
    wait = f"until nft list table inet tds_monitoring | grep -q {OTHER}; do :; done; {block}"
    host.check_output("systemd-run --quiet --collect --unit=block --property=RuntimeMaxSec=120 bash -c %s", wait)


def test_rules_that_no_new_connection_comes_through_revert_by_themselves(mon1: Host, play: Play) -> None:
    before = state(mon1)
    lose_new_connections_once_the_new_rules_are_in_force(mon1)
    code, told = on_mon1(play, prometheus_port=OTHER)
    assert code != 0
    assert "no new connection from the controller came through in 6 s. The rules from before are in force" in told
    assert state(mon1) == before
    assert run_record(mon1)[-1]["result"] == "rolled_back"
    assert on_mon1(play, prometheus_port=OTHER)[0] == 0  # nothing stands in the way of the next run
    assert on_mon1(play)[0] == 0


def are_in_force(host: Host) -> bool:
    """Whether the new rules are."""
    try:
        return bool(host.run(f"nft list table inet tds_monitoring | grep -q {OTHER}").rc == 0)
    except RuntimeError:  # this connection was lost, as new ones are to be
        return True


def test_a_first_table_that_is_not_confirmed_goes_away(app1: Host, out1: Host, mon1: Host, play: Play) -> None:
    assert on_mon1(play, firewall_state="absent")[0] == 0
    lose_new_connections_once_the_new_rules_are_in_force(mon1)
    assert on_mon1(play, prometheus_port=OTHER)[0] != 0
    assert asks(app1, mon1, TRADING) == "served"
    assert mon1.run("nft list ruleset").stdout == ""
    assert not mon1.file("/etc/tds/firewall").exists
    assert on_mon1(play)[0] == 0
    assert asks(app1, mon1, TRADING) == "dropped"
    assert asks(out1, mon1, DOOR) == "served"


def kill(play: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(play.pid, signal.SIGKILL)


def cut_the_power(play: subprocess.Popen[str]) -> None:
    lab("cut", lab_name(), "mon1")
    kill(play)
    lab("reboot", lab_name(), "mon1")


@pytest.mark.parametrize("end", [kill, cut_the_power])
def test_a_run_that_ends_before_the_confirmation_leaves_the_rules_from_before(
    mon1: Host, play: Play, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    before = state(mon1)
    lose_new_connections_once_the_new_rules_are_in_force(mon1)  # so that the confirmation does not come meanwhile
    run = begin_playbook("--limit", "mon1", prometheus_port=OTHER)
    try:
        assert eventually(lambda: are_in_force(mon1), 60)
        end(run)
    finally:
        kill(run)  # a run that outlives its test would meet the next one's
        told, _nothing = run.communicate()
    assert eventually(lambda: not are_in_force(mon1), 60), told
    assert eventually(lambda: state(mon1) == before, 30)
    again = play("--limit", "mon1")
    assert (again.code, again.changed) == (0, 0), again.output


def test_a_run_that_awaits_its_confirmation_is_not_run_over(mon1: Host, play: Play) -> None:
    before = state(mon1)
    mon1.check_output("systemd-run --quiet --collect --unit=tds-firewall-revert --on-active=60s true")
    code, told = on_mon1(play, prometheus_port=OTHER)
    assert code != 0
    assert "the rules of another run await their confirmation on this host" in told
    assert state(mon1) == before
    mon1.check_output("systemctl stop tds-firewall-revert.timer")


def test_an_unchanged_run_asks_no_new_connection(app1: Host, out1: Host, play: Play) -> None:
    """One module call: nothing is armed, and what is in force stays in force."""
    count = "journalctl --quiet --no-pager --grep 'Bring the firewall' | wc -l"
    before = app1.check_output(count)
    assert play("--limit", "app1").changed == 0
    assert app1.check_output(count) == before
    assert asks(out1, app1, NODE) == "dropped"
