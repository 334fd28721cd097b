"""What a block device is, holds and does, and what is mounted; reading changes nothing."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .reading import read
from .storage import LABEL, MOUNT

JOURNAL = Path("opt/tds/storage/making")
"""One file for each formatting that was begun and is not over, named by the UUID of the filesystem."""
OWN_LINKS = "/etc/prometheus"
COMMAND_SECONDS = 60
BEGINNING = 2**20
SHOWN = 5
XFS_IOC_FSGEOMETRY_V1 = 0x80705864


class Mount(NamedTuple):
    """One line of mountinfo(5)."""

    number: str
    point: str
    options: list[str]
    filesystem: str
    source: str


def look(device: str, root: Path = Path("/")) -> dict[str, Any]:
    """What there is to know before a device is used; nothing for an empty name. Sizes are bytes.

    ``path`` is empty when there is no such device; ``holds`` names what is on it, and is empty for a blank one.
    """
    if not device:
        return {}
    path, every = Path(device), mounted(root)
    here = next((mount for mount in reversed(every) if mount.point == MOUNT), None)
    at = root / MOUNT[1:]
    seen: dict[str, Any] = {
        "path": str(path.resolve()) if path.exists() else "",
        "block": path.is_block_device(),
        "mounted": here._asdict() if here else {},
        "crooked": "a link" if at.is_symlink() else "no directory" if at.exists() and not at.is_dir() else "",
        "hidden": [] if here else hidden(at),
        "making": [json.loads(file.read_text()) for file in sorted((root / JOURNAL).glob("*.json"))],
        "unreadable": "",
    }
    if seen["block"]:
        try:
            seen |= _of_disk(path.resolve(), every, root)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            seen["unreadable"] = (getattr(error, "stderr", "") or str(error)).strip()
    return seen


def _of_disk(path: Path, every: list[Mount], root: Path) -> dict[str, Any]:
    number = _number(path)
    system = root / "sys/dev/block" / number
    partitions = sorted(entry.parent.name for entry in system.glob("*/partition"))
    numbers = {number, *(read(system / name / "dev").strip() for name in partitions)}
    size = 512 * int(read(system / "size"))
    signatures = _signatures(path)
    users = [f"mounted at {mount.point}" for mount in every if mount.number in numbers or mount.source == str(path)]
    users += [f"part of {holder.name}" for holder in sorted(system.glob("holders/*"))]
    users += ["swap" for line in read(root / "proc/swaps").splitlines() if line.split()[0] == str(path)]
    ours = next((found["type"] for found in signatures if found["label"] == LABEL), "")
    at = MOUNT if any(mount.number == number and mount.point == MOUNT for mount in every) else ""
    return {
        "number": number,
        "size_bytes": size,
        "disk": f"{_serial(system) or path} of {size} bytes",
        "read_only": read(system / "ro").strip() != "0",
        "partitions": partitions,
        "users": users,
        "busy": _is_busy(path),
        "signatures": signatures,
        "holds": _holds(path, signatures),
        "filesystem_bytes": filesystem_bytes(path, ours, at) if ours else 0,
    }


def mounted(root: Path = Path("/")) -> list[Mount]:
    """All mounts; of two at one place, the later hides the other."""
    return list(mounts(read(root / "proc/self/mountinfo")))


def mounts(mountinfo: str) -> Iterator[Mount]:
    """Of a text of mountinfo(5)."""
    for line in mountinfo.splitlines():
        words, _, after = line.partition(" - ")
        number, _root, point, options = words.split()[2:6]
        filesystem, source, superblock = after.split(maxsplit=2)
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        yield Mount(number, point, sorted({*options.split(","), *superblock.split(",")}), filesystem, source)


def hidden(at: Path) -> list[str]:
    """What a mount would hide that is neither a link into our configuration nor an empty directory; the first few."""
    if at.is_symlink() or not at.is_dir():
        return []
    found = [str(entry) for entry in sorted(at.iterdir()) if _is_data(entry)]
    return found[:SHOWN] + ["..."] * (len(found) > SHOWN)


def _is_data(entry: Path) -> bool:
    if entry.is_symlink():
        return not str(entry.readlink()).startswith(OWN_LINKS)
    return not entry.is_dir() or any(files for _, _, files in os.walk(entry))


def filesystem_bytes(path: Path, filesystem: str, mounted_at: str) -> int:
    """Size of our ext4 or XFS: of XFS the kernel's word while it is mounted, whose superblock on disk is late."""
    if filesystem == "xfs" and mounted_at:
        directory = os.open(mounted_at, os.O_RDONLY)
        try:
            geometry = fcntl.ioctl(directory, XFS_IOC_FSGEOMETRY_V1, bytes(112))
        finally:
            os.close(directory)
        return int(struct.unpack_from("=I", geometry)[0] * struct.unpack_from("=Q", geometry, 32)[0])
    with path.open("rb") as disk:
        start = disk.read(4096)
    if filesystem == "xfs":
        return int(struct.unpack_from(">I", start, 4)[0] * struct.unpack_from(">Q", start, 8)[0])
    low, log_size = (struct.unpack_from("<I", start, 1024 + offset)[0] for offset in (4, 24))
    return int((low + (struct.unpack_from("<I", start, 1024 + 0x150)[0] << 32)) << (10 + log_size))


def _number(path: Path) -> str:
    device = path.stat().st_rdev
    return f"{os.major(device)}:{os.minor(device)}"


def _serial(system: Path) -> str:
    """What tells two disks of a size apart; empty where the hardware does not say."""
    for disk in (system, system.resolve().parent):  # a partition has its disk above it
        for name in ("wwid", "device/wwid", "device/serial", "serial"):
            if serial := read(disk / name).strip():
                return serial
    return ""


def _is_busy(path: Path) -> bool:
    """Whether the kernel has it claimed: mounted in whatever namespace, swap, or part of a volume or an array."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return True
    return False


def _signatures(path: Path) -> list[dict[str, str]]:
    """All that wipefs knows of: filesystems, partition tables, swap, members of volumes and arrays."""
    shown = _output("wipefs", "--no-act", "--json", str(path))
    found = json.loads(shown or "{}").get("signatures") or []
    return [{key: entry.get(key) or "" for key in ("type", "label", "uuid", "offset")} for entry in found]


def _holds(path: Path, signatures: list[dict[str, str]]) -> str:
    """A name for what is on a disk, which no other shares: a UUID, else a hash of its beginning; empty when blank."""
    if uuid := next((found["uuid"] for found in signatures if found["uuid"]), ""):
        return uuid
    if signatures and (table := _table_uuid(path)):
        return table
    with path.open("rb") as disk:
        beginning = disk.read(BEGINNING)
    if not signatures and not beginning.strip(b"\0"):
        return ""
    return f"data-{hashlib.sha256(beginning).hexdigest()[:12]}"


def _table_uuid(path: Path) -> str:
    """Of a partition table; blkid fails where it finds too much."""
    shown = _output("blkid", "-p", "-o", "export", str(path), check=False)
    return match[1] if (match := re.search("^PTUUID=(.+)$", shown, re.MULTILINE)) else ""


def _output(*command: str, check: bool = True) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=COMMAND_SECONDS).stdout
