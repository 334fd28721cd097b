"""Proof: what probes ask, and when a proof holds, fails or waits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.proof import Unproven, check, get, prove, walk

from tests.authority import Authority
from tests.tls_server import PAGE as SERVED
from tests.tls_server import TLSServer, serving

PAGE = """\
# HELP up Whether it is up.
# TYPE up gauge
up 1
reloaded_at 1.7e+09
file_read{name="a",kind="a \\"b\\""} 1000
file_read{name="b"} 7
"""
RULES = json.dumps(
    {"data": {"groups": [{"rules": [{"name": "A", "type": "x"}]}, {"rules": [{"name": "B", "type": "x"}]}]}}
)
ACTED_AT = 1.7e9


def ask(probe: dict[str, Any], body: str = PAGE, acted_at: float | None = ACTED_AT) -> str | None:
    return check({"url": "http://x/"} | probe, acted_at, lambda _url: body)


@pytest.mark.parametrize(
    "probe",
    [
        {},
        {"metric": {"name": "up"}},
        {"metric": {"name": "up", "value": 1.0}},
        {"metric": {"name": "reloaded_at", "after_action": True}},
        {"metric": {"name": "file_read", "labels": {"name": "a"}, "value": 1000}},
    ],
)
def test_a_probe_holds(probe: dict[str, Any]) -> None:
    assert ask(probe) is None


@pytest.mark.parametrize(
    ("metric", "answer"),
    [
        ({"name": "u"}, "u is missing"),
        ({"name": "up", "labels": {"a": "b"}}, r"up\{'a': 'b'\} is missing"),
        ({"name": "up", "value": 0.0}, "up is 1 instead of 0"),
        (
            {"name": "file_read", "labels": {"name": "b"}, "value": 1000.0},
            "is 7 instead of 1000",
        ),
    ],
)
def test_a_metric_that_is_not_as_it_must_be_is_told(metric: dict[str, Any], answer: str) -> None:
    assert ask({"metric": metric}) is not None
    with pytest.raises(AssertionError, match=answer):
        raise AssertionError(ask({"metric": metric}))


def test_a_reload_before_the_action_proves_nothing() -> None:
    probe = {"metric": {"name": "reloaded_at", "after_action": True}}
    assert ask(probe, acted_at=ACTED_AT + 5) == "http://x/: reloaded_at is 5.0 s older than the action"
    assert ask(probe, acted_at=None) is None  # nothing was done, so nothing is newer


ROWS = {"at": "data.groups.rules", "keys": ["type", "name"]}


def test_rows_are_equal_in_any_order() -> None:
    assert ask({"rows": ROWS | {"equal": [["x", "B"], ["x", "A"]]}}, RULES) is None


@pytest.mark.parametrize(
    ("equal", "told"),
    [
        ([["x", "A"]], "also has ['x', 'B']"),
        ([["x", "A"], ["x", "B"], ["x", "C"]], "lacks ['x', 'C']"),
        ([["x", "A"], ["x", "B"], ["x", "B"]], "lacks ['x', 'B']"),
    ],
)
def test_rows_that_differ_are_named(equal: list[list[str]], told: str) -> None:
    assert ask({"rows": ROWS | {"equal": equal}}, RULES) == f"http://x/: data.groups.rules {told}"


def test_rows_without_what_they_must_have_do_not_count() -> None:
    document = '{"targets": [{"job": "a", "declared": "yes"}, {"job": "found"}]}'
    rows = {"at": "targets", "keys": ["job"], "equal": [["a"]]}
    assert ask({"rows": rows}, document) == "http://x/: targets also has ['found']"
    assert ask({"rows": rows | {"having": "declared"}}, document) is None
    assert ask({"rows": rows | {"having": "declared", "equal": []}}, document) == "http://x/: targets also has ['a']"


def test_an_answer_that_is_no_json_or_none_at_all_is_told() -> None:
    assert ask({"rows": ROWS | {"equal": []}}, "<html>") == "http://x/: is not JSON"

    def refuse(_url: str) -> str:
        raise ConnectionRefusedError("refused")

    assert check({"url": "http://x/"}, None, refuse) == "http://x/ does not answer: refused"


def test_walk_flattens_lists_and_passes_over_what_is_not_there() -> None:
    assert walk({"a": [{"b": [1, 2]}, {"c": 3}, {"b": 4}]}, "a.b") == [1, 2, 4]
    assert walk({"a": 1}, "x.y") == []


class Process:
    """A process and a clock that only moves when the proof sleeps."""

    def __init__(self, ready_at: float = 0, dies_at: float = 1e9, progresses_until: float = 0) -> None:
        self.now = 0.0
        self.ready_at, self.dies_at, self.progresses_until = ready_at, dies_at, progresses_until

    def fetch(self, _url: str) -> str:
        if self.now < self.ready_at:
            raise ConnectionRefusedError("not yet")
        return PAGE

    def exited(self) -> str | None:
        return "the process exited" if self.now >= self.dies_at else None

    def progress(self) -> str:
        return str(min(self.now, self.progresses_until))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def prove(self, acted_at: float | None = 1.0, timeout: float = 20) -> float:
        prove(
            [{"url": "http://x/"}], acted_at, timeout=timeout, fetch=self.fetch, exited=self.exited,
            progress=self.progress, clock=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip
        return self.now


def test_a_restarted_process_must_live_for_a_second() -> None:
    assert Process().prove() >= 1
    assert Process().prove(acted_at=None) == 0


def test_a_process_that_exits_fails_at_once_also_when_another_answers_in_its_place() -> None:
    process = Process(dies_at=0.5)
    with pytest.raises(Unproven, match="the process exited"):
        process.prove()
    assert process.now < 1


def test_a_proof_fails_at_its_timeout_with_what_did_not_hold() -> None:
    process = Process(ready_at=1e9)
    with pytest.raises(Unproven, match="not yet"):
        process.prove()
    assert 20 <= process.now < 21


def test_a_proof_that_holds_does_not_fail_for_the_second_that_the_process_must_live() -> None:
    assert Process().prove(timeout=0.5) >= 1


def test_a_slow_start_is_awaited_while_it_progresses_and_no_longer() -> None:
    assert Process(ready_at=300, progresses_until=290).prove() >= 300
    stuck = Process(ready_at=1e9, progresses_until=100)
    with pytest.raises(Unproven):
        stuck.prove()
    assert 120 <= stuck.now < 122


# --- Over TLS


class Site:
    """Files as the role certificates leaves them, and a server that wants certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.authority = directory, Authority()
        self.ca = self.write("ca.crt", self.authority.pem)
        self.server = self.issue("server.pem")
        self.client = self.issue("client.pem")

    def write(self, name: str, content: str) -> Path:
        (self.directory / name).write_text(content, encoding="utf-8")
        return self.directory / name

    def issue(self, name: str, by: Authority | None = None, **how: Any) -> Path:
        return self.write(name, "".join((by or self.authority).issue(how.pop("names", ["127.0.0.1"]), **how)))

    def tls(self, client: Path | None = None, ca: Path | None = None) -> dict[str, str | None]:
        return {"ca": str(ca or self.ca), "client": str(client) if client else None}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def server(site: Site) -> Iterator[TLSServer]:
    with serving(site.server, site.ca) as running:
        yield running


def asked(url: str, tls: dict[str, str | None] | None, **question: Any) -> str | None:
    return check({"url": url} | question, None, partial(get, tls=tls))


def test_a_page_is_served_to_who_shows_a_certificate_of_the_site(site: Site, server: TLSServer) -> None:
    assert get(f"https://{server.where}/", site.tls(site.client)) == SERVED
    up = {"name": "up", "value": 1.0}
    assert asked(f"https://{server.where}/", site.tls(site.client), metric=up) is None


def test_a_page_is_served_to_anybody_where_no_certificate_is_asked_for(site: Site) -> None:
    with serving(site.server) as server:
        assert get(f"https://{server.where}/", site.tls()) == SERVED


def test_who_shows_no_certificate_or_a_strangers_is_refused(site: Site, server: TLSServer) -> None:
    stranger = Authority(site.authority.name)
    shown = {
        "certificate required": None,
        "unknown ca|bad certificate|decrypt error": site.issue("stranger.pem", stranger),
        "certificate expired": site.issue("expired.pem", days=-1),
        "unsupported certificate|bad certificate|certificate unknown": site.issue("host.pem", uses=["server"]),
    }
    for words, client in shown.items():
        answer = asked(f"https://{server.where}/", site.tls(client))
        with pytest.raises(AssertionError, match=f"does not answer: .*({words})"):
            raise AssertionError(answer)


@pytest.mark.parametrize("scheme", ["https", "tls"])
def test_a_server_that_is_not_to_be_trusted_does_not_answer(site: Site, server: TLSServer, scheme: str) -> None:
    url = f"{scheme}://{server.where}"
    other = site.write("other.crt", Authority(site.authority.name).pem)
    wrong: list[tuple[dict[str, Any], dict[str, str | None] | None, str]] = [
        ({}, site.tls(site.client, other), "certificate verify failed"),
        ({}, None, "certificate verify failed"),  # of no authority of the system's
        ({"names": ["127.0.0.2", "app1"]}, site.tls(site.client), "not valid for '127.0.0.1'"),
        ({"days": -1}, site.tls(site.client), "certificate has expired"),
        ({"uses": ["client"]}, site.tls(site.client), "unsuitable certificate purpose"),
    ]
    for how, tls, words in wrong:
        site.issue("server.pem", **how)
        assert words in (asked(url, tls) or "")
    site.issue("server.pem")
    assert asked(url, site.tls(site.client)) is None


@pytest.mark.parametrize("scheme", ["https", "tls"])
def test_who_cannot_speak_tls_or_does_not_listen_does_not_answer(site: Site, scheme: str) -> None:
    with serving(site.server) as server:
        server.certificate = site.ca  # has no key: every handshake fails
        assert "does not answer" in (asked(f"{scheme}://{server.where}", site.tls()) or "")
    assert "refused" in (asked(f"{scheme}://{server.where}", site.tls()) or "")


def test_a_file_of_tls_that_is_missing_is_no_answer(site: Site, server: TLSServer) -> None:
    for scheme in ("https", "tls"):
        for tls in (site.tls(ca=site.directory / "none"), site.tls(site.directory / "none")):
            assert "does not answer" in (asked(f"{scheme}://{server.where}", tls) or "")


@pytest.mark.parametrize("client", [True, False])
def test_what_is_presented_is_what_the_next_connection_gets(site: Site, server: TLSServer, client: bool) -> None:
    """Also to who shows none: the server's certificate comes first."""
    tls = site.tls(site.client if client else None)
    for _renewal in range(2):
        pem = site.issue("server.pem").read_text(encoding="utf-8")
        presented = get(f"tls://{server.where}", tls)
        assert presented.split() == pem.split("-----BEGIN PRIVATE")[0].split()
        assert asked(f"tls://{server.where}", tls, certificate=str(site.server)) is None


def test_a_page_after_a_renewal_is_on_a_new_connection(site: Site, server: TLSServer) -> None:
    assert get(f"https://{server.where}/", site.tls(site.client)) == SERVED
    site.issue("server.pem", Authority("Stranger"))
    assert "verify failed" in (asked(f"https://{server.where}/", site.tls(site.client)) or "")


def test_another_certificate_than_the_one_in_the_file_is_told(site: Site, server: TLSServer) -> None:
    url, tls = f"tls://{server.where}", site.tls()
    renewed = site.issue("renewed.pem")
    assert asked(url, tls, certificate=str(renewed)) == f"{url}: presents another certificate than the one in {renewed}"
    # The first one counts, whatever stands around it and wherever its lines end.
    both = site.server.read_text(encoding="utf-8") + renewed.read_text(encoding="utf-8")
    chained = site.write("chained.pem", "comment\n" + re.sub(r"(?<!-)\n(?!-)", "", both).replace("\n", "\r\n"))
    assert asked(url, tls, certificate=str(chained)) is None


@pytest.mark.parametrize("content", ["", "junk", "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"])
def test_a_file_or_a_page_without_a_certificate_is_told(site: Site, server: TLSServer, content: str) -> None:
    file = str(site.write("file.pem", content))
    assert "another certificate" in (asked(f"tls://{server.where}", site.tls(), certificate=file) or "")
    for wanted in (str(site.server), file):
        told = asked(f"https://{server.where}", site.tls(site.client), certificate=wanted)
        assert "another certificate" in (told or "")


def test_a_file_that_is_not_there_is_told(site: Site, server: TLSServer) -> None:
    url, missing = f"tls://{server.where}", str(site.directory / "none.pem")
    told = f"{url}: {missing}, which it must present, cannot be read: No such file or directory"
    assert asked(url, site.tls(), certificate=missing) == told
