"""The network's filters: what is opened to whom, and every mistake said."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter import network as subject

PORTS = {"node_exporter": 9100, "prometheus": 9090}
SOURCES = {"mon1": ["192.0.2.10", "2001:db8::10"], "mon2": ["192.0.2.11"]}


def test_each_port_is_opened_to_each_host_under_the_variable_s_name() -> None:
    assert subject.allowed_from({"node_exporter": 9100}, SOURCES) == [
        {
            "name": "node_exporter",
            "port": 9100,
            "from": ["192.0.2.10", "2001:db8::10"],
            "source": "monitoring_source_addresses of mon1",
        },
        {
            "name": "node_exporter",
            "port": 9100,
            "from": ["192.0.2.11"],
            "source": "monitoring_source_addresses of mon2",
        },
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_on_loopback_it_may_be_in_clear(address: str) -> None:
    assert subject.clear_findings([{"variable": "x", "addresses": [address], "tls": {}}]) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.10", "app1"])  # noqa: S104  it is refused
def test_beyond_loopback_nothing_is_in_clear(address: str) -> None:
    listener = {"variable": "node_exporter_listen_address", "addresses": ["127.0.0.1", address]}
    (finding,) = subject.clear_findings([{**listener, "tls": {}}])
    assert finding.startswith(f"node_exporter_listen_address is '{address}'")
    assert subject.clear_findings([{**listener, "tls": {"ca": "ca.crt"}}]) == []


def test_without_a_host_each_port_is_restricted_all_the_same() -> None:
    assert [(entry["port"], entry["from"]) for entry in subject.allowed_from(PORTS, {})] == [(9100, []), (9090, [])]


def test_ports_are_told_by_host() -> None:
    where = {"node_exporter": ["mon1", "app1"], "prometheus": ["mon1"]}
    assert subject.ports_by_host(PORTS, where) == {"mon1": PORTS, "app1": {"node_exporter": 9100}}


def test_a_name_where_an_address_is_needed_is_told_once_whatever_it_opens() -> None:
    allow = subject.allowed_from(PORTS, {"mon1": ["mon1.example"]})
    (told,) = subject.network_findings(allow, {})
    assert told.startswith("monitoring_source_addresses of mon1 is 'mon1.example': write an IP address, or a network")


def test_a_port_that_is_used_twice_is_told_with_its_hosts() -> None:
    twice = {"node_exporter": 9090, "prometheus": 9090}
    assert subject.network_findings([], {"mon1": twice, "mon2": twice, "app1": {"node_exporter": 9090}}) == [
        "prometheus_port is 9090: node_exporter_port is that too, on mon1, mon2; choose another for one of them"
    ]


def test_what_is_right_is_not_told() -> None:
    allow = subject.allowed_from(PORTS, SOURCES)
    assert subject.network_findings(allow, {"mon1": PORTS, "app1": {"node_exporter": 9100}}) == []


def test_a_port_that_is_none_is_told_as_such_and_not_as_used_twice() -> None:
    ports: dict[str, Any] = {"node_exporter": "9100", "prometheus": "9100"}
    told = subject.network_findings(subject.allowed_from(ports, SOURCES), {"mon1": ports})
    assert told == [f"port of {name} in firewall_allow is '9100': write a number between 1 and 65535" for name in ports]
