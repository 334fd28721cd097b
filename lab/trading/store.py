"""The backend's DuckDB file: one process writes it, and nobody else can open it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import duckdb

KEPT = 20_000
CHECKPOINT_EVERY = 200


class Store:
    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(str(path), config={"memory_limit": "256MB", "threads": 1})
        self._lock = threading.Lock()
        self._writes = 0
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS trades"
            " (ended TIMESTAMP, instrument VARCHAR, side VARCHAR, quantity INTEGER, result VARCHAR)"
        )

    def write(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock:
            if rows:
                self.connection.executemany("INSERT INTO trades VALUES (?, ?, ?, ?, ?)", rows)
            self._writes += 1
            if self._writes % CHECKPOINT_EVERY == 0:
                # What is old goes, so that the file does not grow for as long as the demo is up.
                self.connection.execute(
                    "DELETE FROM trades WHERE ended < (SELECT ended FROM trades ORDER BY ended DESC LIMIT 1 OFFSET ?)",
                    [KEPT],
                )
                self.connection.execute("CHECKPOINT")

    def count(self) -> int:
        with self._lock:
            (count,) = self.connection.execute("SELECT count(*) FROM trades").fetchone() or (0,)
        return int(count)
