"""A host that cannot take a change: it is said, the daemon goes on, nothing is left lying about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Run, eventually, installation, unit
from tests.little_server import served, server

testinfra_hosts = ["ansible://bare1"]
pytestmark = pytest.mark.once

Declare = Callable[..., Run]
INODES = "i=0; while touch /opt/tds/filler$i 2>/dev/null; do i=$((i+1)); done"
FILL = "dd if=/dev/zero of=/opt/tds/filler bs=4096 2>/dev/null"


@pytest.fixture
def small(host: Host, declare: Declare, module: Callable[..., dict[str, Any]]) -> Iterator[Host]:
    """The host with the little server in force on a filesystem of its own, which is small."""
    module("bare1", name="probe", state="absent")
    host.check_output("mkdir -p /opt/tds && mount -t tmpfs -o size=2M,nr_inodes=128,mode=0755 small /opt/tds")
    first = declare()
    assert first.code == 0, first.output
    yield host
    host.check_output("mount -o remount,rw /opt/tds && rm -rf /opt/tds/filler*")
    assert declare().code == 0
    module("bare1", name="probe", state="absent")
    host.check_output("umount /opt/tds")


SICK = {
    "its disk is full": (FILL, "No space left on device"),
    "it has no inodes": (
        "i=0; while touch /opt/tds/filler$i 2>/dev/null; do i=$((i+1)); done",
        "No space left on device",
    ),
    "its disk is read-only": ("mount -o remount,ro /opt/tds", "Read-only file system"),
}


@pytest.mark.parametrize("how", SICK)
@pytest.mark.parametrize("change", [{"value": 2}, {"version": "1.1.0", "value": 2}], ids=["value", "release"])
def test_it_is_refused_and_the_daemon_goes_on(small: Host, declare: Declare, how: str, change: dict[str, Any]) -> None:
    sicken, told = SICK[how]
    before, pid = installation(small, "probe"), unit(small, "probe", "MainPID")
    small.run(sicken)
    run = declare(**change)
    assert run.code == 2
    assert told in run.output
    assert "nothing was changed" in run.output
    assert (installation(small, "probe"), unit(small, "probe", "MainPID")) == (before, pid)
    assert served(small) == server("1.0.0", 1)


def test_a_run_that_changes_nothing_needs_no_room(small: Host, declare: Declare) -> None:
    small.run(FILL)
    run = declare()
    assert (run.code, run.changed) == (0, 0), run.output


def test_a_disk_that_fills_while_a_generation_is_tried_is_rolled_back(small: Host, declare: Declare) -> None:
    never = [{"url": "http://127.0.0.1:9/"}]
    with ThreadPoolExecutor() as pool:
        trying = pool.submit(declare, value=2, daemon_proof=never, daemon_proof_timeout=100)
        assert eventually(lambda: served(small) == server("1.0.0", 2), 20)
        small.run(FILL)
        small.check_output("systemctl kill --signal=KILL probe")  # which ends the wait for the proof
        run = trying.result()
    assert "the process exited" in run.output, run.output
    assert "Rolled back: generation 1 is in force and proven" in run.output, run.output
    assert served(small) == server("1.0.0", 1)
    small.check_output("rm /opt/tds/filler")
    assert declare().changed == 0
