"""A daemon that floods the journal: the host's log is for others too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.sandbox import UNITS, start_copy

testinfra_hosts = ["ansible://mon1"]

LINES = 5000
# journald says how many it left out with the first line after the interval, which the scenario sets to 2 s.
FLOOD = f"""
import time
for number in range({LINES}):
    print("flood", number, flush=True)
time.sleep(2.5)
print("end")
"""


@pytest.fixture
def flooded(host: Host, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The journal's lines of a copy of the unit that floods it."""
    host.check_output(f"mkdir -p /srv/flood && cat >/srv/flood/flood.py <<'END'{FLOOD}END")
    journal = "journalctl --quiet --no-pager --output=cat --cursor-file=/srv/flood/cursor"
    host.check_output(f"{journal} --lines=0")
    name = start_copy(host, "probe", "/usr/bin/python3 -I /srv/flood/flood.py", "Type=oneshot", *request.param)
    yield host.check_output(f"journalctl --sync && {journal} --unit={name}").splitlines()
    host.check_output(f"rm -r /srv/flood {UNITS}/{name}.service*; systemctl daemon-reload")


@pytest.mark.parametrize("flooded", [()], indirect=True, ids=["as declared"])
def test_a_flood_is_cut_short_and_it_is_said(flooded: list[str]) -> None:
    arrived = sum(line.startswith("flood ") for line in flooded)
    assert 50 <= arrived < LINES / 10  # journald lets more through where the disk has room
    assert f"Suppressed {LINES - arrived} messages from probe-sandbox_probe.service" in flooded
    assert "end" in flooded


@pytest.mark.once
@pytest.mark.parametrize("flooded", [("LogRateLimitBurst=1000000",)], indirect=True, ids=["without a limit"])
def test_without_the_limit_all_of_it_arrives(flooded: list[str]) -> None:
    """Else the other test could not fail."""
    assert sum(line.startswith("flood ") for line in flooded) == LINES
