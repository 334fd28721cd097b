"""Generations on disk: staged beside the one in force, switched by one rename, remembered in a journal.

::

    /opt/tds/<daemon>/generations/<id>/   etc/  env  unit  release -> ../../releases/<version>  manifest.json
    /opt/tds/<daemon>/current             -> generations/<id>
    /opt/tds/<daemon>/journal             one JSON object a line, on disk before what it announces

What leads there from the rest of the host is in ``outside``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import plan as planning
from .accounts import Account
from .drift import drift_of_file, drift_of_mode
from .durable import fsync_path, fsync_tree, link_durable, remove, write_durable
from .outside import Outside
from .plan import Action, Drift, Manifest, Refusal
from .release import Releases

ETC_MODE = 0o750
RESERVE_BYTES = 256 << 10


@contextmanager
def before_the_switch() -> Iterator[None]:
    """What the host lacks (room, inodes, a disk that can be written to) refuses a change before it begins."""
    try:
        yield
    except OSError as error:
        raise Refusal(f"this host cannot take the change, and nothing was changed: {error}") from error


class Busy(Exception):
    """Another run holds the lock of this daemon."""


class Store:
    """The directory of one daemon. ``host`` is ``/`` on a host and a temporary directory in tests."""

    def __init__(self, name: str, host: Path = Path("/")) -> None:
        self.name = name
        self.host = host
        self.root = host / "opt/tds" / name
        self.generations = self.root / "generations"
        self.current = self.root / "current"
        self.journal = self.root / "journal"
        self.releases = Releases(self.root / "releases")
        self.outside = Outside(name, host)

    def prepare(self) -> None:
        """Make the directories, and have them root's alone: who can write there decides what the daemon runs."""
        for directory in (self.generations, self.releases.root):
            directory.mkdir(parents=True, exist_ok=True)
        for path, mode in self._skeleton():
            if drift_of_mode(path, mode, 0):
                os.chown(path, 0, 0)
                path.chmod(mode)

    def _skeleton(self) -> list[tuple[Path, int]]:
        """What is of no generation, and its mode."""
        directories = (self.root.parent, self.root, self.generations, self.releases.root)
        return [*((path, 0o755) for path in directories), *([(self.journal, 0o644)] if self.journal.exists() else [])]

    @contextmanager
    def locked(self, check_mode: bool = False) -> Iterator[None]:
        """Hold the daemon's lock; it goes with the process, so a dead run never keeps it.

        Check mode takes none on a host that has no directory for it yet. A run that left nothing takes it along.

        Raises:
            Busy: another run is at work; the message says which.
        """
        if check_mode and not self.root.exists():
            yield
            return
        with before_the_switch():
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock := self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken = lock.stat().st_ino == os.fstat(descriptor).st_ino  # the run before may have taken it along
            except OSError:
                taken = False
            if not taken:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                raise Busy(f"another run is changing {self.name} on this host: {holder}")
            with suppress(OSError):  # who it is, is for people; a full disk is no reason to do nothing
                # As long as the one before: so an unchanged run needs no room on the disk.
                os.pwrite(descriptor, f"process {os.getpid()}, since {time.strftime('%F %T %Z')}".ljust(63).encode(), 0)
            try:
                yield
            finally:  # not for a run that was refused: the directories are the other's
                self._leave_nothing_behind()
        finally:
            os.close(descriptor)

    def _leave_nothing_behind(self) -> None:
        """Take the directories along if no generation was ever tried."""
        if not self.journal.exists():
            with suppress(OSError):  # something is in there
                for directory in (self.generations, self.releases.root):
                    if directory.exists():
                        directory.rmdir()
                if not self.is_there():
                    (self.root / "lock").unlink()
                    self.root.rmdir()
                    self.root.parent.rmdir()

    # --- what is there

    def is_there(self) -> bool:
        """Whether anything of this daemon is left on the host, also after a removal that was interrupted."""
        return self.root.is_dir() and any(entry.name != "lock" for entry in self.root.iterdir())

    def current_id(self) -> int | None:
        """The generation in force; ``None`` when ``current`` leads to no complete one."""
        try:
            name = self.current.readlink().name
        except OSError:
            return None
        return int(name) if name.isdigit() and int(name) in self.ids() else None

    def ids(self) -> list[int]:
        """All complete generations, oldest first; one whose manifest cannot be read is none."""
        return sorted(int(path.name) for path in self.generations.glob("*") if path.name.isdigit() and _is_whole(path))

    def next_id(self) -> int:
        """A number that no generation ever had, also none that is gone."""
        used = [int(record["to"]) for record in self.records() if record["event"] == "switch"]
        return max([0, *self.ids(), *used]) + 1

    def path(self, generation: int) -> Path:
        return self.generations / str(generation)

    def manifest(self, generation: int) -> Manifest:
        return Manifest.from_json(json.loads((self.path(generation) / "manifest.json").read_text()))

    def others(self, generation: int) -> list[Manifest]:
        """The manifests of all other generations that are kept."""
        return [self.manifest(other) for other in self.ids() if other != generation]

    def drift(self, manifest: Manifest, account: Account, keep: int) -> Iterator[Drift]:
        """How the host differs from ``manifest``, the one in force, and what an interrupted run left."""
        yield from self.damage(manifest, account)
        yield from self._drift_of_skeleton(manifest.generation)
        yield from self.outside.drift(manifest, self.others(manifest.generation), account)
        for path in [*self._surplus(keep), *map(self.releases.path, self._unused())]:
            yield Drift(str(path), "is no longer needed")
        for path in self._rotated_secrets(manifest):
            yield Drift(str(path), "is a secret that was rotated")

    def damage(self, manifest: Manifest, account: Account) -> list[Drift]:
        """How a kept generation and its release differ from what they were made as."""
        return [*self._drift_inside(manifest, account.gid), *self._drift_of_release(manifest)]

    def _drift_inside(self, manifest: Manifest, gid: int) -> Iterator[Drift]:
        root = self.path(manifest.generation)
        for path, fact in manifest.files.items():
            how = drift_of_file(root / path, fact, gid if path.startswith("etc/") else 0)
            if how:
                yield Drift(str(root / path), how, Action.parse(fact.action), staged=True)
        declared = {root / path for path in manifest.files}
        for found in [root / "etc", *sorted((root / "etc").rglob("*"))]:
            if found.is_dir() and not found.is_symlink():
                if (mode := stat.S_IMODE(found.stat().st_mode)) != ETC_MODE:
                    yield Drift(str(found), f"mode is {mode:04o} instead of {ETC_MODE:04o}", staged=True)
            elif found not in declared:
                yield Drift(str(found), "is not declared", Action.RELOAD, staged=True)

    def _drift_of_release(self, manifest: Manifest) -> Iterator[Drift]:
        if manifest.release is None:
            return
        version = manifest.release.version
        link = self.path(manifest.generation) / "release"
        if not link.is_symlink() or link.readlink() != _release_target(version):
            yield Drift(str(link), "does not lead to its release", Action.RESTART, staged=True)
        for how in self.releases.damage(version):
            yield Drift(str(self.releases.path(version)), how, Action.RESTART)

    def _drift_of_skeleton(self, generation: int) -> Iterator[Drift]:
        root = self.path(generation)
        for path, mode in [*self._skeleton(), (root, 0o755), (root / "manifest.json", 0o600)]:
            if how := drift_of_mode(path, mode, 0):
                yield Drift(str(path), how, staged=path.is_relative_to(root))

    # --- changing it

    def stage(self, manifest: Manifest, contents: Mapping[str, bytes], gid: int) -> Path:
        """Write a complete generation under a name of its own, durably; the one in force is not touched."""
        staged = self.generations / f".{manifest.generation}.staged"
        remove(staged)
        staged.mkdir(mode=0o700)  # nobody else looks in before every mode is set
        (staged / "etc").mkdir()
        for path, fact in manifest.files.items():
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[path])
            if path.startswith("etc/"):
                os.chown(target, 0, gid)
            target.chmod(int(fact.mode, 8))
        for directory in (staged / "etc", *(path for path in (staged / "etc").rglob("*") if path.is_dir())):
            os.chown(directory, 0, gid)
            directory.chmod(ETC_MODE)
        if manifest.release:
            (staged / "release").symlink_to(_release_target(manifest.release.version))
        (staged / "manifest.json").write_bytes(_manifest_file(manifest))
        (staged / "manifest.json").chmod(0o600)  # it has the hashes of secrets
        staged.chmod(0o755)
        fsync_tree(staged)
        return staged

    def keep(self, staged: Path, generation: int) -> None:
        staged.rename(self.path(generation))
        fsync_path(self.generations)

    def switch(self, generation: int) -> None:
        """Put a generation in force: one rename; then what leads there from outside, which the journal covers."""
        link_durable(self.current, Path("generations", str(generation)))
        unit = (self.path(generation) / "unit").read_bytes()
        self.outside.put_right(self.manifest(generation), unit, self.others(generation))

    def withdraw(self) -> None:
        """Take the generation in force, the unit and the links away; generations and data stay."""
        generation = self.current_id()
        self.outside.remove(None if generation is None else self.manifest(generation))
        self.current.unlink(missing_ok=True)

    @contextmanager
    def way_back(self) -> Iterator[Path]:
        """A file that holds room on the disk while a generation is tried: to be removed before rolling back.

        Raises:
            OSError: there is no such room; nothing was changed.
        """
        reserve = self.root / ".reserve"
        try:
            with reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
            yield reserve
        finally:
            reserve.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all generations, releases and, last, the journal; data directories are elsewhere and stay."""
        for entry in self.root.iterdir():
            if entry != self.journal:
                remove(entry)
        shutil.rmtree(self.root)

    def prune(self, keep: int) -> None:
        """Keep the generation in force, the ``keep`` that were proven last, and the releases they run.

        A kept generation takes over a secret that was rotated; one that would need a secret which is gone is removed.
        """
        for path in self._surplus(keep):
            remove(path)
        if (current := self.current_id()) is not None:
            self._renew_secrets(current)
        for version in self._unused():
            self.releases.remove(version)

    def _surplus(self, keep: int) -> list[Path]:
        """Generations that are not kept, and what begins with a dot: it was being made, or being removed."""
        complete = self.ids()
        proven = [generation for generation in planning.history(self.records()) if generation in complete]
        kept = {str(generation) for generation in (self.current_id(), *proven[-keep:])}
        generations = (path for path in self.generations.glob("*") if path.name not in kept)
        return sorted([*generations, *self.root.glob(".*"), *self.releases.root.glob(".*")])

    def _unused(self) -> list[str]:
        """The releases that no generation runs."""
        releases = [self.manifest(generation).release for generation in self.ids()]
        used = {release.version for release in releases if release}
        return [version for version in self.releases.versions() if version not in used]

    def _rotated_secrets(self, current: Manifest) -> dict[Path, Manifest]:
        """The secret files of kept generations that are no longer what is in force, and whose they are."""
        return {
            self.path(other.generation) / path: other
            for other in self.others(current.generation)
            for path, fact in other.files.items()
            if (now := current.files.get(path)) != fact and (fact.secret or (now and now.secret))
        }

    def _renew_secrets(self, generation: int) -> None:
        facts, root = self.manifest(generation).files, self.path(generation)
        for place, other in self._rotated_secrets(self.manifest(generation)).items():
            kept = self.path(other.generation)
            path = str(place.relative_to(kept))
            if path not in facts or not place.is_file():
                remove(kept)
                continue
            gid = (root / path).stat().st_gid
            write_durable(place, (root / path).read_bytes(), int(facts[path].mode, 8), gid)
            manifest = self.manifest(other.generation)
            renewed = replace(manifest, files={**manifest.files, path: facts[path]})
            write_durable(kept / "manifest.json", _manifest_file(renewed), 0o600)

    # --- the journal

    def record(self, event: str, **facts: Any) -> None:
        """Append to the journal; on disk when this returns.

        A line that a power cut left unfinished is ended first, or it would take this one with it.
        """
        line = json.dumps({"at": round(time.time(), 3), "event": event, **facts}) + "\n"
        with self.journal.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        fsync_path(self.root)

    def records(self) -> list[dict[str, Any]]:
        """The journal. A last line that a power cut left unfinished announces nothing and is passed over."""
        found: list[dict[str, Any]] = []
        try:
            lines = self.journal.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def _release_target(version: str) -> Path:
    return Path("../../releases", version)


def _is_whole(generation: Path) -> bool:
    try:
        Manifest.from_json(json.loads((generation / "manifest.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _manifest_file(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.to_json(), indent=1) + "\n").encode()
