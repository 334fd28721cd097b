"""Hosts as systemd-nspawn containers: an overlay over the base image, one cgroup for each."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import network, processes
from lab.addresses import BRIDGE, PREFIX
from lab.common import LabError, run
from lab.hosts import Guest
from lab.images import DEPLOY
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

_NETWORK = """\
[Match]
Name=host0

[Network]
Address={address}/{prefix}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""

_HOSTS_BEGIN = "# hosts of this lab"
_HOSTS_END = "# end of the lab's hosts"


class Nspawn:
    """The HostKind of containers."""

    def prepare(self, guest: Guest) -> None:
        """An interrupted attempt is thrown away and made anew."""
        done = guest.directory / "prepared"
        if not done.exists():
            self.remove(guest)
            for name in ("upper", "work", "root"):
                (guest.directory / name).mkdir(parents=True)
        _mount(guest)
        if not done.exists():
            _fill(guest)
            done.touch()
        _write_neighbours(guest)

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
        directory = guest.directory / "root/var/log/journal"
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
        root = guest.directory / "root"
        if _is_mounted(root):
            run(["umount", str(root)])
        if guest.directory.exists():
            shutil.rmtree(guest.directory)


def _nspawn(guest: Guest, disk: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={guest.directory / 'root'}",
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


def _is_mounted(directory: Path) -> bool:
    """Looks the path up in the mount table: no path of the lab has a character that it escapes."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return any(line.split()[4] == str(directory.resolve()) for line in mounts)


def _mount(guest: Guest) -> None:
    root = guest.directory / "root"
    if _is_mounted(root):
        return
    if not guest.image.is_dir():
        raise LabError(f"the base image {guest.image} of this lab has gone: end the lab, begin anew")
    layers = {"lowerdir": guest.image, "upperdir": root.with_name("upper")}
    options = ",".join(f"{k}={v}" for k, v in {**layers, "workdir": root.with_name("work")}.items())
    run(["mount", "-t", "overlay", "-o", options, f"lab-{guest.machine}", str(root)])


def _fill(guest: Guest) -> None:
    root = guest.directory / "root"
    if guest.extra_files.is_dir():
        for tree in sorted(guest.extra_files.iterdir()):
            shutil.copytree(tree, root, dirs_exist_ok=True, symlinks=True)
    network = _NETWORK.format(address=guest.address, prefix=PREFIX)
    _write(root / "etc/systemd/network/10-lab.network", network, 0o644)
    _write(root / "etc/hostname", guest.name + "\n", 0o644)
    _write(root / "root/.ssh/authorized_keys", guest.public_key, 0o600)
    _write(root / "home" / DEPLOY / ".ssh/authorized_keys", guest.public_key, 0o644)
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        source = guest.host_key.with_name(guest.host_key.name + suffix)
        text = source.read_text(encoding="ascii")
        _write(root / f"etc/ssh/ssh_host_ed25519_key{suffix}", text, mode)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o044 else 0o700)
    path.touch(mode=mode)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _write_neighbours(guest: Guest) -> None:
    path = guest.directory / "root/etc/hosts"
    old = path.read_text(encoding="utf-8") if path.exists() else "127.0.0.1 localhost\n"
    new = with_neighbours(old, dict(guest.neighbours))
    if new != old:
        path.write_text(new, encoding="utf-8")


def with_neighbours(text: str, neighbours: dict[str, str]) -> str:
    """The text of /etc/hosts with the lab's own block renewed; all other lines stay."""
    before, _, rest = text.partition(_HOSTS_BEGIN + "\n")
    _, _, after = rest.partition(_HOSTS_END + "\n")
    if before and not before.endswith("\n"):
        before += "\n"
    lines = [f"{address} {name}\n" for name, address in neighbours.items()]
    return "".join([before, _HOSTS_BEGIN, "\n", *lines, _HOSTS_END, "\n", after])
