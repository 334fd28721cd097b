"""Releases, with real archives on a real disk."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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


ELF = Path("/proc/self/exe").read_bytes()[:20]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (ELF[:18] + b"\xf3\x00", "tool is built for another architecture"),
        (ELF[:4] + b"\x01" + ELF[5:], "tool is built for another architecture"),
        (b"#!/opt/python2/bin/python -I\n", "tool needs /opt/python2/bin/python, which this host has not got"),
    ],
)
def test_a_binary_that_cannot_run_here_is_refused(releases: Releases, head: bytes, told: str) -> None:
    with pytest.raises(ReleaseError, match=told):
        install(releases, ("tool-1.0/tool", head, 0o755, tarfile.REGTYPE))
    assert list(releases.root.iterdir()) == []


def test_a_binary_of_this_architecture_is_taken(releases: Releases) -> None:
    install(releases, ("tool-1.0/tool", ELF, 0o755, tarfile.REGTYPE))
    assert releases.damage("1.0") == []


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


def test_a_member_of_ten_gigabytes_is_refused_by_its_header(releases: Releases) -> None:
    path = releases.root.parent / "tool.tar.gz"
    member = tarfile.TarInfo("tool-1.0/tool")
    member.size, member.mode = 10 << 30, 0o755
    path.write_bytes(gzip.compress(member.tobuf() + b"x" * 5000))
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ReleaseError, match="unpacks to more than 4 GiB"):
        releases.install(Release("1.0", pin), path)
    assert list(releases.root.iterdir()) == []


Answer = Callable[[BaseHTTPRequestHandler], None]


def hangs(_request: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(1)


def has_nothing(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


def is_well(request: BaseHTTPRequestHandler) -> None:
    sends(request, "application/gzip", b"archive")


def is_busy_once(request: BaseHTTPRequestHandler) -> None:
    if len(request.server.asked) == 1:  # type: ignore[attr-defined]
        request.send_error(503)
    else:
        is_well(request)


def shows_a_page(request: BaseHTTPRequestHandler) -> None:
    sends(request, "text/html; charset=utf-8", b"<h1>Please log in</h1>")


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    sends(request, "application/gzip", b"arch", announced=7)


def drips(request: BaseHTTPRequestHandler) -> None:
    sends(request, "application/gzip", b"", announced=100)
    for _byte in range(100):
        request.wfile.write(b"a")
        threading.Event().wait(0.05)


def has_no_end(request: BaseHTTPRequestHandler) -> None:
    sends(request, "application/gzip", b"a" * 2000)


def calls_it_an_encoding(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Encoding", "gzip")
    request.end_headers()
    request.wfile.write(gzip.compress(b"tar"))


def sends(request: BaseHTTPRequestHandler, kind: str, body: bytes, announced: int | None = None) -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body) if announced is None else announced))
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], ThreadingHTTPServer]]:
    """Starts a mirror that answers as told, for a client with little patience."""
    for limit, value in {"FETCH_TIMEOUT_S": 0.2, "FETCH_WHOLE_S": 1.5, "MAX_ARCHIVE": 1000}.items():
        monkeypatch.setattr(library, limit, value)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    servers = []

    def start(answer: Answer) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)  # type: ignore[attr-defined]
                with suppress(ConnectionError):
                    answer(self)

            def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


MIRRORS: list[tuple[Answer, str, int]] = [
    # what it does, what is told, how often it is asked
    (hangs, "timed out", 3),
    (has_nothing, "HTTP Error 404", 1),
    (shows_a_page, r"a web page \(text/html; charset=utf-8\) and no archive", 1),
    (breaks_off, "it broke off after 4 of 7 bytes", 3),
    (drips, r"only \d+ bytes came in 1.5 s", 1),
    (has_no_end, "it is larger than", 1),
]


@pytest.mark.parametrize(("answer", "told", "asked"), MIRRORS)
def test_a_broken_mirror_is_told_for_what_it_is_in_bounded_time(
    mirror: Callable[[Answer], Any], tmp_path: Path, answer: Answer, told: str, asked: int
) -> None:
    server = mirror(answer)
    with pytest.raises(ReleaseError, match=f"cannot be fetched: .*{told}.*artifact_source"):
        fetch(f"http://127.0.0.1:{server.server_port}/a.tar.gz", tmp_path / "a")
    assert len(server.asked) == asked


def test_a_mirror_that_is_busy_is_asked_again(mirror: Callable[[Answer], Any], tmp_path: Path) -> None:
    server = mirror(is_busy_once)
    assert fetch(f"http://127.0.0.1:{server.server_port}/a.tar.gz", tmp_path / "a") == 7
    assert (tmp_path / "a").read_bytes() == b"archive"


def test_an_archive_arrives_as_it_is_stored(mirror: Callable[[Answer], Any], tmp_path: Path) -> None:
    server = mirror(calls_it_an_encoding)
    fetch(f"http://127.0.0.1:{server.server_port}/a.tar.gz", tmp_path / "a")
    assert gzip.decompress((tmp_path / "a").read_bytes()) == b"tar"


def test_an_unreachable_source_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    with pytest.raises(ReleaseError, match=r"http://127\.0\.0\.1:9/a\.tar\.gz cannot be fetched.*artifact_source"):
        fetch("http://127.0.0.1:9/a.tar.gz", tmp_path / "a")


def test_a_host_that_cannot_take_a_release_is_not_the_archives_fault(
    releases: Releases, mirror: Callable[[Answer], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(library, "unpack", full)
        with pytest.raises(OSError, match="No space left"):
            install(releases, BINARY)
    monkeypatch.setattr(library, "_receive", full)
    server = mirror(is_well)
    with pytest.raises(OSError, match="No space left"):
        fetch(f"http://127.0.0.1:{server.server_port}/a.tar.gz", releases.root / "a")
    assert len(server.asked) == 1
