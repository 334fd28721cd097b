"""The controller's half of ``firewall_rules``: installs nft where it is missing, and confirms new rules."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.module_utils.record import run_by

MODULE = "tds.monitoring.firewall_rules"
PACKAGE = {"name": "nftables", "update_cache": True, "cache_valid_time": 3600}
# After the rules from before are back the host is asked once more, which takes a connection.
PATIENCE_S = 15


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module; only if it applied new rules, comes back over a new connection and runs it again.

    So an unchanged run is one module call.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        done = self._run_module(task_vars)
        if done.pop("needs_nft", False):
            installed = self._execute_module("ansible.builtin.apt", PACKAGE, task_vars=task_vars)
            if installed.get("failed"):
                why = f"firewall: nft is missing on this host and nftables cannot be installed: {installed.get('msg')}"
                return result | {"failed": True, "msg": why}
            done = self._run_module(task_vars)
        result |= done
        if (applied_over := result.pop("applied_over", None)) is not None:
            confirm = {"applied_over": applied_over, "reasons": result["reasons"]}
            result |= {**self._confirm(confirm, task_vars), "changed": True, "diff": result["diff"]}
        return result

    def _confirm(self, confirm: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The answer to the confirmation: by the new rules' leave, or late, when the host has gone back."""
        seconds = int(self._task.args.get("confirm_seconds", 30))
        end = time.monotonic() + seconds + PATIENCE_S
        while True:
            # What is multiplexed over the old connection would come through whatever the new rules are.
            self._connection.reset()
            try:
                return self._run_module(task_vars, confirm=confirm)
            except AnsibleConnectionFailure as error:
                if time.monotonic() > end:
                    why = (
                        f"firewall: no new connection to this host came through, neither in {seconds} s nor after "
                        f"its own timer brought the rules from before back: {error}"
                    )
                    return {"failed": True, "outcome": "failed", "msg": why}
                time.sleep(1)

    def _run_module(self, task_vars: dict[str, Any] | None, **extra: Any) -> dict[str, Any]:
        # Connected without a network, there is none to renew and nobody to cut off.
        if "confirm" in extra and self._connection.transport == "local":
            extra["confirm"] = {**extra["confirm"], "applied_over": ""}
        arguments = {**self._task.args, "run_by": run_by(), **extra}
        done: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return done
