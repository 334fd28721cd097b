"""The bridge that all labs share. No route leads out of it: hosts reach each other and the lab."""

from __future__ import annotations

import socket

from lab.addresses import BRIDGE, GATEWAY, PREFIX
from lab.common import run


def ensure_bridge() -> None:
    """Makes the bridge with its address, or completes what is there."""
    if not bridge_exists():
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{GATEWAY}/{PREFIX}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def remove_bridge() -> None:
    if bridge_exists():
        run(["ip", "link", "delete", BRIDGE])


def bridge_exists() -> bool:
    return any(name == BRIDGE for _, name in socket.if_nameindex())
