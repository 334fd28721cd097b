"""The pure half of the firewall: who is let in, the text that does it, and mistakes told by their variable."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.ruleset import (
    Ruleset,
    allowance_findings,
    allowances,
    network,
)
from hypothesis import given
from hypothesis import strategies as st

SSH = {"name": "ssh", "port": 22, "from": ["192.0.2.0/24", "2001:db8::/32"], "source": "firewall_ssh_from"}
NODE = {"name": "node_exporter", "port": 9100, "from": ["192.0.2.10"], "source": "prometheus_sources"}
CLOSED = Ruleset(True, allowances([SSH, NODE]), {})
OPEN = Ruleset(False, allowances([NODE]), {})


@pytest.mark.parametrize(
    ("rules", "source", "port", "admitted"),
    [
        (CLOSED, "192.0.2.7", 22, True),
        (CLOSED, "198.51.100.7", 22, False),
        (CLOSED, "2001:db8::7", 22, True),
        (CLOSED, "2001:db9::7", 22, False),
        (CLOSED, "192.0.2.10", 9100, True),
        (CLOSED, "192.0.2.7", 9100, False),
        (CLOSED, "192.0.2.7", 2222, False),
        (CLOSED, "127.0.0.1", 2222, True),
        (CLOSED, "::1", 2222, True),
        (OPEN, "198.51.100.7", 22, True),
        (OPEN, "198.51.100.7", 9100, False),
        (OPEN, "192.0.2.10", 9100, True),
        (Ruleset(False, allowances([NODE | {"from": []}]), {}), "192.0.2.10", 9100, False),
    ],
)
def test_who_is_let_in(rules: Ruleset, source: str, port: int, admitted: bool) -> None:
    assert rules.admits(ipaddress.ip_address(source), port) is admitted


def test_entries_of_one_port_add_to_each_other() -> None:
    rules = Ruleset(True, allowances([NODE, NODE | {"from": ["192.0.2.11"]}]), {})
    assert all(rules.admits(ipaddress.ip_address(f"192.0.2.{last}"), 9100) for last in (10, 11))
    assert "ip saddr { 192.0.2.10/31 } tcp dport 9100 accept" in rules.text()


@pytest.mark.parametrize(
    ("entries", "port", "told"),
    [
        (
            [SSH],
            22,
            "port 22 is open to 192.0.2.0/24, 2001:db8::/32 and 198.51.100.7 is not among them. Mend: firewall_",
        ),
        ([SSH | {"from": []}], 22, "port 22 is open to nobody and"),
        ([SSH], 2222, "no entry of firewall_allow opens port 2222. Mend: firewall_ssh_port or firewall_allow"),
    ],
)
def test_why_somebody_is_not_let_in(entries: list[dict[str, Any]], port: int, told: str) -> None:
    assert told in Ruleset(True, allowances(entries), {}).why_not(ipaddress.ip_address("198.51.100.7"), port)


def test_an_open_host_tracks_no_connection() -> None:
    """One rule with ct would have the kernel track all of the trading traffic."""
    assert not re.search(r"\bct\b", Ruleset(False, allowances([NODE, SSH]), {"node_exporter": 998}).text())
    assert re.search(r"\bct\b", CLOSED.text())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="nft needs root, and to be installed")
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("entries", [[], [NODE], [SSH, NODE], [SSH | {"from": ["0.0.0.0/0", "::/0"]}]])
@pytest.mark.parametrize("silent", [{}, {"node_exporter": 998}])
def test_nft_takes_the_text(closed: bool, entries: list[dict[str, Any]], silent: dict[str, int]) -> None:
    text = Ruleset(closed, allowances(entries), silent).text()
    command = ["unshare", "--net", "nft", "--check", "--file", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32", "0.0.0.0/0"])
def test_addresses_and_networks_are_read(value: str) -> None:
    assert network(value) == ipaddress.ip_network(value)


@given(st.one_of(st.text(), st.integers(), st.none(), st.ip_addresses()))
def test_whatever_is_written_is_a_network_or_has_a_remedy(value: object) -> None:
    told = allowance_findings([SSH | {"from": [value]}])
    assert [one.partition(f" is {value!r}: ")[2][:6] for one in told] in ([], ["write "])


ADDRESS = "write an IP address, or a network such as 192.0.2.0/24; nftables looks up no names"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"from": ["bastion"]}, f"firewall_ssh_from is 'bastion': {ADDRESS}"),
        ({"from": ["fe80::1%eth0"]}, f"firewall_ssh_from is 'fe80::1%eth0': {ADDRESS}"),
        ({"from": [5]}, f"firewall_ssh_from is 5: {ADDRESS}"),
        (
            {"from": ["192.0.2.1/24"]},
            "firewall_ssh_from is '192.0.2.1/24': write 192.0.2.0/24 for the network, or the address alone",
        ),
        ({"from": "192.0.2.1"}, "firewall_ssh_from is '192.0.2.1': write a list of addresses and networks; [] lets"),
        ({"from": None}, "firewall_ssh_from is None: write a list"),
        ({"from": ["x"], "source": ""}, "from of ssh in firewall_allow is 'x'"),
        ({"port": 0}, "port of ssh in firewall_allow is 0: write a number between 1 and 65535"),
        ({"port": "22"}, "port of ssh in firewall_allow is '22'"),
        ({"port": True}, "port of ssh in firewall_allow is True"),
        ({"name": 'a" drop'}, "firewall_allow has the name 'a\" drop': use letters"),
        ({"name": None}, "firewall_allow has the name None"),
    ],
)
def test_a_mistake_is_told_by_its_variable(changes: dict[str, Any], told: str) -> None:
    (found,) = allowance_findings([SSH | changes])
    assert found.startswith(told)


def test_what_is_wrong_on_many_hosts_is_told_once() -> None:
    assert len(allowance_findings([SSH | {"from": ["bastion"]}] * 3)) == 1
    assert allowance_findings([SSH, NODE]) == []
