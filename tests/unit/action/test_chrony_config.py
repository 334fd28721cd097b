"""The controller's half: chrony is installed where the module asks for it, and only there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.action import chrony_config as subject

NEEDED = {"changed": False, "needs_chrony": True}


class Controller(subject.ActionModule):
    """Gets its answers from a list."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.calls = list(answers), list[str]()
        self._task = SimpleNamespace(args={}, async_val=0, action="", check_mode=False)

    def _execute_module(self, module_name: str, _arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:  # noqa: ARG002
        self.calls.append(module_name.rsplit(".", 1)[1])
        return dict(self.answers.pop(0))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})


def test_an_unchanged_run_is_one_call() -> None:
    controller = Controller({"changed": False})
    assert controller.run() == {"changed": False}
    assert controller.calls == ["chrony_config"]


def test_chrony_is_installed_where_it_is_missing() -> None:
    controller = Controller(NEEDED, {"changed": True}, {"changed": True, "action": "restart"})
    assert controller.run() == {"changed": True, "action": "restart"}
    assert controller.calls == ["chrony_config", "apt", "chrony_config"]


def test_one_that_cannot_be_installed_is_told() -> None:
    controller = Controller(NEEDED, {"failed": True, "msg": "No package matching 'chrony' is available"})
    result = controller.run()
    assert (result["failed"], "No package matching" in result["msg"]) == (True, True)
