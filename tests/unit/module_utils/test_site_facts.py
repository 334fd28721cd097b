"""What is asked of a live site, of servers that answer like one."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import site_facts

from tests.authority import Authority

Answer = tuple[int, str, dict[str, str]]


@contextmanager
def server(answer: Callable[[str, str, str], Answer]) -> Iterator[str]:
    """One on loopback that answers what ``answer`` makes of method, path with query, and body; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, text, headers = answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@contextmanager
def prometheus(**pages: Any) -> Iterator[site_facts.Prometheus]:
    """One whose API answers with ``data`` by the end of the path."""

    def answer(_method: str, path: str, _body: str) -> Answer:
        if path == "/metrics":
            return 200, "process_start_time_seconds 1\n", {}
        parts = urlsplit(path)
        query = parse_qs(parts.query).get("query", [""])[0]
        found = next((page for name, page in pages.items() if name in (parts.path.split("/")[-1], query)), None)
        data = found(query) if callable(found) else found
        return 200, json.dumps({"data": data}), {}

    with server(answer) as url:
        yield site_facts.Prometheus(url, None)


def vector(*rows: tuple[dict[str, str], float]) -> dict[str, Any]:
    return {"result": [{"metric": labels, "value": [0, str(value)]} for labels, value in rows]}


def shown(instance: str, health: str, scraped: str = "2099-01-01T00:00:00.123456789Z") -> dict[str, Any]:
    return {
        "labels": {"job": "redis", "instance": instance},
        "discoveredLabels": {"__declaration__": "abc"} if instance != "found" else {},
        "health": health,
        "lastError": "" if health == "up" else "refused",
        "lastScrape": scraped,
    }


def test_a_target_is_well_when_it_is_up_and_what_is_behind_it_answers() -> None:
    active = {"activeTargets": [shown("a", "up"), shown("b", "up"), shown("c", "down"), shown("found", "up")]}
    with prometheus(targets=active, query=vector(({"job": "redis", "instance": "b"}, 0))) as asked:
        found = site_facts.targets(asked)
    told = {one["instance"]: (one["health"], one["error"], one["answers"], one["declared"]) for one in found}
    assert told == {
        "a": ("up", "", True, True),
        "b": ("up", "", False, True),
        "c": ("down", "refused", True, True),
        "found": ("up", "", True, False),
    }


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00Z", "2020-01-01T00:00:00.5+01:00"])
def test_who_was_not_well_before_the_question_is_asked_again(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.setattr(site_facts, "POLL_S", 0.01)
    answers = [shown("a", "unknown", before), shown("a", "down", before), shown("a", "up")]
    with prometheus(targets=lambda _query: {"activeTargets": [answers.pop(0)]}, query=vector()) as asked:
        (found,) = site_facts.targets(asked)
    assert (found["health"], answers) == ("up", [])


@pytest.mark.parametrize(("scraped", "patience"), [("2099-01-01T00:00:00Z", 99), ("2020-01-01T00:00:00Z", 0)])
def test_after_a_scrape_that_began_since_or_when_patience_ends_it_is_what_it_is(scraped: str, patience: float) -> None:
    once = [{"activeTargets": [shown("a", "down", scraped)]}]
    with prometheus(targets=lambda _query: once.pop(), query=vector()) as asked:
        assert site_facts.targets(asked, patience)[0]["health"] == "down"


def test_of_a_rule_its_health_and_how_many_alerts_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_facts, "POLL_S", 0.01)
    recent, old = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
    rule = {"type": "alerting", "name": "A", "health": "ok", "lastEvaluation": old,
            "alerts": [{"state": "firing"}, {"state": "pending"}]}  # fmt: skip
    ill = {"type": "recording", "name": "r", "health": "unknown", "lastEvaluation": old}
    answers = [[rule, ill], [rule, {**ill, "health": "err", "lastError": "no", "lastEvaluation": recent}]]
    with prometheus(rules=lambda _query: {"groups": [{"rules": answers.pop(0)}]}) as asked:
        assert site_facts.rules(asked) == [
            {"type": "alerting", "name": "A", "health": "ok", "error": "", "firing": 1},
            {"type": "recording", "name": "r", "health": "err", "error": "no", "firing": 0},
        ]


def test_scrapes_that_were_left_out_are_counted_from_the_times_of_the_others() -> None:
    def by_query(query: str) -> dict[str, Any]:
        if query == "up[2m]":
            times = [[at, "1"] for at in (0.0, 15.0, 20.0, 25.1, 35.0)]  # the first is of the process before
            return {"result": [{"metric": {"job": "redis"}, "values": times},
                               {"metric": {"job": "redis"}, "values": times[:2]},
                               {"metric": {"job": "unknown"}, "values": times}]}  # fmt: skip
        return vector(({"job": "redis"}, 5))

    with prometheus(query=by_query) as asked:
        found = site_facts.scrapes(asked)
    assert found == {"redis": {**dict.fromkeys(site_facts.SCRAPES, 5.0), "made": 4, "due": 5}}


def test_syncs_and_what_is_drawn_are_those_of_the_services_with_the_contract() -> None:
    queries = []

    def remember(query: str) -> dict[str, Any]:
        queries.append(query)
        return vector(({"instance": "b:1"}, 2))

    with prometheus(query=remember) as asked:
        assert site_facts.sync(asked, ["backend", "other"]) == {"b:1": dict.fromkeys(site_facts.SYNC, 2.0)}
    assert all('{job=~"backend|other"}' in query for query in queries)
    matrix = {"result": [{"metric": {"job": "redis"}, "values": [[1, "2.5"]]}]}
    with prometheus(query_range=matrix) as asked:
        assert site_facts.drawn(asked, []) == {plot: {"redis": [[1.0, 2.5]]} for plot in site_facts.DRAWN}


# --- Alertmanager


class Alertmanager:
    """Counts a request by receiver some questions after an alert was posted, unless it loses them."""

    def __init__(self, *, loses: bool = False, named: bool = True) -> None:
        self.posted: list[dict[str, Any]] = []
        self.asked, self.loses, self.named = 0, loses, named

    def __call__(self, method: str, path: str, body: str) -> Answer:
        if method == "POST":
            self.posted += json.loads(body)
            return 200, "", {}
        if path == "/metrics":
            self.asked += bool(self.posted)
            taken = 3 + (self.asked > 1 and not self.loses)
            failed = self.asked if self.loses else 0
            return (
                200,
                "".join(
                    f'alertmanager_notification_requests_{what}{{integration="{kind}"{receiver}}} {count}\n'
                    for kind in ("email", "webhook")
                    for receiver in ((',receiver_name="desk"', ',receiver_name="other"') if self.named else ("",))
                    for what, count in (("total", taken + failed), ("failed_total", failed))
                ),
                {},
            )
        return 200, json.dumps([{"labels": {"alertname": "Watchdog"}}]), {}


@pytest.mark.parametrize("named", [True, False])
def test_an_alert_is_proven_by_a_request_that_was_taken_and_ended(monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setattr(site_facts, "POLL_S", 0.01)
    alertmanager = Alertmanager(named=named)
    with server(alertmanager) as url:
        found = site_facts.alert(url, None, "mon1", "desk", {"webhook": 1})
    assert found == {"watchdog": True, "named": named, "since": {"webhook": {"taken": 1, "refused": 0}}}
    first, last = alertmanager.posted
    assert first["labels"] == last["labels"] == {"alertname": "VerifyTest", "severity": "info", "alertmanager": "mon1"}
    assert first["endsAt"] > last["endsAt"]
    assert "test" in first["annotations"]["summary"]


def test_an_alert_that_nobody_takes_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_facts, "POLL_S", 0.01)
    alertmanager = Alertmanager(loses=True)
    with server(alertmanager) as url:
        found = site_facts.alert(url, None, "mon1", "desk", {"webhook": 1}, patience=0.05)
    assert found["since"]["webhook"]["taken"] == 0
    assert found["since"]["webhook"]["refused"] >= 1
    assert len(alertmanager.posted) == 2


# --- The host and the door


SHOWN = """\
ActiveState=active
MainPID=42
ControlGroup=/tds.slice/prometheus.service
MemoryMax=2147483648
MemoryHigh=infinity
CPUQuotaPerSecUSec=1.500000s
TasksMax=512
LimitNOFILE=16384
IOWeight=[not set]
CPUWeight=50
"""


def test_limits_are_what_systemd_says_and_what_the_kernel_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    group = tmp_path / "sys/fs/cgroup/tds.slice/prometheus.service"
    group.mkdir(parents=True)
    for name, text in {
        "memory.max": "max",
        "cpu.max": "150000 100000",
        "pids.max": "512",
        "io.weight": "default 100",
    }.items():
        (group / name).write_text(f"{text}\n")
    (tmp_path / "proc/42").mkdir(parents=True)
    (tmp_path / "proc/42/limits").write_text(
        "Max open files            1024                 8192                 files\n"
    )
    monkeypatch.setattr(
        subprocess, "run", lambda *words, **_options: subprocess.CompletedProcess(words, 0, stdout=SHOWN, stderr="")
    )
    assert site_facts.limits(["prometheus.service"], tmp_path) == {
        "prometheus.service": {
            "active": True,
            "systemd": {"MemoryMax": 2**31, "MemoryHigh": None, "CPUQuota": 150, "TasksMax": 512,
                        "LimitNOFILE": 16384, "IOWeight": None, "CPUWeight": 50},
            "kernel": {"MemoryMax": None, "CPUQuota": 150, "TasksMax": 512, "IOWeight": 100, "LimitNOFILE": 8192},
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [("200ms", 20), ("2s", 200), ("1min 4s", 6400), ("infinity", None), ("", None)]
)
def test_a_time_for_each_second_is_percents_of_a_cpu(text: str, value: float | None) -> None:
    assert site_facts._number(text) == value


def test_what_cannot_be_asked_is_told_in_its_place(tmp_path: Path) -> None:
    found = site_facts.certificates(str(tmp_path), ["127.0.0.1:1"], None)
    assert found["files"] == {"server": "", "client": "", "ca": ""}
    assert "refused" in found["listeners"]["127.0.0.1:1"]["fault"]
    assert site_facts.section(lambda: json.loads("{}")["x"]) == {"fault": "'x'"}


def test_a_redirection_is_told_and_not_followed() -> None:
    answers = {"/": (308, "", {"Location": "https://x/"}), "/in": (401, "", {}), "/open": (200, "", {})}
    with server(lambda _method, path, _body: answers[path]) as url:
        told = [site_facts._status(f"{url}{path}", {}) for path in answers]
    assert told == [
        {"status": 308, "location": "https://x/"},
        {"status": 401, "location": ""},
        {"status": 200, "location": ""},
    ]


def test_a_door_that_is_plain_is_seen_as_one(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.crt"
    authorities.write_text(Authority("Authority of the site").pem)
    with server(lambda *_asked: (200, "", {})) as url:
        where, port = url.removeprefix("http://"), int(url.rpartition(":")[2])
        found = site_facts.door(where, str(authorities), ["/", "/verify/"], port)
    assert "fault" in found["certificate"]
    assert {path: set(answer) for path, answer in found["paths"].items()} == {"/": {"fault"}, "/verify/": {"fault"}}
    assert found["plain"] == {"status": 200, "location": ""}
