"""Releases: obtained once, verified against their pin, unpacked, and never edited again.

``releases/<version>/`` holds the unpacked archive without its top directory. ``releases/<version>.json`` beside it,
written last, makes it complete: the archive's sha256 and, per file, sha256 and the inode data it was verified with.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ansible.module_utils.urls import open_url

from .durable import fsync_tree, remove, write_durable
from .plan import Release

CHUNK = 1 << 20
MAX_ARCHIVE = 1 << 30
MAX_UNPACKED = 4 << 30
MAX_MEMBERS = 50_000
ELF_HEADER = 20  # bytes, up to and with the machine
FETCH_TIMEOUT_S = 20  # without an answer, or without a byte
FETCH_WHOLE_S = 900  # for one archive, however steadily it drips
FETCH_TRIES = 3
HOST_IS_SICK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # no fault of the archive or its source


class ReleaseError(Exception):
    """A release cannot be had or is not what was pinned; nothing of it is left on the host."""


class Releases:
    """The releases of one daemon below ``root`` (``/opt/tds/<daemon>/releases``)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, version: str) -> Path:
        return self.root / version

    def record(self, version: str) -> dict[str, Any] | None:
        """What is known of an unpacked release, or ``None`` when it is not (completely) there."""
        try:
            found: dict[str, Any] = json.loads(self._record_path(version).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found if self.path(version).is_dir() else None

    def damage(self, version: str) -> list[str]:
        """The files of a release that are no longer what was unpacked.

        A file whose inode, size, mode and change time are those of its last verification is not read again:
        no change of its content can leave them all as they were.
        """
        record = self.record(version)
        if record is None:
            return ["it is not unpacked"]
        root = self.path(version)
        names = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
        found = [f"{name} is not in the archive" for name in sorted(names - set(record["files"]))]
        for name, fact in record["files"].items():
            path = root / name
            try:
                if _inode(path) != fact["inode"] and _sha256(path) != fact["sha256"]:
                    found.append(f"{name} differs from the archive")
            except FileNotFoundError:
                found.append(f"{name} is missing")
        return found

    def install(self, release: Release, archive: Path) -> None:
        """Unpack a local archive as that release, in place of what stood there.

        Raises:
            ReleaseError: wrong sha256, unsafe or damaged archive, or a binary is not in it or cannot run here.
            OSError: this host cannot take it.
        """
        actual = _sha256(archive)
        if actual != release.sha256:
            raise ReleaseError(
                f"{archive.name}: sha256 is {actual}, the pin says {release.sha256}. Nothing was unpacked."
            )
        staged = self.root / f".{release.version}.unpacking"
        shutil.rmtree(staged, ignore_errors=True)
        try:
            unpack(archive, staged)
            for binary in release.binaries:
                path = staged / binary
                if not (path.is_file() and os.access(path, os.X_OK)):
                    raise ReleaseError(f"{archive.name} has no executable {binary!r}")
                if reason := _cannot_run(path):
                    raise ReleaseError(f"{archive.name}: {binary} {reason}")
            fsync_tree(staged)
            aside = self._set_aside(release.version)
            staged.rename(self.path(release.version))
            remove(aside)
        except (tarfile.TarError, EOFError, OSError) as error:
            if getattr(error, "errno", None) in HOST_IS_SICK:
                raise
            raise ReleaseError(f"{archive.name} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        write_durable(self._record_path(release.version), self._facts(release), 0o644)

    def remove(self, version: str) -> None:
        remove(self._set_aside(version))

    def _set_aside(self, version: str) -> Path:
        """Take a release out of use in one rename; the processes that run it go on."""
        aside = self.root / f".{version}.removed"
        remove(aside)
        self._record_path(version).unlink(missing_ok=True)
        if self.path(version).exists():
            self.path(version).rename(aside)
        return aside

    def versions(self) -> list[str]:
        return sorted(entry.name for entry in self.root.glob("*") if entry.is_dir() and entry.name[0] != ".")

    def _record_path(self, version: str) -> Path:
        return self.root / f"{version}.json"

    def _facts(self, release: Release) -> bytes:
        root = self.path(release.version)
        files = {
            str(path.relative_to(root)): {"sha256": _sha256(path), "inode": _inode(path)}
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        return (json.dumps({"archive_sha256": release.sha256, "files": files}, indent=1) + "\n").encode()


def fetch(url: str, destination: Path) -> int:
    """Download ``url`` (http, https) to ``destination``; bytes fetched.

    Raises:
        ReleaseError: after three tries, or at once when another try cannot do better.
        OSError: this host cannot take it.
    """
    reason, end = "", time.monotonic() + FETCH_WHOLE_S
    for attempt in range(FETCH_TRIES):
        if attempt:
            time.sleep(attempt)
        try:
            # As it is stored: a server that calls a .tar.gz an encoding would have it unpacked on the way.
            with (
                open_url(url, timeout=FETCH_TIMEOUT_S, decompress=False) as response,
                destination.open("wb") as file,
            ):
                return _receive(response, file, end)
        except Exception as error:  # urllib, ssl, socket and http.client each raise their own
            if getattr(error, "errno", None) in HOST_IS_SICK:
                raise
            reason = str(error) or type(error).__name__
            if _is_final(error) or time.monotonic() > end:
                break
    raise ReleaseError(f"{url} cannot be fetched: {reason}. Check artifact_source, or name a directory that holds it.")


def _is_final(error: Exception) -> bool:
    """Whether another try cannot do better."""
    return isinstance(error, ReleaseError) or getattr(error, "code", None) in (401, 403, 404, 410)


def _receive(response: Any, file: IO[bytes], end: float) -> int:
    """Copy what a server sends, within bounds of time and disk; bytes received.

    Raises:
        ReleaseError: it is a page, or more than an archive may be.
        OSError: it came too slowly, or broke off.
    """
    kind = response.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        raise ReleaseError(f"the answer is a web page ({kind}) and no archive")
    total = 0
    while chunk := response.read1(CHUNK):
        total += len(chunk)
        if total > MAX_ARCHIVE:
            raise ReleaseError(f"it is larger than {MAX_ARCHIVE >> 20} MiB")
        if time.monotonic() > end:
            raise TimeoutError(f"only {total} bytes came in {FETCH_WHOLE_S} s")
        file.write(chunk)
    announced = int(response.headers.get("Content-Length") or total)
    if total < announced:
        raise OSError(f"it broke off after {total} of {announced} bytes")
    return total


def unpack(archive: Path, destination: Path) -> None:
    """Unpack a tar archive without its single top directory; regular files and directories only.

    Raises:
        ReleaseError: a member leaves the tree, is a link or a device, or the whole is too large.
    """
    destination.mkdir(parents=True)
    room, members = MAX_UNPACKED, 0
    with tarfile.open(archive) as tar:
        for member, inner in _below_top(tar):
            members += 1
            if members > MAX_MEMBERS:
                raise ReleaseError(f"{archive.name} has more than {MAX_MEMBERS} members")
            target = destination / inner
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            if not member.isreg():
                raise ReleaseError(f"{archive.name}: {member.name} is neither a file nor a directory")
            if member.mode & (stat.S_ISUID | stat.S_ISGID):
                raise ReleaseError(f"{archive.name}: {member.name} is setuid or setgid")
            room -= member.size
            if room < 0:
                raise ReleaseError(f"{archive.name} unpacks to more than {MAX_UNPACKED >> 30} GiB")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(member)), file, CHUNK)
            target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _below_top(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    for member in tar:
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ReleaseError(f"member {member.name!r} leaves the archive's directory")
        if len(path.parts) > 1:
            yield member, Path(*path.parts[1:])
        elif not member.isdir():
            yield member, path


def _cannot_run(path: Path) -> str | None:
    """Why the kernel would not start an executable; systemd cannot tell, once the sandbox has closed its log."""
    with path.open("rb") as file, Path("/proc/self/exe").open("rb") as ours:
        head, own = file.read(ELF_HEADER), ours.read(ELF_HEADER)
    if head.startswith(b"\x7fELF") and (head[4], head[18:20]) != (own[4], own[18:20]):  # class and machine
        return "is built for another architecture than this host's"
    if head.startswith(b"#!"):
        interpreter = path.read_bytes().splitlines()[0][2:].split()[0].decode(errors="replace")
        if not Path(interpreter).exists():
            return f"needs {interpreter}, which this host has not got"
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _inode(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_ino, facts.st_size, stat.S_IMODE(facts.st_mode), facts.st_ctime_ns]
