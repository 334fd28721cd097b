"""What is told of an account that was there before."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import excesses

NOLOGIN = "/usr/sbin/nologin"
GROUPS = {7: "daemon_d", 8: "adm", 9: "users"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def getgrgid(number: int) -> grp.struct_group:
        return grp.struct_group((GROUPS[number], "x", number, []))

    monkeypatch.setattr(grp, "getgrgid", getgrgid)
    return monkeypatch


@pytest.mark.parametrize(
    ("shell", "home", "groups", "told"),
    [
        (NOLOGIN, "/nonexistent", [7], []),
        ("/bin/false", "/nonexistent", [7], []),
        ("/bin/bash", "/nonexistent", [7], ["the shell /bin/bash"]),
        ("", "/nonexistent", [7], ["the shell /bin/sh"]),  # what an empty field means to login
        (NOLOGIN, "HOME", [7], ["the home HOME"]),
        (NOLOGIN, "/nonexistent", [7, 8], ["the group adm"]),
        (NOLOGIN, "/nonexistent", [9], ["the group users"]),  # its own, that others are in
        (NOLOGIN, "/nonexistent", [7, 99], ["the group 99"]),  # which has no name
        ("/bin/sh", "HOME", [9, 8], ["the shell /bin/sh", "the home HOME", "the group users", "the group adm"]),
    ],
)
def test_more_than_a_daemon_needs_is_told(
    account: pytest.MonkeyPatch, tmp_path: Path, shell: str, home: str, groups: list[int], told: list[str]
) -> None:
    home = home.replace("HOME", str(tmp_path))
    entry = pwd.struct_passwd(("daemon_d", "x", 990, groups[0], "", home, shell))
    account.setattr(pwd, "getpwnam", lambda _name: entry)
    account.setattr(os, "getgrouplist", lambda _name, _gid: groups)
    assert list(excesses("daemon_d")) == [words.replace("HOME", str(tmp_path)) for words in told]


def test_nothing_is_told_of_an_account_that_is_not_there() -> None:
    assert list(excesses("no-such-account")) == []


def test_nothing_is_told_of_root() -> None:
    assert list(excesses("root")) == []
