"""What a declared disk holds, what may be done to it, and the unit that mounts it; decided without touching it.

``seen`` is what :func:`block.look` saw, ``wanted`` the settings of the role without their prefix: ``device``,
``filesystem``, ``mount_options``, ``wipe`` and ``flush_seconds``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any

MOUNT = "/prometheus"
UNIT = "prometheus.mount"
LABEL = "tds-storage"
"""What we have formatted; XFS has room for 12 characters."""
PACKAGES = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
"""Of the tools, by filesystem."""
SMALLEST = 2**30
SLACK = 32 * 2**20
"""What a filesystem may leave of its disk: neither of the two uses a last piece that is too small."""
SHOWN_OPTIONS = {"noatime", "nodev", "noexec", "nosuid"}
"""Those that the kernel shows as they were given."""
OPTION = re.compile(r"[\w.:=+-]+")
DEVICE = re.compile(r"/dev/[\w.:/+@-]+")


class Content(enum.Enum):
    """What a disk holds, as far as it decides what is done to it."""

    OURS = enum.auto()  # mounted as it is
    BLANK = enum.auto()
    HALF = enum.auto()  # we began to format it, and were stopped
    CLEARED = enum.auto()  # foreign, and `wipe` names just that
    FOREIGN = enum.auto()


def content(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> Content:
    if begun_on(seen):
        return Content.HALF
    if not seen["holds"]:
        return Content.BLANK
    if [(found["label"], found["type"] in PACKAGES) for found in seen["signatures"]] == [(LABEL, True)]:
        return Content.OURS
    return Content.CLEARED if wanted["wipe"] == seen["holds"] else Content.FOREIGN


def begun_on(seen: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What we began to make of this disk and have not finished: entries of the journal."""
    return [begun for begun in seen["making"] if _is_of(begun, seen)]


def _is_of(begun: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether all on the disk is of the formatting that was begun, or was to be erased by it."""
    ours = [found for found in seen["signatures"] if found["uuid"] == begun["uuid"]]
    others = [found for found in seen["signatures"] if found not in ours]
    return bool(ours or begun["disk"] == seen["disk"]) and all(found in begun["erases"] for found in others)


def filesystem_of(seen: Mapping[str, Any]) -> Mapping[str, str]:
    """The signature (``type``, ``uuid``) of our filesystem on a disk that holds one."""
    found: Mapping[str, str] = next(found for found in seen["signatures"] if found["label"] == LABEL)
    return found


def is_mounted(seen: Mapping[str, Any]) -> bool:
    """Whether the disk, and nothing else, is what is mounted."""
    return bool(seen["mounted"]) and seen["mounted"]["number"] == seen["number"]


def grows(seen: Mapping[str, Any]) -> bool:
    """Whether the disk has become larger than our filesystem on it."""
    return bool(0 < seen["filesystem_bytes"] < seen["size_bytes"] - SLACK)


def options_drifted(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether somebody has mounted it anew by hand, with other options."""
    return bool((set(wanted["mount_options"]) ^ set(seen["mounted"]["options"])) & SHOWN_OPTIONS)


def mount_unit(what: str, filesystem: str, options: list[str]) -> str:
    # nofail: a host whose disk is gone boots all the same, without Prometheus, which requires the mount.
    return f"""\
# Ansible managed: role storage
[Unit]
Description=Prometheus' data

[Mount]
What={what}
Where={MOUNT}
Type={filesystem}
Options={",".join([*options, "nofail"])}

[Install]
WantedBy=local-fs.target
"""


def faults(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Everything that forbids to use the disk, each with its remedy; nothing for a host without a declared one."""
    if found := list(_settings(wanted)):
        return found
    if not seen:
        return []
    what = f"storage_device is {wanted['device']}"
    return [f"{what}: {fault}" for fault in (_no_disk(seen) or [*_in_use(seen), *_held(seen, wanted), *_hides(seen)])]


def _settings(wanted: Mapping[str, Any]) -> Iterator[str]:
    device, filesystem = wanted["device"], wanted["filesystem"]
    if device and not DEVICE.fullmatch(device):
        yield f"storage_device is {device!r}: write its path, best one of /dev/disk/by-id; or leave it empty"
    if filesystem not in PACKAGES:
        yield f"storage_filesystem is {filesystem!r}: write one of {', '.join(sorted(PACKAGES))}"
    for option in wanted["mount_options"]:
        if not OPTION.fullmatch(str(option)):
            yield f"storage_mount_options is {option!r}: write one option of mount(8) in each entry"
        elif option == "ro":
            yield "storage_mount_options is 'ro': leave it out, Prometheus writes"
    if not str(wanted["flush_seconds"]).isdecimal():
        yield f"storage_flush_seconds is {wanted['flush_seconds']!r}: write whole seconds, or 0 for the kernel's own"


def _no_disk(seen: Mapping[str, Any]) -> list[str]:
    if not seen["path"]:
        return ["no such device is on this host; `ls -l /dev/disk/by-id` shows those that are"]
    if not seen["block"]:
        return ["that is no block device; `lsblk` shows those that there are"]
    if seen["unreadable"]:
        return [f"it cannot be read: {seen['unreadable']}; look for it in `journalctl --dmesg`"]
    return []


def _in_use(seen: Mapping[str, Any]) -> Iterator[str]:
    mounted = seen["mounted"]
    if seen["read_only"]:
        yield "it is read-only; look for why in `journalctl --dmesg`, and at `blockdev --getro`"
    if mounted and not is_mounted(seen):
        yield (
            f"{mounted['source']} ({mounted['filesystem']}) is mounted at {MOUNT}; unmount it and take it out of "
            "/etc/fstab, or leave storage_device empty, and that is used"
        )
    if not is_mounted(seen) and (seen["users"] or seen["busy"]):
        users = ", ".join(seen["users"]) or "the kernel does not say by whom"
        yield f"it is in use ({users}); name another, or free it"


def _held(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    held = content(seen, wanted)
    if held is Content.OURS:
        if (there := filesystem_of(seen)["type"]) != wanted["filesystem"]:
            yield f"it has our {there}, which is not made anew; write storage_filesystem: {there}"
    elif is_mounted(seen):
        yield f"it is mounted at {MOUNT} and we have not formatted it; leave storage_device empty, and it is used"
    elif held is Content.FOREIGN:
        stale = f" (storage_wipe is {wanted['wipe']}, which it is not)" if wanted["wipe"] else ""
        yield (
            f"it holds {_contents(seen)}; name another disk. If nothing on it is wanted, storage_wipe: {seen['holds']} "
            f"has it formatted, and all on it is lost{stale}"
        )
    elif seen["size_bytes"] < SMALLEST:
        yield f"it has {seen['size_bytes'] // 2**20} MiB; name one of at least {SMALLEST // 2**20} MiB"


def _contents(seen: Mapping[str, Any]) -> str:
    told = {
        " ".join([found["type"], *(f"{key} {found[key]}" for key in ("label", "uuid") if found[key])])
        for found in seen["signatures"]
        if found["type"] != "PMBR"  # which comes with each GPT
    }
    partitions = [f"partitions {', '.join(seen['partitions'])}"] if seen["partitions"] else []
    return " and ".join([*sorted(told), *partitions]) or "data of no known kind"


def _hides(seen: Mapping[str, Any]) -> Iterator[str]:
    if seen["crooked"]:
        yield f"{MOUNT} is {seen['crooked']}; make it a directory, on which a disk can be mounted"
    if seen["hidden"]:
        yield (
            f"{MOUNT} holds {', '.join(seen['hidden'])}, which a mount would hide; move it onto the disk as "
            "docs/operations.md says (A disk for the data)"
        )
