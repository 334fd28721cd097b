"""The bridge that all labs share. No route leads out of it: hosts reach each other and the lab."""

from __future__ import annotations

import contextlib
import socket
import time

from lab.addresses import BRIDGE, GATEWAY, PREFIX
from lab.common import LabError, run

GONE_S = 10


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
    return _exists(BRIDGE)


def add_tap(name: str) -> None:
    """Makes the interface that a virtual machine's network card is, on the bridge."""
    run(["ip", "tuntap", "add", "dev", name, "mode", "tap"])
    run(["ip", "link", "set", name, "master", BRIDGE, "up"])


def remove_interface(name: str) -> None:
    """Removes an interface that a guest left: the kernel takes its time over the network of one that was killed."""
    end = time.monotonic() + GONE_S
    while _exists(name) and time.monotonic() < end:
        with contextlib.suppress(LabError):  # it has gone meanwhile
            run(["ip", "link", "delete", name])


def _exists(name: str) -> bool:
    return any(found == name for _, found in socket.if_nameindex())
