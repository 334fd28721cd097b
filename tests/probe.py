"""What the scenario `daemon` asks the daemon that it runs: a node_exporter by the name of probe."""

from __future__ import annotations

from testinfra.host import Host

from tests.hosts import page, running, series, unit

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
