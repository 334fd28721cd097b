"""Hosts as systemd-nspawn containers: an overlay over the base image, one cgroup for each."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import network, processes, roots
from lab.addresses import BRIDGE
from lab.common import LabError, run
from lab.hosts import Guest
from lab.state import Process

# nspawn ends with 133 when its guest wants a reboot. The loop and the guest have a cgroup each,
# because nspawn divides the one that it is started in.
_LOOP = """
group=$1 boots=$2
shift 2
mkdir -p "$group/loop" "$group/guest"
echo 0 >"$group/loop/cgroup.procs"
status=133
while [ "$status" -eq 133 ]; do
    echo >>"$boots"
    /bin/sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$group/guest" "$@"
    status=$?
done
exit "$status"
"""


class Nspawn:
    """The HostKind of containers."""

    boot_timeout_s: float = 90

    def prepare(self, guest: Guest) -> None:
        """An interrupted attempt is thrown away and made anew."""
        done = guest.directory / "prepared"
        if not done.exists():
            self.remove(guest)
        roots.mount(guest)
        if not done.exists():
            roots.fill(guest)
            done.touch()
        roots.write_neighbours(guest)

    def start(self, guest: Guest) -> Process:
        group = processes.cgroup(guest.machine)
        processes.end_group(group)
        network.remove_interface(f"vb-{guest.machine}")
        argv = ["/bin/sh", "-c", _LOOP, "lab-host", str(group), str(guest.directory / "boots")]
        return processes.spawn(
            [*argv, *_nspawn(guest, self._attach_disk(guest))],
            group,
            guest.directory / "console.log",
            {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )

    def boots(self, guest: Guest) -> int:
        try:
            return (guest.directory / "boots").read_text(encoding="ascii").count("\n")
        except FileNotFoundError:
            return 0

    def disk_device(self, guest: Guest) -> str:
        """The loop device has the same name on both sides."""
        image = _disk_image(guest)
        if not image.exists():
            return ""
        return run(["losetup", "--noheadings", "--output=NAME", f"--associated={image}"]).strip()

    def _attach_disk(self, guest: Guest) -> str:
        if not guest.disk:
            return ""
        image = _disk_image(guest)
        if not image.exists():
            run(["truncate", f"--size={guest.disk}", str(image)])
        attached = self.disk_device(guest)
        return attached or run(["losetup", "--find", "--show", str(image)]).strip()

    def cut(self, guest: Guest, process: Process | None) -> None:
        if process:
            processes.end(process)
        processes.end_group(processes.cgroup(guest.machine))

    def journal(self, guest: Guest) -> str:
        """A journal that a newer systemd wrote may be beyond this machine's journalctl."""
        directory = roots.directory(guest) / "var/log/journal"
        try:
            text = run(["journalctl", "--no-pager", f"--directory={directory}"])
        except LabError:
            text = ""
        if len(text.splitlines()) > 1:
            return text
        console = guest.directory / "console.log"
        return console.read_text(encoding="utf-8", errors="replace") if console.exists() else ""

    def remove(self, guest: Guest) -> None:
        if device := self.disk_device(guest):
            run(["losetup", "--detach", device])
        roots.unmount(guest)
        if guest.directory.exists():
            shutil.rmtree(guest.directory)


def _nspawn(guest: Guest, disk: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={roots.directory(guest)}",
        "--boot",
        f"--network-bridge={BRIDGE}",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--machine={guest.machine}",
        f"--hostname={guest.name}",
        *([f"--bind={disk}"] if disk else []),
    ]


def _disk_image(guest: Guest) -> Path:
    return guest.directory / "disk.img"
