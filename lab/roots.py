"""A host's root directory: an overlay over the base image, and the files that only this host has."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.addresses import PREFIX
from lab.common import LabError, mount_points, run
from lab.hosts import Guest
from lab.images import DEPLOY

_NETWORK = """\
[Match]
Name=host0 eth0

[Network]
Address={address}/{prefix}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""

_HOSTS_BEGIN = "# hosts of this lab"
_HOSTS_END = "# end of the lab's hosts"


def directory(guest: Guest) -> Path:
    """Where it is while it is mounted."""
    return guest.directory / "root"


def mount(guest: Guest) -> None:
    root = directory(guest)
    if _is_mounted(root):
        return
    for name in ("upper", "work", "root"):
        root.with_name(name).mkdir(parents=True, exist_ok=True)
    if not guest.image.is_dir():
        raise LabError(f"the base image {guest.image} of this lab has gone: end the lab, begin anew")
    layers = {"lowerdir": guest.image, "upperdir": root.with_name("upper")}
    options = ",".join(f"{k}={v}" for k, v in {**layers, "workdir": root.with_name("work")}.items())
    run(["mount", "-t", "overlay", "-o", options, f"lab-{guest.machine}", str(root)])


def unmount(guest: Guest) -> None:
    root = directory(guest)
    if _is_mounted(root):
        run(["umount", str(root)])


def _is_mounted(root: Path) -> bool:
    return str(root.resolve()) in mount_points()


def fill(guest: Guest) -> None:
    """Writes its name, address and keys, and what is laid over every new host."""
    root = directory(guest)
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


def write_neighbours(guest: Guest) -> None:
    path = directory(guest) / "etc/hosts"
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
