"""The system account that a daemon runs as."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .plan import Refusal

NO_SHELLS = {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"}


class Account(NamedTuple):
    """An account; one that is yet to be made has the numbers of root and does not exist."""

    name: str = "root"
    uid: int = 0
    gid: int = 0
    exists: bool = True


def refuse_without_root() -> None:
    """Before the first look: who is not root sees half of a host, and takes it for the whole.

    Raises:
        Refusal: this process is not root's.
    """
    if os.geteuid() != 0:
        raise Refusal(
            f"this run is not root on the host but the user with number {os.geteuid()}, and nothing was changed. Add "
            "--become, or connect as root."
        )


def find_account(name: str) -> Account:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return Account(name, exists=False)
    return Account(name, found.pw_uid, found.pw_gid)


def group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


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


def excesses(name: str) -> Iterator[str]:
    """What an account has that a daemon does not need; nothing for one that `make_account` made, and for none."""
    with suppress(KeyError):
        account = pwd.getpwnam(name)
        if account.pw_uid == 0:
            return
        if account.pw_shell not in NO_SHELLS:
            yield f"the shell {account.pw_shell or '/bin/sh'}"
        if Path(account.pw_dir).is_dir():
            yield f"the home {account.pw_dir}"
        for group in os.getgrouplist(name, account.pw_gid):
            if (group_name := _group(group)) != name:
                yield f"the group {group_name}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
