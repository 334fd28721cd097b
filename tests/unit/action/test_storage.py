"""The controller's half: one call, unless a package is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.action import storage as subject

NEEDS = {"changed": False, "needs_package": "xfsprogs"}


class Controller(subject.ActionModule):
    """Gets its answers from a list."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.calls = list(answers), list[Any]()
        self._task = SimpleNamespace(args={"device": "/dev/sdb"}, async_val=0, action="", check_mode=False)

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:  # noqa: ARG002
        self.calls.append((module_name.rsplit(".", 1)[1], module_args.get("device") or module_args["name"]))
        return dict(self.answers.pop(0))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})


def test_an_unchanged_run_is_one_call() -> None:
    controller = Controller({"changed": False})
    assert controller.run() == {"changed": False}
    assert controller.calls == [("storage", "/dev/sdb")]


def test_a_package_that_is_missing_is_installed_and_the_work_done() -> None:
    controller = Controller(NEEDS, {"changed": True}, {"changed": True, "reasons": ["r"]})
    assert controller.run() == {"changed": True, "reasons": ["r"]}
    assert controller.calls == [("storage", "/dev/sdb"), ("apt", "xfsprogs"), ("storage", "/dev/sdb")]


def test_a_package_that_cannot_be_had_is_told() -> None:
    controller = Controller(NEEDS, {"failed": True, "msg": "no network"})
    result = controller.run()
    assert result["failed"]
    assert result["msg"] == "storage: xfsprogs is missing on this host and cannot be installed: no network"
