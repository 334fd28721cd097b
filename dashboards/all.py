"""All dashboards, in the order in which one reads them, and the files that they become."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards import FILES, alerts, clickhouse, duckdb, hosts, monitoring, redis, services, trade

BOARDS = tuple(module.BOARD for module in (trade, alerts, services, redis, clickhouse, duckdb, hosts, monitoring))


def files() -> dict[Path, str]:
    """Path and content of each."""
    values = {board.uid: board.site_values() for board in BOARDS}
    return {FILES / "dashboards" / f"{board.uid}.json": board.json() for board in BOARDS} | {
        FILES / "site_values.json": json.dumps(values, indent=1, sort_keys=True) + "\n"
    }
