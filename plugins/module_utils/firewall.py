"""The firewall's transaction: compare, refuse, arm the way back, apply, have it confirmed over a new connection, keep.

::

    /etc/tds/firewall/rules.nft               what the unit loads at boot; written when the rules have been confirmed
    /etc/systemd/system/tds-firewall.service
    /run/tds-firewall/previous-*.nft          the rules before, while new ones wait for their confirmation
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import nft
from .controller import Connection
from .drift import drift_of_mode
from .durable import fsync_path, remove, temporary, write_durable
from .generation import Busy
from .outside import Outside
from .plan import Action, Refusal
from .ruleset import TABLE, Ruleset
from .service import Service, ServiceError, run

UNIT = "tds-firewall"
REVERT = "tds-firewall-revert"
MODE = 0o644


class NotConfirmed(Exception):
    """New rules were applied and not confirmed in time; those from before are in force again."""


class NftNeeded(Exception):
    """This host has no nft."""


@dataclass
class Outcome:
    """What a run did, or in check mode would do. ``awaits`` says that the rules await their confirmation."""

    reasons: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    awaits: bool = False
    not_validated: str | None = None

    @property
    def changed(self) -> bool:
        return bool(self.reasons)


class Revert:
    """The way back: a timer of the host's own systemd, which needs neither this process nor the controller."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.timer = f"{REVERT}.timer"

    def is_armed(self) -> bool:
        return run(["systemctl", "is-active", "--quiet", self.timer]).returncode == 0

    def arm(self, previous: str, seconds: int) -> None:
        """Have ``previous`` loaded in so many seconds, or the table removed should that fail.

        Raises:
            Busy: another run's rules await their confirmation.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="previous-", suffix=".nft", dir=self.directory)
        with os.fdopen(descriptor, "w") as file:
            file.write(previous)
        options = ["--quiet", "--collect", f"--unit={REVERT}", f"--on-active={seconds}s"]
        options += ["--timer-property=AccuracySec=100ms", "--description=Bring the firewall's rules from before back"]
        back = f"{nft.NFT} --file {name} || {nft.NFT} delete table {TABLE}"
        done = run(["systemd-run", *options, "/bin/sh", "-c", back])
        if done.returncode:  # systemd gives the name once, so of two runs at the same moment one gets here
            Path(name).unlink()
            if self.is_armed():
                raise Busy(_busy())
            raise ServiceError(f"systemd-run: {done.stderr.strip()}")

    def disarm(self) -> None:
        """Whatever has not begun by now never will; what has begun is over."""
        run(["systemctl", "stop", self.timer, f"{REVERT}.service"])
        remove(self.directory)


class Firewall:
    """Our table, its file and its unit on one host. ``host`` is ``/`` on a host and a temporary directory in tests."""

    def __init__(self, host: Path = Path("/"), service: Service | None = None, revert: Revert | None = None) -> None:
        self.directory = host / "etc/tds/firewall"
        self.rules = self.directory / "rules.nft"
        self.unit = host / "etc/systemd/system" / f"{UNIT}.service"
        self.outside = Outside(UNIT, host)
        self.service = service or Service(UNIT)
        self.revert = revert or Revert(host / "run/tds-firewall")

    def present(
        self, rules: Ruleset, unit: str, controller: Connection | None, seconds: int, check_mode: bool
    ) -> Outcome:
        """Apply the rules where they differ, to be confirmed within so many seconds; put right what else differs.

        Raises:
            NftNeeded, NftError, ServiceError: the host cannot do it.
            Refusal: the rules would cut ``controller`` off; nothing was changed.
            Busy: another run's rules await their confirmation.
        """
        if controller and not rules.admits(controller.peer, controller.port):
            why = rules.why_not(controller.peer, controller.port)
            raise Refusal(
                f"these rules would cut off the controller, which comes from {controller.peer}, and nothing was "
                f"changed: {why}"
            )
        text = rules.text()
        if not nft.is_installed():
            if not check_mode:
                raise NftNeeded
            return Outcome(["nft is not on this host yet"], [_diff(TABLE, "", text)], not_validated=nft.NFT)
        if self.revert.is_armed():
            raise Busy(_busy())
        live, wanted = nft.live(), nft.listed(text)
        files = {self.rules: text, self.unit: unit}
        outcome = Outcome(list(self._reasons(files, live, wanted)))
        if outcome.changed:
            outcome.diff = list(self._diffs(files, live, wanted))
            nft.check(text)
            outcome.awaits = live != wanted
        if check_mode or not outcome.changed:
            return outcome
        if not outcome.awaits:
            self._put_right(files)
            return outcome
        previous = nft.loadable()
        nft.check(previous)  # a way back that cannot be gone is none
        self.revert.arm(previous, seconds)
        try:
            nft.load(text)
        except nft.NftError:  # all of it or nothing: there is no way to go back
            self.revert.disarm()
            raise
        return outcome

    def confirm(self, rules: Ruleset, unit: str) -> None:
        """Keep the rules that are in force: the controller has come through them.

        Raises:
            NotConfirmed: they are not in force any more.
        """
        text = rules.text()
        self.revert.disarm()
        if nft.live() != nft.listed(text):
            raise NotConfirmed
        self._put_right({self.rules: text, self.unit: unit})

    def absent(self, check_mode: bool) -> Outcome:
        """Take our table, its file and its unit away, and nothing else."""
        live = nft.live() if nft.is_installed() else ""
        there = [path for path in (self.directory, self.unit) if path.exists()]
        if not (live or there):
            return Outcome()
        reasons = [*([f"table {TABLE} is in force"] if live else []), *(f"{path} is there" for path in there)]
        outcome = Outcome(reasons, [_diff(TABLE, live, "")])
        if check_mode:
            return outcome
        self.revert.disarm()
        self.service.remove()
        for path in (self.unit, temporary(self.unit), self.directory):
            remove(path)
        self.service.forget()
        if live:
            nft.delete()
        with suppress(OSError):  # something else is in there
            self.directory.parent.rmdir()
        return outcome

    def _reasons(self, files: dict[Path, str], live: str, wanted: str) -> Iterator[str]:
        if live != wanted:
            yield f"table {TABLE} in the kernel {'differs' if live else 'is missing'}"
        for path, text in files.items():
            if how := _drift(path, text):
                yield f"{path}: {how}"
        for path in self.outside.drop_ins():
            yield f"{path}: is a drop-in that is not declared"
        if self.unit.exists():
            yield from map(str, self.service.drift(None))

    def _diffs(self, files: dict[Path, str], live: str, wanted: str) -> Iterator[dict[str, str]]:
        if live != wanted:
            yield _diff(TABLE, live, wanted)
        for path, text in files.items():
            before = path.read_text(errors="replace") if path.is_file() else ""
            # What a new table consists of has been said.
            if before != text and (path != self.rules or live == wanted):
                yield _diff(str(path), before, text)

    def _put_right(self, files: dict[Path, str]) -> None:
        """Have the rules in force come back at boot."""
        for path in self.outside.drop_ins():
            self.outside.set_aside(path)
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            for parent in (self.directory.parent, self.directory.parent.parent):
                fsync_path(parent)
        for path, text in files.items():
            if _drift(path, text):
                write_durable(path, text.encode(), MODE)
        self.service.load_if_needed()
        self.service.enable_if_needed()
        if not self.service.state().active:  # loads what is in force already, once more
            self.service.act(Action.RESTART)


def _busy() -> str:
    return "the rules of another run await their confirmation on this host; without it they go back by themselves: wait"


def _drift(path: Path, text: str) -> str | None:
    if path.is_file() and path.read_bytes() != text.encode():
        return "differs from the declaration"
    return drift_of_mode(path, MODE, 0)


def _diff(what: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": what, "after_header": what, "before": before, "after": after}
