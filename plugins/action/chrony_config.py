"""The controller's half of ``chrony_config``: chrony, where it is missing."""

from __future__ import annotations

from typing import Any

from ansible_collections.tds.monitoring.plugins.plugin_utils.packages import PackagedAction


class ActionModule(PackagedAction):
    """Ansible's entry point."""

    role = "timesync"
    apt = {"policy_rc_d": 101}  # noqa: RUF012  not started before it is told whom to follow

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        return result | self.run_packaged("tds.monitoring.chrony_config", self._task.args, task_vars)
