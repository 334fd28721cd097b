"""Whether a host shows wholly what was declared: the process is asked first, then the files, and the module nothing."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .victim import CURRENT, DATA, ETC, FILES, KEEP, LINK, NAME, ROOT, SRV, UNIT, URL, Declared, binary, sha256


class Half(Exception):
    """What was found is not wholly anything that was declared."""


@dataclass
class Verdict:
    """``running`` is what the process shows itself to be; ``announced``: the journal tells of an unfinished change."""

    announced: bool
    running: Declared | None = None
    complaints: list[str] = field(default_factory=list)


def judge(wanted: Collection[Declared | None]) -> Verdict:
    """What runs and what ``current`` leads to must each be wholly one of ``wanted``, and both the same unless the
    journal tells of an unfinished change. ``None`` stands for nothing at all."""
    announced = is_announced()
    try:
        now, live = running()
        on_disk = whole(CURRENT.resolve()) if CURRENT.is_symlink() else None
    except Half as half:
        return Verdict(announced, complaints=[str(half)])
    wrong = {
        f"{now} runs": now not in wanted,
        f"current leads to {on_disk}": on_disk not in wanted,
        f"{now} runs, current leads to {on_disk}, and the journal does not tell": now != on_disk and not announced,
        f"what takes no action is {live} and not of {on_disk}": bool(now and on_disk and live != on_disk.value),
        f"{UNIT} is none that was declared": _text(UNIT) not in [one and one.unit for one in wanted],
    }
    return Verdict(announced, now, [complaint for complaint, holds in wrong.items() if holds])


def mended(wanted: Declared | None) -> list[str]:
    """What is not as if no run had ever been killed."""
    found = [*judge([wanted]).complaints, *(f"{path} is left" for path in left_over())]
    if wanted is None or found:
        return found
    unit = systemd()
    proven = [str(record["generation"]) for record in records() if record["event"] == "proven"]
    facts = {
        "the unit at boot": (unit["UnitFileState"], "enabled"),
        "the unit's need to be loaded": (unit["NeedDaemonReload"], "no"),
        "what was proven last": (proven[-1], CURRENT.readlink().name),
        f"{ETC}": (ETC.readlink(), CURRENT / "etc"),
        f"{LINK}": (LINK.readlink(), ETC),
        f"the owner of {DATA}": (DATA.owner(), NAME),
    }
    found = [f"{what} is {actual} instead of {right}" for what, (actual, right) in facts.items() if actual != right]
    return found + [complaint for kept in generations() for complaint in damage(kept, wanted)]


# --- the process


def running() -> tuple[Declared | None, int | None]:
    """What the process has loaded, and what it reads anew for each answer; nothing when nothing runs.

    Raises:
        Half: it is a mixture, or half there.
    """
    unit, page = systemd(), served()
    pid, state = int(unit["MainPID"]), unit["ActiveState"]
    if page is None:
        if pid or state != "inactive" or unit["UnitFileState"] == "enabled":
            raise Half(f"the unit is {state} and {unit['UnitFileState']}, and nothing is served by process {pid}")
        return None, None
    live = page["live"]
    shown = Declared(page["release"], page["value"])
    if page | {"live": shown.value} != shown.page:
        raise Half(f"the process is a mixture: {page}")
    if state != "active":
        raise Half(f"the unit is {state}, and {shown} is served")
    if sha256(Path(f"/proc/{pid}/exe").read_bytes()) != sha256(binary(shown.release)):
        raise Half(f"the process serves {shown}, and its binary is another")
    return shown, live


def served() -> dict[str, int] | None:
    """What the process answers; ``None`` when there is no answer."""
    try:
        with urllib.request.urlopen(URL, timeout=2) as answer:  # noqa: S310  it is http
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return {name.removeprefix("victim_"): int(value) for name, value in map(str.split, lines)}


def systemd() -> dict[str, str]:
    """What systemd says of the unit."""
    command = ["systemctl", "show", "--property=ActiveState,MainPID,UnitFileState,NeedDaemonReload", UNIT.name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


# --- the files


def whole(generation: Path) -> Declared:
    """What a generation on disk is.

    Raises:
        Half: it is a mixture, or not as it was made.
    """
    try:
        shown = Declared(release_number(generation), int((generation / "etc/value").read_text()))
    except (OSError, ValueError, IndexError) as error:
        raise Half(f"{generation} is not complete: {error}") from error
    if complaints := damage(generation, shown):
        raise Half("; ".join(complaints))
    if any(_text(generation / "etc" / path) != shown.text for path in FILES):
        raise Half(f"{generation} is a mixture")
    return shown


def damage(generation: Path, now: Declared) -> list[str]:
    """How a generation is not as it was made, but for its secret, which must be that of ``now``."""
    release = release_of(generation)
    files: dict[Path, str] = {}
    for root, record in (
        (generation, generation / "manifest.json"),
        (release, release.with_name(f"{release.name}.json")),
    ):
        facts = json.loads(_text(record) or '{"files": {}}')["files"]
        files |= {root / path: fact["sha256"] for path, fact in facts.items()} or {record: "complete"}
    files[release / "server"] = sha256(binary(release_number(generation)))
    files[generation / "etc/secret"] = sha256(now.text.encode())
    return [f"{path} is not as it was made" for path, right in files.items() if _hash(path) != right]


def release_of(generation: Path) -> Path:
    return (generation / "release").resolve()


def release_number(generation: Path) -> int:
    return int(release_of(generation).name.split(".")[1])


def generations() -> list[Path]:
    """Those on disk, the newest first."""
    return sorted((ROOT / "generations").glob("[0-9]*"), key=lambda path: -int(path.name))


def records() -> list[dict[str, Any]]:
    """The journal."""
    return [json.loads(line) for line in (_text(ROOT / "journal") or "").splitlines()]


def is_announced() -> bool:
    return [record["event"] for record in records() if record["event"] != "acted"][-1:] == ["switch"]


def left_over() -> Iterator[Path]:
    """What a killed run may leave and the next has to remove."""
    yield from ROOT.rglob(".*")
    yield from SRV.rglob(".*")
    for directory in (ETC.parent, UNIT.parent):
        yield from directory.glob(f".{NAME}*")
    kept = generations()
    yield from kept[KEEP:]
    used = {release_of(generation).name for generation in kept}
    yield from (path for path in (ROOT / "releases").glob("[0-9]*") if path.name.removesuffix(".json") not in used)
    if not CURRENT.is_symlink():
        yield from (path for path in (ROOT, ETC, UNIT, LINK) if os.path.lexists(path))


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _hash(path: Path) -> str | None:
    return sha256(path.read_bytes()) if path.exists() else None
