#!/usr/bin/python
"""Bound all daemons of a slice together."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_slice
short_description: A slice of systemd has these limits
version_added: 0.3.0
description:
  - Writes the unit of a slice, has systemd read it, and puts its limits in force for what runs in it; nothing is
    restarted. A text in which systemd would ignore something is refused.
options:
  name:
    description: Name of the slice, with its suffix.
    type: str
    required: true
  unit:
    description: Text of its unit.
    type: str
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Half of what others have, when it is scarce
  tds.monitoring.systemd_slice:
    name: tds.slice
    unit: |
      [Slice]
      CPUWeight=50
"""

RETURN = r""" # """

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.durable import write_durable
from ansible_collections.tds.monitoring.plugins.module_utils.service import ServiceError, run, verify_unit

UNITS = Path("/etc/systemd/system")
OVERRIDES = Path("/run/systemd/system.control")


def loaded(name: str) -> bool:
    """Whether systemd has read the file as it is. Where nothing runs in a slice it may not know it, which is fine."""
    return run(["systemctl", "show", "--property=NeedDaemonReload", "--value", name]).stdout.strip() != "yes"


def complaint(name: str, unit: str) -> str | None:
    with tempfile.TemporaryDirectory() as staging:
        return verify_unit(unit, name, Path(staging))


def limits(unit: str) -> dict[str, str]:
    """What stands in its section ``[Slice]``."""
    lines = unit.partition("[Slice]\n")[2].splitlines()
    return {key: value for key, equal, value in (line.partition("=") for line in lines) if equal}


def runs(name: str) -> bool:
    return run(["systemctl", "is-active", "--quiet", name]).returncode == 0


def put_in_force(name: str, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Of a slice that something runs in, systemd gives the kernel what is set, and not what it reads anew.

    What it remembers of that would go before the unit's file, so the caller throws it away.
    """
    assignments = [f"{key}={value}" for key, value in {**dict.fromkeys(before, ""), **wanted}.items()]
    if not assignments:
        return
    done = run(["systemctl", "set-property", "--runtime", name, *assignments])
    if done.returncode:
        raise ServiceError(f"{name} runs and does not take {' '.join(assignments)}: {done.stderr.strip()}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    name, wanted = module.params["name"], module.params["unit"]
    file, overrides = UNITS / name, OVERRIDES / f"{name}.d"
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        changed = before != wanted or overrides.exists() or not loaded(name)
        if before != wanted and (words := complaint(name, wanted)):
            module.fail_json(msg=f"{name} is refused, and what was in force is left: {words}")
        if changed and not module.check_mode:
            if runs(name):
                put_in_force(name, limits(before), limits(wanted))
            write_durable(file, wanted.encode(), 0o644)
            shutil.rmtree(overrides, ignore_errors=True)
            run(["systemctl", "daemon-reload"])
            if not loaded(name):
                module.fail_json(msg=f"systemd has not read {file}: `systemctl daemon-reload` says why")
    except (OSError, ServiceError) as error:
        module.fail_json(msg=str(error))
    header = {"before_header": str(file), "after_header": str(file)}
    module.exit_json(changed=changed, diff={**header, "before": before, "after": wanted})


if __name__ == "__main__":
    main()
