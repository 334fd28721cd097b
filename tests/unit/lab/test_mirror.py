"""The mirror, over a real socket: what it serves, and what its log says of it."""

import functools
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab import mirror, processes


class Site:
    """A running mirror of one directory."""

    def __init__(self, directory: Path, log: Path) -> None:
        self.log = log
        handler = functools.partial(mirror.Handler, directory=str(directory), log=mirror.AccessLog(log))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        host, port = self.server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def entries(self, count: int) -> list[dict[str, Any]]:
        processes.wait_until(lambda: len(self._lines()) >= count, 5)
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    directory = tmp_path / "artifacts"
    directory.mkdir()
    (directory / "thing.tar.gz").write_bytes(b"x" * 100_000)
    (directory / ".other.part").write_bytes(b"half of it")
    one = Site(directory, tmp_path / "access.log")
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_file_is_served_and_its_bytes_are_counted(site: Site) -> None:
    assert site.get("/thing.tar.gz") == (200, b"x" * 100_000)
    (entry,) = site.entries(1)
    assert (entry["client"], entry["path"], entry["status"]) == ("127.0.0.1", "/thing.tar.gz", 200)
    assert entry["bytes"] == 100_000


def test_asking_for_the_head_delivers_nothing(site: Site) -> None:
    assert site.get("/thing.tar.gz", "HEAD") == (200, b"")
    assert site.entries(1)[0]["bytes"] == 0


@pytest.mark.parametrize("path", ["/none.tar.gz", "/.other.part", "/../access.log"])
def test_what_is_not_there_or_not_complete_is_refused_and_logged(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404
    assert site.entries(1)[0]["status"] == 404
