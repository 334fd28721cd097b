"""What the scenario `firewall` asks: connections between its hosts, and all that is ours on one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testinfra.host import Host

from tests.hosts import eventually, unit

NODE, REDIS, PROMETHEUS, DOOR, TRADING = 19100, 19121, 19090, 8443, 7000
TABLE = "nft --stateless list table inet tds_monitoring"

PROBE = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 1) as connection:
        connection.sendall(b"hello\\n")
        print("served" if connection.recv(9) == b"hello\\n" else "cut")
except TimeoutError:
    print("dropped")
except OSError as error:
    print(error.strerror)
"""
# Says something all the time, on one connection and on a new one each time, and counts what is not answered.
CLIENT = """
import json, socket, sys, time
where, (say, hear), count, errors = (sys.argv[1], int(sys.argv[2])), sys.argv[3:5], 0, []
def ask(connection):
    connection.sendall(say.encode() + b"\\r\\n")
    assert connection.recv(9) == hear.encode() + b"\\r\\n", "cut"
old = socket.create_connection(where, 1)
while True:
    try:
        ask(old)
        with socket.create_connection(where, 1) as new:
            ask(new)
        count += 1
    except (OSError, AssertionError) as error:
        errors.append(repr(error))
    with open("/run/trade.json", "w") as file:
        json.dump({"count": count, "errors": errors}, file)
    time.sleep(0.005)
"""


def address(host: Host, version: int = 4) -> str:
    found = str(host.check_output("hostname -I")).split()
    return next(one for one in found if (":" in one) == (version == 6))


def asks(source: Host, target: Host, port: int, version: int = 4, prefix: str = "") -> str:
    """How a new connection ends: ``served``, ``dropped``, or what the system says."""
    return str(source.check_output(f"{prefix} python3 -c %s %s %s", PROBE, address(target, version), str(port)))


def state(host: Host) -> str:
    """All that is ours on a host, in the kernel and on the disk."""
    files = "find /etc/tds /etc/systemd/system/*tds-firewall* -type f -exec sha256sum {} + -printf '%m %p\\n' | sort"
    shown = unit(host, "tds-firewall", "ActiveState", "UnitFileState")
    return f"{host.run(TABLE).stdout}{host.run(files).stdout}{shown}"


@contextmanager
def trading(source: Host, target: Host, port: int, say: str = "hello", hear: str = "hello") -> Iterator[Trade]:
    """A client on ``source`` that never stops asking a server on ``target``."""
    source.check_output(
        "systemd-run --quiet --collect --unit=trade python3 -c %s %s %s %s %s",
        CLIENT, address(target), str(port), say, hear,
    )  # fmt: skip
    yield Trade(source)
    source.check_output("systemctl stop trade; rm /run/trade.json")


class Trade:
    """A client of the application host that never stops."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def so_far(self) -> dict[str, Any]:
        text = self.host.run("cat /run/trade.json").stdout  # it may be caught while it is being written
        return dict(json.loads(text)) if text.endswith("}") else {"count": 0, "errors": []}

    def went_on(self) -> bool:
        """Whether it did its work since it was asked last; fails on the first message that was not answered."""
        before = self.so_far()["count"]
        assert eventually(lambda: self.so_far()["count"] > before + 20, 10)
        assert eventually(self.so_far, 2)["errors"] == []
        return True
