"""Archives in the layout of upstream's releases; the same files always give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

from lab.pins import ARCHIVE_SUFFIX


def pack(target: Path, files: Mapping[str, Path], *, name: str, flat: bool = False) -> None:
    """Writes a .tar.gz of executables, {name in the archive: file}.

    They are in a directory called as the archive (`name` without .tar.gz), or at the top when
    `flat`. Owner, times and order say nothing of when and where it was packed.
    """
    top = "" if flat else name.removesuffix(ARCHIVE_SUFFIX) + "/"
    with (
        target.open("wb") as raw,
        # Level 1: the archive goes over a bridge of this machine, once.
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        if top:
            tar.addfile(_entry(top.rstrip("/"), tarfile.DIRTYPE))
        for member in sorted(files):
            entry = _entry(top + member, tarfile.REGTYPE)
            entry.size = files[member].stat().st_size
            with files[member].open("rb") as content:
                tar.addfile(entry, content)


def _entry(name: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = 0o755
    return entry


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
