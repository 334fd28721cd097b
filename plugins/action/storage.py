"""The controller's half of ``storage``: installs the filesystem's tools where they are missing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.module_utils.record import run_by

MODULE = "tds.monitoring.storage"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module; only if that lacks a tool, installs its package and runs it again."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {**self._task.args, "run_by": run_by()}
        done: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if package := done.pop("needs_package", ""):
            wanted = {"name": package, "update_cache": True, "cache_valid_time": 3600}
            installed = self._execute_module("ansible.builtin.apt", wanted, task_vars=task_vars)
            if installed.get("failed"):
                why = f"storage: {package} is missing on this host and cannot be installed: {installed.get('msg')}"
                return result | {"failed": True, "msg": why}
            done = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return result | done
