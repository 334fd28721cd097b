"""Names and addresses: all of it arithmetic, so that a host's address follows from its record."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from lab.common import LabError

BRIDGE = "tdslab0"
PREFIX = 16
GATEWAY = "10.203.0.1"
"""The bridge's own address: the apt proxy and the artifact mirror listen here and nowhere else."""

LAB_NUMBERS = range(1, 251)
HOST_INDEXES = range(10, 250)

# A lab's name is a directory's and may be a Molecule scenario's, so it takes underscores; a host's name does not.
_NAMES = {
    "lab": re.compile(r"[a-z]([a-z0-9_-]{0,29}[a-z0-9])?"),
    "host": re.compile(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?"),
}


def check_name(kind: str, name: str) -> str:
    """The name itself, when it can name a ``lab`` or a ``host``; else LabError."""
    if not _NAMES[kind].fullmatch(name):
        marks = "hyphens or underscores" if kind == "lab" else "hyphens"
        raise LabError(
            f"{name!r} cannot be a {kind} name: use lower case letters, digits and inner {marks}, "
            "a letter first, 31 characters at most"
        )
    return name


def lab_number(taken: Collection[int]) -> int:
    """The first free lab number; LabError when all are taken."""
    for number in LAB_NUMBERS:
        if number not in taken:
            return number
    raise LabError(f"all {len(LAB_NUMBERS)} lab numbers are taken: end one with `lab down NAME`")


def host_indexes(existing: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """`existing` and an index for each new name; a host that has an index keeps it."""
    indexes = dict(existing)
    for name in names:
        if name not in indexes:
            indexes[name] = _free_index(indexes.values())
    return indexes


def _free_index(taken: Collection[int]) -> int:
    for index in HOST_INDEXES:
        if index not in taken:
            return index
    raise LabError(f"a lab has room for {len(HOST_INDEXES)} hosts")


def address(number: int, index: int) -> str:
    """The IPv4 address of the host with this index in the lab with this number."""
    return f"10.203.{number}.{index}"


def machine(number: int, index: int) -> str:
    """This machine's name of a host; short, because its interface `vb-NAME` may have 15 characters at most."""
    return f"l{number}h{index}"
