"""The module's own part: what it takes, what it refuses by name, and what it writes down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import record
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import Account, refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Manifest, Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.transaction import NotProven
from ansible_collections.tds.monitoring.plugins.modules import daemon_generation as module

UNIT = "[Service]\nEnvironmentFile=/opt/tds/demo/current/env\nExecReload=/bin/kill -HUP $MAINPID\n"
FILE = {"path": "demo.conf", "content": "x", "mode": "0640", "action": "reload", "source": "demo_settings"}
RELEASE = {"version": "1.2.3", "archive": "http://a/b.tar.gz", "sha256": "a" * 64, "binaries": ["demo"]}


def parameters(**changes: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in module.ARGUMENTS.items()}
    predecessors: dict[str, Any] = {"units": [], "paths": [], "data": []}
    return {**defaults, "name": "demo", "unit": UNIT, "predecessors": predecessors, "keep": 3, **changes}


def test_the_declaration_has_what_the_parameters_say() -> None:
    declared = module.declaration(
        parameters(files=[FILE], secret_files=[FILE | {"path": "key", "content": "y"}], release=RELEASE),
        Account("d", 7),
    )
    manifest = declared.manifest
    assert sorted(manifest.files) == ["env", "etc/demo.conf", "etc/key", "unit"]
    assert (manifest.files["etc/key"].secret, manifest.files["etc/demo.conf"].secret) == (True, False)
    assert (manifest.user, declared.sources["etc/demo.conf"]) == ("d", "demo_settings")
    assert manifest.release
    assert (manifest.release.version, declared.archive) == ("1.2.3", "http://a/b.tar.gz")


def test_how_a_proof_is_asked_is_written_into_the_generation() -> None:
    tls = {"ca": "/etc/tds/tls/ca.crt", "client": None}
    probe = {"url": "tls://a:1", "metric": None, "rows": None, "certificate": "/etc/tds/tls/server.crt"}
    manifest = module.declaration(parameters(proof=[probe], proof_tls=tls), Account()).manifest
    written = json.loads(json.dumps(manifest.to_json()))
    assert (written["proof_tls"], written["proof"]) == (
        tls,
        [{"url": "tls://a:1", "certificate": probe["certificate"]}],
    )
    assert Manifest.from_json(written) == manifest
    del written["proof_tls"]  # as it was written before there was any
    assert Manifest.from_json(written).proof_tls is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "../etc"}, "name is '../etc': write lower-case letters"),
    ({"release": RELEASE | {"sha256": "abc"}}, "release.sha256 is 'abc': write 64 hexadecimal digits"),
    ({"release": RELEASE | {"version": "../1"}}, "release.version is '../1'"),
    ({"files": [FILE | {"path": "../passwd"}]}, "files.path is '../passwd': write a path below"),
    ({"files": [FILE | {"path": "/etc/passwd"}]}, "files.path is '/etc/passwd'"),
    ({"files": [FILE | {"mode": "640"}]}, "files.mode of demo.conf is '640': write four octal digits"),
    ({"files": [FILE], "secret_files": [FILE]}, "demo.conf is declared twice"),
    ({"files": [FILE], "unit": UNIT.replace("ExecReload", "#")}, "demo.conf takes a reload, and the unit has no"),
    ({"unit": "[Service]\n"}, "add EnvironmentFile=/opt/tds/demo/current/env"),
    ({"keep": 1}, "keep is 1: keep at least 2"),
    ({"arguments": ["a b"]}, "argument 'a b'"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED)
def test_a_bad_parameter_is_refused_by_its_name(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Refusal) as refusal:
        module.declaration(parameters(**changes), Account())
    assert told in str(refusal.value)


def test_a_run_without_root_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refusal, match=r"not root on the host but the user with number 1000.*Add --become"):
        refuse_without_root()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (NotProven("", rolled_back=True), "rolled_back"),
        (NotProven("", rolled_back=False), "not_proven"),
        (Busy(""), "busy"),
        (Refusal(""), "refused"),
        (OSError(), "failed"),
    ],
)
def test_a_failure_has_one_word(error: Exception, word: str) -> None:
    assert module.failure(error) == word


@pytest.mark.parametrize("state", ["absent", "previous"])
def test_a_host_that_has_nothing_of_it_stays_as_it_is(state: str) -> None:
    """No lock either: its directory would be one."""
    host = SimpleNamespace(params=parameters(name="nobody-has-this", state=state), check_mode=False)
    assert not module.execute(host).changed
    assert not Path("/opt/tds/nobody-has-this").exists()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the run record is written, instead of the host's."""
    append = record.append
    monkeypatch.setattr(record, "append", lambda entry: append(entry, tmp_path))
    return tmp_path / record.RUNS


def running(check_mode: bool = False) -> SimpleNamespace:
    """What the record asks of a running module."""
    warnings: list[str] = []
    params = {"name": "nobody-has-this", "state": "present", "run_by": "alice@controller"}
    return SimpleNamespace(params=params, check_mode=check_mode, warn=warnings.append, warnings=warnings)


def test_a_run_is_on_record_with_who_and_why(runs: Path) -> None:
    for result in ("proven", "refused"):
        with module.recorded(running()) as run:
            run |= {"result": result, "why": ["because"]}
    first, second = map(json.loads, runs.read_text().splitlines())
    assert (first.pop("at"), first.pop("seconds")) != (None, None)
    assert first == {
        "daemon": "nobody-has-this",
        "by": "alice@controller",
        "state": "present",
        "generation": {"before": None, "after": None},
        "result": "proven",
        "why": ["because"],
    }
    assert second["result"] == "refused"
    assert runs.stat().st_mode & 0o007 == 0


def test_a_run_that_changes_nothing_and_a_rehearsal_are_not_on_record(runs: Path) -> None:
    with module.recorded(running()):
        pass
    with module.recorded(running(check_mode=True)) as run:
        run["result"] = "proven"
    assert not runs.exists()


def test_a_record_that_cannot_be_written_fails_no_run(runs: Path) -> None:
    runs.parent.parent.mkdir(parents=True)
    runs.parent.touch()
    host = running()
    with module.recorded(host) as run:
        run["result"] = "proven"
    assert "not in the run record" in host.warnings[0]
