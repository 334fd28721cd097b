"""The metrics page over HTTP, or over TLS 1.3 for clients with a certificate."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from duckdb_exporter.collector import DuckDBCollector
from duckdb_exporter.queries import Query

LOG = logging.getLogger("duckdb_exporter")
CLIENT_TIMEOUT = 10.0  # for a client to shake hands, to ask, and to take the answer
MAX_CLIENTS = 16


@dataclass(frozen=True)
class TLS:
    """Files of TLS. They are read anew when they have changed, at the next client."""

    server: str
    """A certificate with its chain and its key, PEM."""
    ca: str
    """The authorities whose client certificates are accepted, PEM."""
    clients: tuple[str, ...] = ()
    """Names, one of which a client's certificate must have (as a DNS name or an address); none is any."""


class _Context:
    """The TLS context of the files as they are now."""

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._seen = self._state()
        self._context = self._load()

    def current(self) -> ssl.SSLContext:
        with self._lock:
            try:
                if (state := self._state()) != self._seen:
                    self._context, self._seen = self._load(), state
            except OSError as error:  # ssl.SSLError is one; half of a change may be there, so try again next time
                LOG.warning("the changed files of TLS cannot be taken, the former stay in use: %s", error)
            return self._context

    def _state(self) -> list[tuple[int, ...]]:
        stats = [Path(path).stat() for path in (self._tls.server, self._tls.ca)]
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0  # every client shows its certificate, to the authorities of now
        context.load_cert_chain(self._tls.server)
        context.load_verify_locations(self._tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class MetricsServer(ThreadingHTTPServer):
    """Serves a registry at /metrics in threads of its own, from when it is made until `close`."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self,
        registry: CollectorRegistry,
        address: str,
        port: int,
        *,
        tls: TLS | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.registry = registry
        self._clients = threading.BoundedSemaphore(MAX_CLIENTS)
        self._names = set(tls.clients) if tls else set()
        self._context = _Context(tls) if tls else None
        self._on_close = on_close
        super().__init__((address, port), _Handler)
        threading.Thread(target=self.serve_forever, name="duckdb-exporter", daemon=True).start()

    @property
    def port(self) -> int:
        """The port, also when 0 left the choice to the kernel."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Ends the server, and what it serves."""
        self.shutdown()
        self.server_close()
        self._on_close()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._clients.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shakes hands in the client's own thread: one that does not answer keeps nobody waiting."""
        request.settimeout(CLIENT_TIMEOUT)
        if self._context is None:
            super().finish_request(request, client_address)
            return
        with self._context.current().wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def admits(self, certificate: dict[str, Any]) -> bool:
        """Whether a client's certificate has one of the names."""
        return not self._names or any(name in self._names for _, name in certificate.get("subjectAltName", ()))

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        LOG.debug("a client went wrong: %s", sys.exception())  # connections and handshakes break as others like


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version, sys_version = "duckdb_exporter", ""
    timeout = CLIENT_TIMEOUT

    def do_GET(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket) and not self.server.admits(self.connection.getpeercert() or {}):
            self.send_error(403, explain="The name of your certificate is not among those that are let in.")
            return
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, explain="The metrics are at /metrics.")
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        body = encode(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        LOG.debug(format, *arguments)


def serve(
    connection: Any,
    address: str = "127.0.0.1",
    port: int = 1234,
    *,
    queries: Iterable[Query] = (),
    timeout: float = 2.0,
    max_rows: int = 200,
    tls: TLS | None = None,
) -> MetricsServer:
    """Serves a connection's metrics, and those of this process, at /metrics. Close it before the connection."""
    collector = DuckDBCollector(connection, queries=queries, timeout=timeout, max_rows=max_rows)
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    try:
        return MetricsServer(registry, address, port, tls=tls, on_close=collector.close)
    except BaseException:
        collector.close()
        raise
