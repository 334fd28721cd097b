"""Generations on disk: staged beside the one in force, switched by one rename, remembered in a journal.

::

    /opt/tds/<daemon>/generations/<id>/   etc/  env  unit  release -> ../../releases/<version>  manifest.json
    /opt/tds/<daemon>/current             -> generations/<id>
    /opt/tds/<daemon>/journal             one JSON object a line, on disk before what it announces
    /etc/<daemon>                         -> /opt/tds/<daemon>/current/etc
    /etc/systemd/system/<daemon>.service  a copy of current/unit: systemd resolves links when it enables a unit
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import plan as planning
from .durable import fsync_path, fsync_tree, link_durable, remove, write_durable
from .plan import Action, Drift, FileFact, Manifest
from .release import Releases

ETC_MODE = 0o750


class Busy(Exception):
    """Another run holds the lock of this daemon."""


class Account(NamedTuple):
    """The account that a daemon runs as; both numbers 0 for one that is yet to be made."""

    name: str = "root"
    uid: int = 0
    gid: int = 0


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Store:
    """The directory of one daemon, and the places on the host that point into it.

    ``host`` is ``/`` on a host and a temporary directory in tests.
    """

    def __init__(self, name: str, host: Path = Path("/")) -> None:
        self.name = name
        self.host = host
        self.root = host / "opt/tds" / name
        self.generations = self.root / "generations"
        self.current = self.root / "current"
        self.journal = self.root / "journal"
        self.releases = Releases(self.root / "releases")
        self.etc = host / "etc" / name
        self.unit = host / "etc/systemd/system" / f"{name}.service"

    def prepare(self) -> None:
        for directory in (self.generations, self.releases.root):
            directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, check_mode: bool = False) -> Iterator[None]:
        """Hold the daemon's lock; it goes with the process, so a dead run never keeps it.

        Check mode takes none on a host that has no directory for it yet.

        Raises:
            Busy: another run is at work; the message says which.
        """
        if check_mode and not self.root.exists():
            yield
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise Busy(f"another run is changing {self.name} on this host: {file.read().strip()}") from error
            file.truncate(0)
            file.write(f"process {os.getpid()}, since {time.strftime('%F %T %Z')}\n")
            file.flush()
            yield

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
        """All complete generations, oldest first."""
        complete = (entry.parent.name for entry in self.generations.glob("*/manifest.json"))
        return sorted(int(name) for name in complete if name.isdigit())

    def next_id(self) -> int:
        """A number that no generation ever had, also none that is gone."""
        used = [int(record["to"]) for record in self.records() if record["event"] == "switch"]
        return max([0, *self.ids(), *used]) + 1

    def path(self, generation: int) -> Path:
        return self.generations / str(generation)

    def manifest(self, generation: int) -> Manifest:
        return Manifest.from_json(json.loads((self.path(generation) / "manifest.json").read_text()))

    def foreign(self, manifest: Manifest) -> list[str]:
        """What stands where this manifest's links and unit would go and was not put there by this module."""
        ours = self.journal.exists()
        found = []
        for link, target in self.links(manifest).items():
            if link.is_symlink():
                if not ours and link.readlink() != target:
                    found.append(f"{link} is a link to {link.readlink()}")
            elif link.exists():
                found.append(f"{link} exists")
        packaged = [self.host / directory / "systemd/system" / self.unit.name for directory in ("usr/lib", "lib")]
        # A daemon from the distribution keeps the distribution's unit; ours goes before it.
        units = [self.unit, *packaged] if manifest.release else [self.unit]
        if not ours:
            found += [f"{unit} exists" for unit in units if unit.exists()][:1]
        return found

    def drift(self, manifest: Manifest, account: Account) -> list[Drift]:
        """How the disk differs from ``manifest``, the one in force."""
        return [*self.damage(manifest, account), *self._drift_outside(manifest, account)]

    def damage(self, manifest: Manifest, account: Account) -> list[Drift]:
        """How a kept generation and its release differ from what they were made as."""
        return [*self._drift_inside(manifest, account.gid), *self._drift_of_release(manifest)]

    def _drift_inside(self, manifest: Manifest, gid: int) -> Iterator[Drift]:
        root = self.path(manifest.generation)
        for path, fact in manifest.files.items():
            how = _file_drift(root / path, fact, gid if path.startswith("etc/") else 0)
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

    def _drift_outside(self, manifest: Manifest, account: Account) -> Iterator[Drift]:
        for link, target in self.links(manifest).items():
            actual = link.readlink() if link.is_symlink() else None
            if actual != target:
                yield Drift(str(link), f"points at {actual or 'nothing'} instead of {target}")
        for directory in manifest.data:
            if not Path(directory).is_dir():
                yield Drift(directory, "is missing", Action.RESTART)
            elif (owner := Path(directory).stat().st_uid) != account.uid:
                yield Drift(directory, f"belongs to {owner} instead of {account.uid}", Action.RESTART)
        if (how := _file_drift(self.unit, manifest.files["unit"], 0)) is not None:
            yield Drift(str(self.unit), how, Action.RESTART)

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
        (staged / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=1) + "\n")
        (staged / "manifest.json").chmod(0o600)  # it has the hashes of secrets
        staged.chmod(0o755)
        fsync_tree(staged)
        return staged

    def keep(self, staged: Path, generation: int) -> None:
        staged.rename(self.path(generation))
        fsync_path(self.generations)

    def make_data(self, directory: Path, account: Account) -> None:
        """Make a data directory, or give one to the account; what is in it stays as it is."""
        if directory.is_dir():
            os.chown(directory, account.uid, account.gid)
            return
        directory.parent.mkdir(parents=True, exist_ok=True)
        staged = directory.with_name(f".{directory.name}.new")
        staged.mkdir(mode=0o700, exist_ok=True)
        os.chown(staged, account.uid, account.gid)
        staged.rename(directory)

    def switch(self, generation: int) -> None:
        """Put a generation in force: one rename; then the unit's copy and the links, which the journal covers."""
        link_durable(self.current, Path("generations", str(generation)))
        manifest = self.manifest(generation)
        if _file_drift(self.unit, manifest.files["unit"], 0):
            write_durable(self.unit, (self.path(generation) / "unit").read_bytes(), 0o644)
        for link, target in self.links(manifest).items():
            if not (link.is_symlink() and link.readlink() == target):
                link.parent.mkdir(parents=True, exist_ok=True)
                link_durable(link, target)

    def withdraw(self) -> None:
        """Take the generation in force, the unit and the links away; generations and data stay."""
        generation = self.current_id()
        if generation is not None:
            for link in self.links(self.manifest(generation)):
                if link.is_symlink():
                    link.unlink()
        self.unit.unlink(missing_ok=True)
        self.current.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all generations, releases and, last, the journal; data directories are elsewhere and stay."""
        for entry in self.root.iterdir():
            if entry != self.journal:
                remove(entry)
        shutil.rmtree(self.root)

    def prune(self, keep: int) -> None:
        """Keep the generation in force, the ``keep`` that were proven last, and the releases they run."""
        complete = self.ids()
        proven = [generation for generation in planning.history(self.records()) if generation in complete]
        kept = {self.current_id(), *proven[-keep:]}
        for entry in self.generations.glob("*"):
            if not (entry.name.isdigit() and int(entry.name) in kept):
                remove(entry)
        releases = [self.manifest(generation).release for generation in self.ids()]
        used = {release.version for release in releases if release}
        for version in self.releases.versions():
            if version not in used:
                self.releases.remove(version)
        self.releases.sweep()

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

    def links(self, manifest: Manifest) -> dict[Path, Path]:
        """All links that lead into the configuration in force, and where they point."""
        further = {Path(link): Path(target) for link, target in manifest.links.items()}
        return {self.etc: self._etc_target(), **further}

    def _etc_target(self) -> Path:
        return self.current / "etc"


def _release_target(version: str) -> Path:
    return Path("../../releases", version)


def _file_drift(path: Path, fact: FileFact, gid: int) -> str | None:
    """How one file differs from its fact, in words; ``None`` when it does not."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "is missing"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if sha256(path.read_bytes()) != fact.sha256:
        return "was edited by hand"
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if mode != fact.mode:
        return f"mode is {mode} instead of {fact.mode}"
    if (status.st_uid, status.st_gid) != (0, gid):
        return f"owner is {status.st_uid}:{status.st_gid} instead of 0:{gid}"
    return None
