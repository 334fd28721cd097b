"""Base images: one directory per suite, built once, shared read-only below every host's overlay."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.addresses import GATEWAY
from lab.common import LabError, Paths, Progress, mount_points, run
from lab.services import PROXY_PORT
from lab.state import State, lock

SUITES = ("trixie", "bookworm", "forky")

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "python3-apt",
    "iproute2",
    "sudo",
    "ca-certificates",
    "procps",
    "curl",
)

# What cannot work in a container, would wait for a terminal, or would take apt's lock by itself
# in the middle of a run.
MASKED = (
    "apt-daily.service",
    "apt-daily.timer",
    "apt-daily-upgrade.service",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "systemd-networkd-persistent-storage.service",
    "systemd-resolved.service",
)

DEPLOY = "deploy"
"""A user that is not root, with the lab's key, who may become root."""

FILES = {
    "etc/apt/apt.conf.d/80lab": (
        f'Acquire::http::Proxy "http://{GATEWAY}:{PROXY_PORT}";\n'
        f'Acquire::https::Proxy "http://{GATEWAY}:{PROXY_PORT}";\n'
        'Acquire::Languages "none";\n'
    ),
    "etc/dpkg/dpkg.cfg.d/lab": "# a lab host is thrown away: no fsync per unpacked file\nforce-unsafe-io\n",
    "etc/locale.conf": "LANG=C.UTF-8\n",
    "etc/resolv.conf": "# lab hosts know each other from /etc/hosts; there is no resolver\n",
    "etc/machine-id": "",
    f"etc/sudoers.d/{DEPLOY}": f"{DEPLOY} ALL=(root) NOPASSWD: ALL\n",
}

# For a virtual machine: its kernel, the tools of filesystems, which take minutes to install there, and an initrd with
# the one driver that finding the root filesystem takes.
KERNEL = "linux-image-cloud-amd64"
KERNEL_PACKAGES = (KERNEL, "e2fsprogs", "xfsprogs", "initramfs-tools", "udev", "zstd")
KERNEL_FILES = {
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\n",
    "usr/share/initramfs-tools/modules.d/lab": "virtio_blk\n",
}

KEEP_UNUSED = 24 * 3600
"""Seconds for which an image of an outdated recipe is kept after its last use."""


@dataclass(frozen=True)
class Recipe:
    """Everything that an image is made from; when it changes, so does the stamp."""

    suite: str
    mirror: str
    packages: tuple[str, ...] = PACKAGES
    masked: tuple[str, ...] = MASKED
    files: tuple[tuple[str, str], ...] = tuple(FILES.items())
    user: str = DEPLOY
    format: int = 1

    @property
    def stamp(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def recipe(suite: str, mirror: str, kind: str) -> Recipe:
    """The recipe of a kind of host (operations.KINDS)."""
    if kind != "vm":
        return Recipe(suite, mirror)
    return Recipe(suite, mirror, (*PACKAGES, *KERNEL_PACKAGES), files=tuple({**FILES, **KERNEL_FILES}.items()))


def ensure(recipe: Recipe, paths: Paths, progress: Progress) -> Path:
    """The directory of the complete image, built first when it is not there.

    Two commands that need the same image do not build it twice: the second one waits.
    """
    image = paths.images / f"{recipe.suite}-{recipe.stamp}"

    def waiting() -> None:
        progress(f"{recipe.suite}: another lab command builds this base image; waiting for it")

    with lock(paths, f"image-{recipe.suite}", waiting):
        if not image.exists():
            _build(recipe, image, progress)
        image.touch()
    return image


def prune(state: State, paths: Paths) -> None:
    """Removes images that no lab uses and that were not asked for since KEEP_UNUSED, per suite
    all but the newest."""
    used = {lab.image for lab in state.labs.values()}
    for suite in SUITES:
        images = sorted(paths.images.glob(f"{suite}-*[0-9a-f]"), key=lambda path: path.stat().st_mtime)
        for image in images[:-1]:
            if str(image) not in used and time.time() - image.stat().st_mtime > KEEP_UNUSED:
                shutil.rmtree(image)


def _build(recipe: Recipe, image: Path, progress: Progress) -> None:
    work = image.with_name(image.name + ".new")
    _discard(work)
    work.parent.mkdir(parents=True, exist_ok=True)
    log = image.parent / f"{recipe.suite}.log"
    progress(f"{recipe.suite}: building the base image (about 40 s, once); log: {log}")
    began = time.monotonic()
    _mmdebstrap(recipe, work, log, progress)
    _customize(recipe, work)
    work.rename(image)
    progress(f"{recipe.suite}: base image ready after {time.monotonic() - began:.0f} s")


def _discard(work: Path) -> None:
    """What a build left that was killed; before it, what that had mounted there, which is this machine's own."""
    for point in reversed(mounted_below(work)):
        run(["umount", point])
    if work.exists():
        shutil.rmtree(work)


def mounted_below(directory: Path, mountinfo: str | None = None) -> list[str]:
    """Mount points: of two in one another the outer comes first."""
    return [point for point in mount_points(mountinfo) if Path(point).is_relative_to(directory)]


def _mmdebstrap(recipe: Recipe, work: Path, log: Path, progress: Progress) -> None:
    argv = [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--components=main",
        f"--include={','.join(recipe.packages)}",
        # forky's release file may be past its date on a mirror; the option stays in the image.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        recipe.suite,
        str(work),
        *([recipe.mirror] if recipe.mirror else []),
    ]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True) as process,
    ):
        for line in process.stderr or ():
            output.write(line)
            output.flush()
            if line.startswith(("I: ", "E: ")):
                progress(f"{recipe.suite}: {line[3:].strip()}")
    if process.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
        raise LabError(f"mmdebstrap failed for {recipe.suite}; the end of {log}:\n{tail}")


def _customize(recipe: Recipe, root: Path) -> None:
    for name, text in recipe.files:
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    run(["chroot", str(root), "useradd", "--create-home", "--shell=/bin/bash", recipe.user])
    units = root / "etc/systemd/system"
    for unit in recipe.masked:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    run(["systemctl", f"--root={root}", "enable", "systemd-networkd.service", "ssh.service"])
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "var/log/journal").mkdir(exist_ok=True)
    if KERNEL in recipe.packages:
        run(["chroot", str(root), "update-initramfs", "-u", "-k", "all"])
    # Ansible's apt module takes this date for the last update: without lists it must be long ago.
    run(["touch", "-d", "@0", str(root / "var/lib/apt/lists")])
