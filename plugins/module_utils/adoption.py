"""Taking over what an earlier installation left, with a way back.

What stands where this module's links and unit go is moved to the backup, under its own path. Units that do the same
job are stopped and masked. Data is moved to where the daemon will look for it, or copied when that is another
filesystem, and given to its account. Each step is in the journal before it is taken, with what it takes to undo it: so
a generation that is not proven gives all of it back, and so does the run after one that was killed on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import plan as planning
from .accounts import Account
from .durable import move_durable, remove
from .findings import NO_DATA, Finding, Kind
from .generation import Store
from .outside import own
from .plan import Manifest, Refusal
from .service import Service

DATA_MODE = 0o700


@dataclass(frozen=True)
class Adoption:
    """Takes findings over, and gives them back. ``undo`` may be called however far ``take_over`` came."""

    store: Store
    service: Service
    found: Sequence[Finding] = ()

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
        units = {found.path.stem for found in self.found if found.kind is Kind.UNIT}
        for name in sorted(units - {self.service.name}):
            self._announce("retire", unit=name, **_before(Service(name)))
            Service(name).retire()
        if self.found and self.store.current_id() is None:  # else it is ours that runs
            self._announce("stop", unit=self.service.name, **(before := _before(self.service)))
            if before["active"]:
                self.service.stop()
        for found in self.found:
            if found.kind is Kind.OBSTACLE:
                self._announce("move", path=str(found.path), to=str(self.store.outside.backup_of(found.path)))
                self.store.outside.set_aside(found.path)
        for source, target in self._moves(manifest):
            self._move_data(source, target)
        if any(found.kind is Kind.DATA for found in self.found):
            self._give(Path(manifest.data[0]), account)

    def undo(self) -> bool:
        """Put everything back as it was found, the last step first, also what a killed run took; whether it was any."""
        steps = planning.taken(self.store.records())
        for step in reversed(steps):
            self._undo(step)
        if steps:
            self.store.record("gave_back")
        return bool(steps)

    def _announce(self, step: str, **facts: Any) -> None:
        self.store.record("took", step=step, **facts)

    def _undo(self, step: Mapping[str, Any]) -> None:
        path = Path(step.get("path", "/"))
        if step["step"] in ("retire", "stop"):
            service = self.service if step["unit"] == self.service.name else Service(step["unit"])
            service.restore(enabled=step["enabled"], active=step["active"])
        elif step["step"] == "move":
            self.store.outside.put_back(Path(step["to"]), path)
        elif step["step"] == "copy":
            for entry in path.iterdir() if path.is_dir() else ():
                if entry.name not in NO_DATA:
                    remove(entry)
        elif step["step"] == "give" and path.is_dir():
            own(path, Account("", step["uid"], step["gid"]))
            path.chmod(step["mode"])

    def _moves(self, manifest: Manifest) -> list[tuple[Path, Path]]:
        """Which data goes where."""
        data = [found.path for found in self.found if found.kind is Kind.DATA]
        return [(path, Path(manifest.data[0])) for path in data if path != Path(manifest.data[0])]

    def _move_data(self, source: Path, target: Path) -> None:
        if _on_one_filesystem(source, target):
            if target.exists():  # before the step is announced: what stands at its target is taken for what was moved
                target.rmdir()
            self._announce("move", path=str(source), to=str(target))
            move_durable(source, target)
        else:
            self._announce("copy", path=str(target))  # the original stays until somebody removes it
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)

    def _give(self, directory: Path, account: Account) -> None:
        before = directory.stat()
        self._announce("give", path=str(directory), uid=before.st_uid, gid=before.st_gid, mode=before.st_mode & 0o7777)
        own(directory, account)
        directory.chmod(DATA_MODE)


def _before(service: Service) -> dict[str, Any]:
    state = service.state()
    return {"enabled": state.enabled, "active": state.active}


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _on_one_filesystem(source: Path, target: Path) -> bool:
    """Whether one rename moves it there; never into a filesystem's own directory, which cannot be replaced."""
    return source.stat().st_dev == _existing(target).stat().st_dev and not _has_entries(target)


def _has_entries(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())


def _size(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))
