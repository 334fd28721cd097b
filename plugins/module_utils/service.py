"""One systemd service: what it shows, and the three things done to it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from .plan import Action, Drift

SHOWN = "ActiveState,SubState,MainPID,NRestarts,UnitFileState,LoadState,NeedDaemonReload,FragmentPath"
COMMAND_TIMEOUT_S = 300  # longer than a stop may take (TimeoutStopSec, 90 s unless set)
JOURNAL_TIMEOUT_S = 10  # the way back waits for it
RESTARTED = ": Scheduled restart job, restart counter is at "  # as systemd says it


class ServiceError(Exception):
    """systemd refused; the message is its own."""


@dataclass(frozen=True)
class State:
    """What ``systemctl show`` says, and the binary that the main process runs."""

    active: bool
    exited: bool
    pid: int
    restarts: int
    enabled: bool
    masked: bool
    stale: bool
    executable: str
    loaded: bool = True


class Service:
    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = f"{name}.service"
        # A unit that was loaded from elsewhere (the distribution's) is not ours, and systemd does not notice that.
        self._fragments = (None, "", "/dev/null", f"/etc/systemd/system/{self.unit}")

    def state(self) -> State:
        shown = dict(line.split("=", 1) for line in self._systemctl("show", f"--property={SHOWN}").splitlines())
        pid = int(shown.get("MainPID") or 0)
        return State(
            active=shown.get("ActiveState") in ("active", "reloading"),
            exited=shown.get("SubState") in ("auto-restart", "auto-restart-queued", "failed", "dead", "exited"),
            pid=pid,
            restarts=int(shown.get("NRestarts") or 0),
            enabled=shown.get("UnitFileState") == "enabled",
            masked=shown.get("LoadState") == "masked",
            stale=shown.get("NeedDaemonReload") == "yes" or shown.get("FragmentPath") not in self._fragments,
            executable=_executable(pid),
            loaded=shown.get("LoadState") == "loaded",
        )

    def drift(self, release: Path | None) -> list[Drift]:
        """How the service differs from one that is enabled and runs the release in force."""
        state, found = self.state(), []
        if state.masked:
            found.append(Drift(self.unit, "is masked", Action.RESTART))
        elif not state.active:
            found.append(Drift(self.unit, "does not run", Action.RESTART))
        elif release and not _runs(state, release.resolve()):
            found.append(Drift(self.unit, f"runs {state.executable}, not {release.name}", Action.RESTART))
        if not state.enabled and not state.masked:
            found.append(Drift(self.unit, "is not enabled"))
        if state.stale and not self._every_unit_is_stale():
            found.append(Drift(self.unit, "was changed on disk and not loaded", Action.RESTART))
        return found

    def _every_unit_is_stale(self) -> bool:
        """Whether systemd would reload them all: so it says of each while another is being enabled, ours unchanged."""
        shown = run(["systemctl", "show", "--property=NeedDaemonReload", "--value", "--", "-.slice"]).stdout
        return shown.strip() == "yes"

    def load_if_needed(self) -> None:
        """Make systemd read a unit that is new or changed."""
        state = self.state()
        if state.masked:
            self._systemctl("unmask")
        if not state.loaded or state.stale:
            self.forget()

    def enable_if_needed(self) -> None:
        """Have it started at boot; not before it is proven, or a run that is killed leaves that to the next boot."""
        if not self.state().enabled:
            self._systemctl("enable", "--quiet")

    def act(self, action: Action) -> None:
        """Apply an action.

        Raises:
            ServiceError: systemd could not start or signal the process.
        """
        if action is Action.NONE:
            return
        self._systemctl("reset-failed", check=False)  # sets the count of restarts to 0 too
        try:
            self._systemctl("reload" if action is Action.RELOAD else "restart")
        except ServiceError as error:
            # What dies of a reload may end the job before it ends by itself, or after: the reason is the same. By now
            # systemd may have started another.
            state = self.state()
            if action is Action.RELOAD and (state.restarts or not state.active):
                raise ServiceError("the process exited") from error
            raise

    def stop(self) -> None:
        self._systemctl("stop")

    def retire(self) -> None:
        """Stop a service for good: it starts neither at boot nor when its package is upgraded."""
        self._systemctl("disable", "--now", "--quiet")
        self._systemctl("mask", "--quiet", check=False)  # one that an administrator wrote cannot be masked

    def restore(self, *, enabled: bool, active: bool) -> None:
        """Have a service do again what it did before: after a retirement, or when its unit is back in its place."""
        self._systemctl("unmask", "--quiet")
        self.forget()
        if enabled:
            self._systemctl("enable", "--quiet")
        if active:
            self._systemctl("restart")

    def remove(self) -> None:
        """Stop, disable and forget; for a service whose unit file is about to go."""
        self._systemctl("disable", "--quiet", check=False)
        if self.state().pid:
            self._systemctl("stop")
        self._systemctl("stop", check=False)  # it may be waiting for its next start
        self._systemctl("reset-failed", check=False)

    def forget(self) -> None:
        self._systemctl("daemon-reload", unit=False)

    def last_words(self, since: float, lines: int = 10) -> list[str]:
        """The last journal lines of what was started after a time (epoch seconds) or ran on, oldest first.

        Not those of what systemd has started in place of a process that ended. If there are none, the service's last.
        """
        try:
            with suppress(ServiceError):
                run(["journalctl", "--sync"], timeout=JOURNAL_TIMEOUT_S)  # what is still on its way to the journal
            said = takewhile(lambda line: RESTARTED not in line, self._journal(f"--since=@{since}"))
            return list(said)[-lines:] or self._journal(f"--lines={lines}")
        except ServiceError as error:  # a reason to tell, none to fail for
            return [str(error)]

    def _journal(self, option: str) -> list[str]:
        # Not --unit: what was written by a process that ended before journald looked (why systemd could not start it)
        # is of no unit but in the field that systemd itself fills.
        matches = [f"_SYSTEMD_UNIT={self.unit}", "+", "_UID=0", f"UNIT={self.unit}"]
        matches += ["+", "_UID=0", f"COREDUMP_UNIT={self.unit}"]
        return run(["journalctl", option, "--output=cat", "--quiet", "--no-pager", *matches]).stdout.splitlines()

    def _systemctl(self, verb: str, *options: str, unit: bool = True, check: bool = True) -> str:
        command = ["systemctl", verb, *options, *([self.unit] if unit else [])]
        done = run(command)
        if check and done.returncode:
            # The first line; what follows sends the reader to journalctl, whose words are shown anyway.
            words = (done.stderr.strip() or done.stdout.strip()).partition("\n")[0]
            raise ServiceError(f"{' '.join(command)}: {words}")
        return done.stdout


def verify_unit(text: str, unit: str, staging: Path) -> str | None:
    """systemd's own word on the text of a unit (its full name), or ``None`` when it has none.

    ``systemd-analyze verify`` exits 0 for directives that it ignores, so each line about this unit is a refusal;
    lines about other units of the host are not ours.
    """
    path = staging / unit
    path.write_text(text)
    try:
        done = run(["systemd-analyze", "verify", "--man=no", str(path)])
    finally:
        path.unlink()
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if path.name in line) or None


def _runs(state: State, release: Path) -> bool:
    """Whether the main process runs a file of the release: a binary, or a script that its interpreter was given.

    The kernel starts an interpreter with at most one word before the script's path, and shows a binary that was
    replaced since as "... (deleted)", which is no file.
    """
    files = [Path(file) for file in (state.executable, *_arguments(state.pid)[:2])]
    return any(file.exists() and file.resolve().is_relative_to(release) for file in files)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[1:]
    except OSError:
        return []


def _executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink()) if pid else ""
    except OSError:
        return ""


def run(command: Sequence[str], timeout: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run a command of systemd; ``timeout`` is in seconds.

    Raises:
        ServiceError: it is not there, or does not end.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(str(error)) from error
