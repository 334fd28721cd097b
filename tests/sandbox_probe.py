"""Tries what a sandbox forbids, and says what it was able to do. Runs on a lab host, inside a daemon's sandbox.

Prints one JSON object: what it could do, what it could not and why, where it can write, and what the kernel says of the
process. The arguments are files to read, each of them one attempt.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
FAMILIES = {
    "inet": (socket.AF_INET, socket.SOCK_STREAM),
    "inet6": (socket.AF_INET6, socket.SOCK_STREAM),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW),
}
PLANTED = Path("/usr/local/lib/sandbox_probe")
"""Where the test has put a device, a setuid program and one of another architecture."""
RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
RIGHTS = re.compile(r"^(Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp\w*):[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def call(function: str, *arguments: object) -> None:
    if getattr(LIBC, function)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_another_user() -> None:
    os.setresuid(1, 1, 1)


def run_a_setuid_program() -> None:
    """The planted `id` is root's and setuid."""
    shown = subprocess.run([PLANTED / "id", "-u"], capture_output=True, text=True, check=True).stdout
    if shown != "0\n":
        raise PermissionError(f"it runs as {shown.strip()}")


def run_a_program_of_another_architecture() -> None:
    subprocess.run([PLANTED / "i386"], check=True)


def make_a_file_setuid() -> None:
    os.fchmod(os.memfd_create("probe"), 0o4755)


def give_a_file_away() -> None:
    """To itself: who may not even do that may not call chown at all."""
    os.fchown(os.memfd_create("probe"), os.getuid(), os.getgid())


def have_memory_that_is_written_and_run() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=RWX).close()


def be_another_system() -> None:
    call("personality", 0x0008)  # PER_LINUX32


def trace_processes() -> None:
    call("ptrace", 0, 0, None, None)


def ask_for_less_cpu() -> None:
    os.nice(1)


def mount_a_filesystem() -> None:
    call("mount", b"probe", b"/mnt", b"tmpfs", 0, None)
    call("umount", b"/mnt")


def set_a_kernel_tunable() -> None:
    tunable = Path("/proc/sys/net/ipv4/ip_default_ttl")
    tunable.write_text(tunable.read_text())


def make_a_control_group() -> None:
    group = Path("/sys/fs/cgroup/sandbox_probe")
    group.mkdir()
    group.rmdir()


def make_a_device() -> None:
    os.mknod("sandbox_probe", stat.S_IFCHR | 0o600, os.makedev(1, 7))
    Path("sandbox_probe").unlink()


def open_a_device_of_the_host() -> None:
    os.close(os.open("/dev/sandbox_probe", os.O_RDONLY))


def rename_the_host() -> None:
    socket.sethostname(socket.gethostname())


def run_in_real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def see_processes_of_others() -> None:
    """Of any other user, but for init, which is a case of its own."""
    numbers = [path for path in Path("/proc").glob("[0-9]*") if path.name != "1"]
    if not any(path.stat().st_uid != os.getuid() for path in numbers):
        raise PermissionError


def see_the_kernel_modules() -> None:
    list(Path("/usr/lib/modules/sandbox_probe").iterdir())


ATTEMPTS: list[Callable[[], None]] = [
    become_another_user,
    run_a_setuid_program,
    run_a_program_of_another_architecture,
    make_a_file_setuid,
    give_a_file_away,
    have_memory_that_is_written_and_run,
    be_another_system,
    trace_processes,
    ask_for_less_cpu,
    mount_a_filesystem,
    set_a_kernel_tunable,
    make_a_control_group,
    make_a_device,
    open_a_device_of_the_host,
    rename_the_host,
    run_in_real_time,
    see_processes_of_others,
    see_the_kernel_modules,
]


def attempts(to_read: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    for action in ATTEMPTS:
        yield action.__name__.replace("_", " "), action
    for name, (family, kind) in FAMILIES.items():
        yield f"open a socket: {name}", partial(socket.socket, family, kind)
    for name, flag in NAMESPACES.items():
        yield f"make a namespace: {name}", partial(call, "unshare", flag)
    for path in to_read:
        yield f"read {path}", Path(path).read_bytes


def stopped_by(action: Callable[[], object]) -> str:
    """What an action failed of, empty when it did not; in a process of its own, for it may change the process."""
    receiver, sender = os.pipe()
    if child := os.fork():
        os.close(sender)
        with os.fdopen(receiver) as answer:
            words = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return words if status == 0 else f"killed by signal {-status}"
    words = ""
    try:
        action()
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        words = repr(error)
    os.write(sender, words.encode())
    os._exit(0)


def writable() -> list[str]:
    """The directories in which it can make a file; all that it can see, but for the kernel's own."""
    found = []
    for directory, below, _files in os.walk("/"):
        if directory == "/":
            below[:] = [name for name in below if name not in ("proc", "sys")]
        file = Path(directory, ".sandbox_probe")
        try:
            file.touch(exist_ok=False)
            file.unlink()
        except OSError:
            continue
        found.append(directory)
    return found


def main() -> None:
    answers = {name: stopped_by(action) for name, action in attempts(sys.argv[1:])}
    shown = {
        "done": sorted(name for name, words in answers.items() if not words),
        "refused": {name: words for name, words in answers.items() if words},
        "writable": writable(),
        "umask": f"{os.umask(0):04o}",
        "namespaces": {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()},
        "rights": dict(RIGHTS.findall(Path("/proc/self/status").read_text())),
        "mounts": Path("/proc/self/mountinfo").read_text(),
    }
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
