"""Downloads from the publishers, who may be out of reach: one try per publisher, and a short one."""

from __future__ import annotations

import concurrent.futures
import http.client
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CONNECT_TIMEOUT = 3.0
"""Seconds until a connection must stand."""
ANSWER_TIMEOUT = 8.0
"""Seconds until the answer must begin: name lookup, connection, redirects."""
READ_TIMEOUT = 60.0
"""Seconds without a byte after which a download is given up."""


class NotAvailableError(Exception):
    """Why an archive cannot be had from a place."""


class _PatientConnection(http.client.HTTPSConnection):
    """Impatient about connecting, patient about reading."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_TIMEOUT)


class _Handler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PatientConnection, req)


class Upstream:
    """Remembers which publishers did not answer, so that nobody waits for them twice."""

    def __init__(self) -> None:
        self._dead: dict[str, str] = {}
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_Handler)

    def fetch(self, url: str, target: Path) -> None:
        """Downloads to `target`; NotAvailableError says why it could not be done."""
        host = urlsplit(url).netloc
        if host in self._dead:
            raise NotAvailableError(self._dead[host])
        try:
            with self._open(url) as answer, target.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            raise NotAvailableError(f"{host} answers {error.code}") from error
        except (OSError, TimeoutError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error) or type(error).__name__
            with self._lock:
                self._dead[host] = f"{host} cannot be reached: {reason}"
            raise NotAvailableError(self._dead[host]) from error

    def _open(self, url: str) -> Any:
        """Asks in a thread of its own: a name lookup knows no timeout."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def ask() -> None:
            try:
                future.set_result(self._opener.open(url, timeout=CONNECT_TIMEOUT))
            except BaseException as error:  # noqa: BLE001  it is raised again in the caller's thread
                future.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            return future.result(ANSWER_TIMEOUT)
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"no answer in {ANSWER_TIMEOUT:.0f} s") from None
