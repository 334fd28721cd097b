"""A process is known by its pid, its start and the machine's boot: all three, or it is not ours."""

import dataclasses
import os
from pathlib import Path

from lab import processes
from lab.state import Process

STAT = "4242 (a (strange) name) S 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"


def this_process() -> Process:
    start = processes.start_ticks(Path("/proc/self/stat").read_text())
    assert start is not None
    return Process(os.getpid(), start, processes.boot_id(), "/nowhere")


def test_start_time_is_found_behind_any_name() -> None:
    assert processes.start_ticks(STAT) == 987654


def test_a_zombie_has_no_start_time() -> None:
    assert processes.start_ticks(STAT.replace(" S ", " Z ")) is None


def test_a_running_process_is_alive() -> None:
    assert processes.is_alive(this_process())


def test_a_recycled_pid_is_another_process() -> None:
    ours = this_process()
    assert not processes.is_alive(dataclasses.replace(ours, start=ours.start - 1))
    assert not processes.is_alive(dataclasses.replace(ours, boot="the boot before"))
    assert not processes.is_alive(None)


def test_nothing_of_an_earlier_boot_is_ended() -> None:
    processes.end(dataclasses.replace(this_process(), boot="the boot before"))


def test_cgroup2_is_found_beside_version_1() -> None:
    mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    assert processes.cgroup2_mount(mounts) == "/sys/fs/cgroup/unified"
    assert processes.cgroup2_mount("proc /proc proc rw 0 0\n") is None


def test_waiting_has_an_end() -> None:
    assert processes.wait_until(lambda: True, 0)
    assert not processes.wait_until(lambda: False, 0.01, step=0.001)
