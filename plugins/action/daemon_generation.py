"""The controller's half of ``daemon_generation``: hands over an archive that the controller holds, when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.tds.monitoring.plugins.module_utils.record import run_by

MODULE = "tds.monitoring.daemon_generation"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module; only if it asks for the archive, sends that and runs it again.

    So an unchanged run is one module call, and an archive travels once per host and release.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(self._run_module(task_vars))
        needed = result.pop("needs_archive", None)
        if needed is None:
            return result
        archive = Path(needed)
        if not archive.is_file():
            return {
                "failed": True,
                "msg": f"artifact_source: {archive.parent} on the controller has no {archive.name}. "
                "Put the archive there, or set artifact_source to a URL that serves it.",
            }
        # The directory of the first call, where it needed one; Ansible removes it with the task.
        directory = self._connection._shell.tmpdir or self._make_tmp_path()  # noqa: SLF001
        sent = self._transfer_file(str(archive), f"{directory}/{archive.name}")
        result.update(self._run_module(task_vars, archive_file=sent))
        return result

    def _run_module(self, task_vars: dict[str, Any] | None, **extra: str) -> dict[str, Any]:
        arguments = {**self._task.args, "run_by": run_by(), **extra}
        done: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return done
