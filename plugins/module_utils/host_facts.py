"""What a host is, as far as this monitoring needs to know it; reading changes nothing that lasts."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import open_url

from . import block
from .proof import get
from .reading import read

FSYNCS = 5
FSYNC_BYTES = 4096
ANSWER_SECONDS = 5.0
LISTENING = "0A"
RUNNING = {
    "samples_per_second": (
        "sum(sum by (job) (scrape_samples_post_metric_relabeling) / on (job) job:scrape_interval_seconds)"
    ),
    "series": "max(prometheus_tsdb_head_series)",
    "block_bytes": (
        "max(prometheus_tsdb_compaction_chunk_size_bytes_sum / (prometheus_tsdb_compaction_chunk_samples_sum > 0))"
    ),
}
"""Of a running Prometheus: what it takes in, what its head holds, and bytes of one sample in the blocks it wrote."""
STA_UNSYNC, TIME_ERROR = 0x40, 5
TIME_DAEMONS = ("chronyd", "ntpd", "phc2sys", "ptp4l", "systemd-timesyn", "timemaster")
"""As the kernel names their processes, in 15 letters. ntpd is that of ntp, ntpsec and openntpd."""


def facts(
    path: str,
    device: str,
    ports: Iterable[int],
    names: Iterable[str],
    archives: Mapping[str, Mapping[str, str]],
    prometheus: Mapping[str, Any] | None = None,
    root: Path = Path("/"),
) -> dict[str, Any]:
    """Everything, in plain types. Sizes are bytes, times are seconds.

    Args:
        path: where data will be; the nearest directory that exists stands for it.
        device: a disk of its own for that; empty for none.
        ports: TCP ports whose listeners are told.
        names: of other hosts, to look up here.
        archives: by daemon, ``version`` and ``url`` (or path) of its release; one that is installed is not asked for.
        prometheus: ``url`` of the Prometheus that runs here, if one does, and ``tls`` (``ca``, ``client``) to ask it.
        root: where ``/proc``, ``/sys`` and ``/etc`` are; for tests.
    """
    return {
        "machine": platform.machine(),
        "system": system(root),
        "systemd": systemd(),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_numbers": cpu_numbers(root),
        "memory_bytes": memory(root),
        "cgroup": cgroup(root),
        "clock": clock(),
        "time_daemons": time_daemons(root),
        "disk": disk(Path(path), root),
        "storage": block.look(device, root),
        "listeners": listeners(set(ports), root),
        "names": {name: addresses(name) for name in names},
        "archives": {
            daemon: answer(archive["url"])
            for daemon, archive in archives.items()
            if not (root / "opt/tds" / daemon / "releases" / archive["version"]).exists()
        },
        "prometheus": running(prometheus["url"], prometheus.get("tls")) if prometheus else {},
    }


def system(root: Path) -> dict[str, str]:
    """``id`` and ``release`` (the code name; a testing release has no number) of ``/etc/os-release``."""
    lines = read(root / "etc/os-release").splitlines()
    found = {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}
    return {"id": found.get("ID", ""), "release": found.get("VERSION_CODENAME") or found.get("VERSION_ID", "")}


def systemd() -> int:
    """Version; 0 where there is none."""
    try:
        shown = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(match[1]) if (match := re.match(r"systemd (\d+)", shown)) else 0


def cpu_numbers(root: Path) -> dict[str, str]:
    """Lists of CPUs, such as ``0-3,8``: ``online``, and ``isolated``, which the kernel keeps for chosen threads."""
    cpus = root / "sys/devices/system/cpu"
    isolated = [read(cpus / name).strip() for name in ("isolated", "nohz_full")]
    return {
        "online": read(cpus / "online").strip(),
        "isolated": ",".join(text for text in isolated if text and text != "(null)"),  # of nohz_full, without one
    }


def memory(root: Path) -> int:
    """RAM of the host, or of the container that this is."""
    match = re.search(r"^MemTotal:\s+(\d+) kB$", read(root / "proc/meminfo"), re.MULTILINE)
    return 1024 * int(match[1]) if match else 0


def cgroup(root: Path) -> dict[str, Any]:
    """Version of the hierarchy that systemd uses, and the controllers in it."""
    controllers = root / "sys/fs/cgroup/cgroup.controllers"
    return {"version": 2 if controllers.exists() else 1, "controllers": read(controllers).split()}


class _Timex(ctypes.Structure):
    """The beginning of the kernel's ``struct timex``; what follows is only written to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock() -> dict[str, Any]:
    """Whether the kernel says that something keeps its clock, how wrong it can be, and the time that it is."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    kept = 0 <= state != TIME_ERROR and not timex.status & STA_UNSYNC
    return {"synchronised": kept, "max_error": timex.maxerror / 1e6 if kept else None, "time": time.time()}


def time_daemons(root: Path) -> list[str]:
    """Those that run, by the names of their processes."""
    running = {read(process / "comm").strip() for process in root.glob("proc/[0-9]*")}
    return sorted(running.intersection(TIME_DAEMONS))


def disk(path: Path, root: Path) -> dict[str, Any]:
    """The filesystem that ``path`` is, or will be, on, and how long an fsync there takes."""
    there = next(parent for parent in (path, *path.parents) if parent.is_dir())
    mount = _mount(there, read(root / "proc/self/mountinfo"))
    size = os.statvfs(there)
    return {
        **mount,
        "size_bytes": size.f_blocks * size.f_frsize,
        "fsync_seconds": fsync_seconds(there),
    }


def _mount(path: Path, mountinfo: str) -> dict[str, Any]:
    """Of the lines of mountinfo(5): the deepest mount point above a path; of two, the later hides the other."""
    best = block.Mount("", "/", [], "", "")
    for mount in block.mounts(mountinfo):
        at = Path(mount.point)
        if (at == path or at in path.parents) and len(at.parts) >= len(Path(best.point).parts):
            best = mount
    return {"mount": best.point, "filesystem": best.filesystem, "options": best.options}


def fsync_seconds(directory: Path) -> float | None:
    """Median of a few; ``None`` where there can be no file without a name, or none at all."""
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError:
        return None
    try:
        return statistics.median(_fsync(file) for _ in range(FSYNCS))
    except OSError:
        return None
    finally:
        os.close(file)


def _fsync(file: int) -> float:
    os.write(file, b"\0" * FSYNC_BYTES)
    began = time.monotonic()
    os.fsync(file)
    return time.monotonic() - began


def listeners(ports: set[int], root: Path) -> dict[str, dict[str, str]]:
    """By port, the program (``exe``) and the name of the process that listens; both empty for the kernel's own."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in read(root / "proc/self/net" / table).splitlines()[1:]:
            words = line.split()
            port = int(words[1].rpartition(":")[2], 16)
            if words[3] == LISTENING and port in ports:
                inodes[f"socket:[{words[9]}]"] = str(port)
    found = {port: {"exe": "", "name": ""} for port in inodes.values()}
    if inodes:
        for process in root.glob("proc/[0-9]*"):
            for link in _descriptors(process):
                if link in inodes:
                    found[inodes[link]] = {"exe": _program(process), "name": read(process / "comm").strip()}
    return found


def _program(process: Path) -> str:
    """The file that a process runs: of a Python program that is the program, as the kernel has handed it over."""
    program = _link(process / "exe")
    if PurePath(program).name.startswith("python"):
        words = read(process / "cmdline").split("\0")
        return next((word for word in words[1:3] if word.startswith("/")), program)
    return program


def _descriptors(process: Path) -> Sequence[str]:
    try:
        return [_link(descriptor) for descriptor in (process / "fd").iterdir()]
    except OSError:  # it has ended
        return []


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


def addresses(name: str) -> list[str]:
    """What a name means on this host; empty for one that nobody knows."""
    with suppress(OSError):
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    return []


def answer(url: str) -> str:
    """What is wrong with an archive's URL; empty for nothing, and for a path, which is the controller's to see."""
    if "://" not in url:
        return ""
    try:
        with open_url(url, method="HEAD", timeout=ANSWER_SECONDS):
            return ""
    except HTTPError as error:
        return f"HTTP {error.code}"
    except (URLError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def running(url: str, tls: Mapping[str, Any] | None) -> dict[str, float]:
    """What a Prometheus says of itself (RUNNING); empty for one that does not answer, or has nothing to say yet."""
    named = (f'label_replace({query}, "what", "{what}", "", "")' for what, query in RUNNING.items())
    try:
        answer = get(f"{url}/api/v1/query?{urlencode({'query': ' or '.join(named)})}", tls)
        found = json.loads(answer)["data"]["result"]
        return {row["metric"]["what"]: float(row["value"][1]) for row in found}
    except (OSError, ValueError, KeyError):
        return {}
