"""The little HTTP server of the stand-ins."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.trading.switches import Switches

TEXT = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """What a request gets; a body in pieces is sent until its end or the client's."""

    body: str | bytes | Iterable[bytes]
    status: int = 200
    kind: str = TEXT


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    body: bytes = b""


IP_FREEBIND = 15  # of <linux/in.h>; Python has no name for it

Route = Callable[[Request], Answer]


def serve(addresses: Iterable[str], port: int, route: Route) -> list[ThreadingHTTPServer]:
    """Servers that run, one on each address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def answer(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            answer = route(Request(self.command, parts.path, parse_qs(parts.query), self.rfile.read(size)))
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for piece in body:
                    self.wfile.write(piece)
            except OSError:
                pass  # the client has had enough

        do_GET = do_POST = answer  # noqa: N815  # the names are http.server's

        def log_message(self, *_: Any) -> None:
            """Nothing: ten requests a second are no news."""

    servers: list[ThreadingHTTPServer] = [_Server((address, port), Handler) for address in addresses]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    return servers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def server_bind(self) -> None:
        # At boot the host may not have its address yet.
        self.socket.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        super().server_bind()


def control(switches: Switches, request: Request) -> Answer:
    """The route /control. ``{"die": true}`` ends the process as SIGKILL does."""
    if request.method == "POST":
        try:
            wanted = json.loads(request.body or b"{}")
            if isinstance(wanted, dict) and wanted.pop("die", False):
                os.kill(os.getpid(), signal.SIGKILL)
            switches.set(wanted)
        except ValueError as error:
            return Answer(f"{error}\n", 400)
    return Answer(json.dumps(switches.all()) + "\n", kind="application/json")
