"""Grafana's configuration from data, and every mistake in it."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.grafana import (
    grafana_findings,
    grafana_ini,
    known_keys,
)

ROLE = Path(__file__).parents[3] / "roles/grafana"
KEY_FILE = "$__file{/etc/grafana/secrets/secret_key}"
BOARD = json.dumps({"uid": "trade", "title": "Trade"})
POSTGRES = {"type": "postgres", "host": "db1:5432", "name": "grafana", "user": "grafana", "password": "canary"}
DECLARED: dict[str, Any] = {
    "ini": {"users": {"default_theme": "light"}},
    "own": {"server": {"http_port": 3000}, "auth.basic": {"enabled": False}, "security": {"secret_key": KEY_FILE}},
    "defaults": {"log": {"mode": "console"}, "users": {"default_theme": "dark"}},
    "reserved": {"server.http_port": "grafana_port"},
    "secrets": ["smtp"],
    "database": {"type": "sqlite3"},
    "url": "https://mon1/grafana/",
    "listen_address": "127.0.0.1",
    "dashboards": {"trade": BOARD},
    "home": "trade",
}


def declared(**changes: Any) -> dict[str, Any]:
    return DECLARED | changes


def ini(**sections: Any) -> dict[str, Any]:
    return declared(ini=sections)


def board(name: str, text: object) -> dict[str, Any]:
    return declared(dashboards={"trade": BOARD, name: text})


GOOD = [
    DECLARED,
    ini(),
    declared(home="", dashboards={}),
    declared(database=POSTGRES),
    declared(database=POSTGRES | {"host": "localhost:5432", "ssl_mode": "disable"}),
    declared(database=POSTGRES | {"host": "/run/postgresql", "ssl_mode": "disable"}),
    declared(
        database=POSTGRES | {"ssl_mode": "verify-full", "ca_cert_path": "/etc/tds/tls/ca.crt", "max_open_conn": 8}
    ),
    ini(smtp={"enabled": True, "password": "$__file{/etc/grafana/secrets/smtp}"}),
    ini(feature_toggles={"anythingAtAll": True}),
    ini(quota={"org_api_key": 10}),
    declared(ini={"": {"instance_name": "mon"}, "metrics.environment_info": {"site": "a"}}),
    declared(listen_address="::1"),
]


@pytest.mark.parametrize("good", GOOD)
def test_what_can_work_has_no_findings(good: dict[str, Any]) -> None:
    assert grafana_findings(good) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    # what Grafana does not know
    (ini(users={"default_thme": "x"}), "grafana_ini.users.default_thme is not a key that Grafana knows: did you me"),
    (ini(usrs={"default_theme": "x"}), "grafana_ini.usrs is not a section that Grafana knows: did you mean users?"),
    (ini(zzz={"a": 1}), "grafana_ini.zzz is not a section that Grafana knows: look it up"),
    (ini(news={"cookie_secure": True}), "cookie_secure is not a key that Grafana knows: it is one of [security]"),
    (ini(news={"zzz": True}), "grafana_ini.news.zzz is not a key that Grafana knows: [news] has news_feed_enabled"),
    (
        declared(ini={"auth.prxy": {}}),
        "grafana_ini['auth.prxy'] is not a section that Grafana knows: did you mean auth.",
    ),
    (
        declared(own={"server": {"http_prt": 1}}),
        "own.server.http_prt is not a key that Grafana knows: did you mean http_",
    ),
    (declared(defaults={"lag": {}}), "defaults.lag is not a section that Grafana knows: did you mean log?"),
    # what the role sets itself
    (ini(server={"http_port": 1}), "server.http_port is the role's to set: take it away, and set grafana_port"),
    (declared(ini={"auth.basic": {"enabled": True}}), "auth.basic.enabled is the role's to set, as who may do"),
    # what cannot be written
    (declared(ini="[users]"), "grafana_ini is '[users]': write a mapping of sections"),
    (ini(users="light"), "grafana_ini.users is 'light': write a mapping of keys"),
    (ini(users={"home_page": ["a"]}), "grafana_ini.users.home_page is ['a']: write one text or number"),
    (
        ini(users={"home_page": "a\n[auth.anonymous]"}),
        "home_page is 'a\\n[auth.anonymous]': write it without line ends",
    ),
    (ini(users={"home_page": 'a"""b'}), "without line ends, three quotes"),
    (ini(users={"home_page": "a\\"}), "a backslash at its end"),
    # secrets
    (ini(smtp={"password": "canary"}), "smtp.password is a secret, and would be readable in grafana.ini: take"),
    (ini(analytics={"rudderstack_write_key": "canary"}), "rudderstack_write_key is a secret"),
    (ini(smtp={"password": "$__file{/etc/grafana/secrets/mail}"}), "grafana_secrets has no mail, it has smtp"),
    (declared(secrets=["secret_key"]), "grafana_secrets.secret_key is the role's own name: choose another"),
    # the database
    (declared(database={"type": "mysql"}), "grafana_database.type is 'mysql': write sqlite3 or postgres"),
    (declared(database="postgres"), "grafana_database.type is 'postgres': write sqlite3 or postgres"),
    (declared(database={"type": "sqlite3", "host": "db1"}), "grafana_database.host is not known: sqlite3 takes none"),
    (declared(database=POSTGRES | {"usr": "x"}), "grafana_database.usr is not known: did you mean user?"),
    (declared(database=POSTGRES | {"password": ""}), "grafana_database.password is missing or empty: write vault_"),
    (declared(database=POSTGRES | {"ssl_mode": "prefer"}), "grafana_database.ssl_mode is 'prefer': write verify-full"),
    (declared(database=POSTGRES | {"ssl_mode": "disable"}), "grafana_database.ssl_mode is 'disable', and a pass"),
    # where it is
    (declared(url="http://mon1/grafana/"), "grafana_external_url is 'http://mon1/grafana/': write where"),
    (declared(url="https:///grafana/"), "grafana_external_url is"),
    (declared(url="https://mon1/grafana?a=b"), "grafana_external_url is"),
    (declared(listen_address="0.0.0.0"), "grafana_listen_address is '0.0.0.0', where others read it in clear"),  # noqa: S104
    # dashboards
    (board("a b", BOARD), "grafana_dashboards.a b is no name for one"),
    (board("x" * 41, BOARD), "at most 40"),
    (board("orders", "{"), "grafana_dashboards.orders is no JSON: "),
    (board("orders", "[]"), "grafana_dashboards.orders has no title"),
    (board("orders", '{"uid": "orders"}'), "grafana_dashboards.orders has no title"),
    (board("orders", '{"title": "x", "uid": "trade"}'), "orders has the uid 'trade': write 'orders'"),
    (declared(home="orders"), "grafana_home_dashboard is 'orders': write one of trade"),
    (declared(home="orders", dashboards={}), "write one of none that there is"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_with_variable_and_remedy(wrong: dict[str, Any], told: str) -> None:
    (finding,) = grafana_findings(wrong)
    assert told in finding
    assert ": " in finding
    assert "canary" not in finding
    with pytest.raises(AnsibleFilterError) as refusal:
        grafana_ini(wrong)
    assert finding in str(refusal.value)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(grafana_findings(ini(users={"a": "x"}, smtp={"password": "y"}) | {"url": ""})) == 3


def test_the_users_settings_replace_defaults_and_leave_the_roles_own() -> None:
    text = grafana_ini(declared(ini={"": {"app_mode": "production"}, "users": {"default_theme": "light"}}))
    read = configparser.ConfigParser(interpolation=None)
    read.read_string("[-]\n" + text)
    assert {name: dict(section) for name, section in read.items() if section} == {
        "-": {"app_mode": "production"},
        "auth.basic": {"enabled": "false"},
        "log": {"mode": "console"},
        "security": {"secret_key": KEY_FILE},
        "server": {"http_port": "3000"},
        "users": {"default_theme": "light"},
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (None, ""),
        (1.5, "1.5"),
        ("a b", "a b"),
        ("a#b", '"""a#b"""'),
        ("a;b", '"""a;b"""'),
        ("`a`", '"""`a`"""'),
        (" a", '""" a"""'),
        ("%(protocol)s://x", "%(protocol)s://x"),
    ],
)
def test_a_value_is_written_so_that_it_is_read_as_it_was(value: object, written: str) -> None:
    assert f"\nhome_page = {written}\n" in grafana_ini(ini(users={"home_page": value}))


# --- The list of names, and the role's own settings


def test_the_list_of_names_is_that_of_the_product() -> None:
    known = known_keys()
    assert len(known) > 100
    assert sum(map(len, known.values())) > 880
    assert all(len(set(keys)) == len(keys) for keys in known.values())
    assert {"root_url", "serve_from_sub_path", "http_addr"} <= set(known["server"])
    assert "instance_name" in known[""]
    assert known["feature_toggles"] == ("*",)
    assert known["external_image_storage.local"] == ()


OWN: dict[str, dict[str, Any]] = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__grafana_own"]


def test_the_role_sets_what_security_follows_from() -> None:
    """What is asked of it, as values; that Grafana knows these keys, the filter sees to."""
    wanted: dict[str, dict[str, Any]] = {
        "auth.proxy": {
            "enabled": True,
            "whitelist": "127.0.0.1, ::1",
            "header_name": "X-Webauth-User",
            "headers": "Role:X-Webauth-Role",
            "enable_login_token": False,
        },
        "auth": {"disable_login_form": True},
        "auth.basic": {"enabled": False},
        "auth.anonymous": {"enabled": False},
        "users": {"allow_sign_up": False, "allow_org_create": False, "auto_assign_org_role": "Viewer"},
        "security": {
            "admin_user": "local-admin",
            "disable_gravatar": True,
            "cookie_secure": True,
            "cookie_samesite": "strict",
        },
        "analytics": {
            "reporting_enabled": False,
            "check_for_updates": False,
            "check_for_plugin_updates": False,
            "feedback_links_enabled": False,
        },
        "plugins": {"plugin_admin_enabled": False, "preinstall_disabled": True},
        "snapshots": {"external_enabled": False},
        "news": {"news_feed_enabled": False},
    }
    assert {section: {key: OWN[section][key] for key in keys} for section, keys in wanted.items()} == wanted
    assert OWN["security"]["admin_password"] == "$__file{/etc/grafana/secrets/admin_password}"


# What Grafana's documentation of provisioning says that such files may have.
DATASOURCE = {
    "name": str,
    "uid": str,
    "type": str,
    "access": str,
    "orgId": int,
    "url": str,
    "isDefault": bool,
    "editable": bool,
    "jsonData": dict,
    "secureJsonData": dict,
    "basicAuth": bool,
    "basicAuthUser": str,
    "database": str,
    "user": str,
    "withCredentials": bool,
    "version": int,
}
PROVIDER = {
    "name": str,
    "orgId": int,
    "type": str,
    "folder": str,
    "folderUid": str,
    "disableDeletion": bool,
    "allowUiUpdates": bool,
    "updateIntervalSeconds": int,
    "options": dict,
}
"""Key and type, of an item of ``datasources`` and of ``providers``."""


@pytest.mark.parametrize(
    ("variable", "items", "schema"),
    [("__grafana_datasources", "datasources", DATASOURCE), ("__grafana_providers", "providers", PROVIDER)],
)
def test_provisioning_files_have_what_is_documented_and_nothing_else(
    variable: str, items: str, schema: dict[str, type]
) -> None:
    document = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))[variable]
    assert document["apiVersion"] == 1
    assert set(document) <= {"apiVersion", "prune", "deleteDatasources", items}
    for item in document[items]:
        assert set(item) <= schema.keys()
        for key, value in item.items():  # what is still a template becomes what it says, in the scenario
            assert isinstance(value, schema[key]) or "{{" in value, key
