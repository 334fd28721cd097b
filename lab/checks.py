"""What this machine must have, asked before anything is changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lab import processes
from lab.common import LabError

# A file or a program, and the Debian package that brings it.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "apt-cacher-ng": "apt-cacher-ng",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def present(name: str) -> bool:
    """Whether this machine has the program, or the file where the name is a path."""
    path = os.environ.get("PATH", os.defpath) + ":" + _SYSTEM_PATH
    return Path(name).exists() if name.startswith("/") else bool(shutil.which(name, path=path))


def missing_packages(has: Callable[[str], bool] = present) -> list[str]:
    """The Debian packages to install, sorted."""
    return sorted({package for name, package in PROGRAMS.items() if not has(name)})


def packages_message(packages: list[str]) -> str:
    return (
        f"this machine lacks {', '.join(packages)}. Install: `lab/setup`, or "
        f"`apt-get install --no-install-recommends {' '.join(packages)}`"
    )


def require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("the lab starts containers and virtual machines: run it as root")


def require_everything() -> None:
    """LabError with everything that is in the way, not only the first thing."""
    findings = []
    if os.geteuid() != 0:
        findings.append("the lab starts containers and virtual machines: run it as root")
    if packages := missing_packages():
        findings.append(packages_message(packages))
    if processes.cgroup2_mount(Path("/proc/mounts").read_text(encoding="utf-8")) is None:
        findings.append(
            "no cgroup2 file system is mounted; `mkdir -p /sys/fs/cgroup/unified && "
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified` makes one beside cgroup v1"
        )
    if findings:
        raise LabError("; ".join(findings))
    # ip, losetup and apt-cacher-ng are in sbin, which a login by `su` leaves out of PATH.
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":" + _SYSTEM_PATH
