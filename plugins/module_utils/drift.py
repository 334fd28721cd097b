"""How one file differs from what the manifest says of it."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from .plan import FileFact


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def drift_of_file(path: Path, fact: FileFact, gid: int) -> str | None:
    """How one file differs from its fact, in words; ``None`` when it does not."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "is missing"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if sha256(path.read_bytes()) != fact.sha256:
        return "was edited by hand"
    return drift_of_mode(path, int(fact.mode, 8), gid)


def drift_of_mode(path: Path, mode: int, gid: int) -> str | None:
    """How mode and owner differ from root's and those wanted, in words; ``None`` when they do not."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "is missing"
    if (actual := stat.S_IMODE(status.st_mode)) != mode:
        return f"mode is {actual:04o} instead of {mode:04o}"
    if (status.st_uid, status.st_gid) != (0, gid):
        return f"owner is {status.st_uid}:{status.st_gid} instead of 0:{gid}"
    return None
