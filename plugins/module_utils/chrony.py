"""chronyd's configuration as one transaction: checked by chronyd itself, in force and proven, or as before."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from .durable import remove, write_durable
from .plan import Action, Refusal
from .service import Service, ServiceError, run

CONFIG = "etc/chrony/tds.conf"
SOURCES = "etc/chrony/sources.d/tds.sources"
ENVIRONMENT = "etc/chrony/tds.env"
DROP_IN = "etc/systemd/system/chrony.service.d/tds.conf"
OURS = (CONFIG, SOURCES, ENVIRONMENT, DROP_IN)
PENDING = "etc/chrony/.tds.pending"
"""What a run still owes to the files that it has begun to write: reload or restart."""
REHEARSAL = "etc/chrony/.tds.rehearsal"
"""In chronyd's own directory: its AppArmor profile lets it read no other."""
DEFAULTS = "etc/default/chrony"
MANAGED = "# Ansible managed: role timesync\n"
DROP_IN_TEXT = f"""{MANAGED}[Service]
EnvironmentFile=/{ENVIRONMENT}
Restart=on-failure
"""
SHOWN = "LoadState,ActiveState,UnitFileState,ConditionResult,ConditionTimestampMonotonic"
PROOF_SECONDS = 10.0
Call = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


class ChronyNeeded(Exception):
    """This host has no chrony."""


class NotProven(Exception):
    """chronyd did not take up what was written; what was there before is back."""


@dataclass(frozen=True)
class State:
    """What systemd shows of chronyd."""

    installed: bool
    active: bool
    enabled: bool
    held_back: bool
    """It was to be started, and a condition of its unit did not hold: a container may not set the clock."""


@dataclass
class Outcome:
    """What a run has done, or in check mode would do."""

    action: Action = Action.NONE
    reasons: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chrony:
    """chronyd of one host; ``root`` and ``call`` (how a command is run) are for tests."""

    root: Path = Path("/")
    call: Call = run
    proof_seconds: float = PROOF_SECONDS

    def present(
        self, config: str, sources: str, servers: Iterable[str], frozen: str = "", check_mode: bool = False
    ) -> Outcome:
        """Have chronyd run with ``config`` and ``sources``, and know all of ``servers``.

        Raises:
            ChronyNeeded: it is not installed.
            Refusal: chronyd does not take it, or would be restarted while ``frozen``; nothing was changed.
            NotProven: it was tried, and undone.
        """
        state = self.state()
        if not state.installed and not check_mode:
            raise ChronyNeeded
        wanted = {
            CONFIG: MANAGED + config,
            SOURCES: MANAGED + sources,
            ENVIRONMENT: f'{MANAGED}DAEMON_OPTS="{self._options()}"\n',
            DROP_IN: DROP_IN_TEXT,
        }
        changed = {path: text for path, text in wanted.items() if self._text(path) != text}
        outcome = Outcome(*self._plan(changed, state), diff=list(self._diff(changed)))
        if changed:
            self._rehearse(config + sources, state, outcome)
        if outcome.action is Action.RESTART:
            _refuse_while_frozen(frozen, state, outcome.reasons)
        if outcome.reasons and not check_mode:
            self._apply(changed, outcome, state, set(map(_plain, servers)))
        elif state.held_back:
            outcome.warnings.append("chronyd does not run: a condition of its unit does not hold on this host")
        return outcome

    def absent(self, frozen: str = "", check_mode: bool = False) -> Outcome:
        """Take away what ``present`` wrote; chronyd goes on as its package has it."""
        there = {path: "" for path in OURS if (self.root / path).exists()}
        outcome = Outcome(diff=list(self._diff(there)))
        if there:
            state = self.state()
            outcome.action, outcome.reasons = Action.RESTART, ["declared absent"]
            _refuse_while_frozen(frozen, state, outcome.reasons)
            if not check_mode:
                self._put(dict.fromkeys((*there, PENDING)))
                with suppress(OSError):  # somebody else's drop-in is in it
                    (self.root / DROP_IN).parent.rmdir()
                if state.active:
                    self._systemctl("restart", "chrony.service")
        return outcome

    def state(self) -> State:
        shown = dict(
            line.split("=", 1) for line in self._systemctl("show", f"--property={SHOWN}", "chrony.service").splitlines()
        )
        active = shown.get("ActiveState") in ("active", "reloading")
        tried = shown.get("ConditionTimestampMonotonic", "0") != "0"
        return State(
            installed=shown.get("LoadState") == "loaded",
            active=active,
            enabled=shown.get("UnitFileState") == "enabled",
            held_back=not active and tried and shown.get("ConditionResult") == "no",
        )

    # --- compare

    def _options(self) -> str:
        """The administrator's, and ours behind them: chronyd heeds the last ``-f``."""
        given = re.findall(r"^\s*DAEMON_OPTS=[\"']?(.*?)[\"']?\s*$", self._text(DEFAULTS) or "", re.MULTILINE)
        return " ".join([*given[-1:], f"-f /{CONFIG}"]).strip()

    def _plan(self, changed: Mapping[str, str], state: State) -> tuple[Action, list[str]]:
        """The force that is needed, and why; no reason is no change."""
        reasons = [f"/{path} differs" for path in changed]
        if not state.installed:
            reasons.insert(0, "chrony is not on this host yet")
        owed = (self._text(PENDING) or "").strip()
        if owed:
            reasons.append("a run before has not come to its end")
        if state.installed and not state.active and not state.held_back:
            reasons.append("chronyd does not run")
        if changed.keys() - {SOURCES} or owed == _word(Action.RESTART) or (reasons and not state.active):
            return Action.RESTART, reasons
        if reasons:
            return Action.RELOAD, reasons
        return Action.NONE, [] if state.enabled or not state.installed else ["chrony.service is not enabled"]

    def _rehearse(self, text: str, state: State, outcome: Outcome) -> None:
        """Have chronyd read the whole, sources too, which it reads by itself only when it runs."""
        if not state.installed:
            outcome.warnings.append("not validated: chronyd is not on this host yet")
            return
        file = self.root / REHEARSAL
        write_durable(file, text.encode(), 0o644)
        try:
            done = self.call(["chronyd", "-p", "-f", str(file)])
        finally:
            remove(file)
        if done.returncode:
            words = next((line for line in done.stderr.splitlines() if "error" in line.lower()), done.stderr.strip())
            number = re.search(r"at line (\d+)", words)
            line = text.splitlines()[int(number[1]) - 1] if number else ""
            raise Refusal(
                f"chronyd refuses the new configuration; nothing was changed: {words.partition('error : ')[2] or words}"
                f"{f': {line!r}' if line else ''}. Mend: timesync_servers, timesync_settings"
            )

    def _diff(self, changed: Mapping[str, str]) -> Iterator[dict[str, str]]:
        for path, after in changed.items():
            before = self._text(path) or ""
            yield {"before_header": f"/{path}", "after_header": f"/{path}", "before": before, "after": after}

    # --- change

    def _apply(self, changed: Mapping[str, str], outcome: Outcome, state: State, servers: set[str]) -> None:
        before, began = {path: self._text(path) for path in changed}, time.time()
        if outcome.action is not Action.NONE:
            write_durable(self.root / PENDING, _word(outcome.action).encode(), 0o644)
        try:
            self._put(changed)
            if not state.enabled:
                self._systemctl("enable", "--quiet", "chrony.service")
            self._act(outcome.action)
            self._prove(servers, outcome)
        except (ServiceError, NotProven) as error:
            told = "\n  ".join([str(error), *Service("chrony").last_words(began)])
            self._put(before)
            with suppress(ServiceError):
                if state.active:
                    self._act(outcome.action)
                else:
                    self._systemctl("stop", "chrony.service")
            raise NotProven(f"rolled back, the configuration from before is in force: {told}") from error
        finally:
            remove(self.root / PENDING)

    def _put(self, texts: Mapping[str, str | None]) -> None:
        """Write each file, or remove it for None."""
        for path, text in texts.items():
            file = self.root / path
            if text is None:
                remove(file)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_durable(file, text.encode(), 0o644)
        if DROP_IN in texts:
            self._systemctl("daemon-reload")

    def _act(self, action: Action) -> None:
        if action is Action.RESTART:
            self._systemctl("reset-failed", "chrony.service", check=False)
            self._systemctl("restart", "chrony.service")
        elif action is Action.RELOAD:
            done = self.call(["chronyc", "reload", "sources"])
            if done.returncode:
                raise ServiceError(f"chronyc reload sources: {(done.stdout + done.stderr).strip()}")

    def _prove(self, servers: set[str], outcome: Outcome) -> None:
        """Wait until chronyd says that it has the servers; whether they answer is the alerts' to say."""
        end = time.monotonic() + self.proof_seconds
        while True:
            state = self.state()
            if state.held_back:
                outcome.warnings.append("not proven: a condition of chrony.service does not hold on this host")
                return
            missing = servers - self._known() if state.active else {"chronyd itself"}
            if not missing:
                return
            if time.monotonic() > end:
                raise NotProven(f"chronyd has not taken up {', '.join(sorted(missing))}")
            time.sleep(0.2)

    def _known(self) -> set[str]:
        """The servers that chronyd has, by the names that they were given, resolved or not."""
        rows = self.call(["chronyc", "-N", "-c", "sources", "-a"]).stdout.splitlines()
        return {_plain(row.split(",")[2]) for row in rows if row.count(",") > 2}

    def _text(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def _systemctl(self, *words: str, check: bool = True) -> str:
        done = self.call(["systemctl", *words])
        if check and done.returncode:
            raise ServiceError(f"systemctl {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout


def _refuse_while_frozen(frozen: str, state: State, reasons: Iterable[str]) -> None:
    if frozen and state.active:
        raise Refusal(
            f"chronyd would be restarted, because {'; '.join(reasons)}, and nothing was changed: {frozen}. "
            "Run this later, or with -e change_freeze_override=true."
        )


def _word(action: Action) -> str:
    return action.name.lower()


def _plain(address: str) -> str:
    """An IPv6 address as chronyd shows it, however it was written; a name in small letters."""
    with suppress(ValueError):
        return str(ip_address(address))
    return address.lower()
