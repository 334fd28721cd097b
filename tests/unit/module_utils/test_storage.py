"""What a disk may be used for: each thing that forbids it, alone and beside others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.storage import (
    Content,
    content,
    faults,
    grows,
    mount_unit,
    options_drifted,
)

GIB = 2**30
UUID, OTHER = "0f1e2d3c-0000-4000-8000-000000000001", "0f1e2d3c-0000-4000-8000-000000000002"
WANTED = {"device": "/dev/sdb", "filesystem": "xfs", "mount_options": ["noatime"], "wipe": "", "flush_seconds": 3}
OURS = {"type": "xfs", "label": "tds-storage", "uuid": UUID, "offset": "0x0"}
EXT4 = {"type": "ext4", "label": "orders", "uuid": OTHER, "offset": "0x438"}
GPT = {"type": "gpt", "label": "", "uuid": "", "offset": "0x200"}
PMBR = GPT | {"type": "PMBR", "offset": "0x1fe"}
HERE = {"number": "8:16", "point": "/prometheus", "options": ["noatime"], "filesystem": "xfs", "source": "/dev/sdb"}
BLANK: dict[str, Any] = {
    "path": "/dev/sdb",
    "block": True,
    "unreadable": "",
    "mounted": {},
    "crooked": "",
    "hidden": [],
    "making": [],
    "number": "8:16",
    "size_bytes": 50 * GIB,
    "disk": "disk 7",
    "read_only": False,
    "partitions": [],
    "users": [],
    "busy": False,
    "signatures": [],
    "holds": "",
    "filesystem_bytes": 0,
}
FORMATTED = BLANK | {"signatures": [OURS], "holds": UUID, "filesystem_bytes": 50 * GIB}
MOUNTED = FORMATTED | {"mounted": HERE, "users": ["mounted at /prometheus"], "busy": True}
BEGUN = {"uuid": UUID, "disk": "disk 7", "erases": [EXT4, GPT]}
FOREIGN = BLANK | {"signatures": [EXT4], "holds": OTHER}
JUNK = BLANK | {"holds": "data-0123456789ab"}

CONTENTS = [
    (BLANK, Content.BLANK),
    (FORMATTED, Content.OURS),
    (MOUNTED, Content.OURS),
    (FOREIGN, Content.FOREIGN),
    (JUNK, Content.FOREIGN),
    (FORMATTED | {"signatures": [OURS, GPT]}, Content.FOREIGN),
    (FORMATTED | {"signatures": [OURS, EXT4]}, Content.FOREIGN),
    (FORMATTED | {"signatures": [OURS | {"type": "btrfs"}]}, Content.FOREIGN),
    (FORMATTED | {"signatures": [OURS | {"label": "tds"}]}, Content.FOREIGN),
    # A formatting that was stopped: before its first byte, in the middle, with what it had to erase, at its end.
    (BLANK | {"making": [BEGUN]}, Content.HALF),
    (JUNK | {"making": [BEGUN]}, Content.HALF),
    (FOREIGN | {"making": [BEGUN]}, Content.HALF),
    (FORMATTED | {"making": [BEGUN]}, Content.HALF),
    (FORMATTED | {"making": [BEGUN], "disk": "the same by another name"}, Content.HALF),
    # Another disk in its place.
    (BLANK | {"making": [BEGUN], "disk": "disk 8"}, Content.BLANK),
    (JUNK | {"making": [BEGUN], "disk": "disk 8"}, Content.FOREIGN),
    (FOREIGN | {"making": [BEGUN], "disk": "disk 8"}, Content.FOREIGN),
    (FORMATTED | {"making": [BEGUN | {"uuid": OTHER}], "disk": "disk 8"}, Content.OURS),
    (FOREIGN | {"making": [BEGUN | {"erases": []}]}, Content.FOREIGN),
    (FORMATTED | {"making": [BEGUN], "signatures": [OURS, EXT4 | {"uuid": "x"}]}, Content.FOREIGN),
]


@pytest.mark.parametrize(("seen", "is_one"), CONTENTS)
def test_what_a_disk_holds(seen: dict[str, Any], is_one: Content) -> None:
    assert content(seen, WANTED) is is_one


@pytest.mark.parametrize(("seen", "name"), [(FOREIGN, OTHER), (JUNK, "data-0123456789ab")])
def test_what_is_named_may_be_erased_and_nothing_else(seen: dict[str, Any], name: str) -> None:
    assert content(seen, WANTED | {"wipe": name}) is Content.CLEARED
    assert faults(seen, WANTED | {"wipe": name}) == []
    stale = WANTED | {"wipe": UUID}
    assert content(seen, stale) is Content.FOREIGN
    assert f"(storage_wipe is {UUID}, which it is not)" in "".join(faults(seen, stale))


@pytest.mark.parametrize("seen", [{}, BLANK, FORMATTED, MOUNTED, JUNK | {"making": [BEGUN]}])
def test_what_may_be_used(seen: dict[str, Any]) -> None:
    assert faults(seen, WANTED) == []


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # what is seen, what is declared beside it, words of the refusal
    ({}, {"filesystem": "btrfs"}, "storage_filesystem is 'btrfs': write one of ext4, xfs"),
    ({}, {"device": "sdb"}, "storage_device is 'sdb': write its path, best one of /dev/disk/by-id"),
    ({}, {"device": "/srv/disk.img"}, "storage_device is '/srv/disk.img': write its path"),
    ({}, {"device": "/dev/sdb%i"}, "write its path"),
    ({}, {"mount_options": ["noatime,nodev"]}, "storage_mount_options is 'noatime,nodev': write one option"),
    ({}, {"mount_options": ["ro"]}, "leave it out, Prometheus writes"),
    ({}, {"flush_seconds": -1}, "storage_flush_seconds is -1: write whole seconds"),
    ({}, {"flush_seconds": "soon"}, "storage_flush_seconds is 'soon': write whole seconds"),
    (BLANK | {"path": ""}, {}, "storage_device is /dev/sdb: no such device"),
    (BLANK | {"block": False}, {}, "no block device; `lsblk`"),
    (BLANK | {"unreadable": "Input/output error"}, {}, "it cannot be read: Input/output error"),
    (BLANK | {"read_only": True}, {}, "it is read-only"),
    (MOUNTED | {"read_only": True}, {}, "it is read-only"),
    (BLANK | {"users": ["part of md0", "swap"], "busy": True}, {}, "it is in use (part of md0, swap)"),
    (BLANK | {"busy": True}, {}, "the kernel does not say by whom"),
    (FORMATTED | {"users": ["mounted at /mnt"]}, {}, "it is in use (mounted at /mnt)"),
    (
        FORMATTED | {"mounted": HERE | {"number": "8:32", "source": "/dev/sdc", "filesystem": "ext4"}},
        {},
        "/dev/sdc (ext4) is mounted at /prometheus; unmount it",
    ),
    (MOUNTED | {"signatures": [EXT4], "holds": OTHER}, {}, "we have not formatted it; leave storage_device empty"),
    (MOUNTED | {"signatures": [EXT4], "holds": OTHER}, {"wipe": OTHER}, "leave storage_device empty"),
    (FORMATTED, {"filesystem": "ext4"}, "it has our xfs, which is not made anew; write storage_filesystem: xfs"),
    (FOREIGN, {}, f"it holds ext4 label orders uuid {OTHER}; name another disk. If nothing on it is"),
    (FOREIGN, {}, f"storage_wipe: {OTHER} has it formatted, and all on it is lost"),
    (
        BLANK | {"signatures": [GPT, PMBR], "holds": "aa-bb", "partitions": ["sdb1", "sdb2"]},
        {},
        "it holds gpt and partitions sdb1, sdb2; name another disk. If nothing on it is wanted, storage_wipe: aa-bb",
    ),
    (JUNK, {}, "it holds data of no known kind; name another disk. If nothing on it is wanted, storage_wipe: data-01"),
    (BLANK | {"size_bytes": GIB - 1}, {}, "it has 1023 MiB; name one of at least 1024 MiB"),
    (BLANK | {"crooked": "a link"}, {}, "/prometheus is a link; make it a directory"),
    (BLANK | {"hidden": ["/prometheus/data"]}, {}, "/prometheus holds /prometheus/data, which a mount would hide"),
]


@pytest.mark.parametrize(("seen", "declared", "words"), REFUSED)
def test_what_is_refused_and_only_that(seen: dict[str, Any], declared: dict[str, Any], words: str) -> None:
    (fault,) = faults(seen, WANTED | declared)
    assert words in fault


def test_all_that_is_wrong_is_told_at_once() -> None:
    seen = FOREIGN | {"read_only": True, "users": ["swap"], "hidden": ["/prometheus/data"]}
    assert len(faults(seen, WANTED)) == 4


@pytest.mark.parametrize(("more", "wanted"), [(0, False), (32 * 2**20, False), (32 * 2**20 + 1, True), (-GIB, False)])
def test_a_disk_that_has_grown(more: int, *, wanted: bool) -> None:
    assert grows(MOUNTED | {"size_bytes": 50 * GIB + more}) == wanted
    assert not grows(BLANK)


def test_options_that_somebody_changed_by_hand() -> None:
    wanted = WANTED | {"mount_options": ["noatime", "nodev", "logbufs=8"]}

    def drifted(*options: str) -> bool:
        seen = copy.deepcopy(MOUNTED)
        seen["mounted"]["options"] = list(options)
        return options_drifted(seen, wanted)

    assert not drifted("rw", "noatime", "nodev", "attr2")
    assert drifted("rw", "noatime")
    assert drifted("rw", "noatime", "nodev", "noexec")


def test_the_unit_lets_a_host_boot_without_the_disk() -> None:
    unit = mount_unit("/dev/disk/by-uuid/7", "xfs", ["noatime", "nodev"])
    assert "\nWhat=/dev/disk/by-uuid/7\nWhere=/prometheus\nType=xfs\nOptions=noatime,nodev,nofail\n" in unit
