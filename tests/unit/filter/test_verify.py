"""From what a live site says of itself to rows: each check well, ill and without an answer."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.verify import (
    CHECKS,
    LEVELS,
    verify_checks,
    verify_json,
    verify_report,
    verify_table,
)

from tests.authority import Authority

DAY, MIB, GIB = 86400, 2**20, 2**30
NOW = 1_800_000_000.0
AUTHORITY = Authority("Authority of the site", days=1000)
SERVER, CLIENT = (AUTHORITY.issue(["app1"], days=90)[0] for _ in range(2))
OTHER = Authority("Stranger").issue(["app1"], days=90)[0]
THRESHOLDS = {
    "certificate_days_warning": 14,
    "certificate_days_critical": 3,
    "scrape_time_ratio": 0.7,
    "scrapes_missed_ratio": 0.1,
    "sync_latency_seconds": 0.2,
    "sync_stalled_seconds": 30,
    "sync_errors": 3,
}


def target(job: str, instance: str, **changes: Any) -> dict[str, Any]:
    well = {"declared": True, "health": "up", "error": "", "answers": True, "scraped": NOW}
    return {"job": job, "instance": instance, **well, **changes}


def rule(kind: str, name: str, **changes: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "health": "ok", "error": "", "firing": 0, **changes}


def unit(**limits: float) -> dict[str, Any]:
    return {"active": True, "systemd": dict(limits), "kernel": dict(limits)}


HOST: dict[str, Any] = {
    "facts": {
        "targets": [target("redis", "a:1"), target("redis", "b:1"), target("backend", "c:1")],
        "rules": [rule("alerting", "RedisDown"), rule("recording", "job:rate"), rule("alerting", "Watchdog", firing=1)],
        "contract": {
            "metadata": [{"target": {"job": "backend", "instance": "c:1"}, "metric": "rows", "type": "gauge"}],
            "series": [{"__name__": "rows", "job": "backend", "instance": "c:1"}],
        },
        "alert": {"watchdog": True, "named": True, "since": {"webhook": {"taken": 2, "refused": 0}}},
        "door": {
            "certificate": SERVER,
            "paths": {"/": {"status": 401, "location": ""}, "/verify/": {"status": 401, "location": ""}},
            "plain": {"fault": "Connection refused"},
        },
        "certificates": {
            "files": {"server": f"{SERVER}{AUTHORITY.pem}", "client": CLIENT, "ca": AUTHORITY.pem},
            "listeners": {"app1:9100": SERVER},
        },
        "limits": {
            "prometheus.service": unit(MemoryMax=2 * GIB, CPUQuota=200, LimitNOFILE=16384),
            "tds.slice": unit(MemoryMax=3 * GIB, CPUWeight=50),
        },
        "retention": {
            "limit_bytes": 10 * GIB,
            "oldest": NOW - 2 * DAY,
            "forecast_seconds": 40.0 * DAY,
            "running": {},
            "filesystem_bytes": 50 * GIB,
            "at": NOW,
        },
        "scrapes": {
            "redis": {"targets": 2, "interval": 1, "average": 0.01, "slowest": 0.1, "of_timeout": 0.01,
                      "samples": 1000, "made": 240, "due": 242},
            "probe": {"targets": 2, "interval": 5, "average": 2, "slowest": 4, "of_timeout": 0.9,
                      "samples": 50, "made": 48, "due": 48},
        },
        "sync": {
            "c:1": {"latency": 0.05, "slowest": 0.4, "rows_per_second": 120.5, "pending": 3, "age": 1, "errors": 0}
        },
        "drawn": {},
    },
    "needs": {
        "checks": list(CHECKS),
        "limits": {
            "prometheus.service": {"MemoryMax": "2G", "CPUQuota": "200%", "LimitNOFILE": 16384, "Nice": 5},
            "tds.slice": {"MemoryMax": 3 * GIB, "CPUWeight": 50},
        },
        "thresholds": THRESHOLDS,
        "accepted": [],
        "door": {"where": "mon1:443"},
        "prometheus": {
            "targets": [["backend", "c:1"], ["redis", "a:1"], ["redis", "b:1"]],
            "rules": [["alerting", "RedisDown"], ["alerting", "Watchdog"], ["recording", "job:rate"]],
            "contracts": {"backend": "backend"},
            "contract_metrics": {"backend": [{"name": "rows", "type": "gauge", "labels": []}]},
            "retention_size": "10GB",
            "retention_time": "30d",
            "capacity": {
                "samples_per_second": 100, "series": 1000, "block_seconds": 1800, "bytes_per_day": 100 * MIB,
                "wal_bytes": 10 * MIB, "by_service": {"redis": 100},
            },
            "receiver": "desk",
            "integrations": {"webhook": 1},
        },
    },
}  # fmt: skip


def changed(path: str, to: Any) -> dict[str, Any]:
    """The host with one thing changed, at a path with slashes."""
    host = copy.deepcopy(HOST)
    *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
    at: Any = host
    for key in way:
        at = at[key]
    at[last] = to
    return host


def rows(host: dict[str, Any], *checks: str) -> list[dict[str, str]]:
    """Those of one host, and of some checks only."""
    found: list[dict[str, str]] = verify_report({"mon1": host})["rows"]
    return [row for row in found if not checks or row["check"] in checks]


def test_a_well_site_has_one_good_row_for_each_check() -> None:
    report = verify_report({"mon1": HOST}, "prod", "2027-01-15T08:00:00+00:00")
    assert [(row["check"], row["level"]) for row in report["rows"]] == [(check, "ok") for check in CHECKS]
    assert report["counts"] == {"error": 0, "warning": 0, "skipped": 0, "ok": len(CHECKS)}
    assert (report["site"], report["at"]) == ("prod", "2027-01-15T08:00:00+00:00")
    said = {row["check"]: row["value"] for row in report["rows"]}
    assert said["targets"] == "3 of 3 up"
    assert said["rules"] == "3 loaded and healthy; firing: none"
    assert said["contract"] == "backend keeps the contract backend"
    assert said["alert"] == "Watchdog is there; desk took VerifyTest by webhook"
    assert said["limits"] == "as declared: prometheus, tds.slice"
    assert said["retention"] == "40.0 days (forecast from the last hour), of which 2.0 are there"
    assert said["sync"] == "50 ms on average, 400 ms at most; 120 rows/s, 3 wait"
    assert said["scrapes"] == ("288 of 290 made in 2 min, 1,010 samples/s; the longest, of redis, take 10.0 ms of 1 s")
    assert said["door"] == "401 without a login, plain HTTP is closed, certificate good for 89 days"


PROMETHEUS = "needs/prometheus"
NO_SERIES = "has no series rows yet: begin each of its label values at 0 when the program starts"
FAULTS: dict[str, tuple[str, Any, str, str, str, str]] = {
    # what: path, value, check, what of the row, value of the row, level
    "no target": (f"{PROMETHEUS}/targets", [["redis", "a:1"], ["redis", "b:1"], ["backend", "c:1"], ["node", "d"]],
                  "targets", "node d", "is no target", "error"),
    "a stranger": (f"{PROMETHEUS}/targets", [["redis", "a:1"], ["backend", "c:1"]],
                   "targets", "redis b:1", "is not declared", "error"),
    "down": ("facts/targets/0", target("redis", "a:1", health="down", error="refused"),
             "targets", "redis a:1", "down: refused", "error"),
    "never asked": ("facts/targets/0", target("redis", "a:1", health="unknown"),
                    "targets", "redis a:1", "unknown", "error"),
    "silent": ("facts/targets/1", target("redis", "b:1", answers=False),
               "targets", "redis b:1", "does not answer who asks for it", "error"),
    "no rule": ("facts/rules", HOST["facts"]["rules"][1:], "rules", "alerting RedisDown", "is not loaded", "error"),
    "twice": ("facts/rules", [*HOST["facts"]["rules"], rule("recording", "job:rate")],
              "rules", "recording job:rate", "is not declared", "error"),
    "ill": ("facts/rules/0", rule("alerting", "RedisDown", health="err", error="many-to-many"),
            "rules", "alerting RedisDown", "err: many-to-many", "error"),
    "contract": ("facts/contract/series", [],
                 "contract", "backend c:1 rows", NO_SERIES, "error"),
    "no Watchdog": ("facts/alert/watchdog", False,
                    "alert", "Watchdog, from Prometheus", "is not there", "error"),
    "not taken": ("facts/alert/since/webhook", {"taken": 0, "refused": 4},
                  "alert", "VerifyTest to desk by webhook", "0 taken, 4 refused", "error"),
    "one of two": (f"{PROMETHEUS}/integrations", {"webhook": 3},
                   "alert", "VerifyTest to desk by webhook", "2 taken, 0 refused", "error"),
    "unnamed": ("facts/alert/named", False,
                "alert", "VerifyTest to desk", "taken by some receiver's webhook, perhaps another's", "warning"),
    "open": ("facts/door/paths", {"/verify/": {"status": 200, "location": ""}},
             "door", "door /verify/ without a login", "200", "error"),
    "in clear": ("facts/door/plain", {"status": 200, "location": ""}, "door", "door in clear", "200", "error"),
    "led astray": ("facts/door/plain", {"status": 301, "location": "http://elsewhere/"},
                   "door", "door in clear", "301", "error"),
    "no handshake": ("facts/door/certificate", {"fault": "timed out"},
                     "door", "handshake with door", "timed out", "error"),
    "expiring": ("facts/certificates/files/client", AUTHORITY.issue(["app1"], days=5)[0],
                 "certificates", "client.crt", "4 days left", "warning"),
    "ending": ("facts/certificates/files/client", AUTHORITY.issue(["app1"], days=2)[0],
               "certificates", "client.crt", "1 days left", "error"),
    "no certificate": ("facts/certificates/files/ca", "",
                       "certificates", "ca.crt", "is not there, or no certificate", "error"),
    "refused": ("facts/certificates/listeners/app1:9100", {"fault": "refused"},
                "certificates", "handshake with app1:9100", "refused", "error"),
    "another's": ("facts/certificates/listeners/app1:9100", OTHER,
                  "certificates", "handshake with app1:9100", "another certificate", "error"),
    "dead": ("facts/limits/prometheus.service/active", False, "limits", "prometheus", "does not run", "error"),
    "loosened": ("facts/limits/prometheus.service/systemd/MemoryMax", None,
                 "limits", "prometheus MemoryMax", "none for systemd", "error"),
    "of the kernel": ("facts/limits/tds.slice/kernel/CPUWeight", 100,
                      "limits", "tds.slice CPUWeight", "100 for the kernel", "error"),
    "no controller": ("facts/limits/tds.slice/kernel", {"CPUWeight": 50},
                      "limits", "MemoryMax in the kernel", "not enforced: it has no such controllers here", "error"),
    "no size": ("facts/retention/limit_bytes", 0, "retention", "size limit", "no limit", "error"),
    "too large": ("facts/retention/filesystem_bytes", 5 * GIB, "retention", "size limit", "10.0 GiB", "error"),
    "too short": ("facts/retention/forecast_seconds", 29 * DAY,
                  "retention", "retention", "29.0 days (forecast from the last hour), of which 2.0 are there", "error"),
    "missed": ("facts/scrapes/redis/made", 200, "scrapes", "scrapes of redis", "200 of 242 made", "error"),
    "slow": ("facts/scrapes/redis/of_timeout", 0.75,
             "scrapes", "scrapes of redis", "take 75% of their timeout", "error"),
    "none": ("facts/scrapes", {}, "scrapes", "scrapes", "there are none", "error"),
    "slow sync": ("facts/sync/c:1/latency", 0.3,
                  "sync", "sync of c:1: latency", "0.3 s on average of a minute", "error"),
    "stalled": ("facts/sync/c:1/age", 31, "sync", "sync of c:1: last sync", "31 s ago", "error"),
    "failing": ("facts/sync/c:1/errors", 4, "sync", "sync of c:1: failed syncs", "4 in 5 min", "error"),
    "no sync": ("facts/sync", {}, "sync", "sync", "no service says anything of it", "error"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_ill_is_one_row_and_all_else_stays_well(name: str) -> None:
    path, value, check, what, said, level = FAULTS[name]
    found = rows(changed(path, value))
    ill = [row for row in found if row["level"] != "ok" and row["what"] == what]
    assert [(row["check"], row["value"], row["level"]) for row in ill] == [(check, said, level)]
    assert {row["check"] for row in found if row["level"] != "ok"} == {check}
    assert ill[0]["remedy"]


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "door"])
def test_what_does_not_answer_is_an_error_and_what_was_not_asked_is_never_good(check: str) -> None:
    (row,) = rows(changed(f"facts/{check}", {"fault": "timed out"}), check)
    assert (row["level"], row["value"]) == ("error", "no answer: timed out")
    host = copy.deepcopy(HOST)
    del host["facts"][check]
    (row,) = rows(host, check)
    assert (row["level"], row["value"]) == ("skipped", "not asked")


def test_a_node_that_a_cluster_has_named_need_not_be_declared() -> None:
    found = [*HOST["facts"]["targets"], target("redis", "found:1", declared=False)]
    assert [row["level"] for row in rows(changed("facts/targets", found), "targets")] == ["ok"]


def test_a_door_that_is_not_declared_is_skipped_and_one_that_does_not_answer_is_not() -> None:
    (row,) = rows(changed("needs/door", {}), "door")
    assert (row["level"], row["value"]) == ("skipped", "no door declared (proxy_state: absent)")
    (row,) = rows(changed("facts/door", {"fault": "timed out"}), "door")
    assert (row["level"], row["value"]) == ("error", "no answer: timed out")
    led = changed("facts/door/plain", {"status": 308, "location": "https://mon1/"})
    assert "plain HTTP leads to https" in rows(led, "door")[0]["value"]


def accepting(path: str, to: Any, accepted: str) -> dict[str, Any]:
    host = changed(path, to)
    host["needs"]["accepted"] = [accepted]
    return host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param(
            accepting("facts/limits/tds.slice/kernel", {"CPUWeight": 50}, "cgroup"),
            [("limits", "skipped"), ("limits", "ok")],
            id="no controller",
        ),
        pytest.param(
            accepting("facts/retention/forecast_seconds", DAY, "capacity"), [("retention", "warning")], id="short"
        ),
        pytest.param(changed("needs/prometheus/contracts", {}), [("contract", "skipped"), ("sync", "skipped")],
                     id="no contract"),
        pytest.param(changed("facts/scrapes/redis", {"targets": 1}), [("scrapes", "skipped"), ("scrapes", "ok")],
                     id="too young"),
    ],
)  # fmt: skip
def test_what_a_site_lives_with_is_no_error_and_not_good_either(
    host: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    checks = {check for check, _level in expected}
    assert [(row["check"], row["level"]) for row in rows(host) if row["check"] in checks] == expected


def test_without_a_forecast_the_days_are_those_of_the_preflight() -> None:
    (row,) = rows(changed("facts/retention/forecast_seconds", None), "retention")
    assert row["value"] == "621.2 days (estimated), of which 2.0 are there"  # 100 samples/s of 2 bytes


def test_what_a_service_does_not_say_of_its_sync_is_not_known() -> None:
    (row,) = rows(changed("facts/sync/c:1", {"latency": 0.1, "age": 1}), "sync")
    assert (row["what"], row["value"], row["level"]) == ("sync of c:1: failed syncs", "not known", "error")


def test_a_host_without_prometheus_is_asked_for_its_limits_and_certificates_only() -> None:
    host = changed("needs/prometheus", {})
    assert [row["check"] for row in rows(host)] == ["certificates", "limits"]


def test_of_several_hosts_each_has_its_rows_and_the_worst_come_first() -> None:
    ill = changed("facts/limits/prometheus.service/active", False)
    report = verify_report({"mon1": HOST, "mon2": ill, "app1": {}, "app2": None})
    first = [(row["host"], row["check"], row["value"]) for row in report["rows"][:3]]
    assert first == [
        ("mon2", "limits", "does not run"),
        ("app1", "host", "was not looked at"),
        ("app2", "host", "was not looked at"),
    ]
    levels = [LEVELS.index(row["level"]) for row in report["rows"]]
    assert levels == sorted(levels)
    assert report["counts"]["error"] == 3
    assert set(report["drawn"]) == {"mon1", "mon2"}


@pytest.mark.parametrize(
    ("run", "skip", "left"),
    [
        (["all"], [], list(CHECKS)),
        (["tagged"], ["always"], list(CHECKS)),
        (["all"], ["alert"], [check for check in CHECKS if check != "alert"]),
        (["sync", "rules"], [], ["rules", "sync"]),
        (["always", "rules"], [], ["rules"]),
    ],
)
def test_tags_choose_among_the_checks(run: list[str], skip: list[str], left: list[str]) -> None:
    assert verify_checks(run, skip) == left


@pytest.mark.parametrize(
    ("run", "skip", "told"),
    [
        (["target"], [], "verify makes no check target: --tags takes targets, rules"),
        (["all"], ["alerts"], "verify makes no check alerts"),
        (["rules"], ["rules"], "leave no check"),
    ],
)
def test_a_tag_that_no_check_has_is_refused(run: list[str], skip: list[str], told: str) -> None:
    with pytest.raises(AnsibleFilterError, match=told):
        verify_checks(run, skip)


def test_the_table_ends_with_the_worst_and_the_counts() -> None:
    lines = verify_table(verify_report({"mon1": changed("facts/limits/prometheus.service/active", False)}))
    assert lines[0].split() == ["level", "host", "check", "what", "is", "seen"]
    assert lines[-3:] == [
        "error  mon1  limits        prometheus: does not run (need: runs)",
        "    -> `journalctl -u prometheus.service` says why; then run site.yml",
        "1 error, 0 warning, 0 skipped, 9 ok",
    ]
    assert "ok     mon1  targets       3 of 3 up" in lines


def test_a_line_stays_one_line_whatever_a_host_says() -> None:
    host = changed("facts/targets/0", target("redis", "a:1", health="down", error="one\ntwo\t three"))
    assert "down: one two three" in "\n".join(verify_table(verify_report({"mon1": host})))


def test_programs_get_the_rows_and_the_counts() -> None:
    found = json.loads(verify_json(verify_report({"mon1": HOST}, "prod", "2027-01-15T08:00:00+00:00")))
    assert set(found) == {"site", "at", "counts", "rows"}
    assert found["rows"][0] == {
        "host": "mon1", "check": "targets", "level": "ok", "what": "targets", "value": "3 of 3 up", "need": "",
        "remedy": "",
    }  # fmt: skip
