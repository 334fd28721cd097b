"""The SSH connection that this process was started over, as the host sees it."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .reading import read
from .ruleset import Address

ESTABLISHED = "01"


class Connection(NamedTuple):
    """A TCP connection; two that are equal are the same one."""

    peer: Address
    peer_port: int
    local: Address
    port: int

    def __str__(self) -> str:
        return " ".join(map(str, self))


def connection(
    environment: Mapping[str, str] = os.environ, proc: Path = Path("/proc"), pid: int | None = None
) -> Connection | None:
    """The connection whose far end is the controller, or the last hop to it; ``None`` when this runs over none.

    The environment's SSH_CONNECTION does not survive sudo. So the server's process is looked for first, among those
    that this one descends from.
    """
    for ancestor in _ancestors(proc, pid or os.getpid()):
        if read(ancestor / "comm").startswith("sshd"):
            open_sockets = _open_sockets(ancestor)
            for table in ("tcp", "tcp6"):
                for inode, found in established(read(ancestor / "net" / table)).items():
                    if inode in open_sockets:
                        return found
    return from_environment(environment.get("SSH_CONNECTION", ""))


def _ancestors(proc: Path, pid: int) -> Iterator[Path]:
    while pid > 0:
        yield proc / str(pid)
        parent = re.search(r"^PPid:\s*(\d+)$", read(proc / str(pid) / "status"), re.MULTILINE)
        pid = int(parent[1]) if parent else 0


def _open_sockets(process: Path) -> set[int]:
    links = []
    for descriptor in (process / "fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:  # it was closed meanwhile
            continue
    return {int(match[1]) for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}


def established(table: str) -> dict[int, Connection]:
    """The established connections of a text such as ``/proc/net/tcp`` or ``tcp6``, by the socket's inode."""
    found = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == ESTABLISHED:
            local, peer = _endpoint(words[1]), _endpoint(words[2])
            found[int(words[9])] = Connection(*peer, *local)
    return found


def _endpoint(text: str) -> tuple[Address, int]:
    """``0A03CB0A:0016`` is 10.203.3.10 and 22: 32-bit words, each in the byte order of the machine."""
    digits, _, port = text.partition(":")
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return _plain(socket.inet_ntop(family, packed)), int(port, 16)


def _plain(text: str) -> Address:
    """An address as the rules see it: a server that takes IPv4 on an IPv6 socket shows ``::ffff:192.0.2.1``."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def from_environment(value: str) -> Connection | None:
    """The connection that SSH_CONNECTION names: address and port of the client, then of the server."""
    try:
        peer, peer_port, local, port = value.split()
        return Connection(_plain(peer), int(peer_port), _plain(local), int(port))
    except ValueError:
        return None
