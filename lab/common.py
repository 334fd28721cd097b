"""What every part of the lab shares: its error, its paths, its progress lines, running a command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class LabError(Exception):
    """Something that the person at the keyboard can act on; the text says what and how."""


@dataclass(frozen=True)
class Paths:
    """Where the lab keeps things: `home` is state, `cache` can be deleted when no lab is up."""

    home: Path
    cache: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Paths:
        """TDS_LAB_HOME and TDS_LAB_CACHE, else the places under /var."""
        home = environment.get("TDS_LAB_HOME") or "/var/lib/tds-lab"
        cache = environment.get("TDS_LAB_CACHE") or "/var/cache/tds-lab"
        return cls(Path(home).absolute(), Path(cache).absolute())

    @property
    def state(self) -> Path:
        return self.home / "state.json"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def services(self) -> Path:
        return self.home / "services"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def packages(self) -> Path:
        """The apt proxy's cache."""
        return self.cache / "packages"

    @property
    def artifacts(self) -> Path:
        """What the mirror serves."""
        return self.cache / "artifacts"

    @property
    def guest_files(self) -> Path:
        """Trees that are laid over every new host, one directory per component."""
        return self.cache / "guest-files"

    def lab(self, lab: str) -> Path:
        return self.home / "labs" / lab

    def keys(self, lab: str) -> Path:
        return self.lab(lab) / "ssh"

    def private_key(self, lab: str) -> Path:
        return self.keys(lab) / "id_ed25519"

    def known_hosts(self, lab: str) -> Path:
        return self.keys(lab) / "known_hosts"

    def host(self, lab: str, host: str) -> Path:
        return self.lab(lab) / "hosts" / host


def repository() -> Path:
    """The checkout that this package is part of."""
    return Path(__file__).resolve().parent.parent


def architecture() -> str:
    """Debian's and Go's name of this machine's architecture."""
    machine = platform.machine()
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise LabError(f"the lab knows no release archives for {machine}") from None


class Progress:
    """Prints lines that begin with the seconds since it was made; safe to use from threads."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock:
            print(f"[{time.monotonic() - self._began:6.1f} s] {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str], *, timeout: float = 60, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must succeed.

    `timeout` is in seconds. Raises LabError with the command and its own words when it fails.
    """
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=env, check=False
        )
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed; run lab/setup") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(argv)}` gave no answer in {timeout:.0f} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"`{' '.join(argv)}` failed with {done.returncode}: {words}")
    return done.stdout


def mount_points(mountinfo: str | None = None) -> list[str]:
    """Of this process, in the order that they were mounted in; of a text of mountinfo(5) when one is given.

    No path of the lab has a character that the kernel escapes there.
    """
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    return [line.split()[4] for line in text.splitlines()]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns that line up, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
