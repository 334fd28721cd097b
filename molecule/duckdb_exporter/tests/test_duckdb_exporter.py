"""duckdb_exporter: it follows a database that somebody writes, unnoticed, and reads one that nobody writes."""

from __future__ import annotations

import json
import time
from typing import Any

from testinfra.host import Host

from tests.hosts import (
    address,
    eventually,
    exposure,
    page,
    refused_at_the_handshake,
    run_playbook,
    running,
    series,
    unit,
)

PORT = 19125
LIVE, QUIET, NONE = (f'{{path="/srv/trade/{name}.duckdb"}}' for name in ("live", "quiet", "none"))


def url(host: Host) -> str:
    return f"https://{address(host)}:{PORT}/metrics"


def scrape(host: Host) -> dict[str, float]:
    return series(page(host, url(host)))


def said(host: Host) -> dict[str, Any]:
    """What the writer says of its writes."""
    answer: dict[str, Any] = json.loads(host.check_output("cat /srv/trade/said.json"))
    return answer


def test_the_files_facts_follow_the_writer(host: Host) -> None:
    logs = set()
    for _time in range(20):
        shown = scrape(host)
        logs.add(shown[f"duckdb_file_wal_size_bytes{LIVE}"])
        time.sleep(0.2)
    assert len(logs) > 3, "the log grows and is checkpointed"
    assert abs(shown[f"duckdb_file_modified_timestamp_seconds{LIVE}"] - float(host.check_output("date +%s.%N"))) < 3
    assert shown[f"duckdb_file_size_bytes{LIVE}"] >= 1 << 18
    assert f"duckdb_file_read_success{LIVE}" not in shown
    assert shown[f"duckdb_file_success{NONE}"] == 0


def test_no_write_fails_and_no_checkpoint_waits_at_20_scrapes_a_second(host: Host) -> None:
    before = said(host)
    curl = "curl --silent --fail --cacert /etc/tds/tls/ca.crt --cert /etc/tds/tls/client.pem --output /dev/null"
    host.check_output(f"timeout 30 {curl} --rate 20/s --max-time 25 '{url(host)}?[1-100]'")
    after = said(host)
    assert after["writes"] > before["writes"] + 40
    assert after["checkpoints"] > before["checkpoints"]
    assert after["failed"] == 0
    assert after["longest_checkpoint"] < 2


def test_what_nobody_writes_is_read_once(host: Host) -> None:
    shown = eventually(lambda: scrape(host).get(f"duckdb_file_read_success{QUIET}") and scrape(host), 15)
    assert shown['duckdb_table_rows{database="history",schema="main",table="trades"}'] == 300
    assert shown['history_trades{side="buy"}'] + shown['history_trades{side="sell"}'] == 200
    assert shown["duckdb_collector_success"] == 1
    again = scrape(host)
    read_at = f"duckdb_file_read_timestamp_seconds{QUIET}"
    assert again[read_at] == shown[read_at]
    # Between scrapes it holds no lock: somebody else may write the file, who then is not disturbed.
    assert host.run("lsof -t /srv/trade/quiet.duckdb").stdout == ""
    held = host.check_output("ls -l /proc/$(systemctl show --property=MainPID --value duckdb_exporter)/fd")
    assert "/srv/trade" not in held


def test_only_clients_of_the_site_are_served(host: Host) -> None:
    bare = host.run(f"curl --silent --show-error --cacert /etc/tds/tls/ca.crt {url(host)}")
    assert refused_at_the_handshake(bare), bare.stderr
    assert host.run(f"curl --silent --fail http://{address(host)}:{PORT}/metrics").rc != 0
    old = host.run(
        "curl --silent --show-error --tls-max 1.2 --cacert /etc/tds/tls/ca.crt --cert /etc/tds/tls/client.pem "
        f"{url(host)}"
    )
    assert old.rc == 35, old.stderr


def test_it_is_sandboxed_and_limited(host: Host) -> None:
    shown = unit(host, "duckdb_exporter", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "SupplementaryGroups")
    assert shown == {
        "MemoryMax": str(192 << 20),
        "TasksMax": "48",
        "CPUQuotaPerSecUSec": "400ms",
        "SupplementaryGroups": "tds-tls-server trade",
    }
    assert exposure(host, "duckdb_exporter") <= 1.1
    assert scrape(host)["process_resident_memory_bytes"] < 192 << 20


def test_it_comes_back_when_it_is_killed(host: Host) -> None:
    started = scrape(host)["process_start_time_seconds"]
    host.check_output("systemctl kill --signal=KILL duckdb_exporter")
    assert eventually(lambda: scrape(host).get("process_start_time_seconds", 0) > started, 15)
    assert "python3" in running(host, "duckdb_exporter")


def test_mistakes_are_refused_before_anything_changes(host: Host) -> None:
    before = host.check_output("readlink -f /etc/duckdb_exporter; systemctl show --property=MainPID duckdb_exporter")
    mistakes = {
        "must be one SELECT": {"duckdb_exporter_queries": [{"name": "x", "help": "x", "sql": "DROP TABLE trades"}]},
        "this account may not read /etc/shadow": {"duckdb_exporter_files": [{"path": "/etc/shadow", "read": True}]},
        "path must be absolute, not 'live.duckdb'": {"duckdb_exporter_files": [{"path": "live.duckdb"}]},
    }
    for words, variables in mistakes.items():
        run = run_playbook("--tags=duckdb_exporter", **variables)
        assert run.code != 0
        assert words in " ".join(run.reason.split())
        assert "duckdb_exporter_files or duckdb_exporter_queries" in run.reason
    after = host.check_output("readlink -f /etc/duckdb_exporter; systemctl show --property=MainPID duckdb_exporter")
    assert after == before
