"""The controller's half of ``chrony_config``: installs chrony where it is missing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

MODULE = "tds.monitoring.chrony_config"
PACKAGE = {
    "name": "chrony",
    "install_recommends": False,
    "update_cache": True,
    "cache_valid_time": 3600,
    "policy_rc_d": 101,  # it is not started before it is told whom to follow
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module; only where it needs chrony, installs it and runs the module again."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        done = self._execute_module(MODULE, self._task.args, task_vars=task_vars)
        if done.pop("needs_chrony", False):
            installed = self._execute_module("ansible.builtin.apt", PACKAGE, task_vars=task_vars)
            if installed.get("failed"):
                why = f"timesync: chrony is missing on this host and cannot be installed: {installed.get('msg')}"
                return result | {"failed": True, "msg": why}
            done = self._execute_module(MODULE, self._task.args, task_vars=task_vars)
        result |= done
        return result
