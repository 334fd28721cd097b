"""What is read of disks and mounts, where it can be made up."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import block

MOUNTINFO = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
31 22 8:16 / /prometheus rw,noatime shared:9 - xfs /dev/sdb rw,inode64
32 22 0:42 / /mnt/two\\040words rw - nfs4 files:/x rw
33 22 8:32 / /prometheus rw - ext4 /dev/sdc rw
"""


def host(root: Path) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(MOUNTINFO)
    return root


def test_of_two_mounts_at_one_place_the_later_is_what_is_there(tmp_path: Path) -> None:
    seen = block.look("/dev/null", host(tmp_path))
    assert (seen["mounted"]["source"], seen["mounted"]["number"]) == ("/dev/sdc", "8:32")
    assert block.mounted(tmp_path)[2].point == "/mnt/two words"
    assert block.mounted(tmp_path)[1].options == ["inode64", "noatime", "rw"]


def test_nothing_is_looked_at_without_a_device() -> None:
    assert block.look("") == {}


def test_what_is_no_disk_is_told(tmp_path: Path) -> None:
    assert block.look("/dev/nowhere", tmp_path)["path"] == ""
    seen = block.look("/dev/null", tmp_path)
    assert (seen["path"], seen["block"]) == ("/dev/null", False)


def test_what_a_mount_would_hide(tmp_path: Path) -> None:
    assert block.hidden(tmp_path / "nowhere") == []
    (tmp_path / "data/wal").mkdir(parents=True)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "rules.yml").symlink_to("/etc/prometheus/rules.yml")
    assert block.hidden(tmp_path) == []
    (tmp_path / "data/wal/0").touch()
    (tmp_path / "notes").touch()
    (tmp_path / "elsewhere").symlink_to("/srv")
    assert block.hidden(tmp_path) == [str(tmp_path / name) for name in ("data", "elsewhere", "notes")]
    for number in range(9):
        (tmp_path / f"a{number}").touch()
    assert block.hidden(tmp_path)[5:] == ["..."]


def test_a_filesystem_says_how_large_it_is(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(struct.pack(">4sIQ", b"XFSB", 4096, 2**33) + bytes(4096))
    assert block.filesystem_bytes(disk, "xfs", "") == 2**45
    superblock = bytearray(4096)
    struct.pack_into("<I", superblock, 1024 + 4, 5)
    struct.pack_into("<I", superblock, 1024 + 24, 2)
    struct.pack_into("<I", superblock, 1024 + 0x150, 1)
    disk.write_bytes(superblock)
    assert block.filesystem_bytes(disk, "ext4", "") == (2**32 + 5) * 4096


@pytest.mark.parametrize(
    ("signatures", "table", "holds"),
    [
        ([{"uuid": ""}, {"uuid": "7"}], "", "7"),
        ([{"uuid": ""}], "aa-bb", "aa-bb"),
        ([{"uuid": ""}], "", "data-30e14955ebf1"),
        ([], "aa-bb", ""),
    ],
)
def test_what_a_disk_holds_has_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signatures: list[dict[str, str]], table: str, holds: str
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(2**20 + 1))
    monkeypatch.setattr(block, "_table_uuid", lambda _: table)
    assert block._holds(disk, signatures) == holds


def test_bytes_of_no_known_kind_are_named_by_their_hash(tmp_path: Path) -> None:
    names = set()
    for content in (b"a", b"b", bytes(2**20 - 1) + b"a"):
        disk = tmp_path / "disk"
        disk.write_bytes(content)
        names.add(block._holds(disk, []))
    assert len(names) == 3
    assert all(name.startswith("data-") for name in names)


def test_a_disk_that_cannot_be_read_is_told_in_the_tool_s_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise subprocess.CalledProcessError(1, ["wipefs"], "", "wipefs: error: /dev/sdb: probing failed\n")

    monkeypatch.setattr(Path, "is_block_device", lambda _: True)
    monkeypatch.setattr(block, "_of_disk", fails)
    assert block.look("/dev/null", tmp_path)["unreadable"] == "wipefs: error: /dev/sdb: probing failed"


def test_what_the_kernel_says_of_a_disk_is_read_without_the_end_of_its_lines(tmp_path: Path) -> None:
    disk = tmp_path / "disk"  # a file has the number 0:0
    disk.write_bytes(b"\0" * 2**20)
    system = tmp_path / "sys/dev/block/0:0"
    for name, text in {
        "size": "2048\n",
        "ro": "0\n",
        "serial": "S1\n",
        "a1/partition": "1\n",
        "a1/dev": "8:1\n",
    }.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    on_a_partition = block.Mount("8:1", "/srv", [], "ext4", "/dev/a1")
    seen = block._of_disk(disk, [on_a_partition], tmp_path)
    assert (seen["read_only"], seen["size_bytes"], seen["disk"]) == (False, 2**20, "S1 of 1048576 bytes")
    assert (seen["partitions"], seen["users"], seen["holds"]) == (["a1"], ["mounted at /srv"], "")
    (system / "ro").write_text("1\n")
    assert block._of_disk(disk, [], tmp_path)["read_only"]
