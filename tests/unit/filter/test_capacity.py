"""The forecast of what a catalogue writes, and how much of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter.capacity import capacity, kept_size
from ansible_collections.tds.monitoring.plugins.filter.catalogue import catalogue

HOSTS = {"mon1": "192.0.2.10", "app1": "192.0.2.20"}


def forecast(services: dict[str, Any]) -> dict[str, Any]:
    instances = catalogue(services, HOSTS, on="mon1", exporters={"redis_exporter": 9121}, own={})
    return capacity(instances, services)


def service(*targets: str, **settings: Any) -> dict[str, Any]:
    instances = [{"name": f"i{number}", "host": "app1", "target": target} for number, target in enumerate(targets)]
    return {"scrape_interval": "1s", "instances": instances} | settings


@pytest.mark.parametrize(
    ("services", "samples"),
    [
        ({"a": service("a:1", series=100)}, 100),
        ({"a": service("a:1", "b:1", series=100)}, 200),
        ({"a": service("a:1", series=100, scrape_interval="5s")}, 20),
        ({"a": service("a:1", series=100, scrape_interval="500ms")}, 200),
        ({"a": service("a:1")}, 500),
        ({"a": service("a:1", exporter="redis_exporter")}, 560),
        ({"a": service("a:1", clickhouse=True, scrape_interval="5s")}, 460),
        ({"a": service("a:1", exporter="redis_exporter", series=1000)}, 1000),
    ],
)
def test_samples_per_second_follow_from_series_and_intervals(services: dict[str, Any], samples: int) -> None:
    assert forecast(services)["samples_per_second"] == samples


def test_bytes_follow_from_samples_and_the_largest_service_is_first() -> None:
    found = forecast({"a": service("a:1", series=10), "b": service("b:1", series=90)})
    assert list(found["by_service"].items()) == [("b", 90), ("a", 10)]
    assert found["bytes_per_day"] == 100 * 86400 * 2
    assert found["wal_bytes"] == 100 * 3 * 3600 * 9


def test_nothing_writes_nothing() -> None:
    assert capacity([], {}) == {"samples_per_second": 0, "by_service": {}, "bytes_per_day": 0, "wal_bytes": 0}


@pytest.mark.parametrize(
    ("declared", "filesystem", "kept"),
    [
        ("50GB", 0, "50GB"),  # nobody has looked
        ("50GB", 50 * 10**9, "40531MB"),
        ("50GB", 2**40, "50GB"),
        ("85MB", 100 * 2**20, "85MB"),
        ("86MB", 100 * 2**20, "85MB"),
        ("1PB", 100 * 2**20 + 4096, "85MB"),
        ("50 gigs", 50 * 10**9, "50 gigs"),  # for the preflight and Prometheus to refuse
        ("0", 50 * 10**9, "0"),
    ],
)
def test_the_smaller_of_what_is_declared_and_what_has_room_is_kept(declared: str, filesystem: int, kept: str) -> None:
    assert kept_size(declared, filesystem) == kept
