"""The system account that a daemon runs as."""

from __future__ import annotations

import pwd
import subprocess
from typing import NamedTuple


class Account(NamedTuple):
    """An account; one that is yet to be made has the numbers of root and does not exist."""

    name: str = "root"
    uid: int = 0
    gid: int = 0
    exists: bool = True


def find_account(name: str) -> Account:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return Account(name, exists=False)
    return Account(name, found.pw_uid, found.pw_gid)


def make_account(name: str) -> Account:
    """Make a system account that nobody can log in to and that has no home.

    Raises:
        OSError: it cannot be made; the message has the reason in useradd's own words.
    """
    # Part of the transaction, and not a task before it: a host that is refused keeps its accounts as they are.
    options = ["--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
    done = subprocess.run(["useradd", *options, name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"the account {name} cannot be made: {done.stderr.strip()}")
    return find_account(name)
