"""What a kind of host has to be able to do: `nspawn.py` makes containers, `qemu.py` virtual machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.state import Process


@dataclass(frozen=True)
class Guest:
    """All that a kind needs to know of one host."""

    name: str
    machine: str
    """Short name, unique on this machine."""
    address: str
    directory: Path
    """Its own files on this machine: disks, console log."""
    image: Path
    """Root directory of the base image; never written to."""
    public_key: str
    """The line for authorized_keys, of root and of the user that is not root."""
    host_key: Path
    """The private ed25519 key of its SSH server, with `.pub` beside it."""
    neighbours: Mapping[str, str]
    """{host name: address} of all hosts of the lab, itself included."""
    extra_files: Path
    """Each directory in here is a tree to lay over the new host's root."""
    disk: str
    """Size of its extra disk as `truncate` takes it, empty for none."""
    memory: str
    """Size of its memory, such as 3G, where the kind has one; empty for the kind's default."""


class HostKind(Protocol):
    """Makes, starts, cuts and removes hosts. Every method may be repeated; errors are LabError."""

    boot_timeout_s: float
    """For a boot, and for a shutdown, on a machine that is busy."""

    def prepare(self, guest: Guest) -> None:
        """Makes the host's root file system when it is not there, and tells it its neighbours."""

    def start(self, guest: Guest) -> Process:
        """Starts a host that does not run; returns when the process is there, not the system."""

    def boots(self, guest: Guest) -> int:
        """How often its system was started so far."""

    def disk_device(self, guest: Guest) -> str:
        """The path of the extra disk as the host sees it, empty when it has none."""

    def cut(self, guest: Guest, process: Process | None) -> None:
        """Takes its power away: nothing in it is told, no file is flushed."""

    def journal(self, guest: Guest) -> str:
        """What a host that does not run had logged: its journal, else its console."""

    def remove(self, guest: Guest) -> None:
        """Removes everything that `prepare` made; the host does not run."""
