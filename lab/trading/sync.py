"""The backend's sync of rows to ClickHouse, over ClickHouse's own HTTP interface."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from lab.trading.metrics import Backend as Metrics
from lab.trading.switches import Switches

INSERT = "INSERT INTO trades FORMAT JSONEachRow"
MOST_PENDING = 100_000
SLOW = 0.4
TIMEOUT = 5


class Sync:
    """Rows wait here until ClickHouse has them; a failed sync tries them again."""

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        switches: Switches,
        post: Callable[[str, bytes], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._metrics, self._switches = url, metrics, switches
        self._post, self._sleep = post or post_over_http, sleep
        self._rows: deque[Mapping[str, object]] = deque(maxlen=MOST_PENDING)
        self._lock = threading.Lock()
        metrics.synced_at.set_to_current_time()

    def add(self, row: Mapping[str, object]) -> None:
        with self._lock:
            self._rows.append(row)
            self._metrics.pending.set(len(self._rows))

    def turn(self) -> None:
        """One sync of all that waits; nothing waiting is a sync too."""
        if self._switches["sync"] == "stall":
            return
        began = time.monotonic()
        with self._lock:
            rows = list(self._rows)
        if self._switches["sync"] == "slow":
            self._sleep(SLOW)
        target = "/nowhere" if self._switches["sync"] == "fail" else f"/?query={quote(INSERT)}"
        try:
            self._post(self._url + target, "".join(json.dumps(row) + "\n" for row in rows).encode())
        except OSError:
            self._metrics.errors.inc()
            return
        with self._lock:
            for _ in rows:
                self._rows.popleft()
            self._metrics.pending.set(len(self._rows))
        self._metrics.rows.inc(len(rows))
        self._metrics.latency.set(time.monotonic() - began)
        self._metrics.synced_at.set_to_current_time()


def post_over_http(url: str, body: bytes) -> None:
    """Raises OSError for whatever goes wrong."""
    try:
        with urlopen(Request(url, body, method="POST"), timeout=TIMEOUT) as answer:  # noqa: S310  # our own URL
            answer.read()
    except (URLError, ValueError) as error:
        raise OSError(str(error)) from error
