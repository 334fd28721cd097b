"""On the controller: a module that may find a tool missing on its host, and what it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase


class PackagedAction(ActionBase):  # type: ignore[misc]
    """Runs a module; only where that answers ``needs_package``, installs the package and runs it again.

    An unchanged run is one call, where a task that installs first would be one more on every host.
    """

    role: str
    apt: Mapping[str, Any] = {}
    """Further arguments of ansible.builtin.apt."""

    def run_packaged(self, module: str, arguments: Mapping[str, Any], task_vars: Any) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(module, {**arguments}, task_vars=task_vars)
        if not (package := done.pop("needs_package", "")):
            return done
        wanted = {
            "name": package,
            "install_recommends": False,
            "update_cache": True,
            "cache_valid_time": 3600,
            **self.apt,
        }
        installed = self._execute_module("ansible.builtin.apt", wanted, task_vars=task_vars)
        if installed.get("failed"):
            why = f"{package} is missing on this host and cannot be installed: {installed.get('msg')}"
            return {"failed": True, "msg": f"{self.role}: {why}"}
        again: dict[str, Any] = self._execute_module(module, {**arguments}, task_vars=task_vars)
        return again
