"""How many bytes the mirror and the apt proxy delivered to a lab's hosts, from their logs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from lab.common import Paths
from lab.services import mirror_log, proxy_log
from lab.state import Lab


def mirror_bytes(lines: Iterable[str], clients: Collection[str], since: float) -> int:
    """Bytes of bodies sent to `clients` from the Unix time `since` on; other lines do not count."""
    total = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["client"] in clients and entry["time"] >= since:
            total += entry["bytes"]
    return total


def proxy_bytes(lines: Iterable[str], clients: Collection[str], since: float) -> int:
    """The same from apt-cacher-ng's log.

    Its lines are `Unix time|direction|bytes|client|path`, where direction O is from the proxy to
    a client. Its times are whole seconds.
    """
    total = 0
    for line in lines:
        fields = line.rstrip("\n").split("|")
        if len(fields) < 5 or not fields[0].isdigit() or not fields[2].isdigit():
            continue
        time, direction, size, client = fields[:4]
        if direction == "O" and client in clients and int(time) >= int(since):
            total += int(size)
    return total


def traffic(lab: Lab, paths: Paths) -> dict[str, int]:
    """{mirror_bytes, proxy_bytes} of one lab since it came up."""
    clients = set(lab.addresses().values())
    found = {}
    for key, path, count in (
        ("mirror_bytes", mirror_log(paths), mirror_bytes),
        ("proxy_bytes", proxy_log(paths), proxy_bytes),
    ):
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                found[key] = count(lines, clients, lab.since)
        except FileNotFoundError:
            found[key] = 0
    return found
