"""The transaction on a real disk, with a service that does as it is told. Needs root, as the module does."""

from __future__ import annotations

import grp
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import adoption, declaration, transaction
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import Account
from ansible_collections.tds.monitoring.plugins.module_utils.declaration import Check, Declaration, environment_file
from ansible_collections.tds.monitoring.plugins.module_utils.drift import sha256
from ansible_collections.tds.monitoring.plugins.module_utils.findings import Predecessors
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy, Store
from ansible_collections.tds.monitoring.plugins.module_utils.plan import (
    Action,
    Drift,
    FileFact,
    Manifest,
    Refusal,
    Release,
)
from ansible_collections.tds.monitoring.plugins.module_utils.proof import Unproven
from ansible_collections.tds.monitoring.plugins.module_utils.service import Service, ServiceError, State
from ansible_collections.tds.monitoring.plugins.module_utils.transaction import (
    ArchiveNeeded,
    NotProven,
    Transaction,
)

from tests.authority import Authority
from tests.tls_server import TLSServer, serving

ROOT = Account()
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the generations belong to root: run as root")


class FakeService(Service):
    """Remembers what was done to it. ``broken`` holds the configurations with which the process exits.

    When ``reload_kills``, a reload is followed by systemd's next start before anybody looks. When ``reload_spoils``,
    one that is refused leaves the process unable to take another.
    """

    def __init__(self, store: HostStore) -> None:
        super().__init__(store.name)
        self.store, self.broken = store, set[str]()
        self.acted: list[str] = []
        self.etc_file = "main.conf"
        self.runs: str | None = None
        self.reload_kills = self.reload_spoils = self.spoiled = False
        self.pid, self.restarts = 1, 0

    def act(self, action: Action) -> None:
        self.acted.append(str(action))
        if action is not Action.NONE:
            self.restarts = int(self.reload_kills and action is Action.RELOAD)
            self.pid += action is Action.RESTART or self.restarts
            self.spoiled = self.spoiled and action is Action.RELOAD
            if self.spoiled:
                raise ServiceError("use of closed network connection")
            self.runs = (self.store.etc_in_force() / self.etc_file).read_text()
            if self.runs == "refused by systemd":
                self.spoiled = self.reload_spoils
                raise ServiceError("exec format error")

    def state(self) -> State:
        dead = self.runs is None or self.runs in self.broken
        return State(not dead, dead, self.pid, self.restarts, enabled=True, masked=False, stale=False, executable="")

    def drift(self, release: Path | None) -> list[Drift]:  # noqa: ARG002
        return [] if self.state().active else [Drift(self.unit, "does not run", Action.RESTART)]

    def load_if_needed(self) -> None:
        self.acted.append("load")

    def enable_if_needed(self) -> None: ...

    def remove(self) -> None:
        self.acted.append("remove")
        self.runs = None

    def forget(self) -> None: ...

    def stop(self) -> None:
        self.acted.append("stop")
        self.runs = None

    def restore(self, *, enabled: bool, active: bool) -> None:
        self.acted.append(f"restore {enabled} {active}")

    def last_words(self, since: float, lines: int = 10) -> list[str]:  # noqa: ARG002
        return ["panic: last words"]


class HostStore(Store):
    """A store in a temporary directory, whose absolute links are followed there."""

    def etc_in_force(self) -> Path:
        return self.path(self.current_id() or 0) / "etc"


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc/systemd/system").mkdir(parents=True)
        self.store = HostStore("demo", root)
        self.service = FakeService(self.store)
        self.transaction = Transaction(self.store, self.service)

    def unit(self, directives: str = "") -> bytes:
        return f"[Service]\n{directives}EnvironmentFile={self.root}/opt/tds/demo/current/env\n".encode()

    def declare(self, conf: str = "one", action: str = "reload", **changes: Any) -> Declaration:
        contents = {"unit": self.unit(), "env": b"ARGS=''\n", "etc/main.conf": conf.encode()}
        facts = {path: FileFact(sha256(content), "0644") for path, content in contents.items()}
        facts["etc/main.conf"] = replace(facts["etc/main.conf"], mode="0640", action=action)
        declared = Declaration(
            manifest=Manifest(files=facts, data=(str(self.root / "data"),), proof_timeout=0.5),
            contents=contents,
            sources={"etc/main.conf": "demo_settings"},
            checks=[],
        )
        return replace(declared, **changes)

    def tree(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def in_force(self) -> tuple[int | None, str | None]:
        """Generation in force and the configuration that the process runs."""
        return self.store.current_id(), self.service.runs


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(declaration, "verify_unit", lambda *_arguments: None)
    monkeypatch.setattr("ansible_collections.tds.monitoring.plugins.module_utils.proof.LIFE_S", 0)
    return Host(tmp_path)


def test_the_first_run_installs_and_the_second_does_nothing(host: Host) -> None:
    first = host.transaction.present(host.declare())
    assert (first.changed, first.before, first.after, host.in_force()) == (True, None, 1, (1, "one"))
    before = host.tree()
    second = host.transaction.present(host.declare())
    assert (second.changed, second.after, second.action) == (False, 1, Action.NONE)
    assert host.tree() == before
    assert host.service.acted == ["load", "restart"]


def test_the_host_shows_the_layout_that_the_documentation_names(host: Host) -> None:
    host.transaction.present(host.declare())
    generation = host.root / "opt/tds/demo/generations/1"
    assert str((host.root / "opt/tds/demo/current").readlink()) == "generations/1"
    assert (host.root / "etc/demo").readlink() == host.root / "opt/tds/demo/current/etc"
    assert sorted(path.name for path in generation.iterdir()) == ["env", "etc", "manifest.json", "unit"]
    assert (host.root / "etc/systemd/system/demo.service").read_bytes() == (generation / "unit").read_bytes()
    assert (generation / "etc").stat().st_mode & 0o777 == 0o750
    assert (generation / "etc/main.conf").stat().st_mode & 0o777 == 0o640
    assert (host.root / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("action", "done"), [("none", "none"), ("reload", "reload"), ("restart", "restart")])
def test_a_changed_file_takes_the_action_it_declares(host: Host, action: str, done: str) -> None:
    host.transaction.present(host.declare("one", action))
    outcome = host.transaction.present(host.declare("two", action))
    assert (str(outcome.action), host.service.acted[-1], host.store.current_id()) == (done, done, 2)


FROZEN = "change_freeze is on until 2026-11-26 17:00 UTC"


def frozen(host: Host) -> Transaction:
    return Transaction(host.store, host.service, frozen=FROZEN)


def test_a_freeze_lets_a_reload_pass_and_refuses_a_restart_before_anything_is_changed(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    assert frozen(host).present(host.declare("two", "reload")).action is Action.RELOAD
    before, pid = host.tree(), host.service.pid
    with pytest.raises(
        Refusal, match=rf"it would be restarted or stopped, because .*main\.conf.*: {FROZEN}\. Run this later, or"
    ):
        frozen(host).present(host.declare("three", "restart"))
    assert (host.in_force(), host.tree(), host.service.pid) == ((2, "two"), before, pid)
    assert frozen(host).present(host.declare("three", "restart"), check_mode=True).action is Action.RESTART


def test_a_freeze_lets_what_does_not_run_be_started(host: Host) -> None:
    assert frozen(host).present(host.declare("one")).changed
    host.service.runs = None
    assert frozen(host).present(host.declare("two", "restart")).changed
    assert host.in_force() == (2, "two")


def test_a_freeze_holds_for_going_back_and_for_leaving_too(host: Host) -> None:
    host.transaction.present(host.declare("one", "restart"))
    host.transaction.present(host.declare("two", "restart"))
    with pytest.raises(Refusal, match=FROZEN):
        frozen(host).previous(ROOT)
    with pytest.raises(Refusal, match="because declared absent, and nothing was changed"):
        frozen(host).absent()
    assert host.in_force() == (2, "two")


@pytest.mark.parametrize("conf", ["breaks", "refused by systemd"])
def test_what_does_not_run_is_rolled_back_and_leaves_no_debris(host: Host, conf: str) -> None:
    host.transaction.present(host.declare("one"))
    before = host.tree()
    host.service.broken = {"breaks"}
    with pytest.raises(
        NotProven, match=r"generation 2 of demo is not proven(?s:.)*generation 1 is in force and proven"
    ) as told:
        host.transaction.present(host.declare(conf))
    assert "panic: last words" in str(told.value)
    assert host.in_force() == (1, "one")
    assert host.tree() == before
    assert not host.transaction.present(host.declare("one")).changed


def test_a_process_that_a_reload_killed_is_started_again(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    host.service.broken = {"breaks"}
    with pytest.raises(NotProven, match="generation 1 is in force and proven"):
        host.transaction.present(host.declare("breaks", "reload"))
    assert host.service.acted[-3:] == ["reload", "load", "restart"]


def test_a_process_that_a_reload_killed_and_systemd_started_again_proves_nothing_and_is_not_reloaded(
    host: Host,
) -> None:
    host.transaction.present(host.declare("one"))
    host.service.reload_kills = True
    with pytest.raises(NotProven, match=r"the process exited(?s:.)*generation 1 is in force and proven"):
        host.transaction.present(host.declare("two", "reload"))
    assert host.service.acted[-3:] == ["reload", "load", "restart"]
    assert host.in_force() == (1, "one")


def test_restarts_of_long_ago_are_nothing_to_a_change_that_takes_no_action(host: Host) -> None:
    host.transaction.present(host.declare("one", "none"))
    host.service.restarts = 3
    assert host.transaction.present(host.declare("two", "none")).changed


def test_a_first_installation_that_does_not_run_is_withdrawn(host: Host) -> None:
    host.service.broken = {"breaks"}
    with pytest.raises(NotProven, match="has been withdrawn"):
        host.transaction.present(host.declare("breaks"))
    assert host.store.current_id() is None
    assert not (host.root / "etc/demo").is_symlink()
    assert not (host.root / "etc/systemd/system/demo.service").exists()
    assert host.transaction.present(host.declare("one")).changed
    assert host.in_force() == (2, "one")  # a number is given once


def test_a_checker_refuses_before_anything_changes(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    before, journal = host.tree(), host.store.records()
    check = Check(["sh", "-c", "echo {etc}/main.conf: line 1 is wrong; exit 3"])
    with pytest.raises(Refusal) as told:
        host.transaction.present(host.declare("two", checks=[check]))
    assert f"{host.root}/etc/demo/main.conf: line 1 is wrong" in str(told.value)
    assert "Mend: demo_settings" in str(told.value)
    assert (host.tree(), host.store.records(), host.in_force()) == (before, journal, (1, "one"))


@pytest.mark.parametrize("words", ["level=WARNING msg=missing", '{"level":"warn","msg":"not formatted"}', "WARNING: x"])
def test_a_warning_is_a_refusal(host: Host, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)):
        host.transaction.present(host.declare(checks=[Check(["echo", words])]))


def test_a_checker_sees_the_staged_files_as_the_user_will(host: Host) -> None:
    seen = Check(["sh", "-c", 'test "$(cat {etc}/main.conf)" = two'])
    host.transaction.present(host.declare("one"))
    host.transaction.present(host.declare("two", checks=[seen]))
    with pytest.raises(Refusal):
        host.transaction.present(host.declare("three", checks=[seen]))


def test_a_checker_is_asked_again_only_when_what_it_reads_has_changed(host: Host, tmp_path: Path) -> None:
    asked = tmp_path / "asked"

    def ask(conf: str, other: str, *reads: str, word: str = "x") -> int:
        """How often both checkers have been asked after a run."""
        check = Check(["sh", "-c", f"echo {word} >>{asked}; grep -qv bad {{etc}}/main.conf"], reads=reads)
        declared = host.declare(conf, checks=[check])
        facts = dict(declared.manifest.files) | {"etc/other": FileFact(sha256(other.encode()), "0640", "reload")}
        contents = dict(declared.contents) | {"etc/other": other.encode()}
        host.transaction.present(replace(declared, manifest=replace(declared.manifest, files=facts), contents=contents))
        return len(asked.read_text().splitlines())

    assert ask("one", "a", "main.conf") == 1
    assert ask("one", "b", "main.conf") == 1  # it does not read that file
    assert ask("two", "b", "main.conf") == 2
    assert ask("two", "c", "main.conf", word="y") == 3  # another question
    with pytest.raises(Refusal):
        ask("bad", "c", "main.conf", word="y")
    with pytest.raises(Refusal):
        ask("bad", "c", "main.conf", word="y")  # no is remembered by nobody
    assert ask("two", "d", "main.conf", word="y") == 5
    assert ask("two", "e") == 6  # who does not say what it reads is always asked
    assert ask("two", "f") == 7


def in_groups(host: Host, directives: str, *checks: str) -> Declaration:
    declared = host.declare(checks=[Check(["sh", "-c", check]) for check in checks])
    return replace(declared, contents={**declared.contents, "unit": host.unit(directives)})


@pytest.mark.parametrize(
    ("directives", "groups"),
    [
        ("", []),
        ("SupplementaryGroups=a\n", ["a"]),
        ("SupplementaryGroups=a b\n# SupplementaryGroups=no\nSupplementaryGroups=c \n", ["a", "b", "c"]),
        ("SupplementaryGroups=\n", []),
    ],
)
def test_the_groups_are_the_units(host: Host, directives: str, groups: list[str]) -> None:
    assert in_groups(host, directives).groups == groups


def test_a_checker_has_the_groups_that_the_unit_gives(host: Host) -> None:
    first, second = [group.gr_name for group in grp.getgrall() if group.gr_gid][:2]
    directives = f"SupplementaryGroups={first}\nSupplementaryGroups={second}\n"
    exactly = f'test "$(id -gn; id -Gn | tr " " "\\n" | sort | xargs)" = "$(echo root; echo {first} {second} root)"'
    exactly = exactly.replace(f"{first} {second} root", " ".join(sorted([first, second, "root"])))
    host.transaction.present(in_groups(host, directives, exactly))
    with pytest.raises(Refusal):
        host.transaction.present(in_groups(host, f"SupplementaryGroups={first}\n", exactly))


def test_a_group_that_is_not_there_yet_is_no_reason_to_refuse_a_rehearsal(host: Host) -> None:
    before, declared = (
        host.tree(),
        in_groups(host, "SupplementaryGroups=root\nSupplementaryGroups=nobody-has\n", "true"),
    )
    outcome = host.transaction.present(declared, check_mode=True)
    assert outcome.not_validated == "not validated: the group nobody-has is not on this host yet"
    assert (outcome.changed, host.tree()) == (True, before)
    with pytest.raises(Refusal, match="group nobody-has does not exist"):
        host.transaction.present(declared)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda path: path.write_text("edited"), "was edited by hand"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.chmod(0o666), "mode is 0666 instead of 0640"),
        (lambda path: os.chown(path, 1, 1), "owner is 1:1 instead of 0:0"),
        (lambda path: (path.parent / "extra.conf").touch(), "is not declared"),
    ],
)
def test_drift_is_told_and_put_right(host: Host, edit: Any, told: str) -> None:
    host.transaction.present(host.declare())
    edit(host.store.path(1) / "etc/main.conf")
    outcome = host.transaction.present(host.declare())
    assert told in " ".join(outcome.reasons)
    assert host.store.current_id() == 2
    assert not host.transaction.present(host.declare()).changed


def test_a_hand_edit_shows_in_the_diff(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    (host.store.path(1) / "etc/main.conf").write_text("edited")
    (shown,) = host.transaction.present(host.declare("one"), check_mode=True).diff
    assert (shown["before"], shown["after"]) == ("edited", "one")


def test_a_secret_never_shows(host: Host) -> None:
    first = host.transaction.present(secretive(host.declare("hunter2")))
    second = host.transaction.present(secretive(host.declare("hunter3")))
    assert "hunter" not in json.dumps([first.diff, second.diff])
    assert second.diff


def test_check_mode_changes_nothing_and_says_what_it_would_do(host: Host) -> None:
    bare = host.tree()
    outcome = host.transaction.present(host.declare(), check_mode=True)
    assert (outcome.changed, outcome.action, host.tree()) == (True, Action.RESTART, bare)
    host.transaction.present(host.declare())
    installed = host.tree()
    outcome = host.transaction.present(host.declare("two"), check_mode=True)
    assert (outcome.changed, outcome.action, outcome.not_validated) == (True, Action.RELOAD, None)
    assert (host.tree(), host.in_force()) == (installed, (1, "one"))
    with pytest.raises(Refusal):
        host.transaction.present(host.declare("two", checks=[Check(["false"])]), check_mode=True)


def test_a_run_that_died_after_the_switch_is_healed_by_the_next(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.transaction.present(host.declare("one"))
    with monkeypatch.context() as patch:
        patch.setattr(host.service, "act", lambda _action: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            host.transaction.present(host.declare("two"))
    assert host.in_force() == (2, "one")  # files and process disagree
    outcome = host.transaction.present(host.declare("two"))
    assert outcome.reasons == ("the last run was not proven",)
    assert host.in_force() == (2, "two")


def test_healing_that_fails_goes_back_to_what_was_proven(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    host.service.broken = {"two"}
    staged = host.transaction._stage(host.declare("two"), 2)
    host.store.record("switch", **{"from": 1, "to": 2, "action": "reload"})
    host.store.switch(staged)
    with pytest.raises(NotProven):
        host.transaction.present(host.declare("two"))
    assert host.in_force() == (1, "one")


def test_previous_goes_back_and_a_declaration_forward_again(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    outcome = host.transaction.previous(ROOT)
    assert (outcome.before, outcome.after, host.in_force()) == (2, 1, (1, "one"))
    host.transaction.present(host.declare("two"))
    assert host.in_force() == (3, "two")
    host.store.prune(1)
    with pytest.raises(Refusal, match="no generation before"):
        host.transaction.previous(ROOT)


def test_a_rehearsal_of_going_back_shows_what_would_change(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    outcome = host.transaction.previous(ROOT, check_mode=True)
    (shown,) = outcome.diff
    assert (shown["before"], shown["after"], outcome.action) == ("two", "one", Action.RELOAD)
    assert host.in_force() == (2, "two")


def test_previous_passes_over_a_generation_that_was_edited_since(host: Host) -> None:
    for conf in ("one", "two", "three"):
        host.transaction.present(host.declare(conf))
    (host.store.path(2) / "etc/main.conf").write_text("edited")
    assert host.transaction.previous(ROOT).after == 1
    assert host.in_force() == (1, "one")


def test_previous_restarts_a_dead_process_and_keeps_the_generation_when_that_fails(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    host.service.runs = None  # it died some time after it was proven
    host.service.broken = {"one"}
    with pytest.raises(NotProven):
        host.transaction.previous(ROOT)
    assert (host.store.ids(), host.in_force()) == ([1, 2], (2, "two"))
    host.service.broken, host.service.runs = set(), None
    assert host.transaction.previous(ROOT).action is Action.RESTART
    assert host.in_force() == (1, "one")


def test_previous_is_what_was_proven_before_and_not_what_was_given_up(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    host.transaction.previous(ROOT)
    host.transaction.present(host.declare("three"))
    assert host.store.current_id() == 3
    assert host.transaction.previous(ROOT).after == 1


def test_a_generation_that_was_never_proven_is_neither_kept_nor_gone_back_to(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    host.transaction._stage(host.declare("two"), 2)  # and the run was killed
    host.transaction.present(host.declare("two"))
    assert (host.store.ids(), host.in_force()) == ([1, 3], (3, "two"))
    assert host.transaction.previous(ROOT).after == 1


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ServiceError("timed out"), Unproven("silent")]
)
def test_whatever_fails_after_the_switch_is_rolled_back(
    host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    host.transaction.present(host.declare("one"))
    failures = [error]

    def load() -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(host.service, "load_if_needed", load)
    with pytest.raises(NotProven, match="generation 1 is in force and proven") as told:
        host.transaction.present(host.declare("two"))
    assert told.value.rolled_back
    assert host.in_force() == (1, "one")


def test_a_process_that_a_failed_reload_has_spoilt_is_restarted_on_the_way_back(host: Host) -> None:
    host.transaction.present(host.declare("one"))
    host.service.reload_spoils = True
    with pytest.raises(NotProven, match="generation 1 is in force and proven") as told:
        host.transaction.present(host.declare("refused by systemd"))
    assert told.value.rolled_back
    assert [action for action in host.service.acted if action != "load"][-3:] == ["reload", "reload", "restart"]
    assert host.in_force() == (1, "one")


def test_going_back_to_another_account_gives_it_the_data_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = {"root": Account(), "other": Account("other", 7, 7)}
    monkeypatch.setattr(transaction, "find_account", accounts.get)
    host.transaction.present(host.declare("one"))
    host.service.broken = {"breaks"}
    declared = host.declare("breaks")
    as_other = replace(declared.manifest, user="other")
    with pytest.raises(NotProven, match="generation 1 is in force and proven"):
        host.transaction.present(replace(declared, manifest=as_other, account=accounts["other"]))
    assert (host.root / "data").stat().st_uid == 0


def test_what_was_put_in_force_by_hand_is_proven_by_the_next_run(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    host.store.switch(1)
    assert host.in_force() == (1, "two")
    assert host.transaction.present(host.declare("one")).changed
    assert host.in_force() == (1, "one")


def test_a_removal_takes_along_what_a_killed_run_left(host: Host) -> None:
    host.transaction.present(with_link(host.declare(), host.root / "srv/link"))
    for place in ("etc/.demo.new", "etc/systemd/system/.demo.service.new", "srv/.link.new"):
        (host.root / place).touch()
    host.transaction.absent()
    assert [path for path in host.tree() if path.endswith(".new")] == []


def test_an_interrupted_removal_is_finished_by_the_next(host: Host) -> None:
    host.transaction.present(host.declare())
    host.store.journal.unlink()
    assert host.transaction.absent().changed
    assert not host.store.root.exists()


def test_a_half_removed_generation_harms_nobody(host: Host) -> None:
    for conf in ("one", "two"):
        host.transaction.present(host.declare(conf))
    (host.store.path(1) / "manifest.json").unlink()
    (host.store.generations / "stray").touch()
    host.transaction.present(host.declare("three"))
    assert (host.store.ids(), host.in_force()) == ([2, 3], (3, "three"))
    assert {entry.name for entry in host.store.generations.iterdir()} == {"2", "3"}


def test_what_the_user_has_where_a_link_would_go_is_refused_untouched(host: Host) -> None:
    link = host.root / "prometheus/rules.yml"
    link.parent.mkdir()
    link.write_text("theirs")
    declared = host.declare()
    linked = replace(declared, manifest=replace(declared.manifest, links={str(link): str(host.root / "etc/demo/x")}))
    for _before, declaration_with_link in ((None, linked), (host.transaction.present(declared), linked)):
        with pytest.raises(Refusal, match=r"rules\.yml exists"):
            host.transaction.present(declaration_with_link)
        assert link.read_text() == "theirs"


def test_a_data_directory_of_another_account_is_given_to_the_daemon(host: Host) -> None:
    host.transaction.present(host.declare())
    os.chown(host.root / "data", 1, 1)
    assert "belongs to 1 instead of 0" in " ".join(host.transaction.present(host.declare()).reasons)
    assert (host.root / "data").stat().st_uid == 0


def test_no_account_but_root_can_read_a_manifest_or_a_generation_that_is_being_made(host: Host) -> None:
    host.transaction.present(host.declare())
    assert (host.store.path(1) / "manifest.json").stat().st_mode & 0o077 == 0


def test_a_file_that_nobody_declared_is_named_in_the_diff_and_not_quoted(host: Host) -> None:
    host.transaction.present(host.declare())
    (host.store.path(1) / "etc/main.conf.bak").write_text("password: hunter2")
    (shown,) = host.transaction.present(host.declare(), check_mode=True).diff
    assert shown["before_header"].endswith("/etc/demo/main.conf.bak")
    assert (shown["before"], shown["after"]) == ("(not declared)\n", "")


def test_a_checker_that_quotes_a_secret_is_not_quoted(host: Host) -> None:
    declared = host.declare("first\npassword: hunter2\n", checks=[Check(["sh", "-c", "cat {etc}/main.conf; exit 1"])])
    files = {path: replace(fact, secret=True) for path, fact in declared.manifest.files.items()}
    with pytest.raises(Refusal) as told:
        host.transaction.present(replace(declared, manifest=replace(declared.manifest, files=files)))
    assert "hunter2" not in str(told.value)


def test_a_daemon_that_logs_its_secret_is_not_quoted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.service.broken = {"hunter2"}
    monkeypatch.setattr(host.service, "last_words", lambda _since: ["bad password: hunter2"])
    with pytest.raises(NotProven, match=r"bad password: \(secret\)"):
        host.transaction.present(secretive(host.declare("hunter2")))


def test_a_file_name_is_no_warning(host: Host) -> None:
    assert host.transaction.present(host.declare(checks=[Check(["echo", "Checking memory-warnings.yml"])])).changed


def with_link(declared: Declaration, link: Path, target: str = "x") -> Declaration:
    return replace(declared, manifest=replace(declared.manifest, links={str(link): target}))


def test_a_link_that_left_the_declaration_leaves_the_host(host: Host) -> None:
    link = host.root / "srv/link"
    host.transaction.present(with_link(host.declare(), link))
    assert link.is_symlink()
    host.transaction.present(host.declare())
    assert not link.is_symlink()
    link.symlink_to("x")  # an interrupted run left it
    outcome = host.transaction.present(host.declare())
    assert outcome.reasons == (f"{link}: is not declared any more",)
    assert not link.is_symlink()


def test_a_link_that_is_the_users_own_stays(host: Host) -> None:
    link = host.root / "srv/link"
    host.transaction.present(with_link(host.declare(), link))
    link.unlink()
    link.symlink_to("elsewhere")
    host.transaction.present(host.declare())
    assert str(link.readlink()) == "elsewhere"


@pytest.mark.parametrize("place", ["etc/systemd/system", "run/systemd/system", "etc/systemd/system.control"])
def test_a_drop_in_is_told_and_moved_to_the_backup(host: Host, place: str) -> None:
    host.transaction.present(host.declare())
    drop_in = host.root / place / "demo.service.d/override.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nEnvironment=PASSWORD=hunter2\n")
    shown = host.transaction.present(host.declare(), check_mode=True)
    assert (shown.reasons, shown.action) == ((f"{drop_in}: is a drop-in that is not declared",), Action.RESTART)
    assert "hunter2" not in json.dumps(shown.diff)
    host.transaction.present(host.declare())
    (kept,) = host.root.glob(f"var/backups/tds/demo-*/{place}/demo.service.d/override.conf")
    assert "hunter2" in kept.read_text()
    assert host.store.outside.backup.stat().st_mode & 0o077 == 0
    assert not drop_in.parent.exists()
    assert not host.transaction.present(host.declare()).changed


def test_modes_and_owners_of_our_own_directories_are_put_right(host: Host) -> None:
    host.transaction.present(host.declare())
    (host.root / "opt/tds").chmod(0o777)
    os.chown(host.store.generations, 1, 1)
    host.store.journal.chmod(0o666)
    outcome = host.transaction.present(host.declare())
    assert sorted(outcome.reasons) == [
        f"{host.root}/opt/tds/demo/generations: owner is 1:1 instead of 0:0",
        f"{host.root}/opt/tds/demo/journal: mode is 0666 instead of 0644",
        f"{host.root}/opt/tds: mode is 0777 instead of 0755",
    ]
    assert outcome.action is Action.NONE
    assert not host.transaction.present(host.declare()).changed


@pytest.mark.parametrize("name", ["manifest.json", "."])
def test_a_generation_that_others_can_look_into_is_made_anew(host: Host, name: str) -> None:
    host.transaction.present(host.declare())
    (host.store.path(1) / name).chmod(0o777)
    assert "mode is 0777" in " ".join(host.transaction.present(host.declare()).reasons)
    assert host.in_force() == (2, "one")


def test_a_generation_whose_manifest_is_lost_is_none_and_the_next_run_makes_another(host: Host) -> None:
    host.transaction.present(host.declare())
    (host.store.path(1) / "manifest.json").write_text('{"files": ')
    assert host.transaction.present(host.declare()).changed
    assert (host.store.ids(), host.in_force()) == ([2], (2, "one"))


LEFTOVERS = [
    "opt/tds/demo/.reserve",
    "opt/tds/demo/.current.new",
    "opt/tds/demo/generations/7",
    "opt/tds/demo/releases/.demo.tar.gz",
    "opt/tds/demo/releases/0.9/demo",
    "etc/.demo.new",
    "etc/systemd/system/.demo.service.new",
]


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_what_a_killed_run_left_goes_with_the_next(host: Host, leftover: str) -> None:
    host.transaction.present(host.declare())
    before = host.tree()
    path = host.root / leftover
    path.parent.mkdir(exist_ok=True)
    path.touch()
    outcome = host.transaction.present(host.declare())
    assert len(outcome.reasons) == 1
    assert outcome.action is Action.NONE
    assert host.tree() == before
    assert not host.transaction.present(host.declare()).changed


# --- secrets


def secretive(declared: Declaration) -> Declaration:
    """The same with main.conf as a secret file."""
    files = {**declared.manifest.files}
    files["etc/main.conf"] = replace(files["etc/main.conf"], secret=True)
    return replace(declared, manifest=replace(declared.manifest, files=files))


def passwords(host: Host) -> dict[int, str]:
    return {generation: (host.store.path(generation) / "etc/main.conf").read_text() for generation in host.store.ids()}


def test_a_rotated_secret_is_gone_from_the_generations_that_are_kept(host: Host) -> None:
    host.transaction.present(host.declare("was no secret yet"))
    host.transaction.present(secretive(host.declare("hunter2")))
    host.transaction.present(secretive(host.declare("hunter3")))
    assert passwords(host) == {1: "hunter3", 2: "hunter3", 3: "hunter3"}
    assert not host.transaction.present(secretive(host.declare("hunter3"))).changed
    assert host.transaction.previous(ROOT).after == 2
    assert host.in_force() == (2, "hunter3")


def test_a_generation_that_would_need_a_secret_which_is_gone_is_not_kept(host: Host) -> None:
    host.transaction.present(secretive(host.declare("hunter2")))
    declared = host.declare()
    files = {path: fact for path, fact in declared.manifest.files.items() if path != "etc/main.conf"}
    files["etc/other.conf"] = declared.manifest.files["etc/main.conf"]
    contents = {**declared.contents, "etc/other.conf": declared.contents["etc/main.conf"]}
    host.service.etc_file = "other.conf"
    host.transaction.present(replace(declared, manifest=replace(declared.manifest, files=files), contents=contents))
    assert host.store.ids() == [2]


def test_a_secret_that_an_interrupted_run_did_not_purge_is_purged_by_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.transaction.present(secretive(host.declare("hunter2")))
    with monkeypatch.context() as patch:
        patch.setattr(host.store, "prune", lambda _keep: None)
        host.transaction.present(secretive(host.declare("hunter3")))
    assert passwords(host) == {1: "hunter2", 2: "hunter3"}
    outcome = host.transaction.present(secretive(host.declare("hunter3")))
    assert outcome.reasons == (f"{host.store.path(1)}/etc/main.conf: is a secret that was rotated",)
    assert set(passwords(host).values()) == {"hunter3"}


# --- a host that cannot take it


def no_room(*_arguments: Any, **_options: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("what", ["_stage", "_obtain", "way_back", "prepare"])
def test_a_host_without_room_is_refused_before_the_switch(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    host.transaction.present(host.declare("one"))
    archive, pin = tool_archive(tmp_path / "tool.tar.gz", "1.0")
    before, journal = host.tree(), host.store.records()
    transaction = Transaction(host.store, host.service, archive)
    owner = host.store if hasattr(host.store, what) else transaction
    with monkeypatch.context() as patch:
        patch.setattr(owner, what, no_room)
        with pytest.raises(Refusal, match=r"nothing was changed: \[Errno 28\] No space left on device"):
            transaction.present(with_release(host.declare("two"), Release("1.0", pin, ("tool",))))
    assert (host.tree(), host.store.records(), host.in_force()) == (before, journal, (1, "one"))


def test_room_for_the_way_back_is_held_while_a_generation_is_tried_and_freed_before_going_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.transaction.present(host.declare("one"))
    host.service.broken = {"breaks"}
    reserve, held = host.store.root / ".reserve", []
    act = host.service.act

    def look_and_act(action: Action) -> None:
        held.append(reserve.exists())
        act(action)

    monkeypatch.setattr(host.service, "act", look_and_act)
    with pytest.raises(NotProven):
        host.transaction.present(host.declare("breaks"))
    assert held == [True, False]
    assert not reserve.exists()


def test_what_cannot_be_removed_does_not_hide_the_reason(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.store, "prune", no_room)
    with pytest.raises(Refusal, match="false refuses"):
        host.transaction.present(host.declare(checks=[Check(["false"])]))


def test_a_checker_that_is_killed_refuses(host: Host) -> None:
    with pytest.raises(Refusal, match="killed: Killed"):
        host.transaction.present(host.declare(checks=[Check(["sh", "-c", "kill -KILL $$"])]))


def test_a_checker_without_end_is_ended_with_all_that_it_started(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaration, "CHECK_TIMEOUT_S", 0.3)
    pid = host.root / "pid"
    with pytest.raises(Refusal, match=r"did not finish in 0\.3 s"):
        host.transaction.present(host.declare(checks=[Check(["sh", "-c", f"sleep 60 & echo $! >{pid}; wait"])]))
    state = Path("/proc", pid.read_text().strip(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


# --- what an earlier installation left


@pytest.fixture
def occupied(host: Host) -> Host:
    """A host that somebody set up before: configuration, unit, a binary, data."""
    for path, text in {
        "etc/demo/demo.conf": "theirs",
        "etc/systemd/system/demo.service": "[Service]\nExecStart=/usr/local/bin/demo\n",
        "usr/local/bin/demo": "binary",
        "var/lib/demo/wal/1": "samples",
    }.items():
        (host.root / path).parent.mkdir(parents=True, exist_ok=True)
        (host.root / path).write_text(text)
    data = host.root / "var/lib/demo"
    for place in (data, *data.rglob("*")):
        os.chown(place, 77, 77)
    host.service.runs = "theirs"
    return host


def adopting(host: Host, conf: str = "one", adopt: bool = True) -> Declaration:
    data = [{"path": f"{host.root}/var/lib/{name}", "holds": "wal"} for name in ("empty", "demo")]
    predecessors = Predecessors(paths=[f"{host.root}/usr/local/bin/demo"], data=data)
    return replace(host.declare(conf), adopt=adopt, predecessors=predecessors)


def owners(directory: Path) -> set[int]:
    return {path.stat().st_uid for path in (directory, *directory.rglob("*"))}


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_earlier_installation_is_refused_with_a_list_of_it(occupied: Host, check_mode: bool) -> None:
    before = occupied.tree()
    with pytest.raises(Refusal, match="daemon_adopt") as told:
        occupied.transaction.present(adopting(occupied, adopt=False), check_mode)
    for found in (
        "etc/demo exists",
        "etc/systemd/system/demo.service exists",
        "usr/local/bin/demo is of an earlier installation",
        "var/lib/demo holds data",
    ):
        assert f"{occupied.root}/{found}" in str(told.value)
    assert (occupied.tree(), occupied.service.runs) == (before, "theirs")


def test_an_earlier_installation_is_taken_over_with_its_data(occupied: Host) -> None:
    outcome = occupied.transaction.present(adopting(occupied))
    assert f"taken over: {occupied.root}/var/lib/demo holds data" in outcome.reasons
    assert occupied.in_force() == (1, "one")
    assert (occupied.root / "data/wal/1").read_text() == "samples"
    assert owners(occupied.root / "data") == {0}
    backup = occupied.store.outside.backup
    assert (backup / "etc/demo/demo.conf").read_text() == "theirs"
    assert (backup / "usr/local/bin/demo").read_text() == "binary"
    assert "/usr/local/bin/demo" in (backup / "etc/systemd/system/demo.service").read_text()
    assert occupied.service.acted[:3] == ["stop", "load", "restart"]
    assert not occupied.transaction.present(adopting(occupied, adopt=False)).changed


def test_what_cannot_be_proven_gives_back_what_it_took_over(occupied: Host) -> None:
    before = {path for path in occupied.tree() if not path.startswith(("opt", "var/backups"))}
    occupied.service.broken = {"breaks"}
    with pytest.raises(NotProven, match="withdrawn; what was there before is back"):
        occupied.transaction.present(adopting(occupied, "breaks"))
    assert {path for path in occupied.tree() if not path.startswith(("opt", "var/backups"))} == before
    assert (occupied.root / "etc/demo/demo.conf").read_text() == "theirs"
    assert owners(occupied.root / "var/lib/demo") == {77}
    assert occupied.service.acted[-1] == "restore True True"


def test_a_run_that_was_killed_while_it_took_over_gives_back_first(
    occupied: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path for path in occupied.tree() if not path.startswith("opt")}
    with monkeypatch.context() as patch:
        patch.setattr(occupied.transaction, "_apply", lambda *_arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            occupied.transaction.present(adopting(occupied))
    assert not (occupied.root / "etc/demo").exists()
    with pytest.raises(Refusal, match="etc/demo exists"):
        occupied.transaction.present(adopting(occupied, adopt=False))
    assert {path for path in occupied.tree() if not path.startswith(("opt", "var/backups"))} == before
    assert owners(occupied.root / "var/lib/demo") == {77}
    assert occupied.service.acted == ["stop", "restore True True"]


def test_a_run_that_was_killed_after_its_switch_can_still_give_back(
    occupied: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path for path in occupied.tree() if not path.startswith(("opt", "var/backups"))}
    with monkeypatch.context() as patch:
        patch.setattr(occupied.service, "act", lambda _action: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            occupied.transaction.present(adopting(occupied))
    assert occupied.store.current_id() == 1
    occupied.service.broken = {"one"}
    with pytest.raises(NotProven, match="withdrawn; what was there before is back"):
        occupied.transaction.present(adopting(occupied, adopt=False))
    assert {path for path in occupied.tree() if not path.startswith(("opt", "var/backups"))} == before


@pytest.mark.parametrize("step", ["stop", "move", "give"])
def test_a_run_that_was_killed_as_it_announced_a_step_loses_nothing(
    occupied: Host, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (occupied.root / "data").mkdir()
    record = occupied.store.record

    def dies(event: str, **facts: Any) -> None:
        record(event, **facts)
        if (facts.get("step") == step and step != "move") or facts.get("path") == f"{occupied.root}/var/lib/demo":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(occupied.store, "record", dies)
        with pytest.raises(KeyboardInterrupt):
            occupied.transaction.present(adopting(occupied))
    with pytest.raises(Refusal, match="var/lib/demo holds data"):
        occupied.transaction.present(adopting(occupied, adopt=False))
    assert (occupied.root / "var/lib/demo/wal/1").read_text() == "samples"
    assert (occupied.root / "etc/demo/demo.conf").read_text() == "theirs"
    assert owners(occupied.root / "var/lib/demo") == {77}


def test_a_drop_in_of_an_earlier_installation_is_found_and_given_back(occupied: Host) -> None:
    drop_in = occupied.root / "etc/systemd/system/demo.service.d/limits.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("theirs")
    occupied.service.broken = {"breaks"}
    with pytest.raises(NotProven):
        occupied.transaction.present(adopting(occupied, "breaks"))
    assert drop_in.read_text() == "theirs"


def test_data_at_its_own_place_is_given_to_the_account(host: Host) -> None:
    (host.root / "data/wal").mkdir(parents=True)
    for path in (host.root / "data", host.root / "data/wal"):
        os.chown(path, 77, 77)
    with pytest.raises(Refusal, match=r"data holds data of user 77"):
        host.transaction.present(host.declare())
    host.transaction.present(replace(host.declare(), adopt=True))
    assert owners(host.root / "data") == {0}


def test_our_own_data_and_an_empty_filesystem_are_no_earlier_installation(host: Host) -> None:
    (host.root / "data/lost+found").mkdir(parents=True)
    os.chown(host.root / "data", 77, 77)
    host.transaction.present(host.declare())
    (host.root / "data/wal").touch()
    host.transaction.absent()
    assert host.transaction.present(host.declare()).changed


def test_data_that_does_not_fit_is_refused_before_anything_is_stopped(
    occupied: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_on_one_filesystem", lambda *_paths: False)
    monkeypatch.setattr(adoption, "_size", lambda _path: 1 << 60)
    before = occupied.tree()
    with pytest.raises(Refusal, match=r"holds \d+ MiB, and at .*data \d+ MiB are free"):
        occupied.transaction.present(adopting(occupied))
    assert (occupied.tree(), occupied.service.acted) == (before, [])


def test_data_on_another_filesystem_is_copied_and_the_original_stays(
    occupied: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_on_one_filesystem", lambda *_paths: False)
    (occupied.root / "data/lost+found").mkdir(parents=True)
    occupied.service.broken = {"breaks"}
    with pytest.raises(NotProven):
        occupied.transaction.present(adopting(occupied, "breaks"))
    assert [path.name for path in (occupied.root / "data").iterdir()] == ["lost+found"]
    occupied.service.runs = "theirs"
    occupied.transaction.present(adopting(occupied))
    assert (occupied.root / "data/wal/1").read_text() == "samples"
    assert owners(occupied.root / "data") == {0}
    assert (occupied.root / "var/lib/demo/wal/1").read_text() == "samples"


def test_what_stands_where_a_new_link_goes_is_taken_over_by_an_installation_too(host: Host) -> None:
    host.transaction.present(host.declare())
    link = host.root / "srv/rules"
    link.mkdir(parents=True)
    (link / "theirs").touch()
    declared = replace(with_link(host.declare(), link), adopt=True)
    assert f"taken over: {link} exists" in host.transaction.present(declared).reasons
    assert str(link.readlink()) == "x"
    assert (host.store.outside.backup / "srv/rules/theirs").exists()


def test_a_unit_that_does_the_same_job_is_found_until_it_is_masked(host: Host) -> None:
    packaged = host.root / "usr/lib/systemd/system/distribution-demo.service"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    declared = replace(host.declare(), predecessors=Predecessors(units=["distribution-demo"]))
    with pytest.raises(Refusal, match=r"distribution-demo\.service does the same job"):
        host.transaction.present(declared)
    (host.root / "etc/systemd/system/distribution-demo.service").symlink_to("/dev/null")
    assert host.transaction.present(declared).changed


def test_a_refused_first_installation_leaves_no_directory(host: Host) -> None:
    with pytest.raises(Refusal), host.store.locked():
        host.transaction.present(host.declare(checks=[Check(["false"])]))
    assert [path for path in host.tree() if "demo" in path] == []


def test_a_full_disk_is_no_reason_to_fail_when_nothing_is_to_be_done(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.transaction.present(host.declare())
    monkeypatch.setattr(os, "pwrite", no_room)
    with host.store.locked():
        assert not host.transaction.present(host.declare()).changed


def test_absent_leaves_only_the_data(host: Host) -> None:
    host.transaction.present(host.declare())
    (host.root / "data/wal").touch()
    assert host.transaction.absent().changed
    assert {"data", "data/wal"} <= host.tree()
    assert not [path for path in host.tree() if "demo" in path]
    assert not host.transaction.absent().changed


def test_the_last_three_generations_are_kept_with_their_releases(host: Host, tmp_path: Path) -> None:
    for version in ("1.0", "1.1", "1.2", "1.3"):
        archive, pin = tool_archive(tmp_path / f"tool-{version}.tar.gz", version)
        transaction = Transaction(host.store, host.service, archive)
        transaction.present(with_release(host.declare(version), Release(version, pin, ("tool",))))
    assert host.store.ids() == [2, 3, 4]
    assert host.store.releases.versions() == ["1.1", "1.2", "1.3"]
    assert (host.store.path(4) / "release/tool").read_text() == "1.3"


def test_an_archive_on_the_controller_is_asked_for_only_when_it_is_needed(host: Host, tmp_path: Path) -> None:
    archive, pin = tool_archive(tmp_path / "tool.tar.gz", "1.0")
    declared = replace(with_release(host.declare(), Release("1.0", pin, ("tool",))), archive=str(archive))
    with pytest.raises(ArchiveNeeded, match=r"tool\.tar\.gz"):
        host.transaction.present(declared)
    Transaction(host.store, host.service, archive).present(declared)
    assert not host.transaction.present(declared).changed


def test_a_release_that_does_not_run_or_is_refused_is_not_left_behind(host: Host, tmp_path: Path) -> None:
    archive, pin = tool_archive(tmp_path / "tool.tar.gz", "1.0")
    transaction = Transaction(host.store, host.service, archive)
    host.transaction.present(host.declare("one"))
    host.service.broken = {"breaks"}
    for declared in (host.declare("breaks"), host.declare("two", checks=[Check(["false"])])):
        with pytest.raises((NotProven, Refusal)):
            transaction.present(with_release(declared, Release("1.0", pin)))
        assert host.store.releases.versions() == []


def test_another_pin_for_a_release_in_use_is_refused(host: Host, tmp_path: Path) -> None:
    archive, pin = tool_archive(tmp_path / "tool.tar.gz", "1.0")
    transaction = Transaction(host.store, host.service, archive)
    transaction.present(with_release(host.declare(), Release("1.0", pin)))
    with pytest.raises(Refusal, match=r"generations \[1\] run it; the pin now says 0000.*mend the pin"):
        transaction.present(with_release(host.declare(), Release("1.0", "0" * 64)))


def test_two_runs_do_not_interleave(host: Host) -> None:
    with (
        host.store.locked(),
        pytest.raises(Busy, match=r"another run is changing demo.*process \d+"),
        host.store.locked(),
    ):
        pass
    with host.store.locked():
        pass


def test_a_run_that_is_refused_as_busy_leaves_the_others_directories(host: Host) -> None:
    with host.store.locked():
        host.store.prepare()  # a first installation, which has nothing in them yet
        before = host.tree()
        with pytest.raises(Busy), host.store.locked():
            pass
        assert host.tree() == before


@pytest.mark.parametrize("name", ["releases", "generations", "."])
def test_a_directory_of_ours_that_was_deleted_is_made_again(host: Host, name: str) -> None:
    host.transaction.present(host.declare())
    shutil.rmtree(host.store.root / name)
    assert host.transaction.present(host.declare()).changed
    assert host.service.runs == "one"
    assert not host.transaction.present(host.declare()).changed


@pytest.mark.parametrize("leftover", ["etc/demo/demo.conf", "etc/systemd/system/demo.service"])
def test_a_host_that_someone_set_up_by_hand_is_refused_untouched(host: Host, leftover: str) -> None:
    (host.root / leftover).parent.mkdir(exist_ok=True)
    (host.root / leftover).write_text("theirs")
    with pytest.raises(Refusal, match="already holds"):
        host.transaction.present(host.declare())
    assert (host.root / leftover).read_text() == "theirs"


def test_a_journal_line_that_a_power_cut_left_unfinished_is_passed_over(host: Host) -> None:
    host.transaction.present(host.declare())
    with host.store.journal.open("a") as file:
        file.write('{"event": "swi')
    assert not host.transaction.present(host.declare()).changed
    host.store.record("switch", **{"from": 1, "to": 2, "action": "reload"})
    assert host.store.records()[-1]["to"] == 2


def test_arguments_reach_systemd_as_they_are_or_not_at_all() -> None:
    assert environment_file(["--a=b", r"--c=^/(dev)\.x$"], {"B": "2", "A": "1"}) == (
        b"ARGS='--a=b --c=^/(dev)\\\\.x$'\nA='1'\nB='2'\n"
    )
    for bad in ("two words", "it's", 'a"b', "", "a\nb"):
        with pytest.raises(Refusal, match="argument"):
            environment_file([bad], {})


def tool_archive(path: Path, content: str) -> tuple[Path, str]:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("tool/tool")
        info.size, info.mode = len(content), 0o755
        tar.addfile(info, io.BytesIO(content.encode()))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def with_release(declared: Declaration, release: Release) -> Declaration:
    return replace(declared, manifest=replace(declared.manifest, release=release))


class Demo:
    """The daemon's page, over TLS and for clients of the site. It is ready after so many of its progress page."""

    def __init__(self, root: Path) -> None:
        authority = Authority()
        self.files = {name: root / name for name in ("ca", "server", "client")}
        self.files["ca"].write_text(authority.pem)
        for name in ("server", "client"):
            self.files[name].write_text("".join(authority.issue(["127.0.0.1"])))
        self.progressed = self.ready_after = 0

    def page(self, path: str) -> str | None:
        if path == "/progress":
            self.progressed += 1
            return f"{self.progressed}"
        return None if self.progressed < self.ready_after else "up 1\n"

    def proven(self, declared: Declaration, server: TLSServer, client: str | None = "client") -> Declaration:
        tls = {"ca": str(self.files["ca"]), "client": client and str(self.files[client])}
        url = f"https://{server.where}"
        proof = ({"url": f"{url}/", "metric": {"name": "up"}},)
        asked = replace(declared.manifest, proof=proof, proof_tls=tls, progress_url=f"{url}/progress")
        return replace(declared, manifest=asked)


@pytest.fixture
def demo(host: Host) -> Demo:
    directory = host.root / "tls"
    directory.mkdir()
    return Demo(directory)


def test_a_proof_over_tls_is_asked_as_the_declaration_says(host: Host, demo: Demo) -> None:
    with serving(demo.files["server"], demo.files["ca"], demo.page) as server:
        host.transaction.present(demo.proven(host.declare("one"), server))
        with pytest.raises(NotProven, match=r"certificate required(?s:.)*generation 1 is in force and proven"):
            host.transaction.present(demo.proven(host.declare("two"), server, client=None))
        assert host.in_force() == (1, "one")  # which was proven as it says itself, and not as the new one says


def test_the_way_back_is_proven_over_tls_or_in_clear_as_it_was(host: Host, demo: Demo) -> None:
    with serving(demo.files["server"], demo.files["ca"], demo.page) as server:
        host.transaction.present(demo.proven(host.declare("one"), server))
        host.transaction.present(host.declare("two"))
        assert host.transaction.previous(ROOT).after == 1
    with pytest.raises(NotProven, match="refused"):  # it was asked
        host.transaction.present(demo.proven(host.declare("three"), server))


def test_progress_over_tls_is_seen(host: Host, demo: Demo) -> None:
    demo.ready_after = 5  # polls of 0.2 s, and the proof's timeout is 0.5 s
    with serving(demo.files["server"], demo.files["ca"], demo.page) as server:
        host.transaction.present(demo.proven(host.declare("one"), server))
    assert demo.progressed == 5


def test_another_way_to_ask_is_a_change_that_disturbs_nobody(host: Host, demo: Demo) -> None:
    with serving(demo.files["server"], demo.files["ca"], demo.page) as server:
        host.transaction.present(host.declare("one"))
        outcome = host.transaction.present(demo.proven(host.declare("one"), server))
        assert (outcome.changed, outcome.action) == (True, Action.NONE)
        assert not host.transaction.present(demo.proven(host.declare("one"), server)).changed
