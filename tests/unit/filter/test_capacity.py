"""The forecast of what a catalogue writes, and how much of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter.capacity import (
    capacity,
    kept_size,
    tsdb_findings,
    with_measured,
)
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
    assert found["series"] == 100
    assert found["bytes_per_day"] == 100 * 86400 * 2
    assert found["wal_bytes"] == 100 * 3 * 3600 * 9
    assert found["memory_bytes"] == 100 * 2400
    assert found["page_bytes_per_second"] == 100 * 92


def test_the_log_holds_one_and_a_half_blocks() -> None:
    instances = [{"service": "a", "interval": "1s"}]
    assert capacity(instances, {"a": {"series": 100}}, "30m")["wal_bytes"] == 100 * 45 * 60 * 9


def test_rare_samples_are_as_many_series() -> None:
    found = forecast({"a": service("a:1", series=100, scrape_interval="5s")})
    assert (found["samples_per_second"], found["series"]) == (20, 100)


@pytest.mark.parametrize(
    ("running", "samples", "series", "bytes_per_day"),
    [
        ({}, 100, 100, 100 * 86400 * 2.0),
        ({"samples_per_second": 50.0, "series": 80.0}, 100, 100, 100 * 86400 * 2.0),  # a target is down
        ({"samples_per_second": 150.0, "series": 400.0}, 150, 400, 150 * 86400 * 2.0),
        ({"samples_per_second": 150.0, "series": 400.0, "block_bytes": 0.7}, 150, 400, 150 * 86400 * 0.7),
        ({"block_bytes": 2.5}, 100, 100, 100 * 86400 * 2.5),
    ],
)
def test_what_is_measured_counts_where_it_is_more_and_its_bytes_always(
    running: dict[str, float], samples: int, series: int, bytes_per_day: float
) -> None:
    found = with_measured(forecast({"a": service("a:1", series=100)}), running)
    assert (found["samples_per_second"], found["series"]) == (samples, series)
    assert found["bytes_per_day"] == round(bytes_per_day)
    assert found["by_service"] == {"a": 100}


def test_nothing_writes_nothing() -> None:
    found = capacity([], {})
    assert found.pop("by_service") == {}
    assert found.pop("block_seconds") == 7200
    assert set(found.values()) == {0}


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


@pytest.mark.parametrize(("duration", "samples"), [("30m", 120), ("2h", "240"), ("1h30m", 1)])
def test_what_prometheus_starts_with_is_no_finding(duration: str, samples: object) -> None:
    assert tsdb_findings(duration, samples) == []
