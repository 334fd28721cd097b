"""The page over HTTP and TLS, as clients see it."""

from __future__ import annotations

import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

import duckdb
import pytest
from duckdb_exporter import TLS, MetricsServer, serve
from prometheus_client import CollectorRegistry

from tests.authority import Authority


def get(server: MetricsServer, path: str = "/metrics", context: ssl.SSLContext | None = None) -> str:
    scheme = "https" if context else "http"
    url = f"{scheme}://127.0.0.1:{server.port}{path}"
    with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_serve_shows_the_database_and_the_process() -> None:
    with duckdb.connect() as connection, serve(connection, port=0) as server:
        connection.execute("CREATE TABLE t AS FROM range(5)")
        page = get(server)
        assert 'duckdb_table_rows{database="memory",schema="main",table="t"} 5.0' in page
        assert "process_resident_memory_bytes" in page
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server, "/")


def test_nothing_is_left_when_it_is_closed() -> None:
    connection = duckdb.connect()
    server = serve(connection, port=0)
    server.close()
    connection.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_port_that_is_taken_is_told_and_leaves_no_cursor_behind() -> None:
    with duckdb.connect() as connection, serve(connection, port=0) as server:
        with pytest.raises(OSError, match="in use"):
            serve(connection, port=server.port)
        assert "duckdb_connections 1.0" in get(server)


def test_clients_that_say_nothing_keep_nobody_waiting() -> None:
    with MetricsServer(CollectorRegistry(), "127.0.0.1", 0) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _number in range(10)]
        started = time.monotonic()
        get(server)
        assert time.monotonic() - started < 2
        for one in silent:
            one.close()


class Site:
    """An authority, and what it issued, as files."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.authority = directory, Authority("The site's")
        self.ca, self.server = self.file("ca.pem", self.authority.pem), directory / "server.pem"
        self.renew()

    def renew(self) -> None:
        self.issue("server.pem", "127.0.0.1")

    def issue(self, name: str, *names: str, by: Authority | None = None) -> Path:
        return self.file(name, "".join((by or self.authority).issue(names)))

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def context(self, client: Path | None, ca: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca or self.ca)
        if client:
            context.load_cert_chain(client)
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def tls_server(site: Site) -> MetricsServer:
    tls = TLS(str(site.server), str(site.ca), ("mon1",))
    return MetricsServer(CollectorRegistry(), "127.0.0.1", 0, tls=tls)


def test_a_client_with_one_of_the_names_is_served_over_tls_1_3_only(site: Site) -> None:
    context = site.context(site.issue("client.pem", "mon1", "10.0.0.1"))
    with tls_server(site) as server:
        get(server, context=context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(urllib.error.URLError, match=r"(?i)protocol"):
            get(server, context=context)


def test_other_clients_are_not_served(site: Site) -> None:
    with tls_server(site) as server:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(server, context=site.context(site.issue("other.pem", "app1")))
        stranger = site.issue("stranger.pem", "mon1", by=Authority("A stranger's"))
        for client in (None, stranger):
            with pytest.raises((ssl.SSLError, urllib.error.URLError, ConnectionError)):
                get(server, context=site.context(client))
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            get(server)


def test_renewed_files_are_taken_at_the_next_client_and_broken_ones_not(site: Site) -> None:
    context = site.context(site.issue("client.pem", "mon1"))
    with tls_server(site) as server:

        def presented() -> bytes | None:
            address = ("127.0.0.1", server.port)
            with (
                socket.create_connection(address, 5) as raw,
                context.wrap_socket(raw, server_hostname=address[0]) as it,
            ):
                return it.getpeercert(binary_form=True)

        first = presented()
        site.renew()
        second = presented()
        assert first != second
        site.server.write_text("half of a certificate")
        assert presented() == second
