"""redis_exporter: it asks the Redis that a scrape names, and tells a dead and a hanging one in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.hosts import address, eventually, exposure, page, series, unit

PORT, REDIS = 19121, "127.0.0.1:16379"


def scrape(host: Host, target: str = REDIS) -> dict[str, float]:
    return series(page(host, f"https://{address(host)}:{PORT}/scrape?target={target}"))


@pytest.fixture
def redis(host: Host) -> Iterator[Host]:
    """A Redis that is well again afterwards."""
    yield host
    host.check_output("systemctl kill --signal=CONT redis-server; systemctl restart redis-server")
    assert eventually(lambda: scrape(host).get("redis_up") == 1, 10)


def test_it_reaches_the_redis_that_the_scrape_names(host: Host) -> None:
    keys = scrape(host).get('redis_db_keys{db="db7"}', 0)
    host.check_output("redis-cli -p 16379 -n 7 set key%s value", str(int(keys)))
    shown = scrape(host)
    assert shown["redis_up"] == 1
    assert shown["redis_total_system_memory_bytes"] > 0  # the argument that the scenario adds
    assert shown['redis_db_keys{db="db7"}'] == keys + 1


def test_a_dead_redis_is_told(redis: Host) -> None:
    redis.check_output("systemctl stop redis-server")
    assert scrape(redis)["redis_up"] == 0


def test_a_hanging_redis_is_told_before_the_scrape_times_out(redis: Host) -> None:
    redis.check_output("systemctl kill --signal=STOP redis-server")
    started = time.monotonic()
    shown = page(redis, f"https://{address(redis)}:{PORT}/scrape?target={REDIS}", seconds=0.9)
    assert series(shown).get("redis_up") == 0, f"no answer in {time.monotonic() - started:.1f} s"


def test_a_redis_that_is_not_there_harms_no_other(host: Host) -> None:
    assert scrape(host, "127.0.0.1:1")["redis_up"] == 0
    assert scrape(host)["redis_up"] == 1


def test_it_is_sandboxed_and_limited(host: Host) -> None:
    shown = unit(host, "redis_exporter", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(96 << 20), "TasksMax": "48", "CPUQuotaPerSecUSec": "300ms"}
    assert exposure(host, "redis_exporter") <= 1.1
    own = series(page(host, f"https://{address(host)}:{PORT}/metrics"))
    assert own["process_start_time_seconds"] > 0  # the sandbox hides nothing that it needs
