#!/usr/bin/python
"""A filesystem for Prometheus' data, on a disk of its own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: storage
short_description: A disk is formatted once, mounted at /prometheus, and grown
version_added: 0.3.0
description:
  - Formats a disk on which nothing is, and no other. What it has formatted carries the label C(tds-storage).
  - Mounts it with C(prometheus.mount), by its UUID, and grows the filesystem when the disk has grown.
  - Before it formats, it writes down what it begins; a run that was stopped there is finished by the next.
  - Refuses a disk that holds anything else, or is in use, and a /prometheus with data that the mount would hide.
options:
  device:
    description: The disk, or a partition. Empty leaves /prometheus as it is and tells its size.
    type: str
    default: ""
  filesystem:
    description: How a blank disk is formatted.
    type: str
    default: xfs
  mount_options:
    description: Options of the mount.
    type: list
    elements: str
    default: [noatime, nodev, nosuid, noexec]
  wipe:
    description: What may be erased from the disk, as the refusal names it.
    type: str
    default: ""
  flush_seconds:
    description: How old what Prometheus has written may become before the kernel has it on the disk. 0 leaves that to
      the kernel, which waits for 30 s.
    type: int
    default: 3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: A disk for Prometheus
  tds.monitoring.storage:
    device: /dev/disk/by-id/nvme-eui.0025385b71b0a0c1
"""

RETURN = r"""
ansible_facts:
  description: C(storage_bytes), the size of the filesystem at /prometheus.
  type: dict
  returned: success
reasons:
  description: What was done, or would be.
  type: list
  returned: success
needs_package:
  description: Package without whose tools it cannot be done; nothing was changed. The action plugin installs it.
  type: str
  returned: when it is missing
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils import flush
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.block import JOURNAL, look
from ansible_collections.tds.monitoring.plugins.module_utils.durable import fsync_path, write_durable
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.record import append_or_warn
from ansible_collections.tds.monitoring.plugins.module_utils.storage import (
    LABEL,
    MOUNT,
    PACKAGES,
    UNIT,
    Content,
    begun_on,
    content,
    faults,
    filesystem_of,
    grows,
    is_mounted,
    mount_unit,
    options_drifted,
)

ARGUMENTS: dict[str, Any] = {
    "device": {"type": "str", "default": ""},
    "filesystem": {"type": "str", "default": "xfs"},
    "mount_options": {"type": "list", "elements": "str", "default": ["noatime", "nodev", "nosuid", "noexec"]},
    "wipe": {"type": "str", "default": ""},
    "flush_seconds": {"type": "int", "default": 3},
    "run_by": {"type": "str", "default": "unknown"},  # of the controller's half
}
UNIT_FILE = Path("/etc/systemd/system", UNIT)
JOURNALS = Path("/") / JOURNAL
UDEV = Path("/run/udev/control")
MAKE = {
    # Without -f and -F they refuse a disk on which there is something after all.
    "ext4": ("mkfs.ext4", "-q", "-m", "0", "-L", LABEL, "-U"),
    "xfs": ("mkfs.xfs", "-q", "-L", LABEL, "-m"),
}
JUDGE = {"ext4": ("e2fsck", "-f", "-n"), "xfs": ("xfs_repair", "-n")}
GROW = {"ext4": "resize2fs", "xfs": "xfs_growfs"}
PENDING = "the UUID that it gets"


class Missing(Exception):
    """A tool is not on this host; the argument is its package."""


class Storage:
    """One run: what was seen, what is done about it, and why."""

    def __init__(self, wanted: Mapping[str, Any], *, check: bool) -> None:
        self.wanted, self.check = wanted, check
        self.reasons: list[str] = []
        self.diff: list[dict[str, str]] = []
        self.seen = self._look()

    def put(self) -> None:
        """Do all there is to do; in check mode, say it.

        Raises:
            Refusal: the disk may not be used; nothing was changed.
            Missing: nothing was changed either.
            CalledProcessError: a tool's own refusal.
        """
        if self.seen:
            formatted = content(self.seen, self.wanted) is Content.OURS
            if not self.check and (not formatted or grows(self.seen)):
                _need_tools(self.wanted["filesystem"])
            if not formatted:
                self._format()
            self._mount()
            self._grow()
        self._flush()

    def size_bytes(self) -> int:
        """Of the filesystem at /prometheus; in check mode of what would be there, as far as that is known."""
        if self.seen and not is_mounted(self.seen):
            return int(self.seen["filesystem_bytes"] or self.seen["size_bytes"])
        size = os.statvfs(MOUNT if Path(MOUNT).is_dir() else "/")
        return size.f_blocks * size.f_frsize

    def _look(self) -> dict[str, Any]:
        seen = look(self.wanted["device"])
        if found := faults(seen, self.wanted):
            raise Refusal("\n".join(found))
        return seen

    def _format(self) -> None:
        seen, filesystem = self.seen, self.wanted["filesystem"]
        begun = begun_on(seen)
        if not any(self._is_whole(entry["uuid"]) for entry in begun):
            erased = f", which erases {seen['holds']}" if seen["holds"] else ""
            again = ", which an earlier run began" if begun else erased
            size = f"{seen['size_bytes'] / 2**30:.1f} GiB"
            self.reasons.append(f"{self.wanted['device']} ({size}) is formatted with {filesystem}{again}")
            if self.check:
                return
            begun.append(self._make(filesystem))
        if not self.check:
            for entry in begun:
                _journal(entry["uuid"]).unlink()
            fsync_path(JOURNALS)
            self.seen = self._look()

    def _is_whole(self, name: str) -> bool:
        """Whether a formatting that was begun came to its end, and only the journal does not know."""
        filesystem = self.wanted["filesystem"]
        if (filesystem, name) not in [(found["type"], found["uuid"]) for found in self.seen["signatures"]]:
            return False
        return _succeeds(*JUDGE[filesystem], self.seen["path"])

    def _make(self, filesystem: str) -> dict[str, Any]:
        """Format the disk; the entry of the journal, which is written before the first byte."""
        name, device = str(uuid.uuid4()), self.seen["path"]
        entry = {"uuid": name, "disk": self.seen["disk"], "erases": self.seen["signatures"]}
        JOURNALS.mkdir(parents=True, exist_ok=True)
        for directory in JOURNALS.parents:
            fsync_path(directory)
        write_durable(_journal(name), json.dumps(entry).encode(), 0o600)
        if entry["erases"]:
            _run("wipefs", "--all", device)
        _run(*MAKE[filesystem], name if filesystem == "ext4" else f"uuid={name}", device)
        fsync_path(Path(device))
        return entry

    def _mount(self) -> None:
        formatted = content(self.seen, self.wanted) is Content.OURS
        what = self.wanted["device"]
        if UDEV.exists():  # else nobody makes links by UUID, or tells systemd of devices
            what = f"/dev/disk/by-uuid/{filesystem_of(self.seen)['uuid'] if formatted else PENDING}"
        unit = mount_unit(what, self.wanted["filesystem"], self.wanted["mount_options"])
        old = UNIT_FILE.read_text(encoding="utf-8") if UNIT_FILE.exists() else ""
        there = is_mounted(self.seen)
        causes = {
            f"{UNIT} is {'another' if old else 'new'}": old != unit,
            f"{UNIT} is not enabled": not _succeeds("systemctl", "is-enabled", UNIT),
            f"{self.wanted['device']} is not mounted": not there,
            f"{MOUNT} is mounted with other options": there and options_drifted(self.seen, self.wanted),
        }
        if not any(causes.values()):
            return
        self.reasons += [cause for cause, holds in causes.items() if holds]
        header = str(UNIT_FILE)
        self.diff.append({"before_header": header, "after_header": header, "before": old, "after": unit})
        if self.check:
            return
        write_durable(UNIT_FILE, unit.encode(), 0o644)
        _run("systemctl", "daemon-reload")
        _run("systemctl", "enable", "--quiet", UNIT)
        if not there:
            Path(MOUNT).mkdir(exist_ok=True)
            if UDEV.exists():
                _run("udevadm", "trigger", "--settle", f"--name-match={self.seen['path']}")
            _succeeds("systemctl", "reset-failed", UNIT)
        _run("systemctl", "reload" if there else "start", UNIT)
        self.seen = self._look()

    def _grow(self) -> None:
        """While it is mounted, and used."""
        if not grows(self.seen):
            return
        before, after = (f"{self.seen[size] / 2**30:.1f} GiB" for size in ("filesystem_bytes", "size_bytes"))
        self.reasons.append(f"{self.wanted['device']} has grown from {before} to {after}")
        if self.check:
            return
        filesystem = self.wanted["filesystem"]
        _run(GROW[filesystem], MOUNT if filesystem == "xfs" else self.seen["path"])
        self.seen = self._look()

    def _flush(self) -> None:
        seconds = self.wanted["flush_seconds"]
        found = flush.drift(seconds)
        self.reasons += found
        if found and not self.check:
            flush.put(seconds)


def _journal(name: str) -> Path:
    return JOURNALS / f"{name}.json"


def _need_tools(filesystem: str) -> None:
    if not shutil.which(MAKE[filesystem][0]):
        raise Missing(PACKAGES[filesystem])


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _told(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{' '.join(error.cmd)}: {error.stderr.strip() or error.stdout.strip()}"
    return str(error)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    reasons: list[str] = []
    who = {"daemon": "storage", "by": module.params["run_by"], "state": "present"}
    try:
        refuse_without_root()
        storage = Storage(module.params, check=module.check_mode)
        reasons = storage.reasons
        storage.put()
    except Missing as package:
        module.exit_json(changed=False, needs_package=str(package))
    except Refusal as refusal:
        module.fail_json(msg=f"storage: {refusal}")
    except (subprocess.SubprocessError, OSError) as error:
        if not module.check_mode:
            append_or_warn({**who, "result": "failed", "why": [*reasons, _told(error)]}, module.warn)
        module.fail_json(msg=f"storage: {_told(error)}", reasons=reasons)
    if reasons and not module.check_mode:
        append_or_warn({**who, "result": "done", "why": reasons}, module.warn)
    because = "".join(f"  {reason}\n" for reason in reasons)
    module.exit_json(
        changed=bool(reasons),
        reasons=reasons,
        diff=[{"prepared": f"because\n{because}"}, *storage.diff] if reasons else [],
        ansible_facts={"storage_bytes": storage.size_bytes()},
    )


if __name__ == "__main__":
    main()
