"""Alertmanager's configuration from data: what it is made of, every mistake in it, and what must be tried with it.

``declared`` is one mapping of the role's settings, named without their prefix ``alertmanager_``. All are functions of
their arguments alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.module_utils.plain import plain

ETC = "/etc/alertmanager"
SECRETS = "secrets/"
NOBODY, HEARTBEAT, TRADING_HOURS = "nobody", "heartbeat", "trading_hours"
TEST_ALERT = "VerifyTest"
"""What playbooks/verify.yml sends."""
OWN_RECEIVERS = (NOBODY, HEARTBEAT)

# Settings that hold a secret, and the one that names a file instead (prometheus.io/docs/alerting/latest/configuration).
SECRET_SETTINGS = {
    name: f"{name}_file"
    for name in (
        "alert_source_token", "api_key", "api_secret", "app_token", "auth_password", "auth_secret", "bot_token",
        "client_secret", "credentials", "opsgenie_api_key", "password", "rocketchat_token", "rocketchat_token_id",
        "routing_key", "service_key", "slack_api_url", "slack_app_token", "smtp_auth_password", "smtp_auth_secret",
        "token", "token_id", "user_key", "victorops_api_key", "webhook_url", "wechat_api_secret",
    )
} | {"bearer_token": "authorization.credentials_file", "secrets": "files", "secret_key": "profile"}  # fmt: skip
NO_SECRETS = {("victorops_configs", "routing_key")}  # there it is the name of a team
SLACK_WITH_A_TOKEN = "https://slack.com/api/chat.postMessage"  # noqa: S105  the token comes with app_token_file

ALERT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DEFINITION = re.compile(r"{{-?\s*define\s+\"([^\"]+)\"")
CALL = re.compile(r"{{-?\s*template\s+\"([^\"]+)\"")
LABEL = re.compile(r"\.(?:CommonLabels|GroupLabels|Labels)\.(\w+)")
LABEL_METHODS = frozenset({"SortedPairs", "Names", "Values", "Remove"})


# --- Findings


def alerting_findings(declared: Mapping[str, Any]) -> list[str]:
    """Every mistake that amtool does not see, each with variable, value and remedy; a secret's value is in none."""
    return list(_findings(declared))


def _findings(declared: Mapping[str, Any]) -> Iterator[str]:
    yield from _receiver_findings(declared.get("receivers"))
    for name in ("global", "receivers", "heartbeat"):
        value = declared.get(name) or {}
        yield from _secret_findings(f"alertmanager_{name}", value, "")
        yield from _file_findings(f"alertmanager_{name}", value, set(declared.get("secrets") or ()))
    yield from _route_findings(declared)
    for name in declared.get("trading_hours_alerts") or ():
        if not ALERT_NAME.fullmatch(str(name)):
            yield f"alertmanager_trading_hours_alerts has {name!r}: write the name of an alert"
    if declared.get("peers") and not _is_ip_address(declared.get("cluster_address")):
        yield (
            f"alertmanager_cluster_address is {declared.get('cluster_address')!r}: the Alertmanagers of a cluster know "
            "each other by IP address; write that of this host as monitoring_address, and it is in its certificate"
        )
    known = set(declared.get("labels") or ())
    for where, text in _texts(declared):
        for label in sorted(set(LABEL.findall(text)) - known - LABEL_METHODS):
            yield (
                f"{where} uses the label {label!r}, which no alert carries, and a text with it would be empty there: "
                f"known are {', '.join(sorted(known))}; add it to alertmanager_template_labels if yours do"
            )


def _route_findings(declared: Mapping[str, Any]) -> Iterator[str]:
    """Receivers that there are none of."""
    names = {receiver.get("name") for receiver in declared.get("receivers") or () if isinstance(receiver, Mapping)}
    wanted = {"alertmanager_test_receiver": declared.get("test_receiver") or None}
    for severity, route in (declared.get("severities") or {}).items():
        if not isinstance(route, Mapping):
            yield f"alertmanager_severities.{severity} is {route!r}: write a mapping, such as {{receiver: NAME}}"
        else:
            wanted[f"alertmanager_severities.{severity}.receiver"] = route.get("receiver")
    there = ", ".join(sorted(map(str, names)))
    for variable, receiver in wanted.items():
        if receiver is not None and receiver not in names:
            yield f"{variable} is {receiver!r}: alertmanager_receivers has {there}"


def _is_ip_address(value: object) -> bool:
    try:
        ip_address(str(value))
    except ValueError:
        return False
    return True


def _receiver_findings(receivers: object) -> Iterator[str]:
    if not isinstance(receivers, Sequence) or isinstance(receivers, str) or not receivers:
        yield "alertmanager_receivers is missing or empty: write one with a name and, for example, webhook_configs"
        return
    for index, receiver in enumerate(receivers):
        path = f"alertmanager_receivers[{index}]"
        if not isinstance(receiver, Mapping) or not isinstance(receiver.get("name"), str):
            yield f"{path} has no name: write a mapping with name and, for example, webhook_configs"
            continue
        if receiver["name"] in OWN_RECEIVERS:
            yield f"{path}.name is {receiver['name']!r}, which the role uses itself: choose another"
        if not any(value for key, value in receiver.items() if str(key).endswith("_configs")):
            yield (
                f"{path} ({receiver['name']}) sends to nobody, so what is routed to it would be lost: add what it "
                "notifies, for example webhook_configs, or take it and its routes away"
            )


def _secret_findings(path: str, value: object, kind: str) -> Iterator[str]:
    """Secrets that would be in the configuration. ``kind`` is the integration that ``value`` is in."""
    for here, key, inner in _items(path, value):
        if isinstance(inner, Mapping | list | tuple) and key != "secrets":
            yield from _secret_findings(here, inner, key if key.endswith(("_configs", "tls_config")) else kind)
        elif key == "proxy_url" and isinstance(inner, str) and _has_secret(inner):
            yield (
                f"{here} has a password in it, which would be readable in alertmanager.yml: write it without, and let "
                "the proxy know Alertmanager by its address"
            )
        elif remedy := _secret_remedy(kind, key, inner):
            yield (
                f"{here} is a secret, and would be readable in alertmanager.yml: take it from ansible-vault into "
                f"alertmanager_secrets.NAME, and write {remedy}: {SECRETS}NAME"
            )


def _secret_remedy(kind: str, key: str, value: object) -> str | None:
    if key == "api_url" and kind == "slack_configs":
        return None if value == SLACK_WITH_A_TOKEN else "api_url_file"
    if key == "url" and isinstance(value, str):
        return "url_file" if _has_secret(value, query=True) else None
    if (kind, key) == ("tls_config", "key"):
        return "key_file"
    return None if (kind, key) in NO_SECRETS else SECRET_SETTINGS.get(key)


def _has_secret(url: str, *, query: bool = False) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # amtool's to refuse
        return False
    return bool(parts.username or parts.password or (query and parts.query))


def _file_findings(path: str, value: object, secrets: set[str]) -> Iterator[str]:
    for here, key, inner in _items(path, value):
        if isinstance(inner, Mapping | list | tuple):
            yield from _file_findings(here, inner, secrets)
        elif isinstance(inner, str) and inner.startswith(SECRETS):
            if (name := inner[len(SECRETS) :]) not in secrets:
                there = ", ".join(sorted(secrets)) or "nothing"
                yield f"{here} is {inner!r}: alertmanager_secrets has no {name}, it has {there}"
        elif key.endswith("_file") and isinstance(inner, str) and not inner.startswith("/"):
            yield f"{here} is {inner!r}, where Alertmanager finds nothing: write {SECRETS}NAME, or a path from /"


def _items(path: str, value: object) -> Iterator[tuple[str, str, Any]]:
    """Path, key and value of what is directly in a mapping or a list."""
    if isinstance(value, Mapping):
        yield from ((f"{path}.{key}", str(key), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{index}]", "", inner) for index, inner in enumerate(value))


# --- The configuration


def alerting_config(declared: Mapping[str, Any]) -> dict[str, Any]:
    """``alertmanager.yml``, as data.

    Raises:
        AnsibleFilterError: every mistake in ``declared``, one a line.
    """
    if findings := alerting_findings(declared):
        raise AnsibleFilterError("\n".join(findings))
    heartbeat = [{"send_resolved": False, **declared["heartbeat"]}] if declared["heartbeat"] else []
    own = [{"name": HEARTBEAT, "webhook_configs": heartbeat}] if heartbeat else [{"name": NOBODY}]
    intervals = [*declared["time_intervals"]]
    if declared["trading_hours"]:
        intervals.append({"name": TRADING_HOURS, "time_intervals": declared["trading_hours"]})
    config = {
        "global": declared["global"],
        "templates": ["templates/*.tmpl"],
        "route": _route(declared),
        "receivers": _with_absolute_files([*declared["receivers"], *own]),
        "inhibit_rules": declared["inhibit_rules"],
        "time_intervals": intervals,
    }
    return {key: value for key, value in config.items() if value}


def _route(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The routing tree: the heartbeat, the test alert, the site's own routes, then one route for each severity.

    An alert of no known severity goes where warnings go.
    """
    severities = {severity: _severity_route(declared, severity) for severity in declared["severities"]}
    return {
        **_severity_route(declared, "warning"),
        "routes": [
            _watchdog_route(declared),
            _test_route(declared),
            *declared["routes"],
            *(
                {"matchers": [f'severity="{severity}"'], **route, **_muted(declared)}
                for severity, route in severities.items()
            ),
        ],
    }


def _severity_route(declared: Mapping[str, Any], severity: str) -> dict[str, Any]:
    # A copy, as YAML writes what it meets twice as an alias; a plain one, as a deep copy of Ansible's containers takes
    # every variable of the host with it: seconds.
    return {"receiver": declared["receivers"][0]["name"], **plain(declared["severities"][severity])}


def _watchdog_route(declared: Mapping[str, Any]) -> dict[str, Any]:
    # A repetition is due at the first group_interval after repeat_interval.
    interval = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": declared["heartbeat_interval"]}
    receiver = HEARTBEAT if declared["heartbeat"] else NOBODY
    return {"matchers": ['alertname="Watchdog"'], "receiver": receiver, "group_by": ["..."], **interval}


def _test_route(declared: Mapping[str, Any]) -> dict[str, Any]:
    """In front of the site's own, at once, and each for itself: of several Alertmanagers, each has one of its own."""
    receiver = alerting_test(declared)["receiver"]
    interval = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    return {"matchers": [f'alertname="{TEST_ALERT}"'], "receiver": receiver, "group_by": ["..."], **interval}


def alerting_test(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Who is told of a test alert: ``receiver``, and ``integrations``, how many it has of each, such as ``webhook``."""
    receivers = {receiver["name"]: receiver for receiver in declared["receivers"]}
    name = declared["test_receiver"] or _severity_route(declared, "warning")["receiver"]
    integrations = {
        kind.removesuffix("_configs"): len(entries)
        for kind, entries in receivers.get(name, {}).items()
        if kind.endswith("_configs") and entries
    }
    return {"receiver": name, "integrations": integrations}


def _muted(declared: Mapping[str, Any]) -> dict[str, Any]:
    if not (declared["trading_hours"] and declared["trading_hours_alerts"]):
        return {}
    names = f'alertname=~"{"|".join(declared["trading_hours_alerts"])}"'
    return {"routes": [{"matchers": [names], "active_time_intervals": [TRADING_HOURS]}]}


def _with_absolute_files(value: Any) -> Any:
    """Alertmanager looks for these files from its working directory, not from the configuration's."""
    if isinstance(value, Mapping):
        return {str(key): _with_absolute_files(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_absolute_files(inner) for inner in value]
    return f"{ETC}/{value}" if isinstance(value, str) and value.startswith(SECRETS) else value


def config_hash(text: str) -> int:
    """What Alertmanager shows as ``alertmanager_config_hash`` while a file with this text is in force."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:6], "little")


# --- What is tried before anything changes


def alerting_checks(declared: Mapping[str, Any], amtool: str, samples: Iterable[str]) -> list[dict[str, Any]]:
    """Checks of a generation: who is told of which alert, and every text rendered with every sample."""
    return [*_route_checks(declared, amtool), *_template_checks(declared, amtool, list(samples))]


def _route_checks(declared: Mapping[str, Any], amtool: str) -> Iterator[dict[str, Any]]:
    test = [amtool, "config", "routes", "test", "--config.file={etc}/alertmanager.yml", "--tree"]
    for name, wanted in _route_tests(declared).items():
        labels = [f"{label}={value}" for label, value in wanted["labels"].items()]
        yield {
            "command": [*test, f"--verify.receivers={','.join(wanted['receivers'])}", *labels],
            "source": f"alertmanager_routes, or alertmanager_route_tests.{name} if the alert "
            f"({' '.join(labels)}) is to reach others than {', '.join(wanted['receivers'])}",
            # Debian's amtool has an address by default, and says at each run that it does not use it.
            "harmless": ["Warning: --config.file flag overrides the --alertmanager.url."],
        }


def _route_tests(declared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Shipped: each severity, none, the heartbeat and the test. The site's own replace those of the same name."""
    first = declared["receivers"][0]["name"]
    shipped = {
        severity: {
            "labels": {"alertname": "AnyAlert", "severity": severity},
            "receivers": [route.get("receiver", first)],
        }
        for severity, route in declared["severities"].items()
    }
    shipped["no_severity"] = {"labels": {"alertname": "AnyAlert"}, "receivers": shipped["warning"]["receivers"]}
    heartbeat = [HEARTBEAT if declared["heartbeat"] else NOBODY]
    shipped["heartbeat"] = {"labels": {"alertname": "Watchdog", "severity": "info"}, "receivers": heartbeat}
    shipped["test"] = {"labels": {"alertname": TEST_ALERT}, "receivers": [alerting_test(declared)["receiver"]]}
    given = declared["route_tests"]
    return {name: shipped.get(name, {}) | given.get(name, {}) for name in shipped | given}


def _template_checks(declared: Mapping[str, Any], amtool: str, samples: Sequence[str]) -> Iterator[dict[str, Any]]:
    called = {name for _where, text in _texts(declared) for name in CALL.findall(text)}
    texts = [(where, text) for where, text in _texts(declared) if not where.startswith("alertmanager_templates.")]
    # What another text calls is rendered through that, with the part of the data that it is made for.
    for name, content in declared["templates"].items():
        entries = [entry for entry in DEFINITION.findall(content) if entry not in called]
        texts += [(f"alertmanager_templates.{name}", f'{{{{ template "{entry}" . }}}}') for entry in entries]
    render = [amtool, "template", "render", "--template.glob={etc}/templates/*.tmpl"]
    for where, text in texts:
        kind = "html" if re.search(r"html\b", f"{where} {text}") else "text"
        for sample in samples:
            data = f"--template.data={{etc}}/{sample}"
            yield {"command": [*render, data, f"--template.type={kind}", f"--template.text={text}"], "source": where}


def _texts(declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text that Alertmanager renders, with the variable that it comes from."""
    yield from _templated("alertmanager_receivers", declared.get("receivers") or ())
    for name, content in (declared.get("templates") or {}).items():
        yield f"alertmanager_templates.{name}", str(content)


def _templated(path: str, value: object) -> Iterator[tuple[str, str]]:
    for here, _key, inner in _items(path, value):
        if isinstance(inner, str) and "{{" in inner:
            yield here, inner
        else:
            yield from _templated(here, inner)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            function.__name__: function
            for function in (alerting_checks, alerting_config, alerting_findings, alerting_test, config_hash)
        }
