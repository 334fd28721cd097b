"""How soon the kernel writes to the disk: in files for each boot, and in the kernel itself where it is ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import flush

OWN = {
    "vm/dirty_expire_centisecs": "3000",
    "vm/dirty_writeback_centisecs": "500",
    "fs/xfs/xfssyncd_centisecs": "3000",
}
TEXT = "vm.dirty_expire_centisecs = 300\nvm.dirty_writeback_centisecs = 100\nfs.xfs.xfssyncd_centisecs = 300\n"
BOTH = ["/etc/sysctl.d/60-tds-storage.conf is another", "/etc/modules-load.d/60-tds-storage.conf is another"]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    for name, value in OWN.items():
        file = tmp_path / flush.KERNEL / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return tmp_path


def kernel(host: Path) -> dict[str, str]:
    return {name: (host / flush.KERNEL / name).read_text().strip() for name in OWN}


def test_it_is_put_in_force_once_and_stays(host: Path) -> None:
    assert flush.drift(3, host) == [
        *BOTH,
        "vm.dirty_expire_centisecs is 3000",
        "vm.dirty_writeback_centisecs is 500",
        "fs.xfs.xfssyncd_centisecs is 3000",
    ]
    flush.put(3, host)
    assert list(kernel(host).values()) == ["300", "100", "300"]
    assert (host / flush.FILE).read_text() == TEXT
    assert (host / flush.MODULES).read_text() == "xfs\n"  # or at a boot the third setting would be before its time
    assert flush.drift(3, host) == []


def test_a_host_without_xfs_is_not_told_of_it(host: Path) -> None:
    (host / flush.KERNEL / "fs/xfs/xfssyncd_centisecs").unlink()
    flush.put(3, host)
    assert (host / flush.FILE).read_text() == TEXT.partition("fs.xfs")[0]
    assert not (host / flush.MODULES).exists()
    assert flush.drift(3, host) == []


@pytest.mark.parametrize("name", OWN)
def test_what_somebody_changed_is_told_and_put_right(host: Path, name: str) -> None:
    flush.put(3, host)
    (host / flush.KERNEL / name).write_text("6000")
    assert flush.drift(3, host) == [f"{name.replace('/', '.')} is 6000"]
    flush.put(3, host)
    assert flush.drift(3, host) == []


def test_nought_leaves_the_kernel_its_own(host: Path) -> None:
    assert flush.drift(0, host) == []
    flush.put(3, host)
    assert flush.drift(0, host) == [words.replace("another", "not wanted") for words in BOTH]
    flush.put(0, host)
    assert flush.drift(0, host) == []
    assert not (host / flush.FILE).exists()
    assert not (host / flush.MODULES).exists()


def test_a_container_gets_the_files_alone(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert flush.drift(3, host) == BOTH
    flush.put(3, host)
    assert kernel(host) == OWN
    assert flush.drift(3, host) == []
