"""Writes that have reached the disk when they return, and appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path


def fsync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(root: Path) -> None:
    """Make a directory, all below it, and its entry in its parent durable."""
    for directory, _subdirectories, files in os.walk(root):
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                fsync_path(path)
        fsync_path(Path(directory))
    fsync_path(root.parent)


def remove(path: Path) -> None:
    """Remove a file, a link or a directory with all below it; what is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Where the new ``path`` is written before it is renamed into place; a killed run may leave it there."""
    return path.with_name(f".{path.name}.new")


def write_durable(path: Path, content: bytes, mode: int, gid: int = 0) -> None:
    """Replace ``path`` by ``content``, owned by root and ``gid``; readers see the old or the new, never half."""
    staged = temporary(path)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if gid:
            os.fchown(descriptor, 0, gid)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)
    staged.rename(path)
    fsync_path(path.parent)


def move_durable(source: Path, target: Path) -> None:
    """Move a file or a directory; the target appears whole or not at all, and the source goes after that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        staged = temporary(target)
        remove(staged)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, staged, symlinks=True)
        else:
            shutil.copy2(source, staged, follow_symlinks=False)
        for place in (source, *source.rglob("*")):
            copied, facts = staged / place.relative_to(source), place.lstat()
            os.lchown(copied, facts.st_uid, facts.st_gid)
        fsync_tree(staged)
        staged.rename(target)
        remove(source)
    fsync_path(target.parent)
    fsync_path(source.parent)


def link_durable(link: Path, target: Path) -> None:
    """Point the symbolic link ``link`` at ``target`` in one rename."""
    staged = temporary(link)
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    staged.rename(link)
    fsync_path(link.parent)
