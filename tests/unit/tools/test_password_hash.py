"""The hash of a password."""

from __future__ import annotations

import bcrypt
import pytest
from ansible_collections.tds.monitoring.plugins.filter.proxy import proxy_accounts

from tools.password_hash import password_hash


def test_it_is_what_the_door_takes_and_the_passwords_own() -> None:
    made = password_hash("correct horse", "correct horse")
    assert made in proxy_accounts([{"name": "ada", "role": "admin", "password_hash": made}])
    assert bcrypt.checkpw(b"correct horse", made.encode())
    assert made != password_hash("correct horse", "correct horse")


@pytest.mark.parametrize(
    ("password", "again", "why"),
    [("correct horse", "other", "differ"), ("short", "short", "too short"), ("é" * 37, "é" * 37, "too long")],
)
def test_what_will_not_do_is_refused(password: str, again: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        password_hash(password, again)
