"""A client of the door: over TLS as a browser, and byte by byte as nobody should.

door = Door("192.0.2.10", 443, "door.test", authority)
assert door.ask("/prometheus/", user=("ada", "secret")).status == 200
"""

from __future__ import annotations

import base64
import http.client
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 15
Credentials = tuple[str, str] | None
RESET_IN_THE_HANDSHAKE = (ConnectionResetError, ssl.SSLEOFError, BrokenPipeError)


@dataclass(frozen=True)
class Answer:
    """``headers`` by name in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def basic(user: Credentials) -> dict[str, str]:
    """The header that says who it is."""
    return {"Authorization": "Basic " + base64.b64encode(":".join(user).encode()).decode()} if user else {}


@dataclass
class Door:
    """Where it is, and its name. ``authority`` is a file; ``source`` the address to come from, as loopback has many."""

    address: str
    port: int
    name: str
    authority: Path
    source: str = ""

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection. A reload cuts off who is in the middle of a handshake: as browsers do, it tries again, once."""
        try:
            return self._connect(context)
        except RESET_IN_THE_HANDSHAKE:
            return self._connect(context)

    def _connect(self, context: ssl.SSLContext | None) -> ssl.SSLSocket:
        source = (self.source, 0) if self.source else None
        plain = socket.create_connection((self.address, self.port), PATIENCE_S, source)
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname=self.name)
        except OSError:
            plain.close()
            raise

    def session(self) -> http.client.HTTPConnection:
        """A connection for several requests, one after the other."""
        connection = http.client.HTTPConnection(self.name)
        connection.sock = self.connect()
        return connection

    def ask(
        self,
        path: str,
        *,
        user: Credentials = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.session()
        try:
            return exchange(connection, path, user=user, method=method, headers=headers, body=body)
        finally:
            connection.close()

    def raw(self, text: str) -> list[int]:
        """The status of each answer to bytes as they are, with CRLF for each line end; until the door has said all."""
        with self.connect() as connection:
            connection.settimeout(1.5)
            connection.sendall(text.replace("\n", "\r\n").encode("latin-1"))
            answer = b""
            try:
                while more := connection.recv(65536):
                    answer += more
            except (TimeoutError, ConnectionError):
                pass
        return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    *,
    user: Credentials = None,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> Answer:
    """One request on a connection that stays."""
    connection.request(method, path, body=body, headers={**basic(user), **(headers or {})})
    answer = connection.getresponse()
    return Answer(
        answer.status,
        {name.lower(): value for name, value in answer.getheaders()},
        answer.read().decode(errors="replace"),
    )


@dataclass
class Asked:
    """What a client was answered, and when (``time.time()``), what went wrong, and how often it asked once more.

    It asks once more when a connection ended without a byte of an answer, as a browser does.
    """

    answers: list[tuple[float, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    again: int = 0

    def statuses(self, since: float = 0.0) -> set[int]:
        return {status for at, status in list(self.answers) if at >= since}


@contextmanager
def asking(door: Door, path: str, user: Credentials, *, each_second: int, anew: bool = True) -> Iterator[Asked]:
    """A client that goes on asking, by a connection for each request or by one that it keeps as long as it can."""
    asked, over = Asked(), threading.Event()

    def go_on() -> None:
        connection: http.client.HTTPConnection | None = None
        while not over.wait(1 / each_second):
            for last in (False, True):
                try:
                    connection = connection or door.session()
                    answer = exchange(connection, path, user=user)
                    asked.answers.append((time.time(), answer.status))
                    if anew or answer.headers.get("connection") == "close":
                        connection.close()
                        connection = None
                    break
                except ConnectionError as error:
                    connection = None
                    if last:
                        asked.errors.append(repr(error))
                    else:
                        asked.again += 1
                except (OSError, http.client.HTTPException) as error:
                    connection = None
                    asked.errors.append(repr(error))
                    break
        if connection:
            connection.close()

    client = threading.Thread(target=go_on)
    client.start()
    try:
        yield asked
    finally:
        over.set()
        client.join()


@contextmanager
def flooding(door: Door, name: str, connections: int) -> Iterator[Asked]:
    """Distinct wrong passwords of one user, as fast as the door takes them, from the door's ``source``."""
    asked, over, numbers = Asked(), threading.Event(), itertools.count()

    def flood() -> None:
        connection: http.client.HTTPConnection | None = None
        while not over.is_set():
            try:
                connection = connection or door.session()
                answer = exchange(connection, "/", user=(name, f"wrong {next(numbers)}"))
                asked.answers.append((time.time(), answer.status))
            except (OSError, http.client.HTTPException) as error:
                asked.errors.append(repr(error))
                connection = None
        if connection:
            connection.close()

    clients = [threading.Thread(target=flood) for _ in range(connections)]
    for client in clients:
        client.start()
    try:
        yield asked
    finally:
        over.set()
        for client in clients:
            client.join()
