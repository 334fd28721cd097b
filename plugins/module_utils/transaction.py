"""The transaction: compare, stage, validate, switch, act, prove; or back to where the host was.

Each step is in a library beside this one: ``plan`` decides (pure), ``release`` obtains, ``generation`` writes and
switches, ``service`` acts, ``proof`` asks. Here is their order, and what happens when one of them says no.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import plan as planning
from .generation import Store
from .plan import Action, Manifest, Observed, Plan, Refusal, Release
from .proof import Unproven, get, prove
from .release import fetch
from .service import Service, ServiceError, verify_unit

CHECK_TIMEOUT_S = 120


class RolledBack(Exception):
    """A generation was not proven; the message says why and what is in force now."""


class ArchiveNeeded(Exception):
    """The release is not on this host and its archive is a file on the controller."""


@dataclass(frozen=True)
class Check:
    """A command that must exit 0 without a warning; ``{etc}`` and ``{release}`` stand for the staged directories.

    ``source`` names the variables to mend when its words name no file.
    """

    command: Sequence[str]
    source: str = ""


@dataclass(frozen=True)
class Declaration:
    """What the caller wants in force: the manifest, the bytes of its files, and how to obtain and check them.

    ``sources`` names, per file, the variables its content comes from; a refusal shows them.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]
    sources: Mapping[str, str]
    checks: Sequence[Check]
    archive: str = ""
    user: str = "root"
    uid: int = 0
    gid: int = 0
    keep: int = 3
    allow_downgrade: bool = False


@dataclass
class Outcome:
    """What a run did, or in check mode would do."""

    changed: bool = False
    action: Action = Action.NONE
    before: int | None = None
    after: int | None = None
    reasons: tuple[str, ...] = ()
    fetched_bytes: int = 0
    not_validated: str | None = None
    diff: list[dict[str, str]] = field(default_factory=list)


class Transaction:
    """One daemon on one host. ``archive_file`` is the archive when the controller has sent it."""

    def __init__(self, store: Store, service: Service, archive_file: Path | None = None) -> None:
        self.store = store
        self.service = service
        self.archive_file = archive_file

    # --- the three states

    def present(self, declared: Declaration, check_mode: bool = False) -> Outcome:
        """Bring the declaration into force, or leave the host as it is.

        Raises:
            Refusal: a checker, the plan or the pin says no; nothing was changed.
            ArchiveNeeded: call again with ``archive_file``; nothing was changed.
            RolledBack: it was switched and not proven; the generation before it is in force again.
        """
        observed = self._observe(declared)
        decided = planning.plan(declared.manifest, observed, allow_downgrade=declared.allow_downgrade)
        outcome = self._outcome(decided, observed.current, declared)
        if not decided.changed:
            return outcome
        if check_mode:
            outcome.not_validated = self._rehearse(declared)
            return outcome
        self.store.prepare()
        try:
            if release := self._release_to_obtain(declared):
                outcome.fetched_bytes = self._obtain(release, declared.archive)
            outcome.after = observed.current.generation if observed.current else 0
            if decided.stage:
                outcome.after = self._stage(declared, max([0, *self.store.ids()]) + 1)
            self._switch(outcome.after, decided.action, declared.uid, declared.gid)
        finally:
            self.store.prune(declared.keep)
        return outcome

    def previous(self, uid: int, gid: int, check_mode: bool = False) -> Outcome:
        """Go back to the generation before the one in force, passing over those that were edited since.

        Raises:
            Refusal: there is none.
        """
        current = self.store.current_id()
        older = [generation for generation in self.store.ids() if current is not None and generation < current]
        whole = [generation for generation in older if not self.store.damage(self.store.manifest(generation), gid)]
        if current is None or not whole:
            raise Refusal(f"no generation before {current} is kept as it was made; kept are {self.store.ids()}")
        target = self.store.manifest(whole[-1])
        decided = planning.plan(target, Observed(current=self.store.manifest(current)), allow_downgrade=True)
        outcome = Outcome(True, decided.action, current, target.generation, decided.reasons)
        if not check_mode:
            self._switch(target.generation, decided.action, uid, gid)
        return outcome

    def absent(self, check_mode: bool = False) -> Outcome:
        """Stop the daemon and remove all of it but its data."""
        outcome = Outcome(changed=self.store.journal.exists(), before=self.store.current_id())
        if outcome.changed:
            outcome.reasons = ("declared absent",)
            if not check_mode:
                self.service.remove()
                self.store.withdraw()
                self.service.forget()
                self.store.forget()
        return outcome

    # --- compare

    def _observe(self, declared: Declaration) -> Observed:
        current = self.store.current_id()
        if current is None:
            return Observed(foreign=self.store.foreign())
        manifest = self.store.manifest(current)
        release = self.store.releases.path(manifest.release.version) if manifest.release else None
        return Observed(
            current=manifest,
            drift=[*self.store.drift(manifest, declared.gid), *self.service.drift(release)],
            owed=planning.owed(self.store.records(), current),
        )

    def _outcome(self, decided: Plan, current: Manifest | None, declared: Declaration) -> Outcome:
        before = current.generation if current else None
        outcome = Outcome(decided.changed, decided.action, before, before, decided.reasons)
        if decided.changed:
            outcome.diff = list(self._diff(current, declared))
        return outcome

    def _diff(self, current: Manifest | None, declared: Declaration) -> Iterator[dict[str, str]]:
        """Per file, what is on disk now and what is declared; so a hand edit shows as what it is."""
        new, old = declared.manifest.files, current.files if current else {}
        root = self.store.path(current.generation) if current else Path("/nonexistent")
        for path in sorted({*new, *old, *_paths_below(root, "etc")}):
            on_disk = self.store.unit if path == "unit" else root / path
            before = on_disk.read_bytes() if current and on_disk.is_file() else b""
            after = declared.contents.get(path, b"")
            if before != after:
                secret = any(fact.secret for fact in (new.get(path), old.get(path)) if fact)
                shown = str(self.store.etc / path[4:]) if path.startswith("etc/") else f"{self.store.name}: {path}"
                yield {
                    "before_header": shown,
                    "after_header": shown,
                    "before": "(secret)\n" if secret and before else before.decode(errors="replace"),
                    "after": "(another secret)\n" if secret and after else after.decode(errors="replace"),
                }

    # --- obtain, stage, validate

    def _release_to_obtain(self, declared: Declaration) -> Release | None:
        """The declared release unless it is on the host as it was unpacked.

        Raises:
            Refusal: it is there from another archive, and a kept generation runs it.
        """
        release = declared.manifest.release
        if release is None:
            return None
        record = self.store.releases.record(release.version)
        if record is None:
            return release
        if record["archive_sha256"] != release.sha256:
            if users := self._generations_running(release.version):
                raise Refusal(
                    f"release {release.version} was unpacked from an archive with sha256 {record['archive_sha256']}, "
                    f"and generations {users} run it; the pin now says {release.sha256}. A published release never "
                    "changes: mend the pin, or move to another version first."
                )
            return release
        return release if self.store.releases.damage(release.version) else None

    def _generations_running(self, version: str) -> list[int]:
        releases = {generation: self.store.manifest(generation).release for generation in self.store.ids()}
        return [generation for generation, release in releases.items() if release and release.version == version]

    def _obtain(self, release: Release, archive: str) -> int:
        """Unpack the release on this host; bytes fetched for it."""
        if self.archive_file:
            self.store.releases.install(release, self.archive_file)
            return 0
        if "://" not in archive:
            raise ArchiveNeeded(archive)
        temporary = self.store.releases.root / f".{archive.rsplit('/', 1)[-1]}"
        try:
            fetched = fetch(archive, temporary)
            self.store.releases.install(release, temporary)
        finally:
            temporary.unlink(missing_ok=True)
        return fetched

    def _stage(self, declared: Declaration, generation: int) -> int:
        manifest = replace(declared.manifest, generation=generation)
        staged = self.store.stage(manifest, declared.contents, declared.gid)
        try:
            self._validate(declared, staged)
            self.store.keep(staged, generation)
        finally:
            self.store.discard(staged)
        return generation

    def _rehearse(self, declared: Declaration) -> str | None:
        """Validate in check mode, beside everything; the answer says why it could not."""
        if self._release_to_obtain(declared):
            return "not validated: the release that checks it is not on this host yet"
        if declared.user != "root" and not declared.uid:
            return f"not validated: the user {declared.user} is not on this host yet"
        with _scratch(self.store) as scratch:
            self._validate(declared, scratch.stage(declared.manifest, declared.contents, declared.gid))
        return None

    def _validate(self, declared: Declaration, staged: Path) -> None:
        """Run the product's own checkers over the whole staged set, as the user that will read it."""
        inside = {"{etc}": str(staged / "etc"), "{release}": str((staged / "release").resolve())}
        for check in declared.checks:
            command = [_fill(word, inside) for word in check.command]
            try:
                done = subprocess.run(
                    ["runuser", "-u", declared.user, "--", *command],
                    capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False, cwd=staged,
                    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                )  # fmt: skip
                words, refused = done.stdout + done.stderr, done.returncode != 0
            except subprocess.TimeoutExpired:
                words, refused = f"did not finish in {CHECK_TIMEOUT_S} s", True
            if refused or "warning" in words.lower():
                checker = " ".join([Path(command[0]).name, *check.command[1:3]])
                raise self._refusal(declared, checker, words, staged, check.source)
        unit = declared.contents["unit"].decode()
        text = unit.replace(f"{self.store.current}/", f"{staged}/")
        if words_of_systemd := verify_unit(text, self.store.name, staged):
            raise self._refusal(declared, "systemd-analyze verify", words_of_systemd, staged, "the unit")

    def _refusal(self, declared: Declaration, checker: str, words: str, staged: Path, source: str) -> Refusal:
        told = words.replace(str(staged / "etc"), str(self.store.etc)).strip()
        complaint = told[found.start() :] if (found := re.search("(?i)fail|error|warning", told)) else told
        named = {source for path, source in declared.sources.items() if str(self.store.etc / path[4:]) in complaint}
        mend = ", ".join(sorted(named)) or source or "the declaration"
        return Refusal(
            f"{checker} refuses the new configuration; nothing was changed. In its words:\n{told}\nMend: {mend}"
        )

    # --- switch, act, prove; or back

    def _switch(self, target: int, action: Action, uid: int, gid: int) -> None:
        fallback = planning.last_proven(self.store.records())
        try:
            self._apply(target, action, uid, gid)
        except (Unproven, ServiceError) as failure:
            words = "\n".join(self.service.last_words())
            told = f"generation {target} of {self.store.name} is not proven: {failure}"
            told += f"\n{self._roll_back(target, fallback, action, uid, gid)}"
            raise RolledBack(f"{told}\nThe last lines of its journal:\n{words}") from failure

    def _apply(self, target: int, action: Action, uid: int, gid: int) -> None:
        manifest = self.store.manifest(target)
        self.store.record("switch", **{"from": self.store.current_id(), "to": target, "action": str(action)})
        for directory in manifest.data:
            _make_data(Path(directory), uid, gid)
        self.store.switch(target)
        self.service.load_if_needed()
        acted_at = time.time() if action is not Action.NONE else None
        self.service.act(action)
        self.store.record("acted", generation=target, action=str(action))
        self._prove(manifest, acted_at)
        self.store.record("proven", generation=target)

    def _roll_back(self, target: int, fallback: int | None, action: Action, uid: int, gid: int) -> str:
        """Undo a switch; the answer says what is in force now."""
        if fallback == target:
            return "It was in force before and stays; there is nothing newer to undo."
        if fallback is None:
            self.service.remove()
            self.store.withdraw()
            self.service.forget()
            self.store.record("withdrawn", generation=target)
            outcome = "It was the first installation and has been withdrawn."
        else:
            alive = self.service.state().active  # a dead process takes no reload
            try:
                self._apply(fallback, action if alive else Action.RESTART, uid, gid)
            except (Unproven, ServiceError) as failure:
                return f"Rolled back to generation {fallback}, which is NOT proven either: {failure}"
            outcome = f"Rolled back: generation {fallback} is in force and proven."
        shutil.rmtree(self.store.path(target))
        return outcome

    def _prove(self, manifest: Manifest, acted_at: float | None) -> None:
        first = self.service.state()

        def exited() -> str | None:
            now = self.service.state()
            if now.exited or not now.active or now.restarts > first.restarts:
                return "the process exited"
            return None

        prove(
            manifest.proof,
            acted_at,
            timeout=manifest.proof_timeout,
            fetch=get,
            exited=exited,
            progress=lambda: _progress(manifest.progress_url),
        )


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
        if re.search(r"[\n']", value):
            raise Refusal(f"environment.{name} is {value!r}: line ends and single quotes cannot be passed to systemd")
    escaped = " ".join(argument.replace("\\", "\\\\") for argument in arguments)
    lines = [f"ARGS='{escaped}'", *(f"{name}='{value}'" for name, value in sorted(environment.items()))]
    return ("\n".join(lines) + "\n").encode()


def _fill(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def _paths_below(root: Path, directory: str) -> list[str]:
    return [str(path.relative_to(root)) for path in (root / directory).rglob("*") if path.is_file()]


def _make_data(directory: Path, uid: int, gid: int) -> None:
    if not directory.is_dir():
        directory.mkdir(parents=True)
        os.chown(directory, uid, gid)
        directory.chmod(0o700)


def _progress(url: str | None) -> str | None:
    if url:
        with suppress(Exception):  # not answering yet is no progress
            return get(url)
    return None


@contextmanager
def _scratch(store: Store) -> Iterator[Store]:
    """A store of the same daemon in a temporary directory, sharing the releases."""
    with tempfile.TemporaryDirectory(prefix=f"{store.name}-check-") as directory:
        scratch = Store(store.name, Path(directory))
        Path(directory).chmod(0o755)
        scratch.prepare()
        scratch.releases.root.rmdir()
        scratch.releases.root.symlink_to(store.releases.root)
        yield scratch
