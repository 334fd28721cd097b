"""Who comes through the door: the accounts as Caddy reads them, and every mistake in them, before a host is touched.

A user is a mapping of ``name``, ``role`` and ``password_hash``. All are functions of their arguments alone, and no hash
is in anything that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any

from ansible.errors import AnsibleFilterError

ROLES = ("viewer", "operator", "admin")
"""Each may do what those before it may."""
KEYS = ("name", "role", "password_hash")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
GRAFANAS_OWN = "local-admin"
BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$(?P<digest>[./A-Za-z0-9]{53})")
COSTS = range(10, 15)
LOG_FILES = range(1, 1001)
"""Rounds are two to this power: below, a stolen hash is tried too fast; above, a login takes more than a second."""
FEWEST_CHARACTERS = 16
"""Different ones, in salt and digest: of 53 random ones about 36 are, with fewer than 16 it is a placeholder."""
REMEDY = "make one with `make password-hash`, and put it into vault.yml"
DNS_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def proxy_findings(declared: Mapping[str, Any]) -> list[str]:
    """Every mistake, each with variable, value and remedy.

    ``declared`` has the role's settings without their prefix: ``users``, ``name``, ``certificate_names``,
    ``health_networks`` and ``log_files``.
    """
    return [
        *_users_findings(declared.get("users")),
        *_name_findings(declared.get("name"), declared.get("certificate_names") or ()),
        *_network_findings(declared.get("health_networks") or ()),
        *_log_findings(declared.get("log_files")),
    ]


def _users_findings(users: object) -> Iterator[str]:
    if not isinstance(users, Sequence) or isinstance(users, str):
        yield "proxy_users is no list: write [{name: NAME, role: viewer, password_hash: ...}]"
        return
    if not users:
        yield f"proxy_users is empty: nobody could come in; write name, role and password_hash, and {REMEDY}"
    seen: dict[str, int] = {}
    for index, user in enumerate(users):
        path = f"proxy_users[{index}]"
        if not isinstance(user, Mapping):
            yield f"{path} is no mapping: write {{name: NAME, role: viewer, password_hash: ...}}"
            continue
        yield from (f"{path}.{key} is not known: known are {', '.join(KEYS)}" for key in user if key not in KEYS)
        yield from _user_findings(path, user)
        name = str(user.get("name")).lower()
        if seen.setdefault(name, index) != index:
            yield f"{path}.name is {user.get('name')!r}: proxy_users[{seen[name]}] is that too, remove one"


def _user_findings(path: str, user: Mapping[str, Any]) -> Iterator[str]:
    name, role = user.get("name"), user.get("role")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"{path}.name is {name!r}: use letters, digits, and . _ @ - but not at its beginning; 64 at most"
    elif name.lower() == GRAFANAS_OWN:
        yield f"{path}.name is {name!r}: that is Grafana's own administrator, choose another"
    if role not in ROLES:
        yield f"{path}.role is {role!r}: write one of {', '.join(ROLES)}"
    if fault := _hash_fault(user.get("password_hash")):
        yield f"{path}.password_hash is {fault}: {REMEDY}"


def _log_findings(files: object) -> Iterator[str]:
    # Caddy takes 0 for 10, and keeps all of them where it is negative.
    if not str(files).isdecimal() or int(str(files)) not in LOG_FILES:
        yield f"proxy_log_files is {files!r}: write a number of files of 10 MiB, {LOG_FILES[0]} to {LOG_FILES[-1]}"


def _hash_fault(value: object) -> str:
    """What is wrong with a hash, in words that say nothing of it; empty if nothing is."""
    if value is None or value == "":
        return "missing"
    if not isinstance(value, str) or not (match := BCRYPT.fullmatch(value)):
        return "no hash by bcrypt"
    if (cost := int(match["cost"])) not in COSTS:
        return f"of cost {cost}, where {COSTS[0]} to {COSTS[-1]} will do"
    return "a placeholder" if len(set(match["digest"])) < FEWEST_CHARACTERS else ""


def _name_findings(name: object, names: Iterable[str]) -> Iterator[str]:
    if not isinstance(name, str) or not (DNS_NAME.fullmatch(name) or _is_address(name)):
        yield f"proxy_name is {name!r}: write the DNS name that people use, without scheme and port"
        return
    there = [known.removeprefix("DNS:").removeprefix("IP:").lower() for known in names]
    if name.lower() not in there:
        yield (
            f"proxy_name is {name!r}: it is not in the certificate, which has {', '.join(there) or 'no name'}; "
            "add it to certificates_names"
        )


def _is_address(value: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(value))
    return False


def _network_findings(networks: Iterable[object]) -> Iterator[str]:
    for index, network in enumerate(networks):
        try:
            ip_network(str(network))
        except ValueError:
            yield f"proxy_health_networks[{index}] is {network!r}: write an address or a network, such as 192.0.2.0/24"


def proxy_accounts(users: Sequence[Mapping[str, str]]) -> str:
    """Part of a Caddyfile: who is asked for which password, and ``{tds_role}`` of who has given it.

    Raises:
        AnsibleFilterError: every mistake in the users, one a line.
    """
    if findings := list(_users_findings(users)):
        raise AnsibleFilterError("\n".join(findings))
    return "".join(
        (
            "basic_auth bcrypt monitoring {\n",
            *(f"\t{user['name']} {user['password_hash']}\n" for user in users),
            "}\nmap {http.auth.user.id} {tds_role} {\n",
            *(f"\t{user['name']} {user['role']}\n" for user in users),
            "}\n",
        )
    )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (proxy_accounts, proxy_findings)}
