"""Hosts as QEMU virtual machines: a kernel, disks and limits of their own.

Where KVM does not run a guest, the processor is emulated: a boot takes half a minute, a task some seconds.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab import network, processes, roots
from lab.common import LabError, run
from lab.hosts import Guest
from lab.state import Process

CPUS = 2
MEMORY = "2G"
ROOT_SIZE = "8G"
PROBE_S = 10

_FIRST_LINE = re.compile(rb"^\[ *0\.000000\] Linux version ", re.MULTILINE)


class Qemu:
    """The HostKind of virtual machines.

    A disk is a qcow2 layer over the root filesystem as it was made, or over nothing. QEMU keeps the layer's map in its
    own memory until the guest flushes the disk. So a kill takes what the guest has not flushed: from its page cache,
    and from the disk's, as a power cut does. Only what overwrites older parts of the layer may outlive it unflushed.
    """

    boot_timeout_s: float = 300

    def prepare(self, guest: Guest) -> None:
        """An interrupted attempt is thrown away and made anew. It knows the neighbours that it was made with."""
        done = guest.directory / "prepared"
        if done.exists():
            return
        self.remove(guest)
        roots.mount(guest)
        roots.fill(guest)
        roots.write_neighbours(guest)
        base = guest.directory / "base.img"
        run(["mkfs.ext4", "-q", "-L", "root", "-d", str(roots.directory(guest)), str(base), ROOT_SIZE])
        roots.unmount(guest)
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(_disk(guest, "root"))])
        if guest.disk:
            run(["qemu-img", "create", "-q", "-f", "qcow2", str(_disk(guest, "data")), guest.disk])
        done.touch()

    def start(self, guest: Guest) -> Process:
        group, interface = processes.cgroup(guest.machine), _interface(guest)
        processes.end_group(group)
        network.remove_interface(interface)
        network.add_tap(interface)
        return processes.spawn(_qemu(guest), group, _console(guest))

    def boots(self, guest: Guest) -> int:
        """QEMU goes on when its guest reboots; each kernel says its version first."""
        console = _console(guest)
        return len(_FIRST_LINE.findall(console.read_bytes())) if console.exists() else 0

    def disk_device(self, guest: Guest) -> str:
        return "/dev/disk/by-id/virtio-data" if guest.disk else ""

    def cut(self, guest: Guest, process: Process | None) -> None:
        if process:
            processes.end(process)
        processes.end_group(processes.cgroup(guest.machine))
        network.remove_interface(_interface(guest))

    def journal(self, guest: Guest) -> str:
        """The console: nothing here reads the filesystem of its disk."""
        console = _console(guest)
        return console.read_text(encoding="utf-8", errors="replace") if console.exists() else ""

    def remove(self, guest: Guest) -> None:
        roots.unmount(guest)
        if guest.directory.exists():
            shutil.rmtree(guest.directory)


def _qemu(guest: Guest) -> list[str]:
    kernel = _boot_file(guest, "vmlinuz")
    mac = "52:54:00:" + ":".join(f"{int(part):02x}" for part in guest.address.split(".")[1:])
    argv = [
        "qemu-system-x86_64",
        *_accelerator(kernel),
        *("-smp", str(CPUS), "-m", guest.memory or MEMORY),
        *("-kernel", str(kernel), "-initrd", str(_boot_file(guest, "initrd.img"))),
        *("-append", "console=ttyS0 root=LABEL=root rw loglevel=6 net.ifnames=0 panic=5"),
        *("-netdev", f"tap,id=net,ifname={_interface(guest)},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={mac}", "-device", "virtio-rng-pci"),
    ]
    for name in ("root", "data"):
        if (disk := _disk(guest, name)).exists():
            argv += ["-drive", f"if=none,id={name},file={disk},discard=unmap"]
            argv += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    return [*argv, *_BARE]


_BARE = ("-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio")


def _accelerator(kernel: Path) -> list[str]:
    """KVM if it brings a kernel to where it looks for its root filesystem: /dev/kvm may be there and run no guest."""
    probe = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-no-reboot", "-kernel", str(kernel)]
    try:
        words = run([*probe, "-append", "console=ttyS0 panic=-1", *_BARE], timeout=PROBE_S)
    except LabError:
        words = ""
    works = "Unable to mount root fs" in words
    return ["-accel", "kvm", "-cpu", "host"] if works else ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]


def _boot_file(guest: Guest, name: str) -> Path:
    """The newest of the guest's own image."""
    found = sorted((guest.image / "boot").glob(f"{name}-*"))
    if not found:
        raise LabError(f"the base image {guest.image} of this lab has gone: end the lab, begin anew")
    return found[-1]


def _interface(guest: Guest) -> str:
    return f"vb-{guest.machine}"


def _disk(guest: Guest, name: str) -> Path:
    return guest.directory / f"{name}.qcow2"


def _console(guest: Guest) -> Path:
    return guest.directory / "console.log"
