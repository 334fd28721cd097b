"""What the lab has started, on disk: `down` ends what is recorded here and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab import addresses
from lab.common import LabError, Paths


@dataclass
class Process:
    """A process that the lab started; a recycled pid differs in `start` or in `boot`."""

    pid: int
    start: int
    """Start time in clock ticks since the machine's boot, /proc/PID/stat's field 22."""
    boot: str
    """The machine's boot id when it was started."""
    cgroup: str
    """The cgroup2 directory that holds it and all its children, and nothing else."""


@dataclass
class Host:
    """One host of a lab; `process` is None while it was never started or has been cut."""

    index: int
    process: Process | None = None
    disk: str = ""
    """Size of its extra disk as `truncate` takes it, empty for none."""
    device: str = ""
    """Where the host finds that disk, for example /dev/loop8."""
    memory: str = ""
    """Size of a virtual machine's memory, empty for the default."""


@dataclass
class Lab:
    """One lab; `since` is the Unix time of its first `up`, from which traffic is counted."""

    number: int
    suite: str
    image: str
    since: float
    hosts: dict[str, Host] = field(default_factory=dict)
    kind: str = "container"
    """One of operations.KINDS."""

    def address(self, host: str) -> str:
        return addresses.address(self.number, self.hosts[host].index)

    def machine(self, host: str) -> str:
        return addresses.machine(self.number, self.hosts[host].index)

    def addresses(self) -> dict[str, str]:
        """{host name: address} of all hosts, by index."""
        names = sorted(self.hosts, key=lambda name: self.hosts[name].index)
        return {name: self.address(name) for name in names}


@dataclass
class State:
    """All labs, and the services that they share."""

    labs: dict[str, Lab] = field(default_factory=dict)
    services: dict[str, Process] = field(default_factory=dict)


def to_json(state: State) -> str:
    return json.dumps(asdict(state), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> State:
    """The reverse of to_json; ValueError, KeyError or TypeError when the text is something else."""
    data = json.loads(text)
    return State(
        labs={name: _lab(lab) for name, lab in data["labs"].items()},
        services={name: Process(**process) for name, process in data["services"].items()},
    )


def _lab(data: dict[str, Any]) -> Lab:
    return Lab(**{**data, "hosts": {name: _host(host) for name, host in data["hosts"].items()}})


def _host(data: dict[str, Any]) -> Host:
    process = data["process"]
    return Host(**{**data, "process": Process(**process) if process else None})


def load(paths: Paths) -> State:
    """The state as it is; an empty one before the first `up`. Needs no lock: saving is a rename."""
    try:
        text = paths.state.read_text(encoding="utf-8")
    except FileNotFoundError:
        return State()
    try:
        return from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{paths.state} cannot be read ({error!r}). It says what `lab down` has to end: "
            "restore it, or restart the machine and delete it"
        ) from error


def find(state: State, name: str) -> Lab:
    """The lab of that name; LabError that lists the ones there are."""
    try:
        return state.labs[name]
    except KeyError:
        known = ", ".join(sorted(state.labs)) or "none"
        raise LabError(f"there is no lab {name!r} (up now: {known})") from None


def find_host(lab: Lab, name: str) -> Host:
    """The host of that name; LabError that lists the ones there are."""
    try:
        return lab.hosts[name]
    except KeyError:
        known = ", ".join(sorted(lab.hosts))
        raise LabError(f"the lab has no host {name!r} (it has: {known})") from None


@contextlib.contextmanager
def lock(paths: Paths, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock of that name; `waiting` is called once when somebody else has it."""
    paths.locks.mkdir(parents=True, exist_ok=True)
    with (paths.locks / name).open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def change(paths: Paths) -> Iterator[State]:
    """The state, locked; it is saved when the block ends, also when it ends with an error.

    What the block did before the error has happened and must be on record.
    """
    with lock(paths, "state"):
        state = load(paths)
        try:
            yield state
        finally:
            write_atomically(paths.state, to_json(state))


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
