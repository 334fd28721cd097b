"""Prometheus sees every Redis of the catalogue, and the nodes of a cluster by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import address, eventually, exposure, on, page, series

testinfra_hosts = ["ansible://mon1"]

PROMETHEUS = "http://127.0.0.1:9090/api/v1"
DOWN = "redis_up == 0 or up == 0"
"""What RedisDown asks."""


def ask(mon1: Host, query: str) -> dict[str, float]:
    """Value by instance."""
    quoted = query.replace(" ", "%20").replace("{", "%7B").replace("}", "%7D").replace('"', "%22")
    rows = json.loads(page(mon1, f"{PROMETHEUS}/query?query={quoted}"))["data"]["result"]
    return {row["metric"]["instance"]: float(row["value"][1]) for row in rows}


def targets(mon1: Host, job: str) -> dict[str, dict[str, str]]:
    """Labels by instance."""
    active: list[dict[str, Any]] = json.loads(page(mon1, f"{PROMETHEUS}/targets?state=active"))["data"]["activeTargets"]
    return {target["labels"]["instance"]: target["labels"] for target in active if target["labels"]["job"] == job}


@pytest.fixture(scope="module")
def app1() -> Host:
    return on("app1")


@pytest.fixture(scope="module")
def nodes(app1: Host) -> list[str]:
    """Addresses of the cluster's nodes by number, from 1; the first is the seed."""
    return ["", *(f"{address(app1)}:1700{number}" for number in (1, 2, 3, 4))]


def test_every_redis_answers(host: Host, app1: Host, nodes: list[str]) -> None:
    wanted = {"app1:16379", f"{address(app1)}:16390", *nodes[1:4]}
    assert eventually(lambda: ask(host, "redis_up == 1").keys() >= wanted, 10), ask(host, "redis_up")


def test_a_redis_is_known_by_its_role(host: Host) -> None:
    assert targets(host, "redis")["app1:16379"].items() >= {"store": "RTSS", "instance_name": "signal-stream"}.items()


def test_what_a_group_has_not_read_is_seen(host: Host, app1: Host) -> None:
    app1.run("redis-cli -p 16379 xgroup create signals engine 0 mkstream")
    before = ask(host, 'redis_stream_group_lag{stream="signals"}').get("app1:16379", 0)
    app1.check_output("for n in 1 2 3; do redis-cli -p 16379 xadd signals '*' signal $n; done")
    query = 'redis_stream_group_lag{stream="signals",group="engine",store="RTSS",service="redis",host="app1"}'
    assert eventually(lambda: ask(host, query).get("app1:16379") == before + 3, 5), ask(host, query)


def test_a_clusters_nodes_are_found_with_the_labels_of_an_instance(host: Host, nodes: list[str]) -> None:
    assert eventually(lambda: targets(host, "cluster").keys() >= set(nodes[1:4]), 15)
    common = {"job": "cluster", "service": "cluster", "host": "app1"}
    for node, name in ((nodes[1], "seed"), (nodes[2], nodes[2]), (nodes[3], nodes[3])):
        assert targets(host, "cluster")[node] == common | {"instance": node, "instance_name": name}


def test_what_tells_them_is_on_loopback_and_sandboxed(host: Host) -> None:
    listening = host.check_output("ss --tcp --listening --numeric --no-header").splitlines()
    assert [line.split()[3] for line in listening if ":19122" in line] == ["127.0.0.1:19122"]
    assert exposure(host, "redis_discovery") <= 1.1


@pytest.fixture
def well_again(host: Host, app1: Host, nodes: list[str]) -> Iterator[Host]:
    yield host
    app1.check_output("systemctl kill --signal=CONT redis-server@node2; systemctl start redis-server@node1")
    assert eventually(lambda: ask(host, "redis_up == 1").keys() >= set(nodes[1:4]), 10)


def test_a_hanging_node_is_down_within_three_seconds(well_again: Host, app1: Host, nodes: list[str]) -> None:
    app1.check_output("systemctl kill --signal=STOP redis-server@node2")
    assert eventually(lambda: nodes[2] in ask(well_again, DOWN), 3), ask(well_again, DOWN)


def failures(mon1: Host) -> float:
    shown = series(page(mon1, "http://127.0.0.1:9090/metrics"))
    return sum(value for name, value in shown.items() if name.startswith("prometheus_sd_http_failures_total"))


def test_a_dead_seed_is_down_and_the_others_are_still_known(well_again: Host, app1: Host, nodes: list[str]) -> None:
    app1.check_output("systemctl kill --signal=KILL redis-server@node1")
    assert eventually(lambda: nodes[1] in ask(well_again, DOWN), 3), ask(well_again, DOWN)
    failed = failures(well_again)
    assert eventually(lambda: failures(well_again) > failed, 10)  # nobody is left to tell the nodes
    assert targets(well_again, "cluster").keys() >= set(nodes[1:4])
    assert ask(well_again, "redis_up == 1").keys() >= {nodes[2], nodes[3]}


def test_a_node_that_is_added_appears_by_itself(host: Host, app1: Host, nodes: list[str]) -> None:
    app1.check_output(f"redis-cli -h {address(app1)} -p 17001 cluster meet {address(app1)} 17004")
    assert eventually(lambda: nodes[4] in ask(host, "redis_up == 1"), 20), targets(host, "cluster").keys()
    assert targets(host, "cluster")[nodes[4]]["host"] == "app1"
