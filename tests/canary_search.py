"""Looks for secrets wherever a host would show one; `canary.py` sends it to a lab host, where root runs it.

The secrets come with the program, on standard input: they are in no argument and no file of it.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

# The kernel's own, and what Debian's packages bring. /dev/shm is looked through for itself.
LEFT_OUT = {"/proc", "/sys", "/dev", "/usr"}
BEGIN_AT = ("/", "/dev/shm", "/usr/local")  # noqa: S108  of a lab host


def processes() -> Iterator[tuple[str, bytes]]:
    for directory in Path("/proc").glob("[0-9]*"):
        for file, name in (("cmdline", "arguments"), ("environ", "environment")):
            try:
                yield f"the {name} of {(directory / 'comm').read_text().strip()}", (directory / file).read_bytes()
            except OSError:  # it has ended
                continue


def systemd() -> Iterator[tuple[str, bytes]]:
    for verb in ("show", "cat"):
        yield f"systemctl {verb}", output("systemctl", verb, "--no-pager", "--all", "*")
    yield "the environment of systemd", output("systemctl", "show-environment")


def journal() -> Iterator[tuple[str, bytes]]:
    yield "the journal", output("journalctl", "--no-pager", "--all", "--output=export")


def output(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=False).stdout


def files(allowed: list[str]) -> Iterator[tuple[str, bytes]]:
    """All but those that may hold it; of them only what everybody can read."""
    for place in BEGIN_AT:
        for path, everybody in below(Path(place), everybody=True):
            if everybody:
                yield f"{path}, which everybody can read", path.read_bytes()
            elif not any(fnmatch(str(path), pattern) for pattern in allowed):
                yield str(path), path.read_bytes()


def below(directory: Path, *, everybody: bool) -> Iterator[tuple[Path, bool]]:
    """The files below a directory, and whether everybody gets to them and can read them."""
    for entry in os.scandir(directory):
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and entry.path not in LEFT_OUT:
                yield from below(Path(entry.path), everybody=everybody and bool(mode & stat.S_IXOTH))
            elif stat.S_ISREG(mode):
                yield Path(entry.path), everybody and bool(mode & stat.S_IROTH)
        except FileNotFoundError:
            continue


def search(secrets: list[str], allowed: list[str]) -> None:
    found = []
    for places in (processes(), systemd(), journal(), files(allowed)):
        for place, content in places:
            found += [(secret, place) for secret in secrets if secret.encode() in content]
    print(json.dumps(found))
