#!/usr/bin/python
"""Make a ClickHouse server serve its metrics, and see that it does."""

from __future__ import annotations

DOCUMENTATION = r"""
module: clickhouse_metrics
short_description: A ClickHouse server serves its metrics
version_added: 0.3.0
description:
  - Writes C(config.d/prometheus.xml) below the server's configuration, which the server reads by itself, and asks for
    the metrics until they are there.
  - Refuses where another file has a say in it. Does not restart the server unless told to.
options:
  state:
    description: Whether the file is there. C(absent) asks nothing, and is fine where there is no ClickHouse.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description: The server's configuration.
    type: path
    default: /etc/clickhouse-server
  address:
    description: Where the server listens, as this host reaches it.
    type: str
    default: 127.0.0.1
  port:
    description: Port of the metrics.
    type: int
    default: 8123
  http_port:
    description: The server's HTTP port. Where it is O(port) too, its own handlers serve the metrics.
    type: int
    default: 8123
  timeout:
    description: Seconds to wait for the metrics; the server looks at its files every two.
    type: float
    default: 15
  restart:
    description: Restart the server when it takes up the file in no other way.
    type: bool
    default: false
  unit:
    description: The server's systemd unit.
    type: str
    default: clickhouse-server.service
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Metrics at port 8123
  tds.monitoring.clickhouse_metrics:
    address: 192.0.2.30
"""

RETURN = r"""
restarted:
  description: Whether the server was restarted.
  type: bool
  returned: success
"""

import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.clickhouse import (
    SERIES,
    conflicts,
    drop_in,
    is_ours,
)
from ansible_collections.tds.monitoring.plugins.module_utils.durable import write_durable
from ansible_collections.tds.monitoring.plugins.module_utils.proof import Unproven, get, prove

SUFFIXES = (".xml", ".yaml", ".yml")
ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "directory": {"type": "path", "default": "/etc/clickhouse-server"},
    "address": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 8123},
    "http_port": {"type": "int", "default": 8123},
    "timeout": {"type": "float", "default": 15},
    "restart": {"type": "bool", "default": False},
    "unit": {"type": "str", "default": "clickhouse-server.service"},
}


def other_files(directory: Path, own: Path) -> dict[str, str]:
    """Text by path of every file of the server's configuration that is not our own."""
    found = [*directory.glob("config.*"), *sorted((directory / "config.d").glob("*"))]
    texts = {path: text_of(path) for path in found if path.is_file() and path.suffix in SUFFIXES}
    return {str(path): text for path, text in texts.items() if path != own or not is_ours(text)}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def listener(module: AnsibleModule) -> str:
    """The address that answers at the port which ClickHouse is to open for its metrics, unless it is those already."""
    where = (module.params["address"], module.params["port"])
    try:
        socket.create_connection(where, 1).close()
    except OSError:
        return ""
    return "" if unproven(module, 0) is None else f"{where[0]}:{where[1]}"


def unproven(module: AnsibleModule, timeout: float) -> str | None:
    """Why the metrics are not there, or None when they are."""
    address = module.params["address"]
    host = f"[{address}]" if ":" in address else address
    probe = {"url": f"http://{host}:{module.params['port']}/metrics", "metric": {"name": SERIES}}
    try:
        prove([probe], None, timeout=timeout, fetch=get, exited=lambda: None)
    except Unproven as reason:
        return str(reason)
    return None


def put(module: AnsibleModule, file: Path, wanted: str) -> None:
    """What must hold before the file is written is seen to here, and what must hold after it."""
    directory = Path(module.params["directory"])
    if not file.parent.is_dir():
        module.fail_json(
            msg=f"{file.parent} is not there: install ClickHouse on this host, or take it out of monitored_services"
        )
    if found := conflicts(other_files(directory, file), module.params["port"], module.params["http_port"]):
        module.fail_json(msg="\n".join(found))
    old = text_of(file)
    changed, restarted = old != wanted, False
    if changed and module.params["port"] != module.params["http_port"] and (taken := listener(module)):
        module.fail_json(
            msg=f"port {module.params['port']} is taken ({taken} answers), and ClickHouse would not start with it: let"
            " the target in monitored_services have a port of its own, such as 9363; or say, if it is ClickHouse's HTTP"
            " port, so in clickhouse_metrics_http_port"
        )
    if changed and not module.check_mode:
        write_durable(file, wanted.encode(), 0o644)
    reason = None if module.check_mode else unproven(module, module.params["timeout"])
    if reason and module.params["restart"]:
        module.run_command(["systemctl", "restart", module.params["unit"]], check_rc=True)
        changed = restarted = True
        reason = unproven(module, module.params["timeout"])
    if reason:
        module.fail_json(
            changed=changed,
            msg=f"{file} is in place, but this ClickHouse has not taken it up: {reason}. Restart it when it suits you"
            f" (systemctl restart {module.params['unit']}), or set clickhouse_metrics_restart: true",
        )
    module.exit_json(changed=changed, restarted=restarted, diff=diff(file, old, wanted))


def diff(file: Path, before: str, after: str) -> dict[str, str]:
    return {"before_header": str(file), "after_header": str(file), "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    file = Path(module.params["directory"], "config.d", "prometheus.xml")
    wanted = drop_in(module.params["port"], module.params["http_port"])
    if module.params["state"] == "present":
        put(module, file, wanted)
    old = text_of(file)
    ours = is_ours(old)  # somebody else's file of that name is not for us to remove
    if ours and not module.check_mode:
        file.unlink()
    module.exit_json(changed=ours, restarted=False, diff=diff(file, old if ours else "", ""))


if __name__ == "__main__":
    main()
