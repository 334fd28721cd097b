"""A repacked archive has upstream's layout and says nothing of when and where it was packed."""

import os
import tarfile
from pathlib import Path

from lab import repack

NAME = "thing-1.2.3.linux-amd64.tar.gz"


def files(directory: Path) -> dict[str, Path]:
    directory.mkdir()
    found = {}
    for name in ("thing", "thingctl"):
        found[name] = directory / f"debian-{name}"
        found[name].write_bytes(name.encode() * 1000)
    return found


def test_layout_is_upstream_s(tmp_path: Path) -> None:
    archive = tmp_path / "out"
    repack.pack(archive, files(tmp_path / "in"), name=NAME)
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        content = tar.extractfile("thing-1.2.3.linux-amd64/thingctl")
        assert content is not None
        assert content.read() == b"thingctl" * 1000
    assert [member.name for member in members] == [
        "thing-1.2.3.linux-amd64",
        "thing-1.2.3.linux-amd64/thing",
        "thing-1.2.3.linux-amd64/thingctl",
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in members} == {(0, 0, "", "", 0, 0o755)}


def test_flat_archives_have_no_directory(tmp_path: Path) -> None:
    archive = tmp_path / "out"
    repack.pack(archive, files(tmp_path / "in"), name=NAME, flat=True)
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["thing", "thingctl"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "elsewhere/second"
    second.parent.mkdir()
    repack.pack(first, files(tmp_path / "a"), name=NAME)
    others = files(tmp_path / "b")
    for path in others.values():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    repack.pack(second, dict(reversed(others.items())), name=NAME)
    assert repack.sha256(first) == repack.sha256(second)
