"""A page over TLS, as the daemons serve it: for who shows a certificate, and its files are read at each handshake."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = "up 1\n"


class TLSServer(ThreadingHTTPServer):
    """``certificate`` is a file with its key, ``clients`` one of the authorities whose clients are served."""

    daemon_threads = True

    def __init__(self, certificate: Path, clients: Path | None, page: Callable[[str], str | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.certificate, self.clients, self.page = certificate, clients, page
        self.where = f"127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate)
        if self.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.clients)
        with request.dup() as connection:
            try:
                with context.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
            except ssl.SSLError:
                # A client that is refused has asked already; with that unread it would be cut off before it reads why.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is refused is what tests ask for."""


class Handler(BaseHTTPRequestHandler):
    server: TLSServer

    def do_GET(self) -> None:
        page = self.server.page(self.path)
        self.send_response(503 if page is None else 200)
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, *_arguments: Any) -> None: ...


@contextmanager
def serving(
    certificate: Path, clients: Path | None = None, page: Callable[[str], str | None] = lambda _path: PAGE
) -> Iterator[TLSServer]:
    """A server on loopback while this lasts. A ``page`` that is ``None`` is not ready."""
    with TLSServer(certificate, clients, page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
