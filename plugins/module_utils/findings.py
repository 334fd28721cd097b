"""What an earlier installation left on a host, and what is in the way of this one."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account
from .generation import Store
from .plan import Manifest
from .service import ServiceError, run

# Not data, whoever they belong to.
NO_DATA = {"lost+found"}
NOWHERE = Path("/dev/null")


class Kind(enum.Enum):
    """What happens to a finding when it is adopted."""

    OBSTACLE = enum.auto()  # moved to the backup
    UNIT = enum.auto()  # stopped; masked, if it has another name than ours
    DATA = enum.auto()  # moved to the daemon's data directory, if it is elsewhere, and given to its account


@dataclass(frozen=True)
class Finding:
    path: Path
    kind: Kind
    told: str

    def __str__(self) -> str:
        return f"{self.path} {self.told}"


@dataclass(frozen=True)
class Predecessors:
    """Where earlier installations of a daemon are known to keep things.

    ``units`` are names of further units that do the same job, ``paths`` their files (binaries), ``data`` directories
    with the entry that shows that they hold such data: ``{"path": "/var/lib/prometheus", "holds": "wal"}``.
    """

    units: Sequence[str] = ()
    paths: Sequence[str] = ()
    data: Sequence[Mapping[str, str]] = ()


def findings(store: Store, manifest: Manifest, account: Account, predecessors: Predecessors) -> list[Finding]:
    """What stands in the way of ``manifest`` and was not put there by this module."""
    found = list(_occupied_links(store, manifest))
    if store.current_id() is None and not store.outside.unit_is_ours():
        found += [
            *_units(store, manifest, predecessors),
            *_paths(predecessors),
            *_data(manifest, account, predecessors),
        ]
    return found


def _occupied_links(store: Store, manifest: Manifest) -> Iterator[Finding]:
    installed = store.current_id() is not None
    for link, target in store.outside.links(manifest).items():
        if link.is_symlink():
            if not installed and link.readlink() != target:
                yield Finding(link, Kind.OBSTACLE, f"is a link to {link.readlink()}")
        elif link.exists():
            yield Finding(link, Kind.OBSTACLE, "exists")


def _units(store: Store, manifest: Manifest, predecessors: Predecessors) -> Iterator[Finding]:
    unit, packaged = store.outside.unit, store.outside.packaged_unit()
    if os.path.lexists(unit):
        yield Finding(unit, Kind.OBSTACLE, "exists" if unit.exists() else f"is a link to {unit.readlink()}")
    for path in store.outside.drop_ins():
        yield Finding(path, Kind.OBSTACLE, "changes the unit")
    # A daemon from the distribution keeps the distribution's unit; ours goes before it.
    if packaged and manifest.release:
        yield Finding(packaged, Kind.UNIT, f"exists ({_owner(packaged)})")
    for name in predecessors.units:
        if (mask := store.host / "etc/systemd/system" / f"{name}.service").is_symlink() and mask.readlink() == NOWHERE:
            continue
        for directory in ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"):
            if (path := store.host / directory / f"{name}.service").is_file():
                yield Finding(path, Kind.UNIT, f"does the same job ({_owner(path)})")
                break


def _paths(predecessors: Predecessors) -> Iterator[Finding]:
    for path in map(Path, predecessors.paths):
        if os.path.lexists(path):
            yield Finding(path, Kind.OBSTACLE, "is of an earlier installation")


def _data(manifest: Manifest, account: Account, predecessors: Predecessors) -> Iterator[Finding]:
    if not manifest.data:
        return
    ours = Path(manifest.data[0])
    if _holds_anything(ours):
        if not account.exists or ours.stat().st_uid != account.uid:
            yield Finding(ours, Kind.DATA, f"holds data of user {ours.stat().st_uid}")
        return
    for entry in predecessors.data:
        if (Path(entry["path"]) / entry["holds"]).exists():
            yield Finding(Path(entry["path"]), Kind.DATA, "holds data")
            return


def _holds_anything(directory: Path) -> bool:
    return directory.is_dir() and any(entry.name not in NO_DATA for entry in directory.iterdir())


def _owner(unit: Path) -> str:
    """The Debian package of a unit; asked by its name, since /lib may be a link to /usr/lib."""
    with suppress(ServiceError):
        if package := run(["dpkg", "--search", f"*/systemd/system/{unit.name}"]).stdout.partition(":")[0]:
            return f"package {package}"
    return "of no package"
