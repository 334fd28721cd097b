"""A virtual machine: what QEMU is started with, and what its console tells."""

from pathlib import Path

import pytest

from lab.common import LabError
from lab.hosts import Guest
from lab.qemu import Qemu, _qemu


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    boot = tmp_path / "image/boot"
    boot.mkdir(parents=True)
    for name in ("vmlinuz-6.12.1", "initrd.img-6.12.1"):
        (boot / name).touch()
    (tmp_path / "mon1").mkdir()
    return Guest(
        name="mon1",
        machine="l200h10",
        address="10.203.200.10",
        directory=tmp_path / "mon1",
        image=tmp_path / "image",
        public_key="",
        host_key=tmp_path / "key",
        neighbours={},
        extra_files=tmp_path / "extra",
        disk="50G",
        memory="3G",
    )


@pytest.fixture(autouse=True)
def kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU whose probe of KVM does as this script says."""
    program = tmp_path / "bin/qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


@pytest.mark.parametrize(
    ("probe", "accelerator"),
    [
        ("echo 'VFS: Unable to mount root fs on unknown-block(0,0)'", "kvm"),
        ("echo 'Linux version 6.12.1'; exit 1", "tcg,thread=multi"),  # it dies on the way
        ("echo 'Linux version 6.12.1'", "tcg,thread=multi"),
        ("exit 1", "tcg,thread=multi"),
    ],
)
def test_kvm_is_used_where_it_really_boots_a_kernel(guest: Guest, kvm: Path, probe: str, accelerator: str) -> None:
    kvm.write_text(f"#!/bin/sh\n{probe}\n")
    argv = _qemu(guest)
    assert argv[argv.index("-accel") + 1] == accelerator


def test_a_probe_that_hangs_is_a_no(guest: Guest, kvm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.qemu.PROBE_S", 0.1)
    kvm.write_text("#!/bin/sh\nexec sleep 5\n")
    assert "tcg,thread=multi" in _qemu(guest)


def test_disks_are_found_by_their_name(guest: Guest) -> None:
    (guest.directory / "data.qcow2").touch()
    assert "virtio-blk-pci,drive=data,serial=data" in _qemu(guest)
    assert Qemu().disk_device(guest) == "/dev/disk/by-id/virtio-data"


def test_its_card_has_an_address_of_its_own(guest: Guest) -> None:
    assert "virtio-net-pci,netdev=net,mac=52:54:00:cb:c8:0a" in _qemu(guest)


def test_an_image_that_has_gone_is_said(guest: Guest) -> None:
    (guest.image / "boot/vmlinuz-6.12.1").unlink()
    with pytest.raises(LabError, match="has gone"):
        _qemu(guest)


def test_each_kernel_s_first_line_is_a_boot(guest: Guest) -> None:
    assert Qemu().boots(guest) == 0
    first = "[    0.000000] Linux version 6.12.1\r\n"
    (guest.directory / "console.log").write_text(f"{first}[    1.0] Linux version of a program\r\n{first}")
    assert Qemu().boots(guest) == 2
