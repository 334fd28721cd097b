"""What only fails when it runs: a release, a configuration, a limit. Each ends on the generation that was proven."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Play, installation, run_record
from tests.probe import URL, assert_the_declaration_is_in_force, generation

testinfra_hosts = ["ansible://mon1"]

PYTHON = "#!/usr/bin/python3 -I\n"
ANSWERS_500 = f"""{PYTHON}
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)
http.server.HTTPServer(("127.0.0.1", 19300), Page).serve_forever()
"""

# Programs that are pinned, unpacked and accepted by every checker, and what is told of them.
RELEASES: dict[str, tuple[str, list[str]]] = {
    "exits at once": ("#!/bin/sh\necho I am doomed >&2\nexit 1\n", ["the process exited", "I am doomed"]),
    "crashes half a second later": (
        "#!/bin/sh\nsleep 0.5\necho panic: nil map >&2\nkill -SEGV $$\n",
        ["the process exited", "panic: nil map"],
    ),
    "never listens": ("#!/bin/sh\necho still loading\nexec sleep 1000\n", ["does not answer", "still loading"]),
    "answers 500": (ANSWERS_500, ["HTTP Error 500"]),
}
DECLARATIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown flag": (
        {"probe_flags": ["--no-such-flag"]},
        ["the process exited", "unknown long flag '--no-such-flag'"],
    ),
    "a port that it may not have": ({"probe_port": 22}, ["the process exited", "bind: permission denied"]),
    "a sandbox that is too tight": (
        {"daemon_sandbox": {"RestrictAddressFamilies": "AF_UNIX"}},
        ["the process exited", "address family not supported"],
    ),
    "a limit that is too low": (
        {"daemon_limits": {"LimitNOFILE": 4}},
        ["Job for probe.service failed", "Too many open files"],
    ),
    "a value that is never served": (
        {"probe_value": 2, "daemon_proof": [{"url": URL, "metric": {"name": "probe_value", "value": 7}}]},
        [r"after \d s: http://\S+: probe_value is 2 instead of 7"],
    ),
    # node_exporter knows no SIGHUP and dies of it.
    "a reload that kills": ({"probe_note": "second"}, ["the process exited", "Reloading"]),
}

# What is systemd's to notice, and so every suite's own; the rest is the module's.
OF_SYSTEMD = {"crashes half a second later", "a sandbox that is too tight", "a limit that is too low"}


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=[] if how in OF_SYSTEMD else pytest.mark.once) for how in (*RELEASES, *DECLARATIONS)],
)
def test_what_is_not_proven_is_rolled_back(
    host: Host, play: Play, release: Callable[[str, str], dict[str, Any]], how: str
) -> None:
    before = installation(host, "probe", ["journal"])
    if how in RELEASES:
        program, told = RELEASES[how]
        variables = release("99.0.0", program)
    else:
        variables, told = DECLARATIONS[how]
    run = play(**variables)
    assert (run.code, run.changed) == (2, 0)
    for words in (
        r"generation \d+ of probe is not proven: ",
        f"generation {generation(host)} is in force and proven",
        r"The last lines of its journal:\n\S",
        *told,
    ):
        assert re.search(words, run.output), run.output
    assert_the_declaration_is_in_force(host)
    assert installation(host, "probe", ["journal"]) == before
    record = run_record(host)[-1]
    assert (record["daemon"], record["result"]) == ("probe", "rolled_back")
    assert record["generation"]["before"] == record["generation"]["after"] == generation(host)
    assert record["why"][0] in run.output


@pytest.mark.once
def test_how_long_each_took_is_on_record(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    took = [run["seconds"] for run in run_record(host) if run["result"] == "rolled_back"]
    assert len(took) >= len(RELEASES) + len(DECLARATIONS)
    with capsys.disabled():
        print(f"\n{len(took)} rolled back, the longest in {max(took)} s")


def test_after_a_roll_back_nothing_is_owed(play: Play) -> None:
    assert play().changed == 0
