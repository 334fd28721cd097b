"""What the caller wants in force, and what the product's own checkers say of it before it is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account
from .findings import Predecessors
from .generation import Store
from .plan import Manifest, Refusal
from .service import verify_unit

ROOT = Account()
NO_PREDECESSORS = Predecessors()
CHECK_TIMEOUT_S = 600
CHECK_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
# What checkers print when they accept something that will not work, and not a file name that has the word in it.
WARNING = re.compile(r"\bwarning:|level=warn|\"level\":\"warn\"", re.IGNORECASE)
SUPPLEMENTARY_GROUPS = re.compile(r"^SupplementaryGroups=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """A command that must exit 0 without a warning; ``{etc}`` and ``{release}`` stand for the staged directories.

    ``source`` names the variables to mend when its words name no file. ``harmless`` are lines that
    warn of nothing. ``reads`` are the files below ``{etc}`` that its answer depends on, beside the release: while they
    are what they were it is not asked again. Without them it always is.
    """

    command: Sequence[str]
    source: str = ""
    harmless: Sequence[str] = ()
    reads: Sequence[str] = ()

    def digest(self, manifest: Manifest) -> str:
        """Of all that the answer depends on; empty when that is not known."""
        if not self.reads:
            return ""
        files = [[path, fact.sha256] for path in self.reads if (fact := manifest.files.get(f"etc/{path}"))]
        release = manifest.release.sha256 if manifest.release else ""
        return hashlib.sha256(
            json.dumps([list(self.command), list(self.harmless), files, release]).encode()
        ).hexdigest()


@dataclass(frozen=True)
class Declaration:
    """The manifest, the bytes of its files, and how to obtain and check them.

    ``sources`` names, per file, the variables its content comes from; a refusal shows them.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]
    sources: Mapping[str, str]
    checks: Sequence[Check]
    archive: str = ""
    account: Account = ROOT
    keep: int = 3
    allow_downgrade: bool = False
    adopt: bool = False
    predecessors: Predecessors = NO_PREDECESSORS

    @property
    def passes(self) -> tuple[str, ...]:
        """What may be written down once all checks have passed."""
        return tuple(digest for check in self.checks if (digest := check.digest(self.manifest)))

    @property
    def groups(self) -> list[str]:
        """The supplementary groups that the unit gives the service, and that its checkers must have too."""
        lines = SUPPLEMENTARY_GROUPS.findall(self.contents["unit"].decode())
        return [group for line in lines for group in line.split()]

    def redacted(self, text: str) -> str:
        """The text without any line of a secret file."""
        for path, fact in self.manifest.files.items():
            if fact.secret:
                for line in self.contents[path].decode(errors="replace").splitlines():
                    if len(line.strip()) > 3:
                        text = text.replace(line.strip(), "(secret)")
        return text


def validate(declared: Declaration, staged: Path, store: Store, passed: Sequence[str] = ()) -> None:
    """Run the checkers over the whole staged generation, as the user that will read it; those that have ``passed`` with
    the same files and the same release are not asked again.

    Raises:
        Refusal: one of them says no; the message has its words and the variables to mend.
    """
    as_the_service = ["runuser", "--user", declared.account.name]
    if declared.groups:  # without --group runuser makes the first of them the primary one
        as_the_service += ["--group", declared.account.name, *(f"--supp-group={group}" for group in declared.groups)]
    as_the_service.append("--")
    inside = {"{etc}": str(staged / "etc"), "{release}": str((staged / "release").resolve())}
    for check in declared.checks:
        if check.digest(declared.manifest) in passed:
            continue
        command = [_fill(word, inside) for word in check.command]
        code, words = _run([*as_the_service, *command], staged)
        words = "\n".join(line for line in words.splitlines() if line not in check.harmless)
        if code or WARNING.search(words):
            checker = " ".join([Path(command[0]).name, *check.command[1:3]])
            raise _refusal(
                declared, store, checker, words.replace(inside["{etc}"], str(store.outside.etc)), check.source
            )
    unit = declared.contents["unit"].decode().replace(f"{store.current}/", f"{staged}/")
    if complaint := verify_unit(unit, f"{store.name}.service", staged):
        raise _refusal(declared, store, "systemd-analyze verify", complaint, "the unit")


def _refusal(declared: Declaration, store: Store, checker: str, words: str, source: str) -> Refusal:
    told = declared.redacted(words).strip()
    complaint = told[found.start() :] if (found := re.search("(?i)fail|error|warning", told)) else told
    named = {source for path, source in declared.sources.items() if str(store.outside.etc / path[4:]) in complaint}
    mend = ", ".join(sorted(named)) or source or "the declaration"
    return Refusal(f"{checker} refuses the new configuration; nothing was changed. In its words:\n{told}\nMend: {mend}")


def _run(command: Sequence[str], directory: Path) -> tuple[int, str]:
    """Exit code and words of a checker."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", cwd=directory, env=CHECK_ENVIRONMENT, start_new_session=True,
    ) as checker:  # fmt: skip
        try:
            words, _nothing = checker.communicate(timeout=CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(checker.pid, signal.SIGKILL)  # runuser and what it runs
            return 1, f"did not finish in {CHECK_TIMEOUT_S} s"
    code = checker.returncode
    # runuser tells of a signal as a shell does; a checker that was killed says nothing itself.
    killed = f"\nkilled: {signal.strsignal(code - 128)}" if 128 < code < 128 + signal.NSIG else ""
    return code, words + killed


def _fill(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def environment_file(arguments: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The text of ``env``, which the unit reads: ``ARGS`` for the command line, and further variables.

    systemd splits ``$ARGS`` at white space and takes quotes and backslashes in it as its own, after the file's
    single quotes; so the former are refused and backslashes doubled.

    Raises:
        Refusal: an argument that systemd would take apart.
    """
    for word in arguments:
        if not word or re.search(r"[\s'\"]", word):
            raise Refusal(f"argument {word!r} is empty or has white space or quotes, which systemd would take apart")
    for name, value in environment.items():
        if re.search(r"[\n']", str(value)):
            raise Refusal(f"environment.{name} is {value!r}: line ends and single quotes cannot be passed to systemd")
    escaped = " ".join(argument.replace("\\", "\\\\") for argument in arguments)
    lines = [f"ARGS='{escaped}'", *(f"{name}='{value}'" for name, value in sorted(environment.items()))]
    return ("\n".join(lines) + "\n").encode()
