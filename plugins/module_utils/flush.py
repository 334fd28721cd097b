"""How old what is written may become before the kernel has it on the disk: what a power cut takes.

Prometheus syncs a segment of its log when it is full, which is minutes; until then the log is the kernel's, whose own
values let it wait for 30 s, and look each five (``vm.dirty_expire_centisecs``, ``vm.dirty_writeback_centisecs``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .durable import fsync_path, write_durable
from .reading import read

FILE = Path("etc/sysctl.d/60-tds-storage.conf")
KERNEL = Path("proc/sys/vm")
LOOKS_CENTISECONDS = 100


def settings(seconds: int) -> dict[str, str]:
    """Of the kernel, by name below ``vm.``; none for 0, which leaves it its own."""
    return (
        {
            "dirty_expire_centisecs": str(100 * seconds),
            "dirty_writeback_centisecs": str(LOOKS_CENTISECONDS),
        }
        if seconds
        else {}
    )


def text_of(wanted: Mapping[str, str]) -> str:
    return "".join(f"vm.{name} = {value}\n" for name, value in wanted.items())


def drift(seconds: int, root: Path = Path("/")) -> list[str]:
    """How file and kernel differ from what is wanted. A container's kernel is not its own, and not asked."""
    wanted = settings(seconds)
    found = []
    if read(root / FILE) != text_of(wanted):
        found.append(f"/{FILE} is {'another' if wanted else 'not wanted'}")
    for name, value in wanted.items():
        file = root / KERNEL / name
        if os.access(file, os.W_OK) and read(file).strip() != value:
            found.append(f"vm.{name} is {read(file).strip()}")
    return found


def put(seconds: int, root: Path = Path("/")) -> None:
    """At once, and at each boot.

    Raises:
        OSError: the kernel does not take it.
    """
    wanted = settings(seconds)
    if wanted:
        (root / FILE).parent.mkdir(exist_ok=True)
        write_durable(root / FILE, text_of(wanted).encode(), 0o644)
    elif (root / FILE).exists():
        (root / FILE).unlink()
        fsync_path((root / FILE).parent)
    for name, value in wanted.items():
        file = root / KERNEL / name
        if os.access(file, os.W_OK):
            file.write_text(value, encoding="ascii")
