"""Starting processes that outlive this command, each in a cgroup of its own, and ending them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.common import LabError
from lab.state import Process

# A shell moves itself into the cgroup and then becomes the program: no moment in which
# the program could start a child outside.
_ENTER = 'echo 0 >"$0/cgroup.procs" && exec "$@"'


def boot_id() -> str:
    """Changes at every start of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(stat: str) -> int | None:
    """Start time from the text of /proc/PID/stat, in clock ticks; None when it is a zombie."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _start_of(pid: int) -> int | None:
    try:
        return start_ticks(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(process: Process | None) -> bool:
    """Whether that very process runs, not another one that was given its pid later."""
    if process is None or process.boot != boot_id():
        return False
    return _start_of(process.pid) == process.start


def cgroup2_mount(mounts: str) -> str | None:
    """The first cgroup2 mount point in the text of /proc/mounts."""
    for line in mounts.splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return fields[1]
    return None


def cgroup(name: str) -> Path:
    """The directory of the lab's cgroup of that name; it need not exist. LabError: no cgroup2."""
    mount = cgroup2_mount(Path("/proc/mounts").read_text(encoding="utf-8"))
    if mount is None:
        raise LabError("no cgroup2 file system is mounted: the lab cannot tell its hosts apart")
    return Path(mount) / "tds-lab" / name


def spawn(argv: Sequence[str], group: Path, log: Path, env: Mapping[str, str] | None = None) -> Process:
    """Starts a program in a session and in a cgroup of its own; its output goes to `log`."""
    group.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _ENTER, str(group), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **(env or {})},
        )
    start = _start_of(child.pid)
    if start is None:
        raise LabError(f"{argv[0]} ended as soon as it was started; see {log}")
    # It is left running on purpose: Python must not warn about it when the object goes.
    child.returncode = 0
    return Process(child.pid, start, boot_id(), str(group))


def end(process: Process, *, timeout: float = 10) -> None:
    """Kills everything in the process's cgroup, at once, and removes the cgroup.

    `timeout` is in seconds. LabError when something survives it.
    """
    if process.boot != boot_id():
        return
    end_group(Path(process.cgroup), timeout=timeout)
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    if not wait_until(lambda: not is_alive(process), timeout):
        raise LabError(f"process {process.pid} did not end in {timeout:.0f} s")


def end_group(group: Path, *, timeout: float = 10) -> None:
    """Kills everything in a cgroup of the lab's and removes it; nothing when it is not there.

    `timeout` is in seconds. LabError when something survives it.
    """
    with contextlib.suppress(FileNotFoundError):
        (group / "cgroup.kill").write_text("1", encoding="ascii")
    if not wait_until(lambda: not populated(group), timeout):
        raise LabError(f"processes in {group} did not end in {timeout:.0f} s")
    remove_cgroup(group)


def populated(group: Path) -> bool:
    """Whether a process lives in the cgroup or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def remove_cgroup(group: Path) -> None:
    """Removes an empty cgroup with all that is below it, and the lab's own when it was the last."""
    for directory, _, _ in os.walk(group, topdown=False):
        _remove_when_empty(Path(directory))
    with contextlib.suppress(OSError):
        group.parent.rmdir()


def _remove_when_empty(group: Path) -> None:
    # A cgroup stays busy for a moment after its last process has gone.
    if not wait_until(lambda: _rmdir(group), 2):
        raise LabError(f"the cgroup {group} cannot be removed")


def _rmdir(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], timeout: float, step: float = 0.02) -> bool:
    """Asks until the condition holds, `step` seconds apart; False after `timeout` seconds."""
    limit = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(step)
    return True
