"""Releases, with real archives on a real disk."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import release as library
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Release
from ansible_collections.tds.monitoring.plugins.module_utils.release import ReleaseError, Releases, fetch

Member = tuple[str, bytes, int, bytes]  # name, content, mode, type
BINARY: Member = ("tool-1.0.linux-amd64/tool", b"#!/bin/sh\n", 0o755, tarfile.REGTYPE)


def archive(path: Path, *members: Member) -> str:
    """Write a tar archive; its sha256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content, mode, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.type, info.linkname = len(content), mode, kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    root = tmp_path / "releases"
    root.mkdir()
    return Releases(root)


def install(releases: Releases, *members: Member) -> None:
    path = releases.root.parent / "tool-1.0.tar.gz"
    releases.install(Release("1.0", archive(path, *members), ("tool",)), path)


def test_a_release_is_unpacked_without_its_top_directory(releases: Releases) -> None:
    install(releases, BINARY, ("tool-1.0.linux-amd64/doc/README", b"read", 0o600, tarfile.REGTYPE))
    assert os.access(releases.path("1.0") / "tool", os.X_OK)
    assert (releases.path("1.0") / "doc/README").read_text() == "read"
    assert releases.damage("1.0") == []


def test_what_is_not_the_pinned_archive_is_not_unpacked(releases: Releases, tmp_path: Path) -> None:
    archive(tmp_path / "a.tar.gz", BINARY)
    with pytest.raises(ReleaseError, match=r"the pin says 0000.*Nothing was unpacked"):
        releases.install(Release("1.0", "0" * 64), tmp_path / "a.tar.gz")
    assert list(releases.root.iterdir()) == []


HOSTILE: dict[str, tuple[Member, str]] = {
    "a parent": (("tool-1.0/../../escaped", b"x", 0o644, tarfile.REGTYPE), "leaves the archive"),
    "an absolute path": (("/tmp/escaped", b"x", 0o644, tarfile.REGTYPE), "leaves the archive"),  # noqa: S108
    "a symbolic link": (("tool-1.0/link", b"", 0o644, tarfile.SYMTYPE), "neither a file nor a directory"),
    "a hard link": (("tool-1.0/link", b"", 0o644, tarfile.LNKTYPE), "neither a file nor a directory"),
    "a device": (("tool-1.0/null", b"", 0o644, tarfile.CHRTYPE), "neither a file nor a directory"),
    "a setuid file": (("tool-1.0/su", b"x", 0o4755, tarfile.REGTYPE), "setuid"),
    "the same file twice": (BINARY, "File exists"),
}


@pytest.mark.parametrize("member", HOSTILE)
def test_a_hostile_member_refuses_the_whole_archive(releases: Releases, member: str) -> None:
    hostile, message = HOSTILE[member]
    with pytest.raises(ReleaseError, match=message):
        install(releases, BINARY, hostile)
    assert list(releases.root.iterdir()) == []
    assert sorted(path.name for path in releases.root.parent.iterdir()) == ["releases", "tool-1.0.tar.gz"]


def test_an_archive_without_the_binary_is_refused(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="no executable 'tool'"):
        install(releases, ("tool-1.0/tool", b"x", 0o644, tarfile.REGTYPE))


def test_a_truncated_archive_is_refused(releases: Releases, tmp_path: Path) -> None:
    path = tmp_path / "tool.tar.gz"
    archive(path, ("t/tool", os.urandom(100_000), 0o755, tarfile.REGTYPE))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ReleaseError, match="cannot be unpacked"):
        releases.install(Release("1.0", hashlib.sha256(path.read_bytes()).hexdigest()), path)
    assert list(releases.root.iterdir()) == []


def test_an_archive_that_unpacks_to_too_much_is_refused(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MAX_UNPACKED", 5)
    with pytest.raises(ReleaseError, match="unpacks to more than"):
        install(releases, BINARY)


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "edited": (lambda path: path.write_bytes(b"#!/bin/no\n"), ["tool differs from the archive"]),
    "removed": (lambda path: path.unlink(), ["tool is missing"]),
    "touched": (lambda path: path.touch(), []),
    "beside it": (lambda path: path.with_name("extra").touch(), ["extra is not in the archive"]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_seen(releases: Releases, how: str) -> None:
    install(releases, BINARY)
    damage, told = DAMAGE[how]
    damage(releases.path("1.0") / "tool")
    assert releases.damage("1.0") == told


def test_a_release_whose_unpacking_was_cut_short_is_not_there(releases: Releases) -> None:
    install(releases, BINARY)
    (releases.root / "1.0.json").unlink()
    assert releases.record("1.0") is None
    install(releases, BINARY)
    assert releases.damage("1.0") == []


def test_an_unreachable_source_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    with pytest.raises(ReleaseError, match=r"http://127\.0\.0\.1:9/a\.tar\.gz cannot be fetched.*artifact_source"):
        fetch("http://127.0.0.1:9/a.tar.gz", tmp_path / "a")
