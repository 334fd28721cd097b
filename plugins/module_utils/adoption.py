"""What an earlier installation left on a host: found and told, or taken over with a way back.

What stands where this module's links and unit go is moved to the backup, under its own path. Units that do the same
job are stopped and masked. Data is moved to where the daemon will look for it, or copied when that is another
filesystem, and given to its account. All of it is undone in reverse order when the new generation is not proven.
"""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .accounts import Account
from .durable import fsync_tree, remove
from .generation import Store
from .outside import own
from .plan import Manifest, Refusal
from .service import Service, ServiceError, run

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

    def below(self, host: Path) -> Predecessors:
        """The same on a host whose root directory is ``host``."""

        def moved(path: str) -> str:
            return str(host / path.lstrip("/"))

        data = [{**entry, "path": moved(entry["path"])} for entry in self.data]
        return Predecessors(self.units, [moved(path) for path in self.paths], data)


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


@dataclass
class Adoption:
    """Takes findings over, and gives them back. ``undo`` may be called however far ``take_over`` came."""

    store: Store
    service: Service
    found: Sequence[Finding]
    _steps_back: list[Callable[[], Any]] = field(default_factory=list)

    def refuse_without_room(self, manifest: Manifest) -> None:
        """Raise a Refusal when data must be copied to another filesystem and does not fit there."""
        for source, target in self._moves(manifest):
            if not _on_one_filesystem(source, target):
                needed, free = _size(source), shutil.disk_usage(_existing(target)).free
                if needed > free:
                    raise Refusal(
                        f"{source} holds {needed >> 20} MiB, and at {target} {free >> 20} MiB are free: make room, or "
                        "move the old data away to begin without it"
                    )

    def take_over(self, manifest: Manifest, account: Account) -> None:
        """Stop what does the job now, move what is in the way to the backup, and the data to where it belongs."""
        if not self.found:
            return
        self.store.record("adopt", found=[str(found) for found in self.found], backup=str(self.store.outside.backup))
        units = {found.path.stem: found.path for found in self.found if found.kind is Kind.UNIT}
        for name in sorted(units.keys() - {self.service.name}):
            self._stop_for_good(Service(name))
        if self.store.current_id() is None:  # else it is ours that runs
            self._stop()
        for found in self.found:
            if found.kind is Kind.OBSTACLE:
                self._set_aside(found.path)
        for source, target in self._moves(manifest):
            self._move_data(source, target)
        for found in self.found:
            if found.kind is Kind.DATA:
                self._give(Path(manifest.data[0]), account)

    def undo(self) -> None:
        """Put everything back as it was found, the last step first."""
        while self._steps_back:
            self._steps_back.pop()()

    def _moves(self, manifest: Manifest) -> list[tuple[Path, Path]]:
        """Which data goes where."""
        data = [found.path for found in self.found if found.kind is Kind.DATA]
        return [(path, Path(manifest.data[0])) for path in data if path != Path(manifest.data[0])]

    def _stop(self) -> None:
        before = self.service.state()
        self._steps_back.append(lambda: self.service.restore(before))
        if before.active:
            self.service.stop()

    def _stop_for_good(self, other: Service) -> None:
        before = other.state()
        self._steps_back.append(lambda: other.restore(before))
        other.retire()

    def _set_aside(self, path: Path) -> None:
        kept = self.store.outside.set_aside(path)
        self._steps_back.append(lambda: shutil.move(kept, path))

    def _move_data(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            target.rmdir()
        if _on_one_filesystem(source, target.parent):
            source.rename(target)
            self._steps_back.append(lambda: target.rename(source))
            return
        copied = target.with_name(f".{target.name}.adopted")  # the original stays until somebody removes it
        remove(copied)
        shutil.copytree(source, copied, symlinks=True)
        fsync_tree(copied)
        copied.rename(target)
        self._steps_back.append(lambda: remove(target))

    def _give(self, directory: Path, account: Account) -> None:
        before = directory.stat()
        own(directory, account)
        self._steps_back.append(lambda: own(directory, Account("", before.st_uid, before.st_gid)))


def _owner(unit: Path) -> str:
    """The Debian package of a unit; asked by its name, since /lib may be a link to /usr/lib."""
    with suppress(ServiceError):
        if package := run(["dpkg", "--search", f"*/systemd/system/{unit.name}"]).stdout.partition(":")[0]:
            return f"package {package}"
    return "of no package"


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _on_one_filesystem(source: Path, target: Path) -> bool:
    return source.stat().st_dev == _existing(target).stat().st_dev


def _size(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))
