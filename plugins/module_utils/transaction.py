"""The transaction: compare, stage, validate, switch, act, prove; or back to where the host was.

Each step is in a library beside this one: ``plan`` decides (pure), ``release`` obtains, ``generation`` writes and
switches, ``declaration`` validates, ``service`` acts, ``proof`` asks. Here is their order, and what happens when
one of them says no.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from . import plan as planning
from .accounts import Account, find_account, group_exists, make_account
from .adoption import Adoption
from .declaration import Declaration, validate
from .durable import remove
from .findings import Finding, Kind, findings
from .generation import Store, before_the_switch
from .outside import own
from .plan import Action, Manifest, Observed, Plan, Refusal, Release
from .proof import Fetch, Unproven, get, prove
from .release import fetch as fetch_archive
from .service import Service, ServiceError


class NotProven(Exception):
    """A generation was switched to and not proven; the message says why and what is in force now.

    ``rolled_back``: the generation before it, or none after a first installation, is in force and well.
    """

    def __init__(self, message: str, *, rolled_back: bool) -> None:
        super().__init__(message)
        self.rolled_back = rolled_back


class ArchiveNeeded(Exception):
    """The release is not on this host and its archive is a file on the controller."""


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
    """One daemon on one host. ``archive_file`` is the archive when the controller has sent it, ``frozen`` why what runs
    may not be restarted or stopped now; empty when it may."""

    def __init__(self, store: Store, service: Service, archive_file: Path | None = None, frozen: str = "") -> None:
        self.store = store
        self.service = service
        self.archive_file = archive_file
        self.frozen = frozen

    # --- the three states

    def present(self, declared: Declaration, check_mode: bool = False) -> Outcome:
        """Bring the declaration into force, or leave the host as it is.

        Raises:
            Refusal: a checker, the plan, the pin or the host says no; nothing was changed.
            ArchiveNeeded: call again with ``archive_file``; nothing was changed.
            NotProven: it was switched and not proven, and undone.
        """
        if self.store.current_id() is None and not check_mode:
            Adoption(self.store, self.service).undo()  # what a run took that was killed before its switch
        observed, found = self._observe(declared.manifest, declared)
        decided = planning.plan(
            declared.manifest, observed, allow_downgrade=declared.allow_downgrade, adopt=declared.adopt
        )
        outcome = self._outcome(decided, observed.current, declared)
        if not decided.changed:
            return outcome
        if check_mode:
            outcome.not_validated = self._rehearse(declared)
            return outcome
        self._refuse_while_frozen(outcome.action, outcome.reasons, found)
        adoption = Adoption(self.store, self.service, found)
        try:
            with before_the_switch():
                adoption.refuse_without_room(declared.manifest)
                self.store.prepare()
                if release := self._release_to_obtain(declared):
                    outcome.fetched_bytes = self._obtain(release, declared.archive)
                if not declared.account.exists:
                    declared = replace(declared, account=make_account(declared.account.name))
                outcome.after = observed.current.generation if observed.current else 0
                if decided.stage:
                    outcome.after = self._stage(declared, self.store.next_id())
            self._switch(outcome.after, decided.action, declared, adoption)
        finally:
            # What cannot be removed now must not hide the reason, and goes with the next run.
            with suppress(OSError):
                self.store.prune(declared.keep)
        return outcome

    def previous(self, account: Account, check_mode: bool = False) -> Outcome:
        """Go back to the generation that was proven before the one in force, passing over what was edited since.

        Raises:
            Refusal: there is none.
            NotProven: it was switched and not proven, and undone.
        """
        current = self.store.current_id()
        kept = [self.store.manifest(generation) for generation in self.store.ids()]
        order = planning.history(self.store.records())
        older = [manifest for manifest in kept if manifest.generation in order and manifest.generation < (current or 0)]
        whole = [manifest for manifest in older if not self.store.damage(manifest, account)]
        if not whole:
            raise Refusal(f"no generation before {current} is kept, was proven, and is as it was made")
        target = max(whole, key=lambda manifest: order.index(manifest.generation))
        declared = self._kept(target, account)
        observed, found = self._observe(target, declared)
        decided = planning.plan(target, observed, allow_downgrade=True)
        outcome = self._outcome(decided, observed.current, declared)
        outcome.after = target.generation
        if not check_mode:
            self._refuse_while_frozen(outcome.action, outcome.reasons)
            self._switch(target.generation, decided.action, declared, Adoption(self.store, self.service, found))
        return outcome

    def absent(self, check_mode: bool = False) -> Outcome:
        """Stop the daemon and remove all of it but its data."""
        outcome = Outcome(changed=self.store.is_there(), before=self.store.current_id())
        if outcome.changed:
            outcome.reasons = ("declared absent",)
            if not check_mode:
                self._refuse_while_frozen(Action.RESTART, outcome.reasons)
                self.service.remove()
                self.store.withdraw()
                self.service.forget()
                self.store.forget()
        return outcome

    def _refuse_while_frozen(self, action: Action, reasons: Sequence[str], found: Sequence[Finding] = ()) -> None:
        """A reload passes, and so does the start of what does not run: nobody loses anything by either."""
        if not self.frozen or action is not Action.RESTART:
            return
        if self.service.state().active or any(finding.kind is Kind.UNIT for finding in found):
            why = "; ".join(reasons)
            raise Refusal(
                f"it would be restarted or stopped, because {why}, and nothing was changed: {self.frozen}. "
                "Run this later, or with -e change_freeze_override=true."
            )

    # --- compare

    def _observe(self, wanted: Manifest, declared: Declaration) -> tuple[Observed, list[Finding]]:
        account = declared.account
        found = findings(self.store, wanted, account, declared.predecessors)
        foreign = tuple(str(finding) for finding in found)
        current = self.store.current_id()
        if current is None:
            return Observed(foreign=foreign), found
        manifest = self.store.manifest(current)
        release = self.store.releases.path(manifest.release.version) if manifest.release else None
        observed = Observed(
            current=manifest,
            drift=[*self.store.drift(manifest, account, declared.keep), *self.service.drift(release)],
            owed=planning.owed(self.store.records(), current),
            foreign=foreign,
        )
        return observed, found

    def _kept(self, manifest: Manifest, account: Account) -> Declaration:
        """A generation that is on the host, as a declaration."""
        root = self.store.path(manifest.generation)
        contents = {path: (root / path).read_bytes() for path in manifest.files}
        keep = len(self.store.ids())
        return Declaration(manifest, contents, sources={}, checks=[], account=account, keep=keep)

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
            on_disk = self.store.outside.unit if path == "unit" else root / path
            before = on_disk.read_bytes() if current and on_disk.is_file() else b""
            after = declared.contents.get(path, b"")
            if before != after:
                facts = [fact for fact in (new.get(path), old.get(path)) if fact]
                secret = any(fact.secret for fact in facts)
                if not facts:  # an undeclared file may hold anything, a secret too
                    before = b"(not declared)\n"
                shown = (
                    str(self.store.outside.etc / path[4:]) if path.startswith("etc/") else f"{self.store.name}: {path}"
                )
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
            fetched = fetch_archive(archive, temporary)
            self.store.releases.install(release, temporary)
        finally:
            temporary.unlink(missing_ok=True)
        return fetched

    def _stage(self, declared: Declaration, generation: int) -> int:
        manifest = replace(declared.manifest, generation=generation, passed=declared.passes)
        staged = self.store.stage(manifest, declared.contents, declared.account.gid)
        try:
            validate(declared, staged, self.store, self._passed())
            self.store.keep(staged, generation)
        finally:
            remove(staged)
        return generation

    def _rehearse(self, declared: Declaration) -> str | None:
        """Validate in check mode, beside everything; the answer says why it could not."""
        if self._release_to_obtain(declared):
            return "not validated: the release that checks it is not on this host yet"
        account = declared.account
        if not account.exists:
            return f"not validated: the user {account.name} is not on this host yet"
        if absent := [group for group in declared.groups if not group_exists(group)]:
            return f"not validated: the group {absent[0]} is not on this host yet"
        with _scratch(self.store) as scratch:
            staged = scratch.stage(declared.manifest, declared.contents, account.gid)
            validate(declared, staged, self.store, self._passed())
        return None

    def _passed(self) -> tuple[str, ...]:
        current = self.store.current_id()
        return self.store.manifest(current).passed if current else ()

    # --- switch, act, prove; or back

    def _switch(self, target: int, action: Action, declared: Declaration, adoption: Adoption) -> None:
        fallback = planning.last_proven(self.store.records())
        with ExitStack() as stack:
            with before_the_switch():
                reserve = stack.enter_context(self.store.way_back())
            process, began = self.service.state().pid, time.time()
            try:
                adoption.take_over(self.store.manifest(target), declared.account)
                self._apply(target, action)
            except (Unproven, ServiceError, OSError) as failure:
                reserve.unlink(missing_ok=True)
                words = "\n".join(self.service.last_words(began))
                rolled_back, told = self._roll_back(target, fallback, action, adoption, process)
                message = (
                    f"generation {target} of {self.store.name} is not proven: {failure}\n{told}\n"
                    f"The last lines of its journal:\n{words}"
                )
                raise NotProven(declared.redacted(message), rolled_back=rolled_back) from failure

    def _apply(self, target: int, action: Action) -> None:
        manifest = self.store.manifest(target)
        account = find_account(manifest.user)
        if not account.exists:
            raise OSError(f"the account {manifest.user} is not on this host any more")
        self.store.record("switch", **{"from": self.store.current_id(), "to": target, "action": str(action)})
        for directory in manifest.data:
            own(Path(directory), account)
        self.store.switch(target)
        self.service.load_if_needed()
        acted_at = time.time() if action is not Action.NONE else None
        self.service.act(action)
        self.store.record("acted", generation=target, action=str(action))
        self._prove(manifest, acted_at)
        self.service.enable_if_needed()
        self.store.record("proven", generation=target)

    def _roll_back(
        self, target: int, fallback: int | None, action: Action, adoption: Adoption, process: int
    ) -> tuple[bool, str]:
        """Undo a switch: whether that went well, and what is in force now. What was never proven is pruned after.

        ``process`` is the one that ran before the switch.
        """
        if fallback == target:
            return False, "It was in force before and stays; there is nothing newer to undo."
        try:
            if fallback is None:
                self.service.remove()
                self.store.withdraw()
                self.service.forget()
                given_back = adoption.undo()
                self.store.record("withdrawn", generation=target)
                there = "; what was there before is back" if given_back else ""
                return True, f"It was the first installation and has been withdrawn{there}."
            # A dead process takes no reload; nor does the one that systemd may have started in its place by now.
            state = self.service.state()
            alive = state.active and state.pid == process
            back = action if alive else Action.RESTART
            try:
                self._apply(fallback, back)
            except (Unproven, ServiceError):
                if back is not Action.RELOAD:
                    raise
                # One that failed may have left the process unable to take another: Caddy loses its unix sockets.
                self._apply(fallback, Action.RESTART)
        except (Unproven, ServiceError, OSError) as failure:
            if fallback is None:
                return False, f"It was the first installation and could NOT be withdrawn: {failure}"
            return False, f"Rolled back to generation {fallback}, which is NOT proven either: {failure}"
        return True, f"Rolled back: generation {fallback} is in force and proven."

    def _prove(self, manifest: Manifest, acted_at: float | None) -> None:
        fetch = partial(get, tls=manifest.proof_tls)
        # An action has set the count to 0. Read only now, it would hide that the process died of it and systemd has
        # started another.
        restarts = self.service.state().restarts if acted_at is None else 0

        def exited() -> str | None:
            now = self.service.state()
            if now.exited or not now.active or now.restarts > restarts:
                return "the process exited"
            return None

        prove(
            manifest.proof,
            acted_at,
            timeout=manifest.proof_timeout,
            fetch=fetch,
            exited=exited,
            progress=lambda: _progress(manifest.progress_url, fetch),
        )


def _paths_below(root: Path, directory: str) -> list[str]:
    return [str(path.relative_to(root)) for path in (root / directory).rglob("*") if path.is_file()]


def _progress(url: str | None, fetch: Fetch) -> str | None:
    if url:
        with suppress(Exception):  # not answering yet is no progress
            return fetch(url)
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
