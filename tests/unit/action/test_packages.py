"""The controller's half of what may need a package: one call, unless it is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.action import chrony_config, storage
from ansible_collections.tds.monitoring.plugins.plugin_utils.packages import PackagedAction

NEEDS = {"changed": False, "needs_package": "xfsprogs"}
DONE = {"changed": True, "reasons": ["r"]}


def controller(subject: type[PackagedAction], *answers: dict[str, Any]) -> Any:
    """Gets its answers from a list, and keeps what it called with what."""

    class Controller(subject):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            self.answers, self.calls = list(answers), list[Any]()
            self._task = SimpleNamespace(args={"device": "/dev/sdb"}, async_val=0, action="", check_mode=False)

        def _execute_module(self, name: str, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:  # noqa: ARG002
            self.calls.append((name.rpartition(".")[2], arguments))
            return dict(self.answers.pop(0))

    return Controller()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})


BOTH = pytest.mark.parametrize(
    ("name", "subject"), [("storage", storage.ActionModule), ("chrony_config", chrony_config.ActionModule)]
)


@BOTH
def test_an_unchanged_run_is_one_call(name: str, subject: type[PackagedAction]) -> None:
    run = controller(subject, {"changed": False})
    assert run.run() == {"changed": False}
    assert [called for called, _arguments in run.calls] == [name]
    assert run.calls[0][1]["device"] == "/dev/sdb"


@BOTH
def test_a_package_that_is_missing_is_installed_and_the_work_done(name: str, subject: type[PackagedAction]) -> None:
    run = controller(subject, NEEDS, {"changed": True}, DONE)
    assert run.run() == DONE
    assert [called for called, _arguments in run.calls] == [name, "apt", name]
    assert run.calls[1][1]["name"] == "xfsprogs"
    assert run.calls[1][1]["install_recommends"] is False


@BOTH
def test_a_package_that_cannot_be_had_is_told(name: str, subject: type[PackagedAction]) -> None:
    run = controller(subject, NEEDS, {"failed": True, "msg": "no network"})
    result = run.run()
    assert result["failed"]
    assert [called for called, _arguments in run.calls] == [name, "apt"]
    assert result["msg"] == f"{subject.role}: xfsprogs is missing on this host and cannot be installed: no network"


def test_chrony_is_not_started_before_it_is_told_whom_to_follow() -> None:
    run = controller(chrony_config.ActionModule, NEEDS, {}, DONE)
    run.run()
    assert run.calls[1][1]["policy_rc_d"] == 101


def test_storage_tells_who_runs_it() -> None:
    run = controller(storage.ActionModule, DONE)
    run.run()
    assert run.calls[0][1]["run_by"]
