"""What leads into a daemon's generation from the rest of the host: links, the unit's copy, data directories.

::

    /etc/<daemon>                         -> /opt/tds/<daemon>/current/etc
    /etc/systemd/system/<daemon>.service  a copy of current/unit: systemd resolves links when it enables a unit
    /var/backups/tds/<daemon>-<time>/     what stood in the way and was moved there, under its own path
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from .accounts import Account
from .drift import drift_of_file
from .durable import link_durable, move_durable, temporary, write_durable
from .plan import Action, Drift, Manifest

# Where a drop-in changes one unit: by an administrator, by `systemctl set-property`, until the next boot.
DROP_INS = ("etc/systemd/system", "etc/systemd/system.control", "run/systemd/system", "run/systemd/system.control")
PACKAGED = ("usr/lib/systemd/system", "lib/systemd/system")


class Outside:
    """The places of one daemon outside ``/opt/tds``. ``host`` is ``/`` on a host and a temporary directory in tests."""

    def __init__(self, name: str, host: Path = Path("/")) -> None:
        self.host = host
        self.root = host / "opt/tds" / name
        self.etc = host / "etc" / name
        self.unit = host / "etc/systemd/system" / f"{name}.service"
        self.backup = host / "var/backups/tds" / f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"

    def links(self, manifest: Manifest) -> dict[Path, Path]:
        """All links that lead into the configuration in force, and where they point."""
        further = {Path(link): Path(target) for link, target in manifest.links.items()}
        return {self.etc: self.root / "current/etc", **further}

    def packaged_unit(self) -> Path | None:
        """The distribution's unit of the same name, which ours goes before."""
        return next((path for directory in PACKAGED if (path := self.host / directory / self.unit.name).exists()), None)

    def unit_is_ours(self) -> bool:
        """Whether the unit leads into our directory, as each of ours does."""
        return self.unit.is_file() and f"{self.root}/" in self.unit.read_text(errors="replace")

    # --- how it differs

    def drift(self, manifest: Manifest, kept: Iterable[Manifest], account: Account) -> Iterator[Drift]:
        """How the host differs from ``manifest``, the one in force; ``kept`` are the others that are still there."""
        for link, target in self.links(manifest).items():
            actual = link.readlink() if link.is_symlink() else None
            if actual != target:
                yield Drift(str(link), f"points at {actual or 'nothing'} instead of {target}")
        for link in self._stale_links(manifest, kept):
            yield Drift(str(link), "is not declared any more")
        for directory in manifest.data:
            if not Path(directory).is_dir():
                yield Drift(directory, "is missing", Action.RESTART)
            elif (owner := Path(directory).stat().st_uid) != account.uid:
                yield Drift(directory, f"belongs to {owner} instead of {account.uid}", Action.RESTART)
        if (how := drift_of_file(self.unit, manifest.files["unit"], 0)) is not None:
            yield Drift(str(self.unit), how, Action.RESTART)
        for path in self.drop_ins():
            yield Drift(str(path), "is a drop-in that is not declared", Action.RESTART)
        for path in self._temporaries(manifest):
            yield Drift(str(path), "is left from an interrupted run")

    def _stale_links(self, manifest: Manifest, kept: Iterable[Manifest]) -> list[Path]:
        declared = self.links(manifest)
        once = {link: target for other in kept for link, target in self.links(other).items() if link not in declared}
        return sorted(link for link, target in once.items() if link.is_symlink() and link.readlink() == target)

    def drop_ins(self) -> list[Path]:
        """The files that change our unit and are none of ours."""
        return [
            path
            for directory in DROP_INS
            for path in sorted((self.host / directory / f"{self.unit.name}.d").glob("*.conf"))
        ]

    def _temporaries(self, manifest: Manifest) -> list[Path]:
        places = [self.unit, *self.links(manifest)]
        return [path for place in places if os.path.lexists(path := temporary(place))]

    # --- putting it right

    def put_right(self, manifest: Manifest, unit: bytes, kept: Iterable[Manifest]) -> None:
        """Make the host lead to ``manifest``; ``unit`` is the text of its unit. What is right is not touched."""
        if drift_of_file(self.unit, manifest.files["unit"], 0):
            write_durable(self.unit, unit, 0o644)
        for link, target in self.links(manifest).items():
            if not (link.is_symlink() and link.readlink() == target):
                link.parent.mkdir(parents=True, exist_ok=True)
                link_durable(link, target)
        for link in self._stale_links(manifest, kept):
            link.unlink()
        for path in self.drop_ins():
            self.set_aside(path)
        for path in self._temporaries(manifest):
            path.unlink()

    def remove(self, manifest: Manifest | None) -> None:
        """Take the links and the unit away."""
        links = list(self.links(manifest)) if manifest else [self.etc]
        for link in links:
            if link.is_symlink():
                link.unlink()
        self.unit.unlink(missing_ok=True)
        for place in (self.unit, *links):
            temporary(place).unlink(missing_ok=True)

    def backup_of(self, path: Path) -> Path:
        """Where :meth:`set_aside` moves a file or a directory to."""
        return self.backup / path.relative_to(self.host)

    def set_aside(self, path: Path) -> None:
        """Move what is not ours to the backup, which only root can enter."""
        self.backup.parent.mkdir(parents=True, exist_ok=True)
        self.backup.mkdir(mode=0o700, exist_ok=True)
        move_durable(path, self.backup_of(path))
        if path.parent.name == f"{self.unit.name}.d":
            with suppress(OSError):  # something else is in there
                path.parent.rmdir()

    def put_back(self, kept: Path, path: Path) -> None:
        """Undo :meth:`set_aside`, if it came that far, and leave no empty backup."""
        if os.path.lexists(kept):
            if os.path.lexists(path):  # what a killed move left of it, or somebody made: not ours to remove
                move_durable(path, path.with_name(f"{path.name}.left"))
            move_durable(kept, path)
        backups = self.backup.parent
        with suppress(OSError):  # something else is in there
            for place in takewhile(lambda place: place.is_relative_to(backups) and place != backups, kept.parents):
                place.rmdir()


def own(directory: Path, account: Account) -> None:
    """Make a data directory, or give one and all below it to the account; what is in it stays as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid == account.uid:
        return
    # The directory itself goes last: its owner says whether all of this is done.
    for place, directories, files in os.walk(directory):
        for name in (*directories, *files):
            os.lchown(Path(place, name), account.uid, account.gid)
    os.chown(directory, account.uid, account.gid)
