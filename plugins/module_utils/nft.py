"""Our one table in the kernel: what it is, and what a text would make of it. No other table is read or written."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .ruleset import TABLE

NFT = "/usr/sbin/nft"
TIMEOUT_S = 60


class NftError(Exception):
    """nft refused; the message is its own."""


def is_installed() -> bool:
    return Path(NFT).exists()


def live() -> str:
    """The table as nft lists it, without its counters; empty when there is none."""
    return _list("--stateless")


def loadable() -> str:
    """A text that brings the table back as it is now, counters too; when there is none, one that removes it."""
    return f"table {TABLE}\ndelete table {TABLE}\n{_list()}"


def listed(text: str) -> str:
    """The table that ``text`` makes, as nft lists it.

    nft's own spelling differs from what it was given, by its release. So it is asked, in a network namespace that is
    gone when it has answered, and a comparison with :func:`live` needs no record of what was loaded.

    Raises:
        NftError: the text is refused.
    """
    ask = f"{NFT} --file - && {NFT} --stateless list table {TABLE}"
    command = ["unshare", "--net", "sh", "-c", ask]
    return _checked(command, _run(command, text))


def check(text: str) -> None:
    """Have the kernel judge a text where it is to be loaded; changes nothing."""
    command = [NFT, "--check", "--file", "-"]
    _checked(command, _run(command, text))


def load(text: str) -> None:
    """Load a text as one transaction."""
    command = [NFT, "--file", "-"]
    _checked(command, _run(command, text))


def delete() -> None:
    """Remove the table; that there is none is fine."""
    load(f"table {TABLE}\ndelete table {TABLE}\n")


def _list(*options: str) -> str:
    command = [NFT, *options, "list", "table", *TABLE.split()]
    done = _run(command)
    if done.returncode and "No such file or directory" in done.stderr:
        return ""
    return _checked(command, done)


def _run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(str(error)) from error


def _checked(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise NftError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
