"""The catalogue filters: what is scraped, and every mistake said."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter import catalogue as subject
from hypothesis import given
from hypothesis import strategies as st

from tests.authority import Authority, broken, key_pem, new_key

HOSTS = {"mon1": "192.0.2.10", "app1": "192.0.2.20", "db1": "2001:db8::30"}
EXPORTERS = {"redis_exporter": 9121}
OWN = {
    "node": {"port": 9100, "scrape_interval": "15s"},
    "prometheus": {"port": 9090, "scrape_interval": "15s"},
    "redis_exporter": {"port": 9121, "scrape_interval": "30s"},
}
TLS = {"ca": "/etc/tds/tls/ca.crt", "client": "/etc/tds/tls/client.pem"}
AUTHORITY = Authority()
UNKNOWN_VERSION = broken(AUTHORITY.pem, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05")
CANARY = "canary-in-a-coal-mine"


def service(*targets: str, **settings: Any) -> dict[str, Any]:
    """A service on app1 with one instance for each target."""
    instances = [{"name": f"i{n}", "host": "app1", "target": target} for n, target in enumerate(targets)]
    return {"scrape_interval": "1s", "instances": instances} | settings


def secure(**settings: Any) -> dict[str, Any]:
    return service("a:1", scheme="https", **settings)


def complete(services: dict[str, Any], on: str = "mon1", own: dict[str, Any] | None = None) -> list[subject.Instance]:
    return subject.catalogue(services, HOSTS, on, EXPORTERS, own or {}, TLS)


def job(services: dict[str, Any]) -> dict[str, Any]:
    (config,) = subject.scrape_configs(complete(services))
    return config


# --- Where a target is


@pytest.mark.parametrize(
    ("target", "host", "on", "address", "instance"),
    [
        ("backend:8000", "app1", "mon1", "backend:8000", "backend:8000"),
        ("localhost:1234", "app1", "mon1", "192.0.2.20:1234", "app1:1234"),
        ("localhost:1234", "app1", "app1", "localhost:1234", "app1:1234"),
        ("127.0.0.1:1234", "app1", "mon1", "192.0.2.20:1234", "app1:1234"),
        ("localhost:1234", "db1", "mon1", "[2001:db8::30]:1234", "db1:1234"),
        ("[2001:db8::9]:1234", "db1", "mon1", "[2001:db8::9]:1234", "[2001:db8::9]:1234"),
    ],
)
def test_localhost_is_the_instances_host(target: str, host: str, on: str, address: str, instance: str) -> None:
    services = {"duckdb": service(instances=[{"name": "a", "host": host, "target": target}])}
    (entry,) = complete(services, on)
    assert (entry["address"], entry["instance"], entry["target"]) == (address, instance, target)


@pytest.mark.parametrize(
    ("host", "exporter_address"),
    [
        ("app1", "192.0.2.20:9121"),
        ("mon1", "192.0.2.10:9121"),
        (None, "192.0.2.10:9121"),
        ("db1", "[2001:db8::30]:9121"),
    ],
)
def test_exporter_runs_beside_its_instance_or_on_the_prometheus_host(host: str | None, exporter_address: str) -> None:
    instance = {"name": "trade-state", "target": "redis-trade-state:6379"} | ({"host": host} if host else {})
    services = {"redis": service(exporter="redis_exporter", instances=[instance])}
    (entry,) = complete(services)
    assert entry["exporter_address"] == exporter_address
    assert entry["instance"] == "redis-trade-state:6379"
    assert subject.exporter_hosts(services, "redis_exporter", HOSTS, ["mon1"]) == [host or "mon1"]


def test_exporter_asks_its_own_localhost() -> None:
    (entry,) = complete({"redis": service("localhost:6379", exporter="redis_exporter")})
    assert (entry["address"], entry["instance"]) == ("localhost:6379", "app1:6379")


def test_an_own_service_is_where_it_says() -> None:
    assert complete({}, own={"duckdb_exporter": {"port": 9125, "scrape_interval": "15s", "hosts": []}}) == []
    there = complete({}, own={"duckdb_exporter": {"port": 9125, "scrape_interval": "15s", "hosts": ["db1"]}})
    assert [entry["host"] for entry in there] == ["db1"]


def test_own_services_are_added_without_being_listed() -> None:
    entries = complete({"redis": service("redis:6379", exporter="redis_exporter")}, own=OWN)
    assert [(e["service"], e["address"], e["instance"]) for e in entries if e["service"] != "redis"] == [
        ("node", "192.0.2.20:9100", "app1:9100"),
        ("node", "[2001:db8::30]:9100", "db1:9100"),
        ("node", "192.0.2.10:9100", "mon1:9100"),
        ("prometheus", "localhost:9090", "mon1:9090"),
        ("redis_exporter", "192.0.2.20:9121", "app1:9121"),
    ]
    assert {e["interval"] for e in entries if e["service"] == "redis_exporter"} == {"30s"}


def test_every_prometheus_is_seen_by_the_others_and_by_itself_at_localhost() -> None:
    own = {"prometheus": OWN["prometheus"] | {"hosts": ["mon1", "db1"]}}
    for on, addresses in {
        "mon1": ["[2001:db8::30]:9090", "localhost:9090"],
        "db1": ["localhost:9090", "192.0.2.10:9090"],
    }.items():
        entries = complete({}, on, own)
        assert [(e["address"], e["instance"]) for e in entries] == list(
            zip(addresses, ["db1:9090", "mon1:9090"], strict=True)
        )


# --- What it is rendered to


@pytest.mark.parametrize(
    ("interval", "timeout"),
    [("1s", "900ms"), ("5s", "4500ms"), ("10s", "9s"), ("15s", "10s"), ("1h", "10s"), ("1ms", "1ms")],
)
def test_default_timeout_is_nine_tenths_and_at_most_10s(interval: str, timeout: str) -> None:
    assert job({"a": service("a:1", scrape_interval=interval)})["scrape_timeout"] == timeout


def test_plain_job_is_minimal() -> None:
    assert job({"backend": service("backend:8000")}) == {
        "job_name": "backend",
        "scrape_interval": "1s",
        "scrape_timeout": "900ms",
        "file_sd_configs": [{"files": ["targets.yml"], "refresh_interval": "2s"}],
        "relabel_configs": [{"source_labels": ["service"], "regex": "backend", "action": "keep"}],
    }


def test_settings_of_a_service_reach_its_job() -> None:
    settings = {"scrape_timeout": "700ms", "metrics_path": "/m", "scheme": "https", "sample_limit": 7, "label_limit": 8}
    assert job({"a": service("a:1", **settings)}).items() >= settings.items()


@pytest.mark.parametrize(("written", "rendered"), [("2MB", "2000000B"), ("1MiB", "1048576B"), (100, "100B")])
def test_a_size_limit_is_bytes_because_prometheus_counts_mb_otherwise(written: Any, rendered: str) -> None:
    assert job({"a": service("a:1", body_size_limit=written)})["body_size_limit"] == rendered


def test_contracts_by_service() -> None:
    services = {
        "b": service("b:1", contract="backend"),
        "a": service("a:1"),
        "e": service("e:1", contract="trade_engine"),
    }
    assert subject.contract_services(services) == {"b": "backend", "e": "trade_engine"}


@pytest.mark.parametrize(
    ("settings", "rendered"),
    [
        ({}, {}),
        ({"tls": {}}, {}),  # the system's authorities
        ({"tls": {"ca": "site"}}, {"tls_config": {"ca_file": TLS["ca"]}}),
        ({"tls": {"ca": AUTHORITY.pem}}, {"tls_config": {"ca_file": "tls/a.crt"}}),
        ({"tls": {"server_name": "backend"}}, {"tls_config": {"server_name": "backend"}}),
        ({"tls": {"client_certificate": False}}, {}),
        (
            {"tls": {"client_certificate": True}},
            {"tls_config": {"cert_file": TLS["client"], "key_file": TLS["client"]}},
        ),
        (
            {"tls": {"ca": "site", "server_name": "b", "client_certificate": True}, "bearer_token": CANARY},
            {
                "tls_config": {
                    "ca_file": TLS["ca"],
                    "cert_file": TLS["client"],
                    "key_file": TLS["client"],
                    "server_name": "b",
                },
                "authorization": {"credentials_file": "secrets/a"},
            },
        ),
        (
            {"basic_auth": {"username": "u", "password": CANARY}},
            {"basic_auth": {"username": "u", "password_file": "secrets/a"}},
        ),
    ],
)
def test_a_job_names_files_for_authorities_and_secrets(settings: dict[str, Any], rendered: dict[str, Any]) -> None:
    config = job({"a": secure(**settings)})
    assert {key: config[key] for key in ("tls_config", "authorization", "basic_auth") if key in config} == rendered
    assert config["scheme"] == "https"
    assert CANARY not in str(config)


def test_authorities_and_secrets_are_files_by_service() -> None:
    services = {
        "b": secure(bearer_token="token", tls={"ca": AUTHORITY.pem}),
        "a": service("a:1", basic_auth={"username": "u", "password": "p"}),
        "site": secure(tls={"ca": "site"}),
        "plain": service("p:1"),
    }
    assert subject.scrape_authorities(services) == {"tls/b.crt": AUTHORITY.pem}
    assert list(subject.scrape_secrets(services).items()) == [("secrets/a", "p"), ("secrets/b", "token")]
    for job_of in subject.scrape_configs(complete(services)):
        named = {value for value in walk(job_of) if value.startswith(("tls/", "secrets/"))}
        assert named <= subject.scrape_authorities(services).keys() | subject.scrape_secrets(services).keys()


def walk(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [value for inner in document.values() for value in walk(inner)]
    return [document] if isinstance(document, str) else []


def test_own_services_and_what_an_exporter_speaks_for_are_asked_as_the_exporter_is() -> None:
    site = {"scheme": "https", "tls": {"ca": "site", "client_certificate": True}}
    services = {"redis": service("redis:6379", exporter="redis_exporter"), "plain": service("p:1")}
    entries = complete(services, own={name: settings | site for name, settings in OWN.items()})
    configs = {config["job_name"]: config for config in subject.scrape_configs(entries)}
    config = {"ca_file": TLS["ca"], "cert_file": TLS["client"], "key_file": TLS["client"]}
    for name in ("node", "prometheus", "redis_exporter", "redis"):
        assert (configs[name]["scheme"], configs[name]["tls_config"]) == ("https", config)
    assert configs["redis"]["metrics_path"] == "/scrape"
    assert not {"scheme", "tls_config"} & configs["plain"].keys()


@pytest.mark.parametrize("tls", [{"ca": "site"}, {"client_certificate": True}])
def test_a_site_without_certificates_can_show_and_trust_none(tls: dict[str, Any]) -> None:
    told = f"tls.{next(iter(tls))} is {next(iter(tls.values()))!r}: this site has no certificates"
    with pytest.raises(AnsibleFilterError) as refusal:
        subject.catalogue({"a": secure(tls=tls)}, HOSTS, "mon1", EXPORTERS, {})
    assert str(refusal.value).startswith(f"monitored_services.a.{told}")
    own = {"node": OWN["node"] | {"scheme": "https", "tls": tls}}
    with pytest.raises(AnsibleFilterError) as refusal:
        subject.catalogue({}, HOSTS, "mon1", EXPORTERS, own)
    assert str(refusal.value).startswith(f"own.node of the filter catalogue.{told}")
    other = {"a": secure(tls={"ca": AUTHORITY.pem, "server_name": "b"})}
    assert subject.catalogue(other, HOSTS, "mon1", EXPORTERS, {})


def test_job_with_exporter_asks_the_exporter_for_the_target() -> None:
    config = job({"redis": service("redis:6379", exporter="redis_exporter")})
    assert config["metrics_path"] == "/scrape"
    labels = {"__address__": "redis:6379", "service": "redis", "__exporter__": "192.0.2.20:9121"}
    assert relabel(labels, config) == {
        "service": "redis",
        "instance": "redis:6379",
        "__address__": "192.0.2.20:9121",
        "__param_target": "redis:6379",
        "__exporter__": "192.0.2.20:9121",
    }
    assert relabel(labels | {"instance": "app1:6379"}, config)["instance"] == "app1:6379"


def relabel(labels: dict[str, str], config: dict[str, Any]) -> dict[str, str]:
    """What Prometheus makes of a target with the few forms of rules that we use."""
    for rule in config["relabel_configs"]:
        value = ";".join(labels.get(name, "") for name in rule["source_labels"])
        if rule.get("action") == "keep":
            assert value == rule["regex"]
        elif rule.get("regex") == ";(.+)":
            labels = labels | ({rule["target_label"]: value[1:]} if value.startswith(";") else {})
        else:
            labels = labels | {rule["target_label"]: value}
    return labels


def test_all_jobs_share_one_discovery() -> None:
    configs = subject.scrape_configs(
        complete({"a": service("a:1"), "b": service("b:1", scrape_interval="5s")}, own=OWN)
    )
    assert all(config["file_sd_configs"] == configs[0]["file_sd_configs"] for config in configs)


def test_targets_name_service_and_instance_and_what_differs() -> None:
    services = {
        "a": service("a:1", "localhost:2"),
        "redis": service("redis:6379", exporter="redis_exporter"),
    }
    services["a"]["instances"][0]["labels"] = {"zone": 1}
    assert subject.scrape_targets(complete(services)) == [
        {"targets": ["a:1"], "labels": {"service": "a", "instance_name": "i0", "host": "app1", "zone": "1"}},
        {
            "targets": ["192.0.2.20:2"],
            "labels": {"service": "a", "instance_name": "i1", "host": "app1", "instance": "app1:2"},
        },
        {
            "targets": ["redis:6379"],
            "labels": {"service": "redis", "instance_name": "i0", "host": "app1", "__exporter__": "192.0.2.20:9121"},
        },
    ]


# --- What is probed

PROBES = {
    "port": 9115,
    "host": "icmp",
    "host_interval": "1s",
    "interval": "15s",
    "ssh_ports": {"mon1": 22, "app1": 2222, "db1": 22},
}
SITE_TLS = {"scheme": "https", "tls": {"ca": "site", "client_certificate": True}}


def probed(services: dict[str, Any], own: dict[str, Any] | None = None, **changes: Any) -> list[subject.Instance]:
    return subject.catalogue(services, HOSTS, "mon1", EXPORTERS, own or {}, TLS, PROBES | changes)


@pytest.mark.parametrize(
    ("kind", "module", "addresses"),
    [
        ("icmp", "icmp", ["192.0.2.20", "2001:db8::30", "192.0.2.10"]),
        ("tcp", "tcp_connect", ["192.0.2.20:2222", "[2001:db8::30]:22", "192.0.2.10:22"]),
    ],
)
def test_every_host_is_probed_each_second(kind: str, module: str, addresses: list[str]) -> None:
    entries = probed({}, host=kind)
    assert subject.scrape_targets(entries) == [
        {
            "targets": [address],
            "labels": {
                "service": "host",
                "instance_name": host,
                "host": host,
                "instance": host,
                "__exporter__": "localhost:9115",
                "__param_module": module,
            },
        }
        for host, address in zip(("app1", "db1", "mon1"), addresses, strict=True)
    ]
    (config,) = subject.scrape_configs(entries)
    shown = {key: config[key] for key in ("metrics_path", "scrape_interval", "scrape_timeout")}
    assert shown == {"metrics_path": "/probe", "scrape_interval": "1s", "scrape_timeout": "900ms"}
    assert "scheme" not in config
    assert subject.expected_targets(entries) == [["host", "app1"], ["host", "db1"], ["host", "mon1"]]


REDIS = {"exporter": "redis_exporter"}


@pytest.mark.parametrize(
    ("settings", "target", "module", "address"),
    [
        ({}, "a:1", "tcp_connect", "a:1"),
        ({}, "localhost:1", "tcp_connect", "192.0.2.20:1"),
        ({"probe": "none"}, "a:1", None, None),
        ({"probe": "http"}, "a:1", "http_2xx", "a:1"),
        ({"scheme": "https"}, "a:1", "tls_expiry", "a:1"),
        ({"scheme": "https", "tls": {"ca": "site"}}, "a:1", "tls_connect", "a:1"),
        ({"scheme": "https", "tls": {"ca": "site", "server_name": "b"}}, "a:1", "tls_expiry", "a:1"),
        ({"scheme": "https", "probe": "tcp"}, "a:1", "tcp_connect", "a:1"),
        (REDIS, "a:1", "tcp_connect", "a:1"),
        (REDIS, "localhost:1", None, None),  # the exporter beside it reaches it; who else does, nobody has said
        (REDIS | {"probe": "tcp"}, "localhost:1", "tcp_connect", "192.0.2.20:1"),
        (REDIS | {"redis": {"tls": True}}, "a:1", "tls_connect", "a:1"),
    ],
)
def test_each_port_is_probed_as_it_makes_sense(
    settings: dict[str, Any], target: str, module: str | None, address: str | None
) -> None:
    entries = [entry for entry in probed({"a": service(target, **settings)}) if entry["service"] == "probe"]
    assert [(entry["params"]["module"], entry["address"]) for entry in entries] == (
        [(module, address)] if module else []
    )
    for entry in entries:
        assert entry["labels"] == {"probed_service": "a"}
        assert (entry["name"], entry["host"]) == ("i0", "app1")
        assert entry["instance"] == target.replace("localhost", "app1")


def test_each_certificate_of_the_stack_is_probed_and_what_is_in_clear_is_not() -> None:
    own = {name: settings | SITE_TLS for name, settings in OWN.items()}
    own["blackbox_exporter"] = {"port": 9115, "scrape_interval": "15s", "hosts": ["mon1"]}
    entries = [entry for entry in probed({}, own) if entry["service"] == "probe"]
    assert {entry["params"]["module"] for entry in entries} == {"tls_connect"}
    assert sorted(entry["instance"] for entry in entries) == ["app1:9100", "db1:9100", "mon1:9090", "mon1:9100"]


def test_one_instance_in_two_services_is_probed_for_both() -> None:
    entries = probed({"b": service("x:1"), "a": service("x:1")})
    assert subject.expected_targets(entries)[-2:] == [["probe", "x:1"], ["probe", "x:1"]]
    labels = [group["labels"] for group in subject.scrape_targets(entries) if group["labels"]["service"] == "probe"]
    assert [label["probed_service"] for label in labels] == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"host": "ping"}, "monitoring_host_probe is 'ping': write icmp or tcp"),
        ({"host_interval": "1"}, "monitoring_host_probe_interval is '1': write a duration above zero"),
        ({"interval": None}, "monitoring_probe_interval is missing: write a duration"),
        ({"port": 0}, "probes.port of the filter catalogue is 0"),
    ],
)
def test_how_to_probe_is_refused_by_the_variable_to_mend(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        probed({}, **changes)
    assert str(refusal.value).startswith(told)
    (finding,) = subject.catalogue_findings({}, HOSTS, EXPORTERS, PROBES | changes)
    assert finding.startswith(told)


# --- Redis


def redis(*targets: str, **settings: Any) -> dict[str, Any]:
    return service(*targets, exporter="redis_exporter", **settings)


def test_streams_of_the_service_and_of_the_instance_are_asked_for_by_key() -> None:
    services = {"redis": redis("r:1", "r:2", streams=["all"])}
    services["redis"]["instances"][1]["streams"] = ["orders:new", "a=b"]
    asked = [group["labels"]["__param_check-single-streams"] for group in subject.scrape_targets(complete(services))]
    assert asked == ["all", "all,orders:new,a%3Db"]


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"password": CANARY}, "redis://"),
        ({"username": "monitor", "password": CANARY}, "redis://monitor@"),
        ({"tls": True}, "rediss://"),
        ({"username": "monitor", "password": CANARY, "tls": True}, "rediss://monitor@"),
    ],
)
def test_the_exporter_is_asked_with_the_account_and_finds_its_password(settings: dict[str, Any], begins: str) -> None:
    services = {"redis": redis("r:1", redis=settings), "plain": redis("p:1")}
    entries = complete(services)
    config = {job_of["job_name"]: job_of for job_of in subject.scrape_configs(entries)}
    (rule,) = [rule for rule in config["redis"]["relabel_configs"] if rule.get("target_label") == "__param_target"]
    assert rule["replacement"] == f"{begins}$1"
    assert "replacement" not in str(config["plain"])
    assert CANARY not in str(entries)
    passwords = {f"{begins}r:1": CANARY} if "password" in settings else {}
    assert subject.redis_passwords(services, "app1", ["mon1"]) == passwords
    assert subject.redis_passwords(services, "db1", ["mon1"]) == {}


CLUSTER = redis("192.0.2.20:7001", "192.0.2.99:7001", cluster=True, redis={"username": "m", "password": CANARY})


def test_a_clusters_seeds_are_targets_that_the_prometheus_host_asks() -> None:
    entries = subject.catalogue({"c": CLUSTER}, HOSTS, "mon1", EXPORTERS, OWN, TLS, discovery="http://localhost:1/x")
    seeds = [entry for entry in entries if entry["service"] == "c"]
    assert {entry["exporter_address"] for entry in seeds} == {"192.0.2.10:9121"}
    assert subject.exporter_hosts({"c": CLUSTER}, "redis_exporter", HOSTS, ["mon1", "db1"]) == ["db1", "mon1"]
    assert subject.redis_cluster({"c": CLUSTER}) == "redis://m@192.0.2.20:7001"
    assert subject.redis_cluster({"plain": redis("r:1")}) == ""
    assert len(subject.redis_passwords({"c": CLUSTER}, "mon1", ["mon1"])) == 2
    assert subject.redis_passwords({"c": CLUSTER}, "app1", ["mon1"]) == {}


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("redis://192.0.2.20:7001", None),  # a seed, which is there already
        ("redis://192.0.2.20:7002", {"instance": "192.0.2.20:7002", "host": "app1"}),
        ("rediss://198.51.100.1:7001", {"instance": "198.51.100.1:7001"}),
    ],
)
def test_a_discovered_node_gets_the_labels_of_an_instance(told: str, seen: dict[str, str] | None) -> None:
    entries = subject.catalogue({"c": CLUSTER}, HOSTS, "mon1", EXPORTERS, OWN, TLS, discovery="http://localhost:1/x")
    (config,) = [config for config in subject.scrape_configs(entries) if config["job_name"] == "c"]
    assert config["http_sd_configs"] == [{"url": "http://localhost:1/x", "refresh_interval": "5s"}]
    labels = relabel_as_prometheus_does({"__address__": told, "__meta_url": "http://localhost:1/x"}, config)
    if seen is None:
        assert labels is None
        return
    assert labels is not None
    shown = {name: value for name, value in labels.items() if value and not name.startswith("__")}
    assert shown == {"service": "c", "instance_name": seen["instance"], **seen}
    assert labels["__address__"] == "192.0.2.10:9121"
    assert labels["__param_target"] == f"redis://m@{seen['instance']}"


def relabel_as_prometheus_does(labels: dict[str, str], config: dict[str, Any]) -> dict[str, str] | None:
    for rule in config["relabel_configs"]:
        value = ";".join(labels.get(name, "") for name in rule["source_labels"])
        match = re.fullmatch(rule.get("regex", "(.*)"), value)
        action = rule.get("action", "replace")
        if action != "replace":
            if (match is None) == (action == "keep"):
                return None
        elif match:
            labels = labels | {rule["target_label"]: match.expand(rule.get("replacement", "$1").replace("$1", r"\1"))}
    return labels


def test_expected_targets_are_jobs_and_instance_labels() -> None:
    entries = complete({"b": service("localhost:2"), "a": service("z:1", "a:1")})
    assert subject.expected_targets(entries) == [["a", "a:1"], ["a", "z:1"], ["b", "app1:2"]]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("1GiB", 2**30),
        ("1GB", 10**9),
        ("512MiB", 2**29),
        ("1.5 GiB", 3 * 2**29),
        ("1KiB", 1024),
        ("1kB", 1000),
        ("77", 77),
        (77, 77),
    ],
)
def test_memory_limit_in_bytes(limit: object, expected: int) -> None:
    services = {"b": service("b:1", memory_limit=limit), "without": service("w:1")}
    assert subject.memory_limits(services) == [{"service": "b", "bytes": expected}]


# --- Mistakes

MISTAKES: list[tuple[object, str]] = [
    (None, "monitored_services is missing: write a mapping"),
    (["redis"], "monitored_services is ['redis']: write a mapping"),
    ({"a": "x"}, "monitored_services.a is 'x': write a mapping with scrape_interval and instances"),
    ({"a": service()}, "monitored_services.a.instances is []: write a list with at least one"),
    ({"a": {"scrape_interval": "1s"}}, "monitored_services.a.instances is missing: write a list"),
    ({"a": service(instances="x")}, "monitored_services.a.instances is 'x': write a list"),
    ({"a": service(instances=["x"])}, "monitored_services.a.instances[0] is 'x': write a mapping with name and target"),
    ({"a": service("a:1", scrape_intervall="1s")}, "a.scrape_intervall is not known; did you mean scrape_interval?"),
    ({"a": service("a:1", zzz=1)}, "monitored_services.a.zzz is not known: known are scrape_interval, "),
    (
        {"a": service(instances=[{"name": "a", "target": "a:1", "traget": 1}])},
        "traget is not known; did you mean target?",
    ),
    (
        {"a": service(instances=[{"name": "a"}])},
        "instances[0].target is missing: write host:port, for example redis:6379",
    ),
    ({"a": service(instances=[{"target": "a:1"}])}, "instances[0].name is missing: write a name that is unique"),
    ({"a": service(instances=[{"name": 1, "target": "a:1"}])}, "instances[0].name is 1: write a text"),
    (
        {"a": service("redis")},
        "monitored_services.a.instances[0].target is 'redis': write host:port, for example redis:6379",
    ),
    ({"a": service("a:0")}, "target is 'a:0': write host:port with a port between 1 and 65535"),
    ({"a": service("a:70000")}, "target is 'a:70000': write host:port with a port between"),
    ({"a": service("a:1\n")}, "target is 'a:1\\n': write host:port"),
    ({"a": service("http://a:1")}, "target is 'http://a:1': write host:port; scheme and metrics_path are settings"),
    ({"a": service(instances=[{"name": "a", "target": 6379}])}, "target is 6379: write host:port"),
    ({"a": service("a:1", "a:1")}, "instances[1].target is 'a:1': instances[0] has that target already"),
    (
        {"a": service(instances=[{"name": "x", "target": "a:1"}, {"name": "x", "target": "a:2"}])},
        "instances[1].name is 'x': instances[0] has that name already",
    ),
    (
        {"a": service(instances=[{"name": "a", "host": "app2", "target": "a:1"}])},
        "instances[0].host is 'app2': it is not in the inventory; leave host out for what lives elsewhere; did",
    ),
    ({"a": service(instances=[{"name": "a", "host": [], "target": "a:1"}])}, "host is []: it is not in the inventory"),
    (
        {"a": service(instances=[{"name": "a", "target": "localhost:1"}])},
        "target is 'localhost:1': say whose with host",
    ),
    ({"a": {"instances": [{"name": "a", "target": "a:1"}]}}, "a.scrape_interval is missing: write a duration"),
    ({"a": service("a:1", scrape_interval="1")}, "scrape_interval is '1': write a duration above zero"),
    ({"a": service("a:1", scrape_interval=1)}, "scrape_interval is 1: write a duration above zero"),
    ({"a": service("a:1", scrape_interval="0s")}, "scrape_interval is '0s': write a duration above zero"),
    ({"a": service("a:1", scrape_timeout="1s30m")}, "scrape_timeout is '1s30m': write a duration"),
    (
        {"a": service("a:1", scrape_timeout="2s")},
        "scrape_timeout is '2s': it may not exceed scrape_interval, which is 1s",
    ),
    ({"a": service("a:1", exporter="redis_exprter")}, "known are: redis_exporter; did you mean redis_exporter?"),
    ({"a": service("a:1", exporter=["x"])}, "a.exporter is ['x']: known are: redis_exporter"),
    (
        {"a": service("a:1", exporter="redis_exporter", metrics_path="/m")},
        "metrics_path is of no use here: leave it out, the exporter",
    ),
    ({"a": service("a:1", metrics_path="m")}, "metrics_path is 'm': write a path without a query"),
    ({"a": service("a:1", scheme="htp")}, "scheme is 'htp': write http or https"),
    ({"a": service("a:1", tls={})}, "monitored_services.a.tls is of no use without scheme: https: add that, or"),
    ({"a": secure(tls="site")}, "monitored_services.a.tls is 'site': write a mapping with some of ca, server_name"),
    ({"a": secure(tls={"cas": "site"})}, "monitored_services.a.tls.cas is not known; did you mean ca?"),
    ({"a": secure(tls={"ca": "/etc/ca.pem"})}, "tls.ca is '/etc/ca.pem': write site, or the authority's certificate"),
    ({"a": secure(tls={"ca": True})}, "tls.ca is True: write site, or the authority's certificate in PEM"),
    ({"a": secure(tls={"ca": AUTHORITY.pem[:-60]})}, "a.tls.ca cannot be read as a certificate: write all of its PEM"),
    ({"a": secure(tls={"ca": AUTHORITY.pem.replace("MII", "")})}, "a.tls.ca cannot be read as a certificate: write"),
    ({"a": secure(tls={"ca": AUTHORITY.pem.replace("\n", " ")})}, "a.tls.ca cannot be read as a certificate: write"),
    ({"a": secure(tls={"ca": AUTHORITY.pem + key_pem(new_key())})}, "a.tls.ca has a private key in it: leave the"),
    ({"a": secure(tls={"server_name": 1})}, "a.tls.server_name is 1: write a name"),
    ({"a": secure(tls={"client_certificate": "yes"})}, "a.tls.client_certificate is 'yes': write true or false"),
    ({"a": secure(bearer_token="")}, "a.bearer_token is missing, no text or has white space around it: take it from"),
    ({"a": secure(bearer_token=" x")}, "a.bearer_token is missing, no text or has white space around it: take it from"),
    ({"a": secure(bearer_token="x\ny")}, "a.bearer_token is missing, no text or has white space around it: take it"),
    ({"a": secure(tls={"ca": UNKNOWN_VERSION})}, "a.tls.ca cannot be read as a certificate: write all of its PEM"),
    ({"a": secure(bearer_token="x\n")}, "a.bearer_token is missing, no text or has white space around it: take it"),
    ({"a": secure(bearer_token=1)}, "a.bearer_token is missing, no text or has white space around it: take it from"),
    ({"a": secure(basic_auth="u:p")}, "monitored_services.a.basic_auth is no mapping: write username and password"),
    ({"a": secure(basic_auth={"username": "u"})}, "a.basic_auth.password is missing, no text or has white space"),
    ({"a": secure(basic_auth={"password": "p"})}, "a.basic_auth.username is missing or no text: write a name"),
    (
        {"a": secure(basic_auth={"username": "u", "password": "p", "pasword": "p"})},
        "a.basic_auth.pasword is not known; did you mean password?",
    ),
    (
        {"a": secure(bearer_token="t", basic_auth={"username": "u", "password": "p"})},
        "a.bearer_token and basic_auth are both there: Prometheus takes one of them, remove the other",
    ),
    *[
        (
            {"a": service("a:1", exporter="redis_exporter", **{key: value})},
            f"monitored_services.a.{key} is of no use here: leave it out, the exporter redis_exporter has its own",
        )
        for key, value in (
            ("scheme", "https"),
            ("bearer_token", "t"),
            ("basic_auth", {"username": "u", "password": "p"}),
        )
    ],
    ({"a": service("a:1", memory_limit="1G")}, "memory_limit is '1G': write a size above zero, for example 1GiB"),
    ({"a": service("a:1", memory_limit=True)}, "memory_limit is True: write a size"),
    ({"a": service("a:1", sample_limit=0)}, "sample_limit is 0: write a number above zero"),
    ({"a": service("a:1", clickhouse="yes")}, "clickhouse is 'yes': write true or false"),
    ({"a": service("a:1", clickhouse=True, scheme="https")}, "clickhouse is of no use with scheme: https"),
    ({"a": service("a:1", label_limit="9")}, "label_limit is '9': write a number above zero"),
    ({"a": service("a:1", body_size_limit="1G")}, "body_size_limit is '1G': write a size above zero, for example 20MB"),
    (
        {"a": service("a:1", contract="trade-engine")},
        "contract is 'trade-engine': known are: backend, trade_engine; did",
    ),
    ({"a": service("a:1", contract=["backend"])}, "contract is ['backend']: known are: backend, trade_engine"),
    ({"a": service(instances=[{"name": "a", "target": "a:1", "labels": "x"}])}, "labels is 'x': write a mapping"),
    ({"a": service(instances=[{"name": "a", "target": "a:1", "labels": {"a-b": "x"}}])}, "labels.a-b is no label name"),
    ({"a": service(instances=[{"name": "a", "target": "a:1", "labels": {"__a": "x"}}])}, "labels.__a is no label name"),
    ({"a": service(instances=[{"name": "a", "target": "a:1", "labels": {"job": "x"}}])}, "labels.job is a label that"),
    (
        {"a": service(instances=[{"name": "a", "target": "a:1", "labels": {"z": True}}])},
        "labels.z is True: write a text",
    ),
    ({"node": service("a:1")}, "monitored_services.node is a name that the stack uses itself: choose another"),
    ({"prometheus": service("a:1")}, "monitored_services.prometheus is a name that the stack uses"),
    ({"redis_exporter": service("a:1")}, "monitored_services.redis_exporter is a name that the stack uses"),
    *[
        ({name: service("a:1")}, f"monitored_services.{name} is a name that the stack uses itself: choose another")
        for name in ("host", "probe", "alertmanager", "blackbox_exporter", "duckdb_exporter")
    ],
    ({"a": service("a:1", probe="ping")}, "monitored_services.a.probe is 'ping': write one of none, tcp, http, tls"),
    ({"a": secure(probe="http")}, "monitored_services.a.probe is 'http': write tls: the service speaks https"),
    *[
        ({"a": service("a:1", **{key: value})}, f"a.{key} is of no use without exporter: redis_exporter: add that, or")
        for key, value in (("redis", {}), ("streams", ["s"]), ("cluster", True))
    ],
    (
        {"a": service(instances=[{"name": "a", "target": "a:1", "streams": ["s"]}])},
        "a.instances[0].streams is of no use without exporter: redis_exporter",
    ),
    ({"a": redis("a:1", streams="s")}, "monitored_services.a.streams is 's': write a list of the streams' keys"),
    ({"a": redis("a:1", streams=["a,b"])}, "monitored_services.a.streams is ['a,b']: write a list of the streams'"),
    ({"a": redis("a:1", redis="x")}, "monitored_services.a.redis is no mapping: write some of username, password, tls"),
    ({"a": redis("a:1", redis={"usr": "x"})}, "monitored_services.a.redis.usr is not known"),
    ({"a": redis("a:1", redis={"username": "x"})}, "a.redis.password is missing, no text or has white space"),
    ({"a": redis("a:1", redis={"username": "x@y", "password": "p"})}, "a.redis.username is no name: use letters"),
    ({"a": redis("a:1", redis={"tls": "yes"})}, "monitored_services.a.redis.tls is 'yes': write true or false"),
    ({"a": redis("a:1", cluster="yes")}, "monitored_services.a.cluster is 'yes': write true or false"),
    (
        {"a": redis("a:1", cluster=True)},
        "monitored_services.a.instances[0].target is 'a:1': write the address and port that CLUSTER NODES shows",
    ),
    (
        {"a": redis("127.0.0.1:1", cluster=True)},
        "instances[0].target is '127.0.0.1:1': write the address and port that",
    ),
    (
        {"a": redis("192.0.2.1:1", cluster=True), "b": redis("192.0.2.2:1", cluster=True)},
        "monitored_services.b.cluster is one too many: a has it already",
    ),
    ({"a.*": service("a:1")}, "monitored_services.a.* is no service name: use letters"),
    ({1: service("a:1")}, "monitored_services.1 is no service name: use letters"),
]


@pytest.mark.parametrize(("services", "expected"), MISTAKES, ids=[text[-60:] for _, text in MISTAKES])
def test_each_mistake_is_the_only_finding_and_names_its_remedy(services: Any, expected: str) -> None:
    (finding,) = subject.catalogue_findings(services, HOSTS, EXPORTERS)
    assert expected in finding
    with pytest.raises(AnsibleFilterError, match="monitored_services"):
        complete(services)


def test_all_mistakes_are_said_at_once() -> None:
    services = {
        "a": service("redis", "http://a:1", scrape_interval="1", memory_limit="1G"),
        "node": service("a:0"),
        "c": None,
    }
    paths = [finding.split(" is ")[0] for finding in subject.catalogue_findings(services, HOSTS, EXPORTERS)]
    assert paths == [
        "monitored_services.a.scrape_interval",
        "monitored_services.a.memory_limit",
        "monitored_services.a.instances[0].target",
        "monitored_services.a.instances[1].target",
        "monitored_services.node",
        "monitored_services.node.instances[0].target",
        "monitored_services.c",
    ]


IN_SOME_FORM = [CANARY, f" {CANARY}", f"{CANARY}\n{CANARY}", [CANARY], {"token": CANARY}, {CANARY}, CANARY.encode()]


@pytest.mark.parametrize("value", IN_SOME_FORM, ids=repr)
@pytest.mark.parametrize("scheme", ["http", "htp", None])
def test_no_finding_shows_a_secret_whatever_is_wrong(value: Any, scheme: str | None) -> None:
    key = f"-----BEGIN PRIVATE KEY----- {CANARY} -----END PRIVATE KEY-----"
    places: list[dict[str, Any]] = [
        {"bearer_token": value},
        {"bearer_token": value, "basic_auth": value},
        {"basic_auth": value},
        {"basic_auth": {"username": value, "password": value}},
        {"basic_auth": {"password": value, "passwort": value}},
        {"bearer_tokn": value},
        {"redis": value},
        {"redis": {"password": value, "passwort": value}},
        {"redis": {"username": value, "password": value}},
        {"tls": {"ca": key}},
        {"tls": {"ca": f"-----BEGIN CERTIFICATE-----{CANARY}"}},
    ]
    for settings in places:
        for more in ({}, {"exporter": "redis_exporter"}):
            found = subject.catalogue_findings(
                {"a": service("a:", scheme=scheme, **settings, **more)}, HOSTS, EXPORTERS
            )
            assert found
            assert CANARY not in " ".join(found)


def test_same_port_on_two_hosts_is_no_duplicate() -> None:
    instances = [{"name": host, "host": host, "target": "localhost:1"} for host in ("app1", "mon1")]
    assert subject.catalogue_findings({"a": service(instances=instances)}, HOSTS, EXPORTERS) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (({}, HOSTS, "other", EXPORTERS, OWN), "on of the filter catalogue is 'other'"),
        (({}, None, "mon1", EXPORTERS, OWN), "hosts of the filter catalogue is missing"),
        (({}, {"mon1": None}, "mon1", EXPORTERS, OWN), "monitoring_address of mon1 is missing"),
        (({}, HOSTS, "mon1", {"redis_exporter": "x"}, OWN), "exporters.redis_exporter of the filter catalogue is 'x'"),
        (({}, HOSTS, "mon1", [], OWN), "exporters of the filter catalogue is []"),
        (({}, HOSTS, "mon1", EXPORTERS, {"node": 9100}), "own of the filter catalogue is {'node': 9100}"),
        (({}, HOSTS, "mon1", EXPORTERS, {"node": {"port": 0, "scrape_interval": "1s"}}), "own.node.port of the filter"),
        (
            ({}, HOSTS, "mon1", EXPORTERS, {"prometheus": OWN["prometheus"] | {"hosts": ["mon9"]}}),
            "own.prometheus.hosts of the filter catalogue is 'mon9': it is not in hosts",
        ),
        (
            ({}, HOSTS, "mon1", EXPORTERS, {"node": {"port": 1}}),
            "own.node of the filter catalogue.scrape_interval is missing",
        ),
    ],
)
def test_other_arguments_are_refused_by_name(arguments: Any, named: str) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        subject.catalogue(*arguments)
    assert named in str(refusal.value)


@pytest.mark.parametrize("broken", [None, "x", [1], [{"service": "a"}]])
@pytest.mark.parametrize("name", ["scrape_targets", "scrape_configs", "expected_targets"])
def test_what_is_no_catalogue_is_refused_by_name(name: str, broken: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="monitored_instances"):
        subject.FilterModule().filters()[name](broken)


# --- Open-ended input

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
SOMETHING_LIKE_SETTINGS = st.dictionaries(st.sampled_from(subject.SETTINGS), ANYTHING, max_size=6)
SOMETHING_LIKE_INSTANCES = st.lists(
    st.dictionaries(st.sampled_from(subject.INSTANCE_KEYS), ANYTHING, max_size=4), max_size=3
)
VALID_TARGET = st.builds(
    "{}:{}".format, st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z]", fullmatch=True), st.integers(1, 65535)
)


@given(
    st.dictionaries(st.text(max_size=5), SOMETHING_LIKE_SETTINGS | ANYTHING, max_size=3) | ANYTHING,
    SOMETHING_LIKE_INSTANCES,
)
def test_whatever_is_written_is_completed_or_refused_in_words(services: Any, instances: Any) -> None:
    if isinstance(services, dict):
        services["x"] = {"scrape_interval": "1s", "instances": instances}
    findings = subject.catalogue_findings(services, HOSTS, EXPORTERS)
    if findings:
        with pytest.raises(AnsibleFilterError):
            complete(services, own=OWN)
    else:
        complete(services, own=OWN)


@given(st.lists(VALID_TARGET, min_size=1, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_order_of_writing_changes_nothing(targets: list[str], chance: random.Random) -> None:
    services = {f"s{n}": service(*targets) for n in range(3)}
    shuffled = copy.deepcopy(services)
    for settings in shuffled.values():
        chance.shuffle(settings["instances"])
    shuffled = dict(sorted(shuffled.items(), key=lambda _: chance.random()))
    for render in (subject.scrape_targets, subject.scrape_configs, subject.expected_targets):
        assert render(complete(services)) == render(complete(shuffled))


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("app1", "app1:9100"),
        ("192.0.2.20", "192.0.2.20:9100"),
        ("2001:db8::30", "[2001:db8::30]:9100"),
        ("[2001:db8::30]", "[2001:db8::30]:9100"),
    ],
)
def test_a_socket_address_has_an_ipv6_address_in_brackets(address: str, written: str) -> None:
    assert subject.socket_address(address, 9100) == written


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,8}[a-z]", fullmatch=True) | st.ip_addresses().map(str), st.integers(1, 65535))
def test_a_socket_address_is_read_as_it_was_written(address: str, port: int) -> None:
    host, read = subject.endpoint(subject.socket_address(address, port)) or ("", 0)
    assert (host.strip("[]"), read) == (address, port)


@given(st.integers(1, 10**12))
def test_durations_are_read_as_written(milliseconds: int) -> None:
    parts, rest = [], milliseconds
    for unit, size in subject.DURATION_UNITS_MS.items():
        number, rest = divmod(rest, size)
        parts += [f"{number}{unit}"] if number else []
    assert subject.duration_ms("".join(parts)) == milliseconds


def test_what_an_own_service_s_series_are_relabelled_by_is_in_its_job_only() -> None:
    drop = [{"source_labels": ["state"], "regex": "active", "action": "drop"}]
    own = OWN | {"node": OWN["node"] | {"metric_relabel_configs": drop}}
    jobs = {config["job_name"]: config for config in subject.scrape_configs(complete({}, own=own))}
    assert jobs["node"]["metric_relabel_configs"] == drop
    assert [name for name, config in jobs.items() if "metric_relabel_configs" in config] == ["node"]
