"""Grafana's configuration from data, and every mistake in it that Grafana would not tell of, or only once it starts.

Grafana passes over keys that it does not know: a slip of the pen would leave its own setting in force, unseen. What it
knows is in ``grafana_keys.txt`` beside this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.network import clear_findings

KEYS = Path(__file__).with_name("grafana_keys.txt")
ANY = "*"
"""In place of keys: the section takes any."""
DATABASES: dict[str, dict[str, str]] = {
    "sqlite3": {},
    "postgres": {
        "host": "HOST:PORT",
        "name": "a name",
        "user": "an account",
        "password": "vault_grafana_database_pass",
    },
}
"""Types of database that the role sets up, and what each needs beside the type."""
DATABASE_OPTIONS = ("max_open_conn", "max_idle_conn", "conn_max_lifetime", "server_cert_name")
POSTGRES_OPTIONS = ("ssl_mode", "ca_cert_path", *DATABASE_OPTIONS)
SSL_MODES = ("verify-full", "require", "disable")
FILE = re.compile(r"\$__file\{/[^{}\s]+\}")
"""Grafana's own way to say that a value is the content of a file."""
SECRETS = re.compile(r"\$__file\{/etc/grafana/secrets/([^{}\s]+)\}")
OWN_SECRETS = ("secret_key", "admin_password", "database_password")
SECRET = re.compile(
    r"(.*_)?(password|secret|token|api_key|access_key|account_key|encryption_key|secret_key|proxy_token|connstr)"
    r"|.*_connection_string|data_keys_redis_url|rudderstack_write_key|key_value|jwk_set_value"
)
"""Keys whose values are secrets."""
DASHBOARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""Of a file without .json; it is the uid, which Grafana holds to 40 characters."""


@cache
def known_keys() -> dict[str, tuple[str, ...]]:
    """The keys of each section that Grafana knows; what stands in front of all sections is of the section ``""``."""
    found: dict[str, tuple[str, ...]] = {}
    section = ""
    for line in KEYS.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(.*)\]( \*)?", line):
            section = header[1]
            found[section] = (ANY,) if header[2] else ()
        elif not line.startswith("#"):
            found[section] += tuple(line.split())
    return found


def grafana_findings(declared: Mapping[str, Any]) -> list[str]:
    """Every mistake in the role's settings, each with variable, value and remedy; no secret is in any.

    Args:
        declared: Settings by section and key: ``ini`` (the user's), ``own`` (which the user may not set) and
            ``defaults`` (which the user may replace); ``reserved`` (the variable for one of ``own``, by
            ``section.key``). Further ``secrets`` (names), ``database``, ``url``, ``listen_address``, ``dashboards``
            (text by name) and ``home`` (the name of one of them, or empty).
    """
    return [
        *_ini_findings(declared),
        *_secret_findings(declared),
        *_database_findings(declared["database"]),
        *_url_findings(declared["url"]),
        *_dashboard_findings(declared["dashboards"], declared["home"]),
        *clear_findings([{"variable": "grafana_listen_address", "addresses": [declared["listen_address"]], "tls": {}}]),
    ]


def grafana_ini(declared: Mapping[str, Any]) -> str:
    """The text of ``grafana.ini``: the role's own settings, then what the user may replace, and what the user adds.

    Raises:
        AnsibleFilterError: every mistake in ``declared``, one a line.
    """
    if findings := grafana_findings(declared):
        raise AnsibleFilterError("\n".join(findings))
    merged: dict[str, dict[str, str]] = {}
    for sections in (declared["defaults"], declared["ini"], declared["own"]):
        for section, keys in sections.items():
            merged.setdefault(section, {}).update({key: _written(value) for key, value in keys.items()})
    return "".join(
        (f"\n[{section}]\n" if section else "") + "".join(f"{key} = {value}\n" for key, value in sorted(keys.items()))
        for section, keys in sorted(merged.items())
    )


# --- grafana.ini


def _ini_findings(declared: Mapping[str, Any]) -> Iterator[str]:
    given = declared["ini"]
    if not isinstance(given, Mapping):
        yield f"grafana_ini is {given!r}: write a mapping of sections, each a mapping of keys to values"
        return
    for variable, sections in (("grafana_ini", given), ("defaults", declared["defaults"]), ("own", declared["own"])):
        for section, keys in sections.items():
            path = f"{variable}[{section!r}]" if "." in str(section) else f"{variable}.{section}"
            if not isinstance(keys, Mapping):
                yield f"{path} is {keys!r}: write a mapping of keys to values"
            elif str(section) not in known_keys():
                yield f"{path} is not a section that Grafana knows{_nearest(section, known_keys())}"
            else:
                for key, value in keys.items():
                    yield from _key_findings(f"{path}.{key}", str(section), str(key), value)
    for section, keys in given.items():
        for key in keys if isinstance(keys, Mapping) else ():
            if key in declared["own"].get(section, {}):
                yield _own_finding(f"grafana_ini.{section}.{key}", declared["reserved"].get(f"{section}.{key}", ""))


def _own_finding(path: str, variable: str) -> str:
    if variable:
        return f"{path} is the role's to set: take it away, and set {variable}"
    return f"{path} is the role's to set, as who may do what follows from it: take it away"


def _key_findings(path: str, section: str, key: str, value: object) -> Iterator[str]:
    known = known_keys()[section]
    if known != (ANY,) and key not in known:
        yield f"{path} is not a key that Grafana knows{_nearest(key, known, section)}"
    if isinstance(value, Mapping | list | tuple):
        yield f"{path} is {value!r}: write one text or number, as grafana.ini has it"
    elif SECRET.fullmatch(key) and value and isinstance(value, str) and not FILE.fullmatch(str(value)):
        yield (
            f"{path} is a secret, and would be readable in grafana.ini: take it from ansible-vault into "
            "grafana_secrets.NAME, and write $__file{/etc/grafana/secrets/NAME}"
        )
    elif re.search(r"[\n\r]|\"\"\"|\\$", str(value)):
        yield f"{path} is {value!r}: write it without line ends, three quotes in a row, and a backslash at its end"


def _nearest(word: object, known: Iterable[str], section: str | None = None) -> str:
    if close := get_close_matches(str(word), list(known), n=1):
        return f": did you mean {close[0]}?"
    elsewhere = [f"[{name}]" for name, keys in known_keys().items() if section is not None and word in keys]
    if elsewhere:
        return f": it is one of {', '.join(elsewhere)}"
    return ": look it up in Grafana's documentation" if section is None else f": [{section}] has {', '.join(known)}"


def _written(value: object) -> str:
    """A value as Grafana's reader takes it: ``#`` and ``;`` begin a remark, and quotes are its own, unless three are
    around it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f'"""{text}"""' if re.search(r"[#;`\"']|^\s|\s$", text) else text


# --- What else is declared


def _secret_findings(declared: Mapping[str, Any]) -> Iterator[str]:
    for name in declared["secrets"]:
        if name in OWN_SECRETS:
            yield f"grafana_secrets.{name} is the role's own name: choose another"
    sections = declared["ini"].items() if isinstance(declared["ini"], Mapping) else ()
    for section, keys in sections:
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            if (file := SECRETS.fullmatch(str(value))) and file[1] not in declared["secrets"]:
                there = ", ".join(declared["secrets"]) or "nothing"
                yield f"grafana_ini.{section}.{key} is {value!r}: grafana_secrets has no {file[1]}, it has {there}"


def _database_findings(database: object) -> Iterator[str]:
    if not isinstance(database, Mapping) or database.get("type") not in DATABASES:
        kind = database.get("type") if isinstance(database, Mapping) else database
        yield f"grafana_database.type is {kind!r}: write {' or '.join(DATABASES)}"
        return
    needed = DATABASES[database["type"]]
    options = (*needed, *(POSTGRES_OPTIONS if needed else ()), "type")
    for key in database:
        if key not in options:
            yield f"grafana_database.{key} is not known{_nearest(key, options) if needed else ': sqlite3 takes none'}"
    for key, example in needed.items():
        if not database.get(key):
            yield f"grafana_database.{key} is missing or empty: write {example}"
    mode = database.get("ssl_mode", SSL_MODES[0])
    if mode not in SSL_MODES:
        yield f"grafana_database.ssl_mode is {mode!r}: write {', '.join(SSL_MODES)}"
    elif needed and mode == "disable" and not _is_at_home(str(database.get("host", ""))):
        yield "grafana_database.ssl_mode is 'disable', and a password would be read on its way: write verify-full"


def _is_at_home(host: str) -> bool:
    return host.startswith(("/", "localhost:", "127.", "[::1]"))


def _url_findings(url: object) -> Iterator[str]:
    parts = urlsplit(str(url))
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        yield f"grafana_external_url is {url!r}: write where people find it, such as https://mon1/grafana/"


def _dashboard_findings(dashboards: Mapping[str, object], home: str) -> Iterator[str]:
    for name, text in dashboards.items():
        path = f"grafana_dashboards.{name}"
        if not DASHBOARD_NAME.fullmatch(name):
            yield f"{path} is no name for one: letters, digits, - and _, and at most 40 of them"
            continue
        try:
            content = json.loads(str(text))
        except ValueError as error:
            yield f"{path} is no JSON: {error}"
            continue
        if not isinstance(content, Mapping) or not content.get("title"):
            yield f"{path} has no title: export a dashboard as JSON, not its panels"
        elif content.get("uid") != name:
            yield f"{path} has the uid {content.get('uid')!r}: write {name!r} there, as links count on it"
    if home and home not in dashboards:
        yield f"grafana_home_dashboard is {home!r}: write one of {', '.join(dashboards) or 'none that there is'}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (grafana_findings, grafana_ini)}
