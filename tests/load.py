"""Series for a Prometheus to scrape, from this machine: as many as a test wants, and what it was answered.

with serving(GATEWAY, 8490) as load:
    load.series = 20_000
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Load:
    """``answered``: when each scrape was, in seconds since 1970, as the value of ``load_answered_seconds`` told it."""

    series = 1000

    def __init__(self) -> None:
        self.answered: list[float] = []

    def page(self, now: float) -> bytes:
        lines = [f"load_answered_seconds {now}", *(f'load_series{{n="{n}"}} {n}' for n in range(self.series))]
        return "".join(f"{line}\n" for line in lines).encode()


@contextmanager
def serving(address: str, port: int) -> Iterator[Load]:
    load = Load()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = time.time()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(load.page(now))
            load.answered.append(now)

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer((address, port), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield load
        server.shutdown()
