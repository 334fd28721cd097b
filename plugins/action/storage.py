"""The controller's half of ``storage``: the filesystem's tools, where they are missing, and who runs it."""

from __future__ import annotations

from typing import Any

from ansible_collections.tds.monitoring.plugins.module_utils.record import run_by
from ansible_collections.tds.monitoring.plugins.plugin_utils.packages import PackagedAction


class ActionModule(PackagedAction):
    """Ansible's entry point."""

    role = "storage"

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {**self._task.args, "run_by": run_by()}
        return result | self.run_packaged("tds.monitoring.storage", arguments, task_vars)
