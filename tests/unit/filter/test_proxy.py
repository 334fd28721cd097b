"""Who comes through the door."""

from __future__ import annotations

from typing import Any

import bcrypt
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.proxy import proxy_accounts, proxy_findings
from hypothesis import given
from hypothesis import strategies as st

HASH = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


def declared(*users: Any, **others: Any) -> dict[str, Any]:
    return {"users": list(users), "name": "door", "certificate_names": ["mon1", "door"], "log_files": 100, **others}


def user(**values: Any) -> dict[str, Any]:
    return {"name": "ada", "role": "admin", "password_hash": HASH, **values}


def test_what_can_be_let_in_is_no_finding() -> None:
    other = user(name="o.tto@x-1", role="viewer")
    assert proxy_findings(declared(user(), other, health_networks=["192.0.2.0/24"])) == []
    assert proxy_findings(declared(user(), name="192.0.2.1", certificate_names=["IP:192.0.2.1"])) == []
    assert proxy_findings(declared(user(password_hash=bcrypt.hashpw(b"x", bcrypt.gensalt(10)).decode()))) == []


@pytest.mark.parametrize(
    ("users", "found"),
    [
        ([], "proxy_users is empty: nobody could come in"),
        (["ada"], "proxy_users[0] is no mapping"),
        ([user(email="x")], "proxy_users[0].email is not known: known are name, role, password_hash"),
        ([user(name="")], "proxy_users[0].name is ''"),
        ([user(name="a b")], "proxy_users[0].name is 'a b'"),
        ([user(name="a:b")], "proxy_users[0].name is 'a:b'"),
        ([user(name="{env.X}")], "proxy_users[0].name is '{env.X}'"),
        ([user(name="a" * 65)], "64 at most"),
        ([user(name=7)], "proxy_users[0].name is 7"),
        ([user(name="Local-Admin")], "that is Grafana's own administrator"),
        ([user(role="root")], "proxy_users[0].role is 'root': write one of viewer, operator, admin"),
        ([user(), user(name="Ada")], "proxy_users[1].name is 'Ada': proxy_users[0] is that too"),
        ([user(password_hash="")], "proxy_users[0].password_hash is missing"),
        ([user(password_hash="hunter2")], "proxy_users[0].password_hash is no hash by bcrypt"),
        ([user(password_hash=HASH + "\n")], "is no hash by bcrypt"),
        ([user(password_hash="$1" + HASH[2:])], "is no hash by bcrypt"),
        ([user(password_hash=HASH[:-1])], "is no hash by bcrypt"),
        ([user(password_hash=HASH.replace("$10$", "$09$"))], "is of cost 9, where 10 to 14 will do"),
        ([user(password_hash=HASH.replace("$10$", "$15$"))], "is of cost 15"),
        ([user(password_hash=HASH[:7] + "x" * 53)], "is a placeholder"),
    ],
)
def test_every_mistake_in_a_user_has_its_words(users: list[Any], found: str) -> None:
    (one,) = proxy_findings(declared(*users))
    assert found in one
    assert ": " in one
    with pytest.raises(AnsibleFilterError):
        proxy_accounts(users)


def test_no_list_and_several_mistakes() -> None:
    assert proxy_findings(declared() | {"users": "ada"}) == [
        "proxy_users is no list: write [{name: NAME, role: viewer, password_hash: ...}]"
    ]
    assert len(proxy_findings(declared(user(name="", role="", password_hash="x"), name="nope"))) == 4


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("other", ["mon1"], "it is not in the certificate, which has mon1"),
        ("other", [], "which has no name"),
        ("https://door/", ["door"], "without scheme and port"),
        ("door:443", ["door"], "without scheme and port"),
        (None, ["door"], "without scheme and port"),
    ],
)
def test_a_name_that_the_certificate_has_not_is_refused(name: object, names: list[str], found: str) -> None:
    (one,) = proxy_findings(declared(user(), name=name, certificate_names=names))
    assert found in one


def test_a_network_that_is_none_is_refused() -> None:
    (one,) = proxy_findings(declared(user(), health_networks=["192.0.2.1", "192.0.2.1/24"]))
    assert one.startswith("proxy_health_networks[1] is '192.0.2.1/24': write an address or a network")


@pytest.mark.parametrize("files", [0, -1, 1001, "many", None, 1.5, True])
def test_a_log_without_a_bound_is_refused(files: object) -> None:
    (one,) = proxy_findings(declared(user(), log_files=files))
    assert one == f"proxy_log_files is {files!r}: write a number of files of 10 MiB, 1 to 1000"


def test_accounts_are_what_caddy_reads() -> None:
    assert proxy_accounts([user(), user(name="otto", role="operator")]) == (
        f"basic_auth bcrypt monitoring {{\n\tada {HASH}\n\totto {HASH}\n}}\n"
        "map {http.auth.user.id} {tds_role} {\n\tada admin\n\totto operator\n}\n"
    )


@given(st.text() | st.none() | st.integers())
def test_no_secret_is_in_a_finding(secret: object) -> None:
    canary = f"canary{secret}canary"
    assert [text for text in proxy_findings(declared(user(password_hash=canary))) if canary in text] == []


@given(st.text(max_size=8), st.text(max_size=8))
def test_nothing_but_a_name_and_a_role_comes_into_the_caddyfile(name: str, role: str) -> None:
    try:
        text = proxy_accounts([user(name=name, role=role)])
    except AnsibleFilterError:
        return
    assert len(text.splitlines()) == 6
    assert not set('{}"`#\\') & set(name)
