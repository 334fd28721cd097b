"""The catalogue of monitored services: what Prometheus scrapes, and every mistake in it.

``monitored_services`` states each fact once. ``catalogue`` completes it from the point of view of one Prometheus
host; the other filters bring that into the forms that Prometheus and the roles take. All are functions of their
arguments alone, so the result does not depend on ``--limit`` or ``--tags``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Address
from typing import Any, TypedDict, TypeGuard
from urllib.parse import quote

from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.certificates import is_certificate

VARIABLE = "monitored_services"
SETTINGS = (
    "scrape_interval",
    "scrape_timeout",
    "metrics_path",
    "scheme",
    "tls",
    "bearer_token",
    "basic_auth",
    "exporter",
    "memory_limit",
    "sample_limit",
    "body_size_limit",
    "label_limit",
    "series",
    "contract",
    "clickhouse",
    "probe",
    "redis",
    "streams",
    "cluster",
    "instances",
)
CONTRACTS = ("backend", "trade_engine")
"""The contracts of ``roles/prometheus/vars/main/contract.yml``."""
COUNT_LIMITS = ("sample_limit", "label_limit")
TLS_KEYS = ("ca", "server_name", "client_certificate")
BASIC_AUTH_KEYS = ("username", "password")
REDIS_KEYS = ("username", "password", "tls")
EXPORTERS_OWN = ("metrics_path", "scheme", "tls", "bearer_token", "basic_auth")
INSTANCE_KEYS = ("name", "host", "target", "labels", "streams")
RESERVED_SERVICES = frozenset(
    {
        "alertmanager",
        "blackbox_exporter",
        "duckdb_exporter",
        "grafana",
        "host",
        "node",
        "probe",
        "prometheus",
        "proxy",
        "redis_exporter",
    }
)
RESERVED_LABELS = frozenset({"job", "instance", "service", "instance_name", "host", "probed_service"})
PATHS = {"redis_exporter": "/scrape", "blackbox_exporter": "/probe"}
"""Where an exporter is asked for a ``target``."""
MODULES = {"tcp": "tcp_connect", "http": "http_2xx", "tls": "tls_expiry"}
"""blackbox_exporter's module by the kind of a probe; ``tls_connect`` is for certificates of the site's authority."""
STREAMS_PARAMETER = "check-single-streams"  # named keys; its sister check-streams would SCAN
PROBES = ("none", *MODULES)
HOST_PROBES = ("icmp", "tcp")
PROBE_INTERVALS = {"monitoring_host_probe_interval": "host_interval", "monitoring_probe_interval": "interval"}

MAX_DEFAULT_TIMEOUT_MS = 10_000
DISCOVERY_INTERVAL = "5s"
# One literal for all jobs: Prometheus reads the file once for all jobs whose sections are equal. It is re-read by
# path, because the watch on the file does not notice when a generation's symlink is switched.
FILE_SD = {"files": ["targets.yml"], "refresh_interval": "2s"}

SERVICE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")  # it is written into a regular expression: nothing to escape
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
STREAM_NAME = re.compile(r"[^\s,]+")
REDIS_USERNAME = re.compile(r"[A-Za-z0-9_.-]+")  # it is part of a URL, and of a regular expression's replacement
ENDPOINT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?):(?P<port>[0-9]{1,5})")
CERTIFICATE_BEGINS = re.compile(r"^-----BEGIN CERTIFICATE-----\s*$", re.MULTILINE)
SITE = "site"
"""The word for the site's own authority."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
DURATION_UNITS_MS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
DURATION = re.compile("".join(rf"(?:([0-9]+){unit})?" for unit in DURATION_UNITS_MS))
BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGT]i?B|B)?")
BYTE_UNITS = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
BYTE_UNITS |= {"kiB": 1024, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


class Instance(TypedDict):
    """One thing that is scraped, complete."""

    service: str
    name: str
    host: str | None  # inventory host that it lives on; None outside the inventory
    target: str  # as written
    address: str  # as Prometheus, or the exporter, reaches it
    instance: str  # the label by which people know it
    labels: dict[str, str]
    interval: str
    timeout: str
    path: str
    scheme: str
    security: dict[str, Any]
    exporter: str | None
    exporter_address: str | None
    limits: dict[str, int | str]
    params: dict[str, str]  # what the exporter is asked beside the target
    url_begins: str  # what the exporter wants before the address: scheme and account
    discovery: str | None  # URL that knows the nodes of the cluster whose seed this is
    metric_relabel_configs: list[dict[str, Any]]  # the stack's own services only


# --- Small readers: None means "not of this form".


def duration_ms(value: object) -> int | None:
    """Milliseconds of a Prometheus duration such as ``1s``, ``900ms`` or ``1m30s``; None for others and for zero."""
    if not isinstance(value, str) or not (match := DURATION.fullmatch(value)):
        return None
    total = sum(int(n) * unit for n, unit in zip(match.groups("0"), DURATION_UNITS_MS.values(), strict=True))
    return total or None


def size_bytes(value: object) -> int | None:
    """Bytes of ``1GiB`` (2^30), ``1GB`` (10^9), ``1.5 GiB`` or a plain number; None for others and for zero."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not (match := BYTES.fullmatch(str(value))):
        return None
    number, unit = match.groups()
    return int(Decimal(number) * BYTE_UNITS[unit or "B"]) or None


def endpoint(value: object) -> tuple[str, int] | None:
    """Host and port of ``host:port``; an IPv6 address is in brackets."""
    if not isinstance(value, str) or not (match := ENDPOINT.fullmatch(value)):
        return None
    port = int(match["port"])
    return (match["host"], port) if 0 < port < 65536 else None


def default_timeout(interval: str) -> str:
    """90 % of the interval, so that a slow scrape is over before the next one; at most 10 s."""
    milliseconds = max(1, min((duration_ms(interval) or 0) * 9 // 10, MAX_DEFAULT_TIMEOUT_MS))
    seconds, rest = divmod(milliseconds, 1000)
    return f"{milliseconds}ms" if rest else f"{seconds}s"


def socket_address(address: str, port: int) -> str:
    """``address:port``, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address and not address.startswith("[") else f"{address}:{port}"


# --- Findings


def catalogue_findings(
    services: object,
    hosts: Mapping[str, str] | None = None,
    exporters: Mapping[str, int] | None = None,
    probes: Mapping[str, Any] | None = None,
) -> list[str]:
    """Every mistake in ``monitored_services`` at once, each with its path, value and remedy.

    Without ``hosts`` or ``exporters`` what refers to them is not looked at. ``probes`` are those of ``catalogue``.
    """
    return [*_findings(services, hosts, exporters), *_probes_findings(probes)]


def _findings(services: object, hosts: Mapping[str, str] | None, exporters: Mapping[str, int] | None) -> Iterator[str]:
    if not isinstance(services, Mapping):
        yield _finding(VARIABLE, services, "write a mapping of service names to their settings")
        return
    reserved = RESERVED_SERVICES | set(exporters or ())
    yield from _clusters_findings(services)
    for service, settings in services.items():
        path = f"{VARIABLE}.{service}"
        if service in reserved:
            yield f"{path} is a name that the stack uses itself: choose another"
        elif not isinstance(service, str) or not SERVICE_NAME.fullmatch(service):
            yield f"{path} is no service name: use letters, digits, _ and -, beginning with a letter"
        if not isinstance(settings, Mapping):
            yield _finding(path, settings, "write a mapping with scrape_interval and instances")
            continue
        yield from _unknown_keys(path, settings, SETTINGS)
        yield from _settings_findings(path, settings)
        yield from _exporter_findings(path, settings, exporters)
        yield from _redis_findings(path, settings)
        yield from _instances_findings(f"{path}.instances", settings.get("instances"), hosts)


def _settings_findings(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in what services of the user and the stack's own have in common."""
    interval, timeout = settings.get("scrape_interval"), settings.get("scrape_timeout")
    if interval is None:
        yield f"{path}.scrape_interval is missing: write a duration, for example 1s"
    for key in ("scrape_interval", "scrape_timeout"):
        if settings.get(key) is not None and duration_ms(settings[key]) is None:
            yield _finding(f"{path}.{key}", settings[key], "write a duration above zero, for example 1s or 900ms")
    if (timeout_ms := duration_ms(timeout)) and (interval_ms := duration_ms(interval)) and timeout_ms > interval_ms:
        yield _finding(f"{path}.scrape_timeout", timeout, f"it may not exceed scrape_interval, which is {interval}")

    metrics_path = settings.get("metrics_path", "/metrics")
    if not isinstance(metrics_path, str) or not re.fullmatch(r"/[^?#\s]*", metrics_path):
        yield _finding(f"{path}.metrics_path", metrics_path, "write a path without a query, for example /metrics")
    if (scheme := settings.get("scheme", "http")) not in ("http", "https"):
        yield _finding(f"{path}.scheme", scheme, "write http or https")
    yield from _security_findings(path, settings)
    yield from _limit_findings(path, settings)
    yield from _probe_findings(path, settings)
    if (contract := settings.get("contract")) is not None and contract not in CONTRACTS:
        remedy = f"known are: {', '.join(CONTRACTS)}{_suggestion(contract, CONTRACTS)}"
        yield _finding(f"{path}.contract", contract, remedy)
    if not isinstance(settings.get("clickhouse", False), bool):
        yield _finding(f"{path}.clickhouse", settings["clickhouse"], "write true or false")
    if settings.get("clickhouse") is True and settings.get("scheme") == "https":
        yield f"{path}.clickhouse is of no use with scheme: https: what makes ClickHouse answer speaks HTTP; remove one"


def _limit_findings(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    if (limit := settings.get("memory_limit")) is not None and size_bytes(limit) is None:
        yield _finding(f"{path}.memory_limit", limit, "write a size above zero, for example 1GiB, 512MiB or 1000000000")
    for key in (*COUNT_LIMITS, "series"):
        limit = settings.get(key)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            yield _finding(f"{path}.{key}", limit, "write a number above zero, or leave it out")
    if (limit := settings.get("body_size_limit")) is not None and size_bytes(limit) is None:
        yield _finding(f"{path}.body_size_limit", limit, "write a size above zero, for example 20MB, or leave it out")


def _probe_findings(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    probe = settings.get("probe", "none")
    if probe not in PROBES:
        yield _finding(f"{path}.probe", probe, f"write one of {', '.join(PROBES)}")
    elif (probe, settings.get("scheme")) == ("http", "https"):
        yield _finding(f"{path}.probe", probe, "write tls: the service speaks https")


def _security_findings(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in how a service is asked. A secret's value is in no finding."""
    tls, token, basic = (settings.get(key) for key in ("tls", "bearer_token", "basic_auth"))
    if tls is not None and settings.get("scheme") != "https":
        yield f"{path}.tls is of no use without scheme: https: add that, or remove it"
    if tls is not None:
        yield from _tls_findings(f"{path}.tls", tls)
    if token is not None:
        yield from _secret_findings(f"{path}.bearer_token", token)
    if basic is not None and not isinstance(basic, Mapping):
        yield f"{path}.basic_auth is no mapping: write username and password"
    elif basic is not None:
        yield from _unknown_keys(f"{path}.basic_auth", basic, BASIC_AUTH_KEYS)
        if not isinstance(basic.get("username"), str) or not basic["username"]:
            yield f"{path}.basic_auth.username is missing or no text: write a name"
        yield from _secret_findings(f"{path}.basic_auth.password", basic.get("password"))
    if token is not None and basic is not None:
        yield f"{path}.bearer_token and basic_auth are both there: Prometheus takes one of them, remove the other"


def _tls_findings(path: str, tls: object) -> Iterator[str]:
    if not isinstance(tls, Mapping):
        yield _finding(path, tls, f"write a mapping with some of {', '.join(TLS_KEYS)}")
        return
    yield from _unknown_keys(path, tls, TLS_KEYS)
    ca = tls.get("ca")
    if isinstance(ca, str) and "-----" in ca:
        if "PRIVATE KEY" in ca:
            yield f"{path}.ca has a private key in it: leave the authority's certificate only"
        elif not _is_certificate(ca):
            yield f"{path}.ca cannot be read as a certificate: write all of its PEM, line by line"
    elif ca is not None and ca != SITE:
        yield _finding(f"{path}.ca", ca, f"write {SITE}, or the authority's certificate in PEM")
    if not isinstance(tls.get("server_name", ""), str):
        yield _finding(f"{path}.server_name", tls["server_name"], "write a name")
    if not isinstance(tls.get("client_certificate", False), bool):
        yield _finding(f"{path}.client_certificate", tls["client_certificate"], "write true or false")


def _is_certificate(pem: str) -> bool:
    # One that YAML folded into one line is none to Prometheus.
    return bool(CERTIFICATE_BEGINS.search(pem)) and is_certificate(pem)


def _secret_findings(path: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value or value != value.strip() or "\n" in value:
        yield f"{path} is missing, no text or has white space around it: take it from ansible-vault"


def _exporter_findings(path: str, settings: Mapping[str, Any], exporters: Mapping[str, int] | None) -> Iterator[str]:
    exporter = settings.get("exporter")
    if exporter is None:
        return
    if exporters is not None and not (isinstance(exporter, str) and exporter in exporters):
        known = f"known are: {', '.join(sorted(exporters))}" if exporters else "none is known here"
        yield _finding(f"{path}.exporter", exporter, f"{known}{_suggestion(exporter, exporters)}")
    for key in EXPORTERS_OWN:
        if key in settings:
            yield f"{path}.{key} is of no use here: leave it out, the exporter {exporter} has its own"


def _redis_findings(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in how redis_exporter asks a service. A password's value is in no finding."""
    if settings.get("exporter") != "redis_exporter":
        for place in _redis_settings(settings):
            yield f"{path}.{place} is of no use without exporter: redis_exporter: add that, or remove it"
        return
    yield from _streams_findings(f"{path}.streams", settings.get("streams"))
    if not isinstance(settings.get("cluster", False), bool):
        yield _finding(f"{path}.cluster", settings["cluster"], "write true or false")
    elif settings.get("cluster"):
        yield from _seeds_findings(f"{path}.instances", settings.get("instances"))
    redis = settings.get("redis", {})
    if not isinstance(redis, Mapping):
        yield f"{path}.redis is no mapping: write some of {', '.join(REDIS_KEYS)}"
        return
    yield from _unknown_keys(f"{path}.redis", redis, REDIS_KEYS)
    username = redis.get("username")
    if username is not None and not (isinstance(username, str) and REDIS_USERNAME.fullmatch(username)):
        yield f"{path}.redis.username is no name: use letters, digits, _, . and -"
    if username is not None or redis.get("password") is not None:
        yield from _secret_findings(f"{path}.redis.password", redis.get("password"))
    if not isinstance(redis.get("tls", False), bool):
        yield _finding(f"{path}.redis.tls", redis["tls"], "write true or false")


def _redis_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in ("redis", "streams", "cluster") if key in settings)
    instances = settings.get("instances")
    for index, instance in enumerate(instances if _is_list(instances) else ()):
        if isinstance(instance, Mapping) and "streams" in instance:
            yield f"instances[{index}].streams"


def _streams_findings(path: str, streams: object) -> Iterator[str]:
    if streams is not None and not (
        _is_list(streams) and all(isinstance(key, str) and STREAM_NAME.fullmatch(key) for key in streams)
    ):
        yield _finding(path, streams, "write a list of the streams' keys, without white space and commas")


def _seeds_findings(path: str, instances: object) -> Iterator[str]:
    """A cluster's nodes know each other by address; a seed under a name would be there twice."""
    for index, instance in enumerate(instances if _is_list(instances) else ()):
        target = instance.get("target") if isinstance(instance, Mapping) else None
        if (parsed := endpoint(target)) and (_is_loopback(target) or not _is_ipv4(parsed[0])):
            remedy = "write the address and port that CLUSTER NODES shows; the Prometheus hosts connect to it"
            yield _finding(f"{path}[{index}].target", target, remedy)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _clusters_findings(services: Mapping[Any, Any]) -> Iterator[str]:
    """redis_exporter discovers the cluster that it was started for, and no other."""
    clusters = [name for name, settings in services.items() if isinstance(settings, Mapping) and _is_cluster(settings)]
    for name in clusters[1:]:
        yield f"{VARIABLE}.{name}.cluster is one too many: {clusters[0]} has it already; write each node as an instance"


def _is_cluster(settings: Mapping[str, Any]) -> bool:
    return settings.get("cluster") is True


def _instances_findings(path: str, instances: object, hosts: Mapping[str, str] | None) -> Iterator[str]:
    if not _is_list(instances) or not instances:
        yield _finding(path, instances, "write a list with at least one {name: ..., target: host:port}")
        return
    names: dict[str, int] = {}
    targets: dict[tuple[str, str], int] = {}
    for index, instance in enumerate(instances):
        here = f"{path}[{index}]"
        if not isinstance(instance, Mapping):
            yield _finding(here, instance, "write a mapping with name and target")
            continue
        yield from _unknown_keys(here, instance, INSTANCE_KEYS)
        yield from _name_findings(here, instance.get("name"))
        yield from _target_findings(here, instance)
        yield from _host_findings(here, instance, hosts)
        yield from _label_findings(f"{here}.labels", instance.get("labels"))
        yield from _streams_findings(f"{here}.streams", instance.get("streams"))

        name, target = instance.get("name"), instance.get("target")
        if isinstance(name, str) and (first := names.setdefault(name, index)) != index:
            yield _finding(f"{here}.name", name, f"instances[{first}] has that name already")
        if isinstance(target, str):
            host = str(instance.get("host")) if _is_loopback(target) else ""
            if (first := targets.setdefault((host, target), index)) != index:
                yield _finding(f"{here}.target", target, f"instances[{first}] has that target already: remove one")


def _name_findings(path: str, name: object) -> Iterator[str]:
    if name is None:
        yield f"{path}.name is missing: write a name that is unique in the service"
    elif not isinstance(name, str) or not name.strip():
        yield _finding(f"{path}.name", name, "write a text, in quotes if it looks like a number")


def _target_findings(path: str, instance: Mapping[str, Any]) -> Iterator[str]:
    target = instance.get("target")
    where = f"{path}.target"
    if target is None:
        yield f"{where} is missing: write host:port, for example redis:6379"
    elif isinstance(target, str) and "://" in target:
        yield _finding(where, target, "write host:port; scheme and metrics_path are settings of the service")
    elif endpoint(target) is None:
        name, _, port = str(target).rpartition(":")
        if re.fullmatch(r"-?[0-9]+", port) and name:
            yield _finding(where, target, "write host:port with a port between 1 and 65535")
        else:
            example = target if isinstance(target, str) and SERVICE_NAME.fullmatch(target) else "redis"
            yield _finding(where, target, f"write host:port, for example {example}:6379")


def _host_findings(path: str, instance: Mapping[str, Any], hosts: Mapping[str, str] | None) -> Iterator[str]:
    host, target = instance.get("host"), instance.get("target")
    if host is None:
        if _is_loopback(target):
            yield _finding(f"{path}.target", target, "say whose with host, for example host: app1")
    elif hosts is not None and not (isinstance(host, str) and host in hosts):
        remedy = f"it is not in the inventory; leave host out for what lives elsewhere{_suggestion(host, hosts)}"
        yield _finding(f"{path}.host", host, remedy)


def _label_findings(path: str, labels: object) -> Iterator[str]:
    if labels is None:
        return
    if not isinstance(labels, Mapping):
        yield _finding(path, labels, "write a mapping of label names to values")
        return
    for name, value in labels.items():
        if name in RESERVED_LABELS:
            yield f"{path}.{name} is a label that the stack sets itself: choose another"
        elif not isinstance(name, str) or not LABEL_NAME.fullmatch(name) or name.startswith("__"):
            yield f"{path}.{name} is no label name: use letters, digits and _, not beginning with a digit or __"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield _finding(f"{path}.{name}", value, "write a text")


def _unknown_keys(path: str, given: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            yield f"{path}.{key} is not known{_suggestion(key, known) or ': known are ' + ', '.join(known)}"


def _suggestion(word: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _finding(path: str, value: object, remedy: str) -> str:
    return f"{path} is {'missing' if value is None else repr(value)}: {remedy}"


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_loopback(target: object) -> bool:
    parsed = endpoint(target)
    return parsed is not None and parsed[0] in LOOPBACK


def _refuse(findings: Iterable[str]) -> None:
    if lines := list(findings):
        raise AnsibleFilterError("\n".join(lines))


# --- The catalogue


def catalogue(
    services: Mapping[str, Any],
    hosts: Mapping[str, str],
    on: str,
    exporters: Mapping[str, int],
    own: Mapping[str, Any],
    tls: Mapping[str, str] | None = None,
    probes: Mapping[str, Any] | None = None,
    discovery: str | None = None,
) -> list[Instance]:
    """All instances as the Prometheus on inventory host ``on`` sees them, complete and sorted.

    ``tls`` has the files, on the Prometheus hosts, of the site's authorities (``ca``) and of Prometheus' certificate
    with its key (``client``). ``probes`` says how blackbox_exporter, on each Prometheus host, probes hosts and ports;
    ``discovery`` is the URL that tells the nodes of the service with ``cluster``.

    Raises:
        AnsibleFilterError: every mistake in the arguments, one a line.
    """
    _refuse(_argument_findings(hosts, on, exporters, own))
    _refuse(_findings(services, hosts, exporters))
    if not tls:
        _refuse(_site_findings(f"{VARIABLE}.{{}}", services))
        _refuse(_site_findings("own.{} of the filter catalogue", own))
    _refuse(_probes_findings(probes))
    jobs = {service: _job_settings(service, settings, tls or {}) for service, settings in {**services, **own}.items()}
    for service, settings in services.items():
        if (exporter := settings.get("exporter")) in jobs:
            asked = jobs[exporter]  # it is the exporter that Prometheus connects to
            jobs[service] = {**jobs[service], "scheme": asked["scheme"], "security": asked["security"]}
    instances = [
        _complete(service, jobs[service], settings, written, hosts, on, exporters, discovery)
        for service, settings in services.items()
        for written in settings["instances"]
    ]
    for service, settings in own.items():
        instances += _own(service, jobs[service], settings, services, hosts, on, exporters)
    if probes:
        instances += [*_host_probes(probes, hosts), *_service_probes(probes, instances, services, hosts, on)]
    return sorted(instances, key=lambda entry: (entry["service"], entry["name"], sorted(entry["labels"].items())))


def _argument_findings(hosts: object, on: object, exporters: object, own: object) -> Iterator[str]:
    if isinstance(hosts, Mapping):
        if on not in hosts:
            yield _finding("on of the filter catalogue", on, "it is not in hosts, which are the inventory's")
        for host, address in hosts.items():
            if not isinstance(address, str) or not address:
                yield _finding(f"monitoring_address of {host}", address, "write an address or a name")
    else:
        yield _finding("hosts of the filter catalogue", hosts, "write a mapping of hosts to addresses")

    if isinstance(exporters, Mapping):
        for exporter, port in exporters.items():
            yield from _port_findings(f"exporters.{exporter} of the filter catalogue", port)
    else:
        yield _finding("exporters of the filter catalogue", exporters, "write a mapping of exporters to ports")

    if isinstance(own, Mapping) and all(isinstance(settings, Mapping) for settings in own.values()):
        for service, settings in own.items():
            yield from _own_findings(service, settings, hosts)
    else:
        yield _finding("own of the filter catalogue", own, "write a mapping of services to port and scrape_interval")


def _own_findings(service: str, settings: Mapping[str, Any], hosts: object) -> Iterator[str]:
    yield from _port_findings(f"own.{service}.port of the filter catalogue", settings.get("port"))
    yield from _settings_findings(f"own.{service} of the filter catalogue", settings)
    for host in settings.get("hosts", ()):
        if isinstance(hosts, Mapping) and host not in hosts:
            yield _finding(f"own.{service}.hosts of the filter catalogue", host, "it is not in hosts")


def _probes_findings(probes: Mapping[str, Any] | None) -> Iterator[str]:
    if not probes:
        return
    yield from _port_findings("probes.port of the filter catalogue", probes.get("port"))
    if probes.get("host") not in HOST_PROBES:
        yield _finding("monitoring_host_probe", probes.get("host"), f"write {' or '.join(HOST_PROBES)}")
    for variable, key in PROBE_INTERVALS.items():
        if duration_ms(probes.get(key)) is None:
            yield _finding(variable, probes.get(key), "write a duration above zero, for example 1s")


def _site_findings(path: str, services: Mapping[str, Any]) -> Iterator[str]:
    """What services want of the site's certificates, where there are none."""
    for service, settings in services.items():
        wanted = settings.get("tls") or {}
        for key, value in (("ca", SITE), ("client_certificate", True)):
            if wanted.get(key) == value:
                remedy = "this site has no certificates: set monitoring_tls, or leave it out"
                yield _finding(f"{path.format(service)}.tls.{key}", value, remedy)
        if (settings.get("redis") or {}).get("tls"):
            remedy = "this site has no certificates: set monitoring_tls, or leave it out"
            yield _finding(f"{path.format(service)}.redis.tls", True, remedy)


def _port_findings(path: str, port: object) -> Iterator[str]:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        yield _finding(path, port, "write a number between 1 and 65535")


def _complete(
    service: str,
    job: _JobSettings,
    settings: Mapping[str, Any],
    written: Mapping[str, Any],
    hosts: Mapping[str, str],
    on: str,
    exporters: Mapping[str, int],
    discovery: str | None,
) -> Instance:
    target, host, exporter = written["target"], written.get("host"), settings.get("exporter")
    name, port = endpoint(target) or ("", 0)
    address = target
    # A cluster's nodes are asked from one place, or a node found by two of its seeds would be there twice.
    asked_on = on if host is None or _is_cluster(settings) else host
    # localhost is the instance's host. An exporter runs there too, so for it the address is right as it stands.
    if name in LOOPBACK and host is not None and host != on and exporter is None:
        address = socket_address(hosts[host], port)
    return Instance(
        service=service,
        name=written["name"],
        host=host,
        target=target,
        address=address,
        instance=f"{host}:{port}" if name in LOOPBACK else target,
        labels={key: str(value) for key, value in (written.get("labels") or {}).items()},
        exporter=exporter,
        exporter_address=None if exporter is None else socket_address(hosts[asked_on], exporters[exporter]),
        params={STREAMS_PARAMETER: streams} if (streams := _streams(settings, written)) else {},
        url_begins=_redis_url_begins(settings),
        discovery=discovery if _is_cluster(settings) else None,
        **job,
    )


def _streams(*places: Mapping[str, Any]) -> str:
    """The keys in the exporter's form: in database 0, separated by commas, percent-encoded."""
    return ",".join(quote(key, safe=":") for place in places for key in place.get("streams") or ())


def _redis_url_begins(settings: Mapping[str, Any]) -> str:
    """``rediss://name@``; empty where host and port say it all."""
    redis = settings.get("redis") or {}
    account = f"{redis['username']}@" if redis.get("username") else ""
    if not redis:
        return ""
    return f"{'rediss' if redis.get('tls') else 'redis'}://{account}"


def _own(
    service: str,
    job: _JobSettings,
    settings: Mapping[str, Any],
    services: Mapping[str, Any],
    hosts: Mapping[str, str],
    on: str,
    exporters: Mapping[str, int],
) -> Iterator[Instance]:
    """What the stack adds: on its ``hosts``, an exporter where it must run, all else on every host."""
    by_hosts = service == "prometheus" or "hosts" in settings
    if by_hosts:
        where: Iterable[str] = settings.get("hosts", [on])
    elif service in exporters:
        where = exporter_hosts(services, service, hosts, [on])
    else:
        where = hosts
    port = settings["port"]
    for host in where:
        # On a Prometheus host it is in clear, and then on loopback only, or its certificate is for its host's address.
        at_home = by_hosts and host == on and job["scheme"] == "http"
        address = f"localhost:{port}" if at_home else socket_address(hosts[host], port)
        yield Instance(
            service=service,
            name=host,
            host=host,
            target=address,
            address=address,
            instance=f"{host}:{port}",
            labels={},
            exporter=None,
            exporter_address=None,
            params={},
            url_begins="",
            discovery=None,
            **job,
        )


def _host_probes(probes: Mapping[str, Any], hosts: Mapping[str, str]) -> Iterator[Instance]:
    """Whether each host is there: by a ping, or by its SSH port where pings are dropped."""
    for host, address in hosts.items():
        if probes["host"] == "icmp":
            module, where = "icmp", address
        else:
            module, where = "tcp_connect", socket_address(address, probes["ssh_ports"][host])
        yield _probe("host", probes, probes["host_interval"], module, host, host, where, host, {})


def _service_probes(
    probes: Mapping[str, Any],
    instances: Iterable[Instance],
    services: Mapping[str, Any],
    hosts: Mapping[str, str],
    on: str,
) -> Iterator[Instance]:
    """Whether each port answers, and the dates of certificates."""
    for entry in instances:
        module = _module(entry, services.get(entry["service"]))
        if module is None:
            continue
        name, port = endpoint(entry["address"]) or ("", 0)
        elsewhere = name in LOOPBACK and entry["host"] not in (None, on)  # as an exporter beside it sees it
        where = socket_address(hosts[entry["host"]], port) if elsewhere and entry["host"] else entry["address"]
        labels = {"probed_service": entry["service"]}
        yield _probe(
            "probe", probes, probes["interval"], module, entry["name"], entry["host"], where, entry["instance"], labels
        )


def _module(entry: Instance, settings: Mapping[str, Any] | None) -> str | None:
    if settings is None:  # the stack's own: without TLS it is on loopback, beside the Prometheus that scrapes it
        return "tls_connect" if entry["scheme"] == "https" else None
    redis_tls = bool((settings.get("redis") or {}).get("tls"))
    if entry["exporter"]:
        usual = "none" if _is_loopback(entry["target"]) else "tls" if redis_tls else "tcp"
    else:
        usual = "tls" if entry["scheme"] == "https" else "tcp"
    kind = settings.get("probe", usual)
    tls = settings.get("tls") or {}
    # A certificate for another name than the target's is verified by the scrape; the probe looks at its date.
    if kind == "tls" and "server_name" not in tls and (redis_tls or tls.get("ca") == SITE):
        return "tls_connect"
    return MODULES.get(kind)


def _probe(
    service: str,
    probes: Mapping[str, Any],
    interval: str,
    module: str,
    name: str,
    host: str | None,
    address: str,
    instance: str,
    labels: dict[str, str],
) -> Instance:
    exporter = "blackbox_exporter"
    return Instance(
        service=service,
        name=name,
        host=host,
        target=address,
        address=address,
        instance=instance,
        labels=labels,
        exporter=exporter,
        exporter_address=f"localhost:{probes['port']}",
        params={"module": module},
        url_begins="",
        discovery=None,
        **_job_settings(service, {"scrape_interval": interval, "exporter": exporter}, {}),
    )


class _JobSettings(TypedDict):
    interval: str
    timeout: str
    path: str
    scheme: str
    security: dict[str, Any]
    limits: dict[str, int | str]
    metric_relabel_configs: list[dict[str, Any]]


def _job_settings(service: str, settings: Mapping[str, Any], tls: Mapping[str, str]) -> _JobSettings:
    interval = settings["scrape_interval"]
    return _JobSettings(
        interval=interval,
        timeout=settings.get("scrape_timeout") or default_timeout(interval),
        path=PATHS[settings["exporter"]] if settings.get("exporter") else settings.get("metrics_path", "/metrics"),
        scheme=settings.get("scheme", "http"),
        security=_security(service, settings, tls),
        limits=_limits(settings),
        metric_relabel_configs=settings.get("metric_relabel_configs", []),
    )


def _limits(settings: Mapping[str, Any]) -> dict[str, int | str]:
    """The service's own guard rails, as settings of its job; where it states none, those of all jobs hold."""
    limits: dict[str, int | str] = {key: settings[key] for key in COUNT_LIMITS if settings.get(key) is not None}
    if settings.get("body_size_limit") is not None:
        limits["body_size_limit"] = f"{size_bytes(settings['body_size_limit'])}B"  # Prometheus' MB are 2^20
    return limits


def _security(service: str, settings: Mapping[str, Any], tls: Mapping[str, str]) -> dict[str, Any]:
    """How Prometheus asks this service, as settings of its job; secrets and authorities are named as files."""
    wanted = settings.get("tls") or {}
    found: dict[str, Any] = {}
    config: dict[str, str] = {}
    if ca := wanted.get("ca"):
        config["ca_file"] = tls["ca"] if ca == SITE else _authority_file(service)
    if wanted.get("client_certificate"):
        config |= {"cert_file": tls["client"], "key_file": tls["client"]}
    if "server_name" in wanted:
        config["server_name"] = wanted["server_name"]
    if config:
        found["tls_config"] = config
    if settings.get("bearer_token"):
        found["authorization"] = {"credentials_file": _secret_file(service)}
    if basic := settings.get("basic_auth"):
        found["basic_auth"] = {"username": basic["username"], "password_file": _secret_file(service)}
    return found


def _authority_file(service: str) -> str:
    return f"tls/{service}.crt"


def _secret_file(service: str) -> str:
    return f"secrets/{service}"


# --- What is derived from it


def scrape_authorities(services: Mapping[str, Any]) -> dict[str, str]:
    """Files, below Prometheus' configuration, of the authorities that services bring themselves."""
    _refuse(_findings(services, None, None))
    given = {service: (settings.get("tls") or {}).get("ca") for service, settings in services.items()}
    return {_authority_file(service): ca for service, ca in sorted(given.items()) if ca and ca != SITE}


def scrape_secrets(services: Mapping[str, Any]) -> dict[str, str]:
    """Files, below Prometheus' configuration, of the tokens and passwords that it shows to services."""
    _refuse(_findings(services, None, None))
    given = {
        service: settings.get("bearer_token") or (settings.get("basic_auth") or {}).get("password")
        for service, settings in services.items()
    }
    return {_secret_file(service): secret for service, secret in sorted(given.items()) if secret}


def redis_passwords(services: Mapping[str, Any], host: str, prometheus_hosts: Iterable[str]) -> dict[str, str]:
    """Password by URL of each Redis that the redis_exporter on inventory host ``host`` asks."""
    _refuse(_findings(services, None, None))
    watches = host in prometheus_hosts
    return {
        _redis_url_begins(settings) + instance["target"]: settings["redis"]["password"]
        for _, settings in sorted(services.items())
        if (settings.get("redis") or {}).get("password")
        for instance in settings["instances"]
        if (watches if _is_cluster(settings) or instance.get("host") is None else instance["host"] == host)
    }


def redis_cluster(services: Mapping[str, Any]) -> str:
    """URL of the node that is asked for the cluster's other nodes; empty without a cluster."""
    _refuse(_findings(services, None, None))
    for settings in services.values():
        if _is_cluster(settings):
            return (_redis_url_begins(settings) or "redis://") + str(settings["instances"][0]["target"])
    return ""


def scrape_targets(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """The groups of ``targets.yml``, one for each instance because ``instance_name`` differs."""
    _refuse(_catalogue_argument(instances))
    return [
        {"targets": [entry["address"]], "labels": {"service": entry["service"], **_target_labels(entry)}}
        for entry in instances
    ]


def _target_labels(entry: Instance) -> dict[str, str]:
    labels = {"instance_name": entry["name"]}
    if entry["host"]:
        labels["host"] = entry["host"]
    if entry["instance"] != entry["address"]:
        labels["instance"] = entry["instance"]
    if entry["exporter_address"]:
        labels["__exporter__"] = entry["exporter_address"]
    return labels | _param_labels(entry) | entry["labels"]


def _param_labels(entry: Instance) -> dict[str, str]:
    return {f"__param_{key}": value for key, value in entry["params"].items()}


def scrape_configs(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """One scrape job for each service; settings that are Prometheus' defaults are left out."""
    _refuse(_catalogue_argument(instances))
    first_of = {entry["service"]: entry for entry in reversed(instances)}
    return [_scrape_config(first_of[service], instances) for service in sorted(first_of)]


def _scrape_config(entry: Instance, instances: Sequence[Instance]) -> dict[str, Any]:
    job: dict[str, Any] = {
        "job_name": entry["service"],
        "scrape_interval": entry["interval"],
        "scrape_timeout": entry["timeout"],
    }
    if entry["path"] != "/metrics":
        job["metrics_path"] = entry["path"]
    if entry["scheme"] != "http":
        job["scheme"] = entry["scheme"]
    job |= entry["security"]
    job |= entry["limits"]
    job["file_sd_configs"] = [dict(FILE_SD, files=list(FILE_SD["files"]))]
    job["relabel_configs"] = [{"source_labels": ["service"], "regex": entry["service"], "action": "keep"}]
    if entry["discovery"]:
        job["http_sd_configs"] = [{"url": entry["discovery"], "refresh_interval": DISCOVERY_INTERVAL}]
        job["relabel_configs"] = [*_discovered(entry, instances, job["relabel_configs"])]
    if entry["exporter"]:
        target = {"source_labels": ["__address__"], "target_label": "__param_target"}
        if entry["url_begins"]:
            target["replacement"] = f"{entry['url_begins']}$1"
        job["relabel_configs"] += [
            target,
            # Only where targets.yml sets no instance.
            {"source_labels": ["instance", "__address__"], "regex": ";(.+)", "target_label": "instance"},
            {"source_labels": ["__exporter__"], "target_label": "__address__"},
        ]
    if entry["metric_relabel_configs"]:
        job["metric_relabel_configs"] = entry["metric_relabel_configs"]
    return job


def _discovered(
    entry: Instance, instances: Iterable[Instance], keep: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Rules that give a node, which the discovery tells as ``redis://address:port``, the labels of an instance."""
    written = [seed["address"] for seed in instances if seed["service"] == entry["service"]]
    yield {"source_labels": ["__meta_url"], "regex": ".+", "target_label": "service", "replacement": entry["service"]}
    yield from keep
    seeds = "|".join(re.escape(address) for address in sorted(written))
    yield {"source_labels": ["__meta_url", "__address__"], "regex": f".+;rediss?://({seeds})", "action": "drop"}
    yield {"source_labels": ["__address__"], "regex": "rediss?://(.+)", "target_label": "__address__"}
    yield {"source_labels": ["instance_name", "__address__"], "regex": ";(.+)", "target_label": "instance_name"}
    for address, host in sorted(_hosts_by_address(instances).items()):
        regex = f";{re.escape(address)}:.+"
        yield {"source_labels": ["host", "__address__"], "regex": regex, "target_label": "host", "replacement": host}
    for name, value in {"__exporter__": entry["exporter_address"], **_param_labels(entry)}.items():
        yield {"source_labels": [name], "regex": "^$", "target_label": name, "replacement": value}


def _hosts_by_address(instances: Iterable[Instance]) -> dict[str, str]:
    parsed = [
        (endpoint(entry["address"]), entry["host"])
        for entry in instances
        if not entry["exporter"] or entry["discovery"]
    ]
    return {where[0]: host for where, host in parsed if where and host and _is_ipv4(where[0])}


def expected_targets(instances: Sequence[Instance]) -> list[list[str]]:
    """Job and instance label of every target that ``/api/v1/targets`` must show, sorted."""
    _refuse(_catalogue_argument(instances))
    return sorted([entry["service"], entry["instance"]] for entry in instances)


def exporter_hosts(
    services: Mapping[str, Any], exporter: str, hosts: Mapping[str, str], prometheus_hosts: Iterable[str]
) -> list[str]:
    """Hosts that must run ``exporter``: its instances' own, and the Prometheus hosts for those without a host."""
    _refuse(_findings(services, hosts, None))
    where: set[str] = set()
    for settings in services.values():
        for instance in settings["instances"] if settings.get("exporter") == exporter else ():
            beside = instance.get("host") and not _is_cluster(settings)
            where.update([instance["host"]] if beside else prometheus_hosts)
    return sorted(where)


def memory_limits(services: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Service and bytes of each service that states a ``memory_limit``, sorted by service."""
    _refuse(_findings(services, None, None))
    return [
        {"service": service, "bytes": size_bytes(settings["memory_limit"])}
        for service, settings in sorted(services.items())
        if settings.get("memory_limit") is not None
    ]


def contract_services(services: Mapping[str, Any]) -> dict[str, str]:
    """The contract of each service that states one."""
    _refuse(_findings(services, None, None))
    return {name: settings["contract"] for name, settings in sorted(services.items()) if settings.get("contract")}


def clickhouse_ports(services: Mapping[str, Any]) -> dict[str, int]:
    """Port of the metrics of each inventory host's ClickHouse; who lives elsewhere is not ours to configure."""
    _refuse(_findings(services, None, None))
    return {
        instance["host"]: (endpoint(instance["target"]) or ("", 0))[1]
        for settings in services.values()
        for instance in settings["instances"]
        if settings.get("clickhouse") and instance.get("host")
    }


def _catalogue_argument(instances: object) -> Iterator[str]:
    required = Instance.__required_keys__
    if not _is_list(instances) or not all(isinstance(entry, Mapping) and required <= set(entry) for entry in instances):
        yield "the input is not a catalogue: pass what tds.monitoring.catalogue returns (monitored_instances)"


def duration_seconds(value: object, variable: str) -> float:
    """Seconds of a Prometheus duration; ``0s`` is one too.

    Raises:
        AnsibleFilterError: it is none; the message names ``variable``.
    """
    if value in ("0", "0s"):
        return 0.0
    milliseconds = duration_ms(value)
    if milliseconds is None:
        raise AnsibleFilterError(f"{variable} is {value!r}: write a duration such as 5s or 1m30s")
    return milliseconds / 1000


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            function.__name__: function
            for function in (
                catalogue,
                catalogue_findings,
                clickhouse_ports,
                contract_services,
                duration_seconds,
                expected_targets,
                exporter_hosts,
                memory_limits,
                redis_cluster,
                redis_passwords,
                scrape_authorities,
                scrape_configs,
                scrape_secrets,
                scrape_targets,
                socket_address,
            )
        }
