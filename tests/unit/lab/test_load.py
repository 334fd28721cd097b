"""What the load generator serves: that many series, which change as those of a program do."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from lab import load

LINE = re.compile(r'[a-z_]+\{[a-z]+="[^"]+"(,[a-z]+="[^"]+")*\} -?\d+(\.\d+)?')


def body(page: bytes) -> list[str]:
    return page.decode("ascii").partition("\r\n\r\n")[2].splitlines()


def test_each_page_has_every_series_once_and_lines_of_a_usual_length() -> None:
    for page in load.pages(1000):
        names = [line.rpartition(" ")[0] for line in body(page)]
        assert len(set(names)) == len(names) == 1000
        assert all(LINE.fullmatch(line) for line in body(page))
        assert 85 <= len("\n".join(body(page))) / 1000 <= 100


def test_counters_grow_where_something_is_traded_and_constants_stay() -> None:
    first, *_between, last = (dict(line.rsplit(" ", 1) for line in body(page)) for page in load.pages(1000))
    changed = Counter(name.partition("{")[0] for name, value in first.items() if last[name] != value)
    every = Counter(name.partition("{")[0] for name in first)
    assert changed.keys() == every.keys() - {"engine_book_info"}
    for name in first:
        if "_bucket" in name or "_total" in name:
            assert float(last[name]) >= float(first[name])
    second = dict(line.rsplit(" ", 1) for line in body(load.pages(1000)[1]))
    assert 0.05 < sum(second[name] != value for name, value in first.items()) / 1000 < 0.4


def test_the_same_seed_makes_the_same_pages() -> None:
    assert load.pages(100) == load.pages(100) != load.pages(100, seed=2)


def test_a_connection_gets_page_after_page() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, str(Path(load.__file__)), "--ports", str(port), "--series", "300"]
    with subprocess.Popen(command) as server:
        try:
            answers = []
            with closing(_connected(port)) as connection:
                for _request in range(3):
                    connection.request("GET", "/metrics")
                    answers.append(connection.getresponse().read())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as other:
                assert other.read() == answers[0]
            assert answers == [page.partition(b"\r\n\r\n")[2] for page in load.pages(300)[:3]]
        finally:
            server.terminate()


def _connected(port: int) -> HTTPConnection:
    end = time.monotonic() + 20
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.connect()
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return connection
