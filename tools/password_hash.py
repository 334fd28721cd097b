"""The bcrypt hash of a password, for ``proxy_users``; asked for twice, and shown nowhere."""

from __future__ import annotations

import getpass
import sys

import bcrypt

COST = 10
"""60 ms of a processor: paid once by each user and source, and then remembered by the door."""
SHORTEST, LONGEST = 12, 72
"""Characters, and bytes: bcrypt takes no more."""


def password_hash(password: str, again: str, cost: int = COST) -> str:
    """The hash.

    Raises:
        ValueError: why this password will not do.
    """
    if password != again:
        raise ValueError("the two differ")
    if len(password) < SHORTEST:
        raise ValueError(f"it is too short: {SHORTEST} characters at least")
    if len(password.encode()) > LONGEST:
        raise ValueError(f"it is too long: bcrypt takes {LONGEST} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def main() -> int:
    password = getpass.getpass("Password: ")
    try:
        print(password_hash(password, getpass.getpass("Again: ")))
    except ValueError as error:
        print(f"password-hash: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
