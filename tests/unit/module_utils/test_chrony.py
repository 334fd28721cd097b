"""chronyd's files, and what is asked of systemd and chronyd for them; molecule/timesync has real ones."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import chrony as chronyd
from ansible_collections.tds.monitoring.plugins.module_utils.chrony import (
    CONFIG,
    DROP_IN,
    ENVIRONMENT,
    OURS,
    PENDING,
    SOURCES,
    Chrony,
    ChronyNeeded,
    NotProven,
    Outcome,
)
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Action, Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.service import Service

FROZEN = "change_freeze is on until 17:00"


class Host:
    """systemd and chronyd as far as the module asks them; ``asked`` is what changes something."""

    def __init__(self, root: Path, *, active: bool = True, condition: bool = True, installed: bool = True) -> None:
        self.root, self.active, self.condition, self.installed = root, active, condition, installed
        self.asked: list[str] = []
        self.known: list[str] = []
        self.refuses = ""
        self.never_takes_up = self.fails_to_start = False
        self.tried = active
        (root / "etc/chrony/sources.d").mkdir(parents=True)

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        words = " ".join(command).replace(str(self.root), "")
        if words.startswith("systemctl show"):
            return self._answer(self._shown())
        if words.startswith("chronyc -N"):
            return self._answer("".join(f"^,?,{name},0,6,0,0,0,0,0\n" for name in self.known))
        if words.startswith("chronyd -p"):
            return self._answer(code=bool(self.refuses), errors=f"2026-11-26T21:39:08Z Fatal error : {self.refuses}\n")
        self.asked.append(words)
        if words == "systemctl restart chrony.service":
            self.tried, self.active = True, self.condition and not self.fails_to_start
        if words == "systemctl stop chrony.service":
            self.active = False
        if not self.never_takes_up and (file := self.root / SOURCES).exists():
            self.known = [line.split()[1] for line in file.read_text().splitlines() if not line.startswith("#")]
        return self._answer(code=words == "systemctl restart chrony.service" and self.fails_to_start)

    def _shown(self) -> str:
        return (
            f"LoadState={'loaded' if self.installed else 'not-found'}\n"
            f"ActiveState={'active' if self.active else 'inactive'}\nUnitFileState=enabled\n"
            f"ConditionResult={'yes' if self.condition and self.tried else 'no'}\n"
            f"ConditionTimestampMonotonic={5 if self.tried else 0}\n"
        )

    def _answer(self, text: str = "", *, code: bool = False, errors: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], int(code), text, errors)


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "last_words", lambda *_: ["its last words"])


def put(host: Host, config: str = "rtcsync\n", server: str = "192.0.2.1", **how: object) -> Outcome:
    host.asked.clear()
    chrony = Chrony(host.root, host, proof_seconds=0)
    return chrony.present(config, f"server {server} iburst\n", [server], **how)  # type: ignore[arg-type]


def files(host: Host) -> dict[str, str]:
    return {path: (host.root / path).read_text() for path in OURS if (host.root / path).exists()}


def test_the_first_run_writes_all_and_restarts_once(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (tmp_path / "etc/default").mkdir()
    (tmp_path / "etc/default/chrony").write_text('# options\nDAEMON_OPTS="-F 1 -x"\n')
    assert put(host).action is Action.RESTART
    assert host.asked.count("systemctl restart chrony.service") == 1
    assert host.asked.index("systemctl daemon-reload") < host.asked.index("systemctl restart chrony.service")
    assert files(host).keys() == set(OURS)
    assert 'DAEMON_OPTS="-F 1 -x -f /etc/chrony/tds.conf"' in files(host)[ENVIRONMENT]
    assert f"EnvironmentFile=/{ENVIRONMENT}" in files(host)[DROP_IN]
    assert {path.name for path in (tmp_path / "etc/chrony").iterdir()} == {"sources.d", "tds.conf", "tds.env"}


def test_a_run_with_nothing_to_do_asks_for_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    put(host)
    assert (put(host).reasons, host.asked) == ([], [])


def test_servers_are_reloaded_and_all_else_restarts(tmp_path: Path) -> None:
    host = Host(tmp_path)
    put(host)
    assert put(host, server="192.0.2.2", frozen=FROZEN).action is Action.RELOAD
    assert host.asked == ["chronyc reload sources"]
    assert put(host, "leapsecmode slew\n", server="192.0.2.2").action is Action.RESTART
    assert "systemctl daemon-reload" not in host.asked


@pytest.mark.parametrize("path", OURS)
def test_what_somebody_has_edited_or_removed_is_put_right(tmp_path: Path, path: str) -> None:
    host = Host(tmp_path)
    put(host)
    before = files(host)
    for damage in ((tmp_path / path).unlink, lambda: (tmp_path / path).write_text("pool other.example\n")):
        damage()
        outcome = put(host)
        assert (outcome.reasons, files(host)) == ([f"/{path} differs"], before)


def test_while_frozen_what_runs_is_not_restarted_and_what_does_not_is_started(tmp_path: Path) -> None:
    host = Host(tmp_path)
    put(host)
    before = files(host)
    with pytest.raises(Refusal, match=f"nothing was changed: {FROZEN}"):
        put(host, "leapsecmode slew\n", frozen=FROZEN)
    with pytest.raises(Refusal, match=FROZEN):
        Chrony(tmp_path, host).absent(FROZEN)
    assert (files(host), host.asked) == (before, [])
    host.active = False
    assert put(host, frozen=FROZEN).reasons == ["chronyd does not run"]
    assert host.active


def test_a_refusal_shows_the_words_and_the_line_and_changes_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.refuses = "Could not parse server directive at line 2 in file /etc/chrony/.tds.rehearsal"
    with pytest.raises(
        Refusal, match=r"Could not parse server directive .*: 'server 192.0.2.1 iburst'. Mend: timesync"
    ):
        put(host)
    assert (files(host), host.asked) == ({}, [])
    assert not (tmp_path / chronyd.REHEARSAL).exists()


@pytest.mark.parametrize("fault", ["never_takes_up", "fails_to_start"])
def test_what_is_not_taken_up_is_undone(tmp_path: Path, fault: str) -> None:
    host = Host(tmp_path)
    put(host)
    before = files(host)
    setattr(host, fault, True)
    with pytest.raises(NotProven, match=r"^rolled back, .*\n  its last words"):
        put(host, "leapsecmode slew\n", server="192.0.2.2")
    assert files(host) == before
    assert host.asked.count("systemctl restart chrony.service") == 2
    assert not (tmp_path / PENDING).exists()


def test_one_that_did_not_run_before_is_stopped_when_it_is_undone(tmp_path: Path) -> None:
    """Else it would follow the pool of its package."""
    host = Host(tmp_path, active=False)
    host.never_takes_up = True
    with pytest.raises(NotProven, match=r"has not taken up 192\.0\.2\.1"):
        put(host)
    assert (files(host), host.active) == ({}, False)


@pytest.mark.parametrize(
    ("owed", "asked"), [("reload", "chronyc reload sources"), ("restart", "systemctl restart chrony.service")]
)
def test_what_a_killed_run_owed_is_done_by_the_next(tmp_path: Path, owed: str, asked: str) -> None:
    host = Host(tmp_path)
    put(host)
    (tmp_path / PENDING).write_text(owed)
    assert put(host, check_mode=True).reasons == ["a run before has not come to its end"]
    assert host.asked == []
    put(host)
    assert asked in host.asked
    assert put(host).reasons == []


def test_a_killed_run_leaves_what_it_owes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    put(host)
    seen = []
    monkeypatch.setattr(Chrony, "_put", lambda *_: seen.append((tmp_path / PENDING).read_text()))
    put(host, "leapsecmode slew\n")
    assert seen == ["restart"]


def test_check_mode_writes_and_asks_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    outcome = put(host, check_mode=True)
    assert (outcome.action, files(host), host.asked) == (Action.RESTART, {}, [])
    assert [entry["after_header"] for entry in outcome.diff] == [
        f"/{path}" for path in (CONFIG, SOURCES, ENVIRONMENT, DROP_IN)
    ]


def test_without_chrony_check_mode_says_so_and_a_run_asks_for_it(tmp_path: Path) -> None:
    host = Host(tmp_path, active=False, installed=False)
    outcome = put(host, check_mode=True)
    assert outcome.warnings == ["not validated: chronyd is not on this host yet"]
    assert outcome.reasons[0] == "chrony is not on this host yet"
    with pytest.raises(ChronyNeeded):
        put(host)
    assert (files(host), host.asked) == ({}, [])


def test_where_it_may_not_set_the_clock_it_is_configured_and_a_warning(tmp_path: Path) -> None:
    host = Host(tmp_path, active=False, condition=False)
    (warning,) = put(host).warnings
    assert "condition of chrony.service does not hold" in warning
    again = put(host)
    assert (again.reasons, host.asked, len(again.warnings)) == ([], [], 1)


def test_absent_takes_away_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (tmp_path / DROP_IN).parent.mkdir(parents=True)
    other = (tmp_path / DROP_IN).with_name("other.conf")
    other.write_text("[Service]\n")
    put(host)
    host.asked.clear()
    assert Chrony(tmp_path, host).absent(check_mode=True).reasons == ["declared absent"]
    assert files(host).keys() == set(OURS)
    assert Chrony(tmp_path, host).absent().action is Action.RESTART
    assert host.asked == ["systemctl daemon-reload", "systemctl restart chrony.service"]
    assert (files(host), other.exists()) == ({}, True)
    assert Chrony(tmp_path, host).absent().reasons == []


@pytest.mark.parametrize("shown", ["2001:db8::1", "2001:DB8:0::1"])
def test_an_address_is_the_same_however_it_is_written(tmp_path: Path, shown: str) -> None:
    host = Host(tmp_path)
    host.never_takes_up, host.known = True, ["2001:db8::1"]
    assert put(host, server=shown).action is Action.RESTART
