"""How soon the kernel writes to the disk: in a file for each boot, and in the kernel itself where it is ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import flush

OWN = {"dirty_expire_centisecs": "3000", "dirty_writeback_centisecs": "500"}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / flush.FILE).parent.mkdir(parents=True)
    (tmp_path / flush.KERNEL).mkdir(parents=True)
    for name, value in OWN.items():
        (tmp_path / flush.KERNEL / name).write_text(f"{value}\n")
    return tmp_path


def kernel(host: Path) -> dict[str, str]:
    return {name: (host / flush.KERNEL / name).read_text().strip() for name in OWN}


def test_it_is_put_in_force_once_and_stays(host: Path) -> None:
    assert flush.drift(3, host) == [
        "/etc/sysctl.d/60-tds-storage.conf is another",
        "vm.dirty_expire_centisecs is 3000",
        "vm.dirty_writeback_centisecs is 500",
    ]
    flush.put(3, host)
    assert kernel(host) == {"dirty_expire_centisecs": "300", "dirty_writeback_centisecs": "100"}
    assert (host / flush.FILE).read_text() == "vm.dirty_expire_centisecs = 300\nvm.dirty_writeback_centisecs = 100\n"
    assert flush.drift(3, host) == []


def test_what_somebody_changed_is_told_and_put_right(host: Path) -> None:
    flush.put(3, host)
    (host / flush.KERNEL / "dirty_expire_centisecs").write_text("6000")
    assert flush.drift(3, host) == ["vm.dirty_expire_centisecs is 6000"]
    flush.put(3, host)
    assert flush.drift(3, host) == []


def test_nought_leaves_the_kernel_its_own(host: Path) -> None:
    assert flush.drift(0, host) == []
    flush.put(3, host)
    assert flush.drift(0, host) == ["/etc/sysctl.d/60-tds-storage.conf is not wanted"]
    flush.put(0, host)
    assert flush.drift(0, host) == []
    assert not (host / flush.FILE).exists()


def test_a_container_gets_the_file_alone(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert flush.drift(3, host) == ["/etc/sysctl.d/60-tds-storage.conf is another"]
    flush.put(3, host)
    assert kernel(host) == OWN
    assert flush.drift(3, host) == []
