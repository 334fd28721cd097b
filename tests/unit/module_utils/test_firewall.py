"""The firewall's transaction, step by step, on a kernel and a systemd that do as they are told."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import firewall as subject
from ansible_collections.tds.monitoring.plugins.module_utils import nft
from ansible_collections.tds.monitoring.plugins.module_utils.controller import Connection
from ansible_collections.tds.monitoring.plugins.module_utils.firewall import Firewall, NftNeeded, NotConfirmed, Revert
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy
from ansible_collections.tds.monitoring.plugins.module_utils.nft import NftError
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Action, Drift, Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.ruleset import Ruleset, allowances
from ansible_collections.tds.monitoring.plugins.module_utils.service import Service, ServiceError, State

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to root: run as root")

SSH = {"name": "ssh", "port": 22, "from": ["192.0.2.0/24"], "source": "firewall_ssh_from"}
RULES = Ruleset(True, allowances([SSH]), {})
NEXT = Ruleset(True, allowances([SSH, SSH | {"port": 443, "name": "door"}]), {})
CONTROLLER = Connection(ipaddress.ip_address("192.0.2.1"), 50000, ipaddress.ip_address("192.0.2.9"), 22)
STRANGER = CONTROLLER._replace(peer=ipaddress.ip_address("198.51.100.1"))
UNIT = "[Service]\n"


class Kernel:
    """Holds one table, lists it as ``listed(text)``, and notes in the order of their coming what is done to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, done: list[str]) -> None:
        self.table, self.done, self.refuses, self.installed = "", done, "", True
        monkeypatch.setattr(nft, "is_installed", lambda: self.installed)
        monkeypatch.setattr(nft, "live", lambda: self.table)
        monkeypatch.setattr(nft, "loadable", lambda: f"back to {self.table}")
        monkeypatch.setattr(nft, "listed", lambda text: f"listed({text})")
        monkeypatch.setattr(nft, "check", self.check)
        monkeypatch.setattr(nft, "load", self.load)
        monkeypatch.setattr(nft, "delete", lambda: self.load(""))

    def check(self, text: str) -> None:
        if self.refuses and self.refuses in text:
            raise NftError("no")

    def load(self, text: str) -> None:
        if self.refuses == "all of it":
            raise NftError("no")
        self.done.append("load" if text else "delete")
        self.table = f"listed({text})" if text else ""


class FakeService(Service):
    def __init__(self, done: list[str]) -> None:
        super().__init__(subject.UNIT)
        self.done, self.active = done, False

    def state(self) -> State:
        return State(self.active, False, 0, 0, enabled=self.active, masked=False, stale=False, executable="")

    def drift(self, release: Path | None) -> list[Drift]:  # noqa: ARG002
        return [] if self.active else [Drift(self.unit, "does not run")]

    def load_if_needed(self) -> None: ...

    def enable_if_needed(self) -> None: ...

    def act(self, action: Action) -> None:
        assert action is Action.RESTART
        self.done.append("start")
        self.active = True

    def remove(self) -> None:
        self.active = False

    def forget(self) -> None: ...


class FakeRevert(Revert):
    def __init__(self, done: list[str]) -> None:
        super().__init__(Path("/nonexistent"))
        self.done, self.previous = done, ""

    def is_armed(self) -> bool:
        return bool(self.previous)

    def arm(self, previous: str, seconds: int) -> None:
        self.done.append(f"arm {seconds}")
        self.previous = previous

    def disarm(self) -> None:
        self.done.append("disarm")
        self.previous = ""


class Host(Firewall):
    """A host, and what was done to it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.kernel, self.fake, self.timer = (
            Kernel(monkeypatch, self.done),
            FakeService(self.done),
            FakeRevert(self.done),
        )
        super().__init__(root, self.fake, self.timer)
        self.unit.parent.mkdir(parents=True)

    def runs(self, rules: Ruleset = RULES) -> None:
        """A whole run: applied, confirmed, forgotten."""
        if self.present(rules, UNIT, CONTROLLER, 30, check_mode=False).awaits:
            self.confirm(rules, UNIT)
        self.done.clear()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_the_way_back_is_armed_before_anything_is_applied_and_nothing_is_kept_yet(host: Host) -> None:
    outcome = host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    assert (outcome.changed, outcome.awaits) == (True, True)
    assert host.done == ["arm 30", "load"]
    assert host.timer.previous == "back to "
    assert not host.directory.exists()
    assert not host.unit.exists()


def test_what_is_confirmed_comes_back_at_boot(host: Host) -> None:
    host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    host.done.clear()
    host.confirm(RULES, UNIT)
    assert host.done == ["disarm", "start"]
    assert (host.rules.read_text(), host.unit.read_text()) == (RULES.text(), UNIT)
    again = host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    assert (again.changed, again.awaits, host.done) == (False, False, ["disarm", "start"])


def test_a_confirmation_that_comes_too_late_keeps_nothing(host: Host) -> None:
    host.runs()
    host.present(NEXT, UNIT, CONTROLLER, 30, check_mode=False)
    host.kernel.table = f"listed({RULES.text()})"  # the timer has run out
    with pytest.raises(NotConfirmed):
        host.confirm(NEXT, UNIT)
    assert host.rules.read_text() == RULES.text()


def test_rules_that_cut_off_the_controller_are_refused_before_anything_else(host: Host) -> None:
    host.kernel.installed = False  # not even the package is asked for
    with pytest.raises(
        Refusal, match=r"comes from 198.51.100.1, and nothing was changed: port 22 .* firewall_ssh_from"
    ):
        host.present(RULES, UNIT, STRANGER, 30, check_mode=False)
    assert host.done == []


def test_a_run_over_no_connection_cuts_nobody_off(host: Host) -> None:
    assert host.present(RULES, UNIT, None, 30, check_mode=False).awaits


def test_two_runs_do_not_wait_for_one_confirmation(host: Host) -> None:
    host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    with pytest.raises(Busy, match="of another run await their confirmation"):
        host.present(NEXT, UNIT, CONTROLLER, 30, check_mode=False)


@pytest.mark.parametrize("refused", ["door", "back to"])
def test_what_nft_refuses_is_not_applied_and_a_way_back_that_it_refuses_is_none(host: Host, refused: str) -> None:
    host.runs()
    host.kernel.refuses = refused
    with pytest.raises(NftError):
        host.present(NEXT, UNIT, CONTROLLER, 30, check_mode=False)
    assert host.done == []


def test_rules_that_could_not_be_loaded_leave_no_timer(host: Host) -> None:
    host.kernel.refuses = "all of it"
    with pytest.raises(NftError):
        host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    assert host.done == ["arm 30", "disarm"]


def test_a_file_that_differs_is_written_without_touching_the_kernel(host: Host) -> None:
    host.runs()
    host.rules.write_text("edited")
    outcome = host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    assert outcome.reasons == [f"{host.rules}: differs from the declaration"]
    assert (outcome.awaits, host.done) == (False, [])
    assert host.rules.read_text() == RULES.text()


def test_check_mode_says_the_same_and_does_nothing(host: Host) -> None:
    host.runs()
    host.kernel.table = "drifted"
    host.unit.unlink()
    shown = host.present(RULES, UNIT, CONTROLLER, 30, check_mode=True)
    assert shown.reasons == ["table inet tds_monitoring in the kernel differs", f"{host.unit}: is missing"]
    assert [(diff["before"], diff["after"]) for diff in shown.diff] == [
        ("drifted", f"listed({RULES.text()})"),
        ("", UNIT),
    ]
    assert (host.done, host.kernel.table, host.unit.exists()) == ([], "drifted", False)


def test_a_host_without_nft_asks_for_it_and_says_so_in_check_mode(host: Host) -> None:
    host.kernel.installed = False
    with pytest.raises(NftNeeded):
        host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False)
    shown = host.present(RULES, UNIT, CONTROLLER, 30, check_mode=True)
    assert (shown.changed, shown.not_validated) == (True, nft.NFT)
    assert not host.absent(check_mode=False).changed


def test_a_drop_in_goes_to_the_backup(host: Host) -> None:
    host.runs()
    drop_in = host.unit.parent / f"{host.unit.name}.d/a.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\n")
    assert host.present(RULES, UNIT, CONTROLLER, 30, check_mode=False).reasons == [
        f"{drop_in}: is a drop-in that is not declared"
    ]
    assert not drop_in.exists()
    assert len(list(host.outside.backup.rglob("a.conf"))) == 1


def test_absent_takes_all_of_it_and_nothing_else(host: Host) -> None:
    host.runs()
    neighbour = host.unit.with_name("other.service")
    neighbour.write_text("")
    assert host.absent(check_mode=True).changed
    assert host.kernel.table
    assert host.absent(check_mode=False).changed
    assert (host.kernel.table, host.unit.exists(), host.directory.parent.exists()) == ("", False, False)
    assert neighbour.exists()
    assert not host.absent(check_mode=False).changed


# --- the timer, with a systemd that answers as told


class Systemd:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[list[str]] = []
        self.fails: set[str] = set()
        monkeypatch.setattr(subject, "run", self.run)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        self.asked.append(command)
        failed = command[0] in self.fails or command[1] in self.fails
        return subprocess.CompletedProcess(command, int(failed), "", "Unit was already loaded")


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(monkeypatch)


def test_the_way_back_is_a_file_and_a_timer_that_need_nobody(tmp_path: Path, systemd: Systemd) -> None:
    Revert(tmp_path / "run").arm("the rules before", 17)
    (kept,) = (tmp_path / "run").iterdir()
    assert kept.read_text() == "the rules before"
    (command,) = systemd.asked
    assert "--on-active=17s" in command
    assert command[-1] == f"{nft.NFT} --file {kept} || {nft.NFT} delete table inet tds_monitoring"


@pytest.mark.parametrize(("others", "error"), [(True, Busy), (False, ServiceError)])
def test_a_timer_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, systemd: Systemd, others: bool, error: type[Exception]
) -> None:
    """Of two runs at the same moment one gets the name; and a systemd that refuses is told from that."""
    systemd.fails = {"systemd-run"} if others else {"systemd-run", "is-active"}
    with pytest.raises(error):
        Revert(tmp_path / "run").arm("the rules before", 17)
    assert list((tmp_path / "run").iterdir()) == []
