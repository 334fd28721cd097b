"""The lab's trading system: each switch does what alerts are about, and good health looks healthy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis import RedisError

from lab.trading import clickhouse, engine, http, metrics, store, streams, sync
from lab.trading.clickhouse_config import read
from lab.trading.switches import Switches

# --- switches


@pytest.fixture
def switches() -> Switches:
    return Switches({"sync": ("normal", "slow"), "parts": 0, "errors": False})


def test_the_first_value_is_the_good_one(switches: Switches) -> None:
    assert switches.all() == {"sync": "normal", "parts": 0, "errors": False}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"synch": "slow"}, "synch is no switch: there are sync, parts, errors"),
        ({"sync": "slo"}, "sync is 'slo': write one of normal, slow"),
        ({"parts": "3"}, "parts is '3': write a int"),
        ({"parts": True}, "parts is True: write a int"),
        (["sync"], "write a mapping of sync, parts, errors"),
    ],
)
def test_what_is_no_switch_is_told_and_changes_nothing(switches: Switches, wanted: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        switches.set(wanted)
    if isinstance(wanted, dict):
        with pytest.raises(ValueError, match=told):
            switches.set({"errors": True, **wanted})
    assert switches["errors"] is False


def test_control_shows_and_sets(switches: Switches) -> None:
    answer = http.control(switches, http.Request("POST", "/control", body=b'{"parts": 7}'))
    assert (answer.status, json.loads(str(answer.body))["parts"]) == (200, 7)
    refused = http.control(switches, http.Request("POST", "/control", body=b"{"))
    assert refused.status == 400


# --- the sync


class Syncing:
    """A sync whose ClickHouse is a function."""

    def __init__(self, post: Callable[[str, bytes], None]) -> None:
        self.registry = CollectorRegistry()
        self.switches = Switches({"sync": ("normal", "slow", "stall", "fail")})
        self.slept: list[float] = []
        self.sync = sync.Sync("http://c", metrics.Backend(self.registry), self.switches, post, self.slept.append)

    def value(self, name: str) -> float:
        found = self.registry.get_sample_value(name)
        assert found is not None
        return found


def accepted(_url: str, _body: bytes) -> None:
    """A ClickHouse in good health."""


def test_a_sync_takes_all_rows_and_says_so() -> None:
    posted: list[tuple[str, bytes]] = []
    it = Syncing(lambda url, body: posted.append((url, body)))
    it.sync.add({"a": 1})
    it.sync.add({"a": 2})
    assert it.value("sync_pending_rows") == 2
    it.sync.turn()
    assert posted == [("http://c/?query=INSERT%20INTO%20trades%20FORMAT%20JSONEachRow", b'{"a": 1}\n{"a": 2}\n')]
    assert (it.value("sync_rows_total"), it.value("sync_pending_rows"), it.value("sync_errors_total")) == (2, 0, 0)
    assert time.time() - it.value("sync_last_success_timestamp_seconds") < 5


def test_a_sync_that_fails_keeps_its_rows_and_is_counted() -> None:
    def refuse(_url: str, _body: bytes) -> None:
        raise OSError("no")

    it = Syncing(refuse)
    it.sync.add({"a": 1})
    it.sync.turn()
    assert (it.value("sync_rows_total"), it.value("sync_pending_rows"), it.value("sync_errors_total")) == (0, 1, 1)


def test_a_stalled_sync_does_nothing_and_says_nothing() -> None:
    it = Syncing(accepted)
    it.switches.set({"sync": "stall"})
    it.sync.add({"a": 1})
    it.sync.turn()
    assert (it.value("sync_rows_total"), it.value("sync_pending_rows"), it.value("sync_errors_total")) == (0, 1, 0)


def test_a_slow_sync_is_slower_than_the_threshold() -> None:
    it = Syncing(accepted)
    it.switches.set({"sync": "slow"})
    it.sync.turn()
    assert it.slept == [sync.SLOW]
    assert sync.SLOW > 0.2  # requirements, 1.3


# --- the engine


class Stream:
    """A Redis with one stream that has one group, as much as the engine asks of it."""

    def __init__(self, ages: tuple[float, ...] = ()) -> None:
        now = time.time()
        self.entries = [f"{int((now - age) * 1000)}-0" for age in ages]
        self.read = 0
        self.added: list[dict[str, Any]] = []
        self.acknowledged: list[str] = []
        self.broken = False

    def exists(self, _stream: str) -> bool:
        if self.broken:
            raise RedisError("away")
        return True

    def xinfo_groups(self, _stream: str) -> list[dict[str, str]]:
        last = self.entries[self.read - 1] if self.read else "0-0"
        return [{"name": streams.ENGINE_GROUP, "last-delivered-id": last}]

    def xreadgroup(self, _group: str, _consumer: str, wanted: dict[str, str], **_options: Any) -> list[Any]:
        if wanted[streams.SIGNALS] == "0":
            return []
        new, self.read = self.entries[self.read :], len(self.entries)
        return [(streams.SIGNALS, [(entry, {"side": "buy"}) for entry in new])]

    def xrange(self, _stream: str, **_options: Any) -> list[tuple[str, dict[str, str]]]:
        return [(entry, {}) for entry in self.entries[self.read :][:1]]

    def xadd(self, _stream: str, fields: dict[str, Any], **_options: Any) -> None:
        self.added.append(fields)

    def xack(self, _stream: str, _group: str, entry: str) -> None:
        self.acknowledged.append(entry)


class Running:
    def __init__(self, *ages: float) -> None:
        self.registry = CollectorRegistry()
        self.switches = Switches({"orders": ("normal", "slow", "fail", "stall"), "errors": False})
        self.signals, self.results = Stream(ages), Stream()
        self.engine = engine.Engine(self.signals, self.results, metrics.Engine(self.registry), self.switches)

    def value(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(name, labels)
        assert found is not None
        return found


def test_each_signal_gets_a_result_and_is_acknowledged() -> None:
    it = Running(0.05, 0.04)
    it.engine.turn()
    assert [added["signal"] for added in it.results.added] == it.signals.entries == it.signals.acknowledged
    assert it.value("trade_signals_total") == it.value("trade_order_latency_seconds_count") == 2
    assert it.value("trade_signal_age_seconds") == 0
    assert it.value("trade_engine_errors_total", kind="redis") == 0


def test_failing_orders_are_counted_as_such() -> None:
    it = Running(0.01)
    it.switches.set({"orders": "fail"})
    it.engine.turn()
    assert it.value("trade_orders_total", result="failed") == 1
    assert it.value("trade_fills_total") == 0


def test_a_stalled_engine_lets_signals_grow_old() -> None:
    it = Running(9)
    it.switches.set({"orders": "stall"})
    it.engine.turn()
    assert it.results.added == []
    assert it.value("trade_signal_age_seconds") == pytest.approx(9, abs=1)


def test_a_redis_that_is_away_is_one_error_and_no_end() -> None:
    it = Running(0.01)
    it.signals.broken = True
    it.engine.turn()
    it.engine.turn()
    assert it.value("trade_engine_errors_total", kind="redis") == 1
    it.signals.broken = False
    it.engine.turn()
    assert len(it.results.added) == 1


# --- ClickHouse


def figures(**switched: Any) -> dict[str, float]:
    switches = Switches(clickhouse.SWITCHES)
    switches.set(switched)
    server = clickhouse.Engine(switches)
    server.insert(b"{}\n{}\n")
    page = server.page()
    lines = [line.split() for line in page.splitlines() if not line.startswith("#")]
    assert len(lines) == len({name for name, _value in lines})
    return {name: float(value) for name, value in lines}


def test_clickhouse_in_good_health_looks_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse, "DELAY", 0)
    shown = figures()
    assert shown["ClickHouseProfileEvents_InsertedRows"] == 2
    assert shown["ClickHouseProfileEvents_RejectedInserts"] == shown["ClickHouseProfileEvents_DelayedInserts"] == 0
    assert shown["ClickHouseMetrics_ReadonlyReplica"] == shown["ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay"] == 0
    assert 0 < shown["ClickHouseAsyncMetrics_MaxPartCountForPartition"] < 50


@pytest.mark.parametrize(
    ("switched", "name", "value"),
    [
        ({"inserts": "rejected"}, "ClickHouseProfileEvents_RejectedInserts", 1),
        ({"inserts": "delayed"}, "ClickHouseProfileEvents_DelayedInserts", 1),
        ({"parts": 900}, "ClickHouseAsyncMetrics_MaxPartCountForPartition", 900),
        ({"readonly_replicas": 2}, "ClickHouseMetrics_ReadonlyReplica", 2),
        ({"replication_lag": 99}, "ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay", 99),
        ({"merges": "stuck"}, "ClickHouseMetrics_Merge", 1),
        ({"series": {"ClickHouseMetrics_TCPConnection": 77}}, "ClickHouseMetrics_TCPConnection", 77),
    ],
)
def test_each_switch_shows(monkeypatch: pytest.MonkeyPatch, switched: dict[str, Any], name: str, value: float) -> None:
    monkeypatch.setattr(clickhouse, "DELAY", 0)
    assert figures(**switched)[name] == value


@pytest.mark.parametrize(
    ("files", "on_http", "port"),
    [
        ({}, False, None),
        ({"a": "<clickhouse><prometheus/></clickhouse>"}, True, None),
        ({"a": "<clickhouse><prometheus><port>9363</port></prometheus></clickhouse>"}, False, 9363),
        ({"a": "<clickhouse><prometheus><handlers/></prometheus></clickhouse>"}, False, None),
        (
            {
                "a": "<clickhouse><prometheus/></clickhouse>",
                "b": "<clickhouse><http_handlers><rule/></http_handlers></clickhouse>",
            },
            False,
            None,
        ),
    ],
)
def test_metrics_are_where_the_configuration_says(
    tmp_path: Path, files: dict[str, str], on_http: bool, port: int | None
) -> None:
    (tmp_path / "config.d").mkdir()
    for name, text in files.items():
        (tmp_path / f"config.d/{name}.xml").write_text(text, encoding="utf-8")
    found = read(tmp_path)
    assert (found.metrics_on_http, found.port) == (on_http, port)


# --- DuckDB


def test_old_trades_go_so_that_the_file_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 10)
    monkeypatch.setattr(store, "CHECKPOINT_EVERY", 3)
    it = store.Store(tmp_path / "trades.duckdb")
    for minute in range(3):
        it.write([(f"2026-01-01 10:{minute:02}:{second:02}", "EURUSD", "buy", 1, "filled") for second in range(9)])
    assert 10 <= it.count() <= 12
    it.connection.close()
