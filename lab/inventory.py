"""The lab as an Ansible inventory. Ansible asks often: this reads two files and starts nothing."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import Any

from lab import ssh
from lab.addresses import GATEWAY
from lab.common import Paths
from lab.services import MIRROR_URL
from lab.state import Lab, State, load

DEFAULT_LAB = "demo"
ARTIFACT_KEYS = ("version", "archive", "sha256", "origin")


def show(arguments: argparse.Namespace, paths: Paths) -> None:
    """The verb: prints the inventory of the lab that LAB_NAME says, or one host's variables."""
    name = os.environ.get("LAB_NAME") or DEFAULT_LAB
    found = inventory(load(paths), name, paths)
    if not found["all"]["hosts"]:
        print(f"lab: there is no lab {name!r}; `python3 -m lab up {name} HOST` makes one", file=sys.stderr)
    if arguments.host:
        found = found["_meta"]["hostvars"].get(arguments.host, {})
    print(json.dumps(found, indent=2))


def empty() -> dict[str, Any]:
    return {"_meta": {"hostvars": {}}, "all": {"hosts": [], "vars": {}}}


def inventory(state: State, name: str, paths: Paths) -> dict[str, Any]:
    """The JSON of `--list`; without hosts when there is no lab of that name."""
    lab = state.labs.get(name)
    if lab is None:
        return empty()
    hosts = lab.addresses()
    return {
        "_meta": {"hostvars": {host: variables(lab, name, host, paths) for host in hosts}},
        "all": {
            "hosts": list(hosts),
            "vars": {"lab_artifact_source": MIRROR_URL, "lab_artifacts": artifacts(paths), "lab_gateway": GATEWAY},
        },
    }


def variables(lab: Lab, name: str, host: str, paths: Paths) -> dict[str, Any]:
    """One host's variables."""
    found = {
        "ansible_host": lab.address(host),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(paths.private_key(name)),
        "ansible_ssh_common_args": shlex.join(ssh.common_options(paths, name)),
        "lab_suite": lab.suite,
        "lab_gateway": GATEWAY,
        "lab_directory": str(paths.lab(name)),
    }
    if lab.hosts[host].device:
        found["lab_disk"] = lab.hosts[host].device
    return found


def artifacts(paths: Paths) -> dict[str, dict[str, str]]:
    """{component: {version, archive, sha256, origin}} of what the mirror has; empty at first."""
    try:
        text = (paths.artifacts / "state.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    available = json.loads(text)["available"]
    return {component: {key: entry[key] for key in ARTIFACT_KEYS} for component, entry in sorted(available.items())}
