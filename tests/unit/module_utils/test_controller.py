"""Finding the SSH connection that a module came over, without what sudo takes away."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import controller
from ansible_collections.tds.monitoring.plugins.module_utils.controller import Connection

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000 20 4 30\n"
V4 = Connection(ipaddress.ip_address("10.203.0.1"), 54488, ipaddress.ip_address("10.203.3.10"), 22)
OTHER = Connection(ipaddress.ip_address("10.203.0.9"), 54488, ipaddress.ip_address("10.203.3.10"), 22)


def line(local: str, peer: str, state: str = "01", inode: int = 7) -> str:
    return LINE.format(local=local, peer=peer, state=state, inode=inode)


def packed(address: str, port: int) -> str:
    """As the kernel of a little-endian machine prints it."""
    raw = ipaddress.ip_address(address).packed
    words = [raw[start : start + 4][::-1].hex().upper() for start in range(0, len(raw), 4)]
    return f"{''.join(words)}:{port:04X}"


V6 = Connection(ipaddress.ip_address("fd00::203:1"), 54488, ipaddress.ip_address("fd00::203:10"), 2222)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (line("0A03CB0A:0016", "0100CB0A:D4D8"), {7: V4}),  # as seen
        (line("0A03CB0A:0016", "0100CB0A:D4D8", state="0A"), {}),  # listens
        (line("0A03CB0A:0016", "0100CB0A:D4D8", state="06"), {}),  # is over
        # A server that takes IPv4 on an IPv6 socket.
        (line("0000000000000000FFFF00000A03CB0A:0016", "0000000000000000FFFF00000100CB0A:D4D8"), {7: V4}),
        (line(packed("fd00::203:10", 2222), packed("fd00::203:1", 54488)), {7: V6}),
        ("", {}),
    ],
)
def test_the_kernel_s_table_is_read(text: str, found: dict[int, Connection]) -> None:
    assert controller.established(HEAD + text) == found


def process(proc: Path, pid: int, parent: int, comm: str, inodes: tuple[int, ...] = (), table: str = "") -> None:
    directory = proc / str(pid)
    (directory / "fd").mkdir(parents=True)
    (directory / "net").mkdir()
    (directory / "status").write_text(f"Name:\t{comm}\nPid:\t{pid}\nPPid:\t{parent}\n")
    (directory / "comm").write_text(f"{comm}\n")
    (directory / "net/tcp").write_text(HEAD + table)
    for number, inode in enumerate(inodes):
        (directory / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_the_server_among_the_ancestors_has_the_connection(tmp_path: Path) -> None:
    table = line(packed("10.203.3.10", 22), packed("10.203.0.9", 54488), inode=5)
    table += line(packed("10.203.3.10", 22), packed("10.203.0.1", 54488), inode=7)
    process(tmp_path, 1, 0, "systemd")
    process(tmp_path, 20, 1, "sshd", (3,))
    process(tmp_path, 30, 20, "sshd-session", (6, 7), table)
    process(tmp_path, 40, 30, "sudo", (5,), table)  # its socket, should it have one, is not the controller's
    process(tmp_path, 50, 40, "python3", (), table)
    assert controller.connection({}, tmp_path, 50) == V4
    # What the environment says may be older: of a session that somebody has kept.
    assert controller.connection({"SSH_CONNECTION": "10.203.0.9 54488 10.203.3.10 22"}, tmp_path, 50) == V4


def test_where_no_server_is_among_them_the_environment_has_it(tmp_path: Path) -> None:
    process(tmp_path, 1, 0, "systemd")
    process(tmp_path, 50, 1, "python3")
    assert controller.connection({"SSH_CONNECTION": "10.203.0.9 54488 10.203.3.10 22"}, tmp_path, 50) == OTHER
    assert controller.connection({}, tmp_path, 50) is None


@pytest.mark.parametrize("value", ["", "nonsense", "a 1 b 2", "10.0.0.1 1 10.0.0.2"])
def test_an_environment_without_it_has_none(value: str) -> None:
    assert controller.from_environment(value) is None


def test_a_scope_is_no_part_of_an_address() -> None:
    found = controller.from_environment("fe80::1%eth0 54488 fe80::2%eth0 22")
    assert found
    assert found.peer == ipaddress.ip_address("fe80::1")
