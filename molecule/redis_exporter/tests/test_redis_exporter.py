"""redis_exporter: it asks the Redis that a scrape names, and tells a dead and a hanging one in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from testinfra.host import Host

from tests.hosts import address, eventually, exposure, page, series, unit

testinfra_hosts = ["ansible://app1"]

PORT, REDIS = 19121, "127.0.0.1:16379"


def scrape(host: Host, target: str = REDIS, more: str = "") -> dict[str, float]:
    return series(page(host, f"https://{address(host)}:{PORT}/scrape?target={target}{more}"))


@pytest.fixture
def redis(host: Host) -> Iterator[Host]:
    """A Redis that is well again afterwards."""
    yield host
    host.check_output("systemctl kill --signal=CONT redis-server@plain; systemctl restart redis-server@plain")
    assert eventually(lambda: scrape(host).get("redis_up") == 1, 10)


def test_it_reaches_the_redis_that_the_scrape_names(host: Host) -> None:
    keys = scrape(host).get('redis_db_keys{db="db7"}', 0)
    host.check_output("redis-cli -p 16379 -n 7 set key%s value", str(int(keys)))
    shown = scrape(host)
    assert shown["redis_up"] == 1
    assert shown["redis_total_system_memory_bytes"] > 0  # the argument that the scenario adds
    assert shown['redis_db_keys{db="db7"}'] == keys + 1


def test_a_dead_redis_is_told(redis: Host) -> None:
    redis.check_output("systemctl stop redis-server@plain")
    assert scrape(redis)["redis_up"] == 0


def test_a_hanging_redis_is_told_before_the_scrape_times_out(redis: Host) -> None:
    redis.check_output("systemctl kill --signal=STOP redis-server@plain")
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


# --- a Redis with TLS and an account that may do what the README says

TLS = "--tls --cacert /etc/tds/tls/ca.crt --cert /etc/tds/tls/client.pem --key /etc/tds/tls/client.pem"
STREAMS = "&check-single-streams=results"


def administer(host: Host, command: str) -> str:
    return str(host.check_output(f"redis-cli -h {address(host)} -p 16390 {TLS} {command}"))


@pytest.fixture
def account(host: Host) -> Host:
    """A Redis whose stream has a group with a consumer, for series of each."""
    host.run(f"redis-cli -h {address(host)} -p 16390 {TLS} xgroup create results backend 0 mkstream")
    administer(host, "xgroup createconsumer results backend one")
    return host


def names(shown: dict[str, float]) -> set[str]:
    return {name.partition("{")[0] for name in shown}


def refused(host: Host) -> list[str]:
    """Commands that Redis has refused to the account since it was last asked."""
    lines = administer(host, "acl log").splitlines()
    administer(host, "acl log reset")
    return [after for before, after in pairwise(lines) if before == "object"]


def test_the_account_of_the_readme_shows_every_series(account: Host) -> None:
    where = f"{address(account)}:16390"
    wanted = names(scrape(account, f"rediss://{where}", STREAMS))  # without an account, which may do all here
    refused(account)
    shown = scrape(account, f"rediss://monitor@{where}", STREAMS)
    assert shown["redis_up"] == 1
    assert 'redis_stream_group_lag{db="db0",group="backend",stream="results"}' in shown
    assert len(wanted) > 150
    assert names(shown) == wanted
    assert refused(account) == []


def test_each_of_its_rights_is_used(account: Host) -> None:
    (line,) = [line for line in administer(account, "acl list").splitlines() if line.startswith("user monitor ")]
    rights = [word[1:] for word in line.split() if word.startswith("+")]
    assert "xinfo|groups" in rights
    for right in rights:
        administer(account, f"acl setuser monitor '-{right}'")
        refused(account)
        scrape(account, f"rediss://monitor@{address(account)}:16390", STREAMS)
        assert right in refused(account), right
        administer(account, f"acl setuser monitor '+{right}'")


def test_the_password_is_in_its_file_and_nowhere_else(host: Host) -> None:
    file = "/etc/redis_exporter/passwords.json"
    assert host.check_output(f"stat --dereference --format='%a %U:%G' {file}") == "640 root:redis_exporter"
    process = unit(host, "redis_exporter", "MainPID")["MainPID"]
    places = (
        f"/proc/{process}/cmdline /proc/{process}/environ /opt/tds/redis_exporter/current/env /etc/systemd /var/log/tds"
    )
    found = host.run(f"grep --recursive --files-with-matches canary-in-a-coal-mine {file} {places}")
    assert found.stdout.split() == [file]
    assert "Invoked with" in host.check_output(
        "journalctl --grep 'Invoked with' --lines 1"
    )  # Ansible's modules are in it
    assert host.run("journalctl --grep 'canary-in-a-coal-mine'").rc != 0


def test_a_renewed_certificate_is_shown_to_redis_without_a_restart(host: Host) -> None:
    before = unit(host, "redis_exporter", "MainPID")
    target = f"rediss://monitor@{address(host)}:16390"
    host.check_output("cp /etc/tds/tls/client.pem /run/client.pem && echo junk >/etc/tds/tls/client.pem")
    assert scrape_with(host, "/run/client.pem", target)["redis_up"] == 0
    host.check_output("cat /run/client.pem >/etc/tds/tls/client.pem && rm /run/client.pem")
    assert scrape(host, target)["redis_up"] == 1
    assert unit(host, "redis_exporter", "MainPID") == before


def scrape_with(host: Host, certificate: str, target: str) -> dict[str, float]:
    command = f"curl --silent --fail --max-time 3 --cacert /etc/tds/tls/ca.crt --cert {certificate}"
    return series(host.check_output(f"{command} 'https://{address(host)}:{PORT}/scrape?target={target}'"))
