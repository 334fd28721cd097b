"""How old what is written may become before the kernel has it on the disk: what a power cut takes.

Prometheus syncs a segment of its log when it is full, which is minutes; until then the log is the kernel's, whose own
values let it wait for 30 s, and look each five (``vm.dirty_expire_centisecs``, ``vm.dirty_writeback_centisecs``). XFS
then has the bytes on the disk, and in its own log, for 30 s more, that the file is as long as that
(``fs.xfs.xfssyncd_centisecs``); ext4 says so each 5 s, by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .durable import fsync_path, write_durable
from .reading import read

FILE = Path("etc/sysctl.d/60-tds-storage.conf")
MODULES = Path("etc/modules-load.d/60-tds-storage.conf")
KERNEL = Path("proc/sys")
LOOKS_CENTISECONDS = 100


def settings(seconds: int, *, xfs: bool) -> dict[str, str]:
    """Of the kernel, by name; none for 0 seconds, which leaves it its own."""
    if not seconds:
        return {}
    wanted = {
        "vm.dirty_expire_centisecs": str(100 * seconds),
        "vm.dirty_writeback_centisecs": str(LOOKS_CENTISECONDS),
    }
    return wanted | ({"fs.xfs.xfssyncd_centisecs": str(100 * seconds)} if xfs else {})


def _wanted(seconds: int, root: Path) -> tuple[dict[str, str], dict[Path, str]]:
    """The kernel's settings, and the files that set them at each boot, where an empty one is none.

    The kernel has XFS' settings once it has XFS, which at a boot is later than they are set, unless it is asked for.
    """
    wanted = settings(seconds, xfs=_file(root, "fs.xfs.xfssyncd_centisecs").exists())
    text = "".join(f"{name} = {value}\n" for name, value in wanted.items())
    return wanted, {FILE: text, MODULES: "xfs\n" if "xfs" in text else ""}


def _file(root: Path, name: str) -> Path:
    return root / KERNEL / name.replace(".", "/")


def drift(seconds: int, root: Path = Path("/")) -> list[str]:
    """How files and kernel differ from what is wanted. A container's kernel is not its own, and not asked."""
    wanted, files = _wanted(seconds, root)
    found = [
        f"/{file} is {'another' if text else 'not wanted'}" for file, text in files.items() if read(root / file) != text
    ]
    for name, value in wanted.items():
        file = _file(root, name)
        if os.access(file, os.W_OK) and read(file).strip() != value:
            found.append(f"{name} is {read(file).strip()}")
    return found


def put(seconds: int, root: Path = Path("/")) -> None:
    """At once, and at each boot.

    Raises:
        OSError: the kernel does not take it.
    """
    wanted, files = _wanted(seconds, root)
    for path, text in files.items():
        _put_file(root / path, text)
    _put_kernel(wanted, root)


def _put_file(file: Path, text: str) -> None:
    if text:
        file.parent.mkdir(exist_ok=True)
        write_durable(file, text.encode(), 0o644)
    elif file.exists():
        file.unlink()
        fsync_path(file.parent)


def _put_kernel(wanted: Mapping[str, str], root: Path) -> None:
    for name, value in wanted.items():
        file = _file(root, name)
        if os.access(file, os.W_OK):
            file.write_text(value, encoding="ascii")
