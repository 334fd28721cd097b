"""The controller's half: one call when nothing changes, and a confirmation over a connection that is new."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.action import firewall_rules as subject

APPLIED = {"changed": True, "applied_over": "a 1 b 22", "reasons": ["r"], "diff": ["d"], "outcome": "proven"}
LOST = AnsibleConnectionFailure("timed out")


class Controller(subject.ActionModule):
    """Gets its answers from a list; one that is an exception is raised."""

    def __init__(self, answers: list[Any], transport: str = "ssh") -> None:
        self.answers, self.calls = list(answers), list[Any]()
        self._task = SimpleNamespace(args={"confirm_seconds": 30}, async_val=0, action="", check_mode=False)
        self._connection = SimpleNamespace(transport=transport, reset=lambda: self.calls.append("reset"))

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:  # noqa: ARG002
        self.calls.append(module_args.get("confirm") or module_name.rsplit(".", 1)[1])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_an_unchanged_run_is_one_call() -> None:
    controller = Controller([{"changed": False}])
    assert controller.run() == {"changed": False}
    assert controller.calls == ["firewall_rules"]


def test_new_rules_are_confirmed_over_a_new_connection() -> None:
    controller = Controller([APPLIED, {"changed": True, "outcome": "proven", "diff": []}])
    assert controller.run() == {"changed": True, "reasons": ["r"], "diff": ["d"], "outcome": "proven"}
    assert controller.calls == ["firewall_rules", "reset", {"applied_over": "a 1 b 22", "reasons": ["r"]}]


def test_connections_that_are_lost_are_tried_again_until_the_host_answers() -> None:
    controller = Controller([APPLIED, LOST, LOST, {"failed": True, "outcome": "rolled_back", "msg": "m"}])
    result = controller.run()
    assert (result["failed"], result["outcome"], controller.calls.count("reset")) == (True, "rolled_back", 3)


def test_a_host_that_does_not_answer_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 44.0, 46.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    result = Controller([APPLIED, LOST, LOST]).run()
    assert result["failed"]
    assert "no new connection to this host came through, neither in 30 s nor after its own timer" in result["msg"]


def test_without_a_network_there_is_no_connection_to_be_new() -> None:
    controller = Controller([APPLIED, {"changed": True}], transport="local")
    controller.run()
    assert controller.calls[-1] == {"applied_over": "", "reasons": ["r"]}


def test_nft_is_installed_where_it_is_missing() -> None:
    controller = Controller([{"changed": False, "needs_nft": True}, {"changed": True}, {"changed": True}])
    assert controller.run() == {"changed": True}
    assert controller.calls == ["firewall_rules", "apt", "firewall_rules"]
    refused = Controller([{"changed": False, "needs_nft": True}, {"failed": True, "msg": "no such package"}]).run()
    assert refused["failed"]
    assert "nft is missing on this host and nftables cannot be installed: no such package" in refused["msg"]
