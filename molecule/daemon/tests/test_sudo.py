"""A user that is not root: who may become root changes a host as root does, who may not is told before a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Run
from tests.little_server import served, server

testinfra_hosts = ["ansible://bare1"]
pytestmark = pytest.mark.once

Declare = Callable[..., Run]
PASSWORD = "open-sesame"  # noqa: S105  of a user that a test makes
USERS = f"""
for user in asked visitor; do
    useradd --create-home $user && cp -r /home/deploy/.ssh /home/$user && echo $user:{PASSWORD} | chpasswd
done
echo 'asked ALL=(root) ALL' >/etc/sudoers.d/asked
"""


@pytest.fixture(scope="module", autouse=True)
def users(host: Host) -> Iterator[None]:
    """`asked` has to give a password, `visitor` is in no sudoers file."""
    host.check_output(USERS)
    yield
    host.check_output("userdel --remove asked; userdel --remove visitor; rm /etc/sudoers.d/asked")


@pytest.fixture
def bare(host: Host, module: Callable[..., dict[str, Any]]) -> Host:
    module("bare1", name="probe", state="absent")
    return host


@pytest.mark.parametrize(
    ("user", "variables"), [("deploy", {}), ("asked", {"ansible_become_password": PASSWORD})], ids=["deploy", "asked"]
)
def test_who_may_become_root_changes_the_host(
    bare: Host, declare: Declare, user: str, variables: dict[str, str]
) -> None:
    as_user = {"ansible_user": user, **variables}
    assert declare("--become", "--check", **as_user).code == 0
    assert not bare.file("/opt/tds/probe").exists
    run = declare("--become", **as_user)
    assert (run.code, run.changed) == (0, 1), run.output
    assert served(bare) == server("1.0.0", 1)
    assert declare("--become", **as_user).changed == 0
    assert declare().changed == 0  # root sees no difference
    assert (
        bare.check_output(f"find /opt/tds /etc/probe/ ! -user root; find ~{user} -newer /etc/probe/value -type f") == ""
    )


@pytest.mark.parametrize(
    ("user", "options", "variables", "told"),
    [
        (
            "deploy",
            (),
            {},
            "this run is not root on the host but the user with number 1000, and nothing was changed. Add --become",
        ),
        ("asked", ("--become",), {}, "Missing sudo password"),
        ("asked", ("--become",), {"ansible_become_password": "wrong"}, "Incorrect sudo password"),
        ("visitor", ("--become",), {}, "Missing sudo password"),
        ("visitor", ("--become",), {"ansible_become_password": PASSWORD}, "visitor is not in the sudoers file"),
    ],
    ids=["no become", "no password", "wrong password", "no sudo", "no sudo but a password"],
)
def test_who_may_not_is_told_before_the_first_change(
    bare: Host, declare: Declare, user: str, options: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    run = declare(*options, ansible_user=user, **variables)
    assert (run.code, run.changed) == (2, 0)
    assert told in " ".join(run.output.split())
    assert not bare.file("/opt/tds/probe").exists
