"""What a catalogue will write, and how much of it a filesystem keeps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.tds.monitoring.plugins.filter.catalogue import duration_ms

SERIES = {
    "alertmanager": 570,
    "blackbox_exporter": 60,
    "clickhouse": 2300,
    "duckdb_exporter": 60,
    "host": 15,
    "node": 600,
    "probe": 20,
    "prometheus": 1100,
    "redis": 560,
    "redis_exporter": 25,
}
"""Of one instance, as `scrape_samples_post_metric_relabeling` says in the lab, rounded up; Prometheus adds nine."""
UNKNOWN = 500
"""Of a service that does not say: ours, an assumption."""
BLOCK_BYTES = 2.0
"""Of one sample in a block: 1.3 to 2 were measured, and the larger errs on the safe side."""
WAL_BYTES, WAL_SECONDS = 9, 3 * 3600
"""Of one sample in the log, which holds up to three hours."""
DAY = 86400
SHARE_OF_DISK = 0.85
"""What of a filesystem retention may take: compaction writes new blocks beside the old ones."""
SIZE, UNITS = re.compile(r"(\d+)(B|KB|MB|GB|TB|PB|EB)"), ("B", "KB", "MB", "GB", "TB", "PB", "EB")
"""Prometheus' sizes: its GB has 2^30 bytes."""
MIB = 2**20


def capacity(instances: Iterable[Mapping[str, Any]], services: Mapping[str, Any]) -> dict[str, Any]:
    """Samples per second of all instances, the same by service, bytes of a day in blocks, and bytes of the log.

    Args:
        instances: of the filter ``catalogue``.
        services: the catalogue, whose ``series`` says how many one instance shows.
    """
    by_service: Counter[str] = Counter()
    for entry in instances:
        seconds = (duration_ms(entry["interval"]) or 1000) / 1000
        by_service[entry["service"]] += _series(entry, services.get(entry["service"], {})) / seconds  # type: ignore[assignment]
    total = sum(by_service.values())
    return {
        "samples_per_second": round(total),
        "by_service": {service: round(samples) for service, samples in by_service.most_common()},
        "bytes_per_day": round(total * DAY * BLOCK_BYTES),
        "wal_bytes": round(total * WAL_SECONDS * WAL_BYTES),
    }


def _series(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    if declared := settings.get("series"):
        return int(declared)
    kind = "clickhouse" if settings.get("clickhouse") else "redis" if settings.get("exporter") else entry["service"]
    return SERIES.get(kind, UNKNOWN)


def size_bytes(size: object) -> int | None:
    """Bytes of a size as Prometheus writes them; ``None`` for what it would not read, and for zero."""
    match = SIZE.fullmatch(str(size))
    return int(match[1]) * int(1024 ** UNITS.index(match[2])) or None if match else None


def kept_size(size: str, filesystem_bytes: int) -> str:
    """The smaller of a declared size and what a filesystem has room for, as Prometheus writes it.

    Args:
        size: as declared; what cannot be read stays as it is, for the preflight and Prometheus to refuse.
        filesystem_bytes: 0 where nobody has looked.
    """
    most = int(SHARE_OF_DISK * filesystem_bytes)
    wanted = size_bytes(size)
    return size if not most or wanted is None or wanted <= most else f"{most // MIB}MB"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"capacity": capacity, "kept_size": kept_size}
