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
    "grafana": 2500,
    "host": 15,
    "node": 600,
    "probe": 20,
    "prometheus": 1100,
    "redis": 560,
    "redis_exporter": 25,
}
"""Of one instance, as `scrape_samples_post_metric_relabeling` says in the lab, rounded up; Prometheus adds nine.
Grafana's, which the lab has not got, is an assumption."""
UNKNOWN = 500
"""Of a service that does not say: ours, an assumption."""
BLOCK_BYTES = 2.0
"""Of one sample in a block: 0.65 in bench/results/forecast.json, 1.8 in ingest.json, 2.8 where every value changes each
second. Until there is a Prometheus, which says what its own are, this errs on the safe side."""
WAL_BYTES, WAL_BLOCKS = 9, 1.5
"""Of one sample in the log, 8.8 to 9.0 in bench/results/ingest.json; it holds one and a half of the shortest blocks."""
SERIES_BYTES = 2400
"""Of one series in memory, with the chunks that wait for a block of 30 minutes and while one is written."""
LINE_BYTES = 92
"""Of one sample on a page."""
DAY = 86400
SHARE_OF_DISK = 0.85
"""What of a filesystem retention may take: compaction writes new blocks beside the old ones."""
SIZE, UNITS = re.compile(r"(\d+)(B|KB|MB|GB|TB|PB|EB)"), ("B", "KB", "MB", "GB", "TB", "PB", "EB")
"""Prometheus' sizes: its GB has 2^30 bytes."""
MIB = 2**20


def capacity(
    instances: Iterable[Mapping[str, Any]], services: Mapping[str, Any], block_duration: str = "2h"
) -> dict[str, Any]:
    """What all instances together are: ``samples_per_second``, the same ``by_service``, ``series``, and what follows.

    That is ``bytes_per_day`` in blocks, ``wal_bytes``, ``memory_bytes`` and ``page_bytes_per_second``.

    Args:
        instances: of the filter ``catalogue``.
        services: the catalogue, whose ``series`` says how many one instance shows.
        block_duration: of the blocks that are written from memory.
    """
    by_service: Counter[str] = Counter()
    series, block_seconds = 0, (duration_ms(block_duration) or 0) / 1000
    for entry in instances:
        seconds = (duration_ms(entry["interval"]) or 1000) / 1000
        shown = _series(entry, services.get(entry["service"], {}))
        series += shown
        by_service[entry["service"]] += shown / seconds  # type: ignore[assignment]
    return {
        "by_service": {service: round(samples) for service, samples in by_service.most_common()},
        "block_seconds": block_seconds,
        **follows(sum(by_service.values()), series, block_seconds),
    }


def follows(samples: float, series: float, block_seconds: float, block_bytes: float = BLOCK_BYTES) -> dict[str, Any]:
    """What so many samples per second of so many series take."""
    return {
        "samples_per_second": round(samples),
        "series": round(series),
        "bytes_per_day": round(samples * DAY * block_bytes),
        "wal_bytes": round(samples * WAL_BLOCKS * block_seconds * WAL_BYTES),
        "memory_bytes": round(series * SERIES_BYTES),
        "page_bytes_per_second": round(samples * LINE_BYTES),
    }


def with_measured(declared: Mapping[str, Any], running: Mapping[str, float]) -> dict[str, Any]:
    """A capacity with what a Prometheus that runs says (``samples_per_second``, ``series``, ``block_bytes``).

    Of both the larger counts: what is declared may be to come, or down. Only one that runs knows the bytes of a sample.
    """
    more = {what: max(declared[what], running.get(what, 0)) for what in ("samples_per_second", "series")}
    block_bytes = running.get("block_bytes", BLOCK_BYTES)
    return {
        **declared,
        **follows(more["samples_per_second"], more["series"], declared["block_seconds"], block_bytes),
    }


def days_that_fit(kept: str, capacity: Mapping[str, Any]) -> float:
    """Of blocks, beside the log, into a size as Prometheus writes it."""
    return float((retention_bytes(kept) or 0) - capacity["wal_bytes"]) / float(max(1, capacity["bytes_per_day"]))


def tsdb_findings(block_duration: object, samples_per_chunk: object) -> list[str]:
    """What Prometheus would not start with, by the variable that has it."""
    found = []
    if not duration_ms(block_duration):
        found.append(f"prometheus_min_block_duration is {block_duration!r}: write a duration, such as 30m")
    if not re.fullmatch(r"[1-9]\d*", str(samples_per_chunk)):
        found.append(f"prometheus_samples_per_chunk is {samples_per_chunk!r}: write a number, such as 120")
    return found


def _series(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    if declared := settings.get("series"):
        return int(declared)
    kind = "clickhouse" if settings.get("clickhouse") else "redis" if settings.get("exporter") else entry["service"]
    return SERIES.get(kind, UNKNOWN)


def retention_bytes(size: object) -> int | None:
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
    wanted = retention_bytes(size)
    return size if not most or wanted is None or wanted <= most else f"{most // MIB}MB"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (capacity, kept_size, tsdb_findings)}
