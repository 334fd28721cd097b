"""What has to change on a host, decided without touching it.

The planning core of the ``daemon_generation`` module: it compares a declared :class:`Manifest` with
what was :class:`Observed` and returns a :class:`Plan`. No input, no output, no clock, so every case is a
line in a table of tests.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MANIFEST_FORMAT = 1


class Action(enum.IntEnum):
    """The force that puts a change into effect, least first, so that ``max()`` of several is right."""

    NONE = 0
    RELOAD = 1
    RESTART = 2

    @classmethod
    def parse(cls, word: str) -> Action:
        return cls[word.upper()]

    def __str__(self) -> str:
        return self.name.lower()


class Refusal(Exception):
    """The declaration is not acceptable on this host; nothing has been changed."""


@dataclass(frozen=True)
class FileFact:
    """One file of a generation: content hash (hex), mode as an octal string, and what a change of it takes."""

    sha256: str
    mode: str
    action: str = "restart"
    secret: bool = False


@dataclass(frozen=True)
class Release:
    """The unpacked upstream release a generation runs; absent for a daemon that comes from apt."""

    version: str
    sha256: str
    binaries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """All that a generation is made of. Two manifests are the same declaration when :meth:`identity` is equal.

    ``files`` is keyed by path below the generation: ``etc/...``, ``env`` (the flags) and ``unit``.
    ``user``, ``proof`` and what it takes to ask travel along, so that a host can prove a generation it goes back to.
    ``passed`` are checks that need not be asked again: digests of all that their answers depend on.
    """

    files: Mapping[str, FileFact]
    release: Release | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    proof: tuple[Mapping[str, Any], ...] = ()
    proof_timeout: float = 20.0
    proof_tls: Mapping[str, Any] | None = None
    progress_url: str | None = None
    user: str = "root"
    generation: int = 0
    passed: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        whole = self.to_json()
        del whole["generation"], whole["passed"]
        return whole

    def to_json(self) -> dict[str, Any]:
        whole = asdict(self) | {"format": MANIFEST_FORMAT}
        whole["data"], whole["proof"], whole["passed"] = list(self.data), list(self.proof), list(self.passed)
        if self.release:
            whole["release"]["binaries"] = list(self.release.binaries)
        return whole

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """A manifest from its file; what a later release of this module wrote beside is passed over."""
        known = _known(cls, data)
        release = known.get("release")
        known["release"] = Release(**_known(Release, release, binaries=tuple(release["binaries"]))) if release else None
        known["files"] = {path: FileFact(**_known(FileFact, fact)) for path, fact in known["files"].items()}
        known |= {name: tuple(known.get(name, ())) for name in ("data", "proof", "passed")}
        return cls(**known)


def _known(kind: type, data: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The entries that are fields of a dataclass, with changes."""
    return {key: value for key, value in data.items() if key in kind.__dataclass_fields__} | changes  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Drift:
    """A difference between the manifest in force and the host.

    ``staged`` says that it lies inside the generation, which is never edited: a fresh one replaces it.
    """

    what: str
    how: str
    action: Action = Action.NONE
    staged: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


@dataclass(frozen=True)
class Observed:
    """What a host shows: the generation in force, how the disk and the service differ from it, and the
    action that an interrupted or unproven earlier run still owes (``None`` when it owes nothing). ``foreign`` is what
    stands in the way and was not put there by us."""

    current: Manifest | None = None
    drift: Sequence[Drift] = ()
    owed: Action | None = None
    foreign: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """What a run will do. ``stage``: write a new generation; ``action``: then do this to the process."""

    stage: bool
    action: Action
    reasons: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return bool(self.reasons)


UNCHANGED = Plan(stage=False, action=Action.NONE, reasons=())


def plan(declared: Manifest, observed: Observed, *, allow_downgrade: bool = False, adopt: bool = False) -> Plan:
    """Decide how ``declared`` comes into force.

    Raises:
        Refusal: the host holds what we did not put there, or the release is older than the one in force.
    """
    if observed.foreign and not adopt:
        raise Refusal(
            "this host already holds what this role did not put there: "
            + "; ".join(observed.foreign)
            + ". Nothing was changed. Move it away first, or have it taken over with daemon_adopt: true: files go to "
            "/var/backups/tds, data is kept and used."
        )
    adopted = tuple(f"taken over: {found}" for found in observed.foreign)
    current = observed.current
    if current is None:
        return Plan(stage=True, action=Action.RESTART, reasons=("first installation", *adopted))
    _refuse_downgrade(declared, current, allow_downgrade)

    changes = list(_changes(declared, current))
    pending = [] if observed.owed is None else [("the last run was not proven", observed.owed)]
    drift = [(str(found), found.action) for found in observed.drift]
    causes = [*changes, *pending, *drift, *((found, Action.NONE) for found in adopted)]
    if not causes:
        return UNCHANGED
    return Plan(
        stage=bool(changes) or any(found.staged for found in observed.drift),
        action=max(action for _reason, action in causes),
        reasons=tuple(reason for reason, _action in causes),
    )


def _changes(declared: Manifest, current: Manifest) -> list[tuple[str, Action]]:
    """Reason and action for each part of the declaration that differs from the manifest in force."""
    if declared.identity() == current.identity():
        return []
    found: list[tuple[str, Action]] = []
    if declared.release != current.release:
        found.append((f"release {_version(current)} -> {_version(declared)}", Action.RESTART))
    for path in sorted({*declared.files, *current.files}):
        new, old = declared.files.get(path), current.files.get(path)
        if new != old:
            change = "added" if old is None else "removed" if new is None else "changed"
            force = max(Action.parse(fact.action) for fact in (new, old) if fact is not None)
            found.append((f"{path} {change}", force))
    if not found:
        found.append(("links, data directories or proof changed", Action.NONE))
    return found


def _version(manifest: Manifest) -> str:
    return manifest.release.version if manifest.release else "(from the distribution)"


def version_key(version: str) -> tuple[tuple[int, ...], bool, tuple[int, ...]]:
    """A version, comparable: ``3.10.1`` is newer than ``3.9``, and ``3.10.0`` than ``3.10.0-rc.1``."""
    final, _hyphen, candidate = version.partition("-")
    return _numbers(final), not candidate, _numbers(candidate)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _refuse_downgrade(declared: Manifest, current: Manifest, allowed: bool) -> None:
    if allowed or declared.release is None or current.release is None:
        return
    new, old = declared.release.version, current.release.version
    if version_key(new) < version_key(old):
        raise Refusal(
            f"release {new} is older than {old}, which is in force. An older release may not read the newer one's "
            f"data: set allow_downgrade if you have checked that it does."
        )


def owed(journal: Sequence[Mapping[str, Any]], current: int) -> Action | None:
    """The action that the generation in force still owes the process; ``None`` when it was proven and is unchanged.

    A transaction is a ``switch`` record (``from``, ``to``, ``action``), closed by ``proven`` or ``withdrawn``. One
    that died before its rename left ``current`` where it was and owes nothing. A generation that somebody put in
    force by hand has no proof, and owes a restart.
    """
    open_records: list[Mapping[str, Any]] = []
    for record in journal:
        if record["event"] in ("proven", "withdrawn"):
            open_records.clear()
        elif record["event"] == "switch":
            open_records.append(record)
    if any(record["from"] != current or record["to"] == current for record in open_records):
        return max(Action.parse(record["action"]) for record in open_records)
    return None if last_proven(journal) == current else Action.RESTART


def taken(journal: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The steps (``took``) by which an earlier installation was taken over and which may still have to be undone."""
    found: list[Mapping[str, Any]] = []
    for record in journal:
        if record["event"] in ("proven", "gave_back"):
            found.clear()
        elif record["event"] == "took":
            found.append(record)
    return found


def history(journal: Sequence[Mapping[str, Any]]) -> list[int]:
    """The generations that were proven, each once, the one proven last at the end."""
    found: list[int] = []
    for record in journal:
        if record["event"] == "withdrawn":
            found.clear()
        elif record["event"] == "proven":
            generation = int(record["generation"])
            found = [*(other for other in found if other != generation), generation]
    return found


def last_proven(journal: Sequence[Mapping[str, Any]]) -> int | None:
    """The generation to go back to: the one that was last proven, ``None`` when there was none yet."""
    return next(reversed(history(journal)), None)
