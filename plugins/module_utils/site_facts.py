"""What a live site says of itself, in plain types, for the filter verify_report.

Each section is asked for by itself: what it cannot tell is told as ``{"fault": "..."}`` in its place.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from . import host_facts, proof
from .reading import read

Tls = Mapping[str, Any]

NEVER = -62135596800.0
"""The year 1, which Go shows for a time that has not been yet."""
SETTLE_S, POLL_S = 20.0, 0.5
ALERT_S = 15.0
ALERT_LIFE_S = 120
"""After which a test alert ends though the run that sent it was killed."""
TEST_ALERT = "VerifyTest"
DRAWN_S, STEP_S = 900, 15
"""What the page draws: so long, and how far apart its points are."""
WINDOW = "2m"
"""Of single scrapes, to count those that were left out."""

SCRAPES = {
    "targets": "count by (job) (up)",
    "interval": "job:scrape_interval_seconds",
    "average": "avg by (job) (avg_over_time(scrape_duration_seconds[5m]))",
    "slowest": "max by (job) (max_over_time(scrape_duration_seconds[5m]))",
    "of_timeout": "max by (job) (avg_over_time(scrape_duration_seconds[5m]) / scrape_timeout_seconds)",
    "samples": "sum by (job) (scrape_samples_post_metric_relabeling)",
}
"""By job; times in seconds, samples of one scrape of all its targets."""
SYNC = {
    "latency": "avg_over_time(sync_latency_seconds{SERVICES}[1m])",
    "slowest": "max_over_time(sync_latency_seconds{SERVICES}[5m])",
    "rows_per_second": "rate(sync_rows_total{SERVICES}[1m])",
    "pending": "sync_pending_rows{SERVICES}",
    "age": "time() - sync_last_success_timestamp_seconds{SERVICES}",
    "errors": "increase(sync_errors_total{SERVICES}[5m])",
}
"""By instance; times in seconds."""
DRAWN = {
    "samples": (
        "sum by (job) (scrape_samples_post_metric_relabeling / on (job) group_left () job:scrape_interval_seconds)"
    ),
    "sync_latency": "max by (instance) (sync_latency_seconds{SERVICES})",
    "sync_rows": "sum by (instance) (rate(sync_rows_total{SERVICES}[1m]))",
}

PROPERTIES = {
    "MemoryMax": "MemoryMax",
    "MemoryHigh": "MemoryHigh",
    "CPUQuota": "CPUQuotaPerSecUSec",
    "TasksMax": "TasksMax",
    "LimitNOFILE": "LimitNOFILE",
    "IOWeight": "IOWeight",
    "CPUWeight": "CPUWeight",
}
"""systemd's properties by the directives that set them."""
CONTROLS = {
    "MemoryMax": "memory.max",
    "MemoryHigh": "memory.high",
    "CPUQuota": "cpu.max",
    "TasksMax": "pids.max",
    "IOWeight": "io.weight",
    "CPUWeight": "cpu.weight",
}
"""The kernel's files by directive (Documentation/admin-guide/cgroup-v2.rst); there is none without the controller."""
SPAN_S = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


def section(ask: Callable[[], Any]) -> Any:
    """What an asking answers; whatever goes wrong there is the answer too."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  of the network, of TLS, of an answer's form
        return {"fault": " ".join(str(error).split()) or type(error).__name__}


# --- Prometheus


class Prometheus:
    """One that answers at ``url``."""

    def __init__(self, url: str, tls: Tls | None) -> None:
        self.url, self.tls = url, tls

    def api(self, path: str, **query: str) -> Any:
        return json.loads(proof.get(f"{self.url}/api/v1/{path}?{urlencode(query)}", self.tls))["data"]

    def vector(self, query: str) -> list[dict[str, Any]]:
        return list(self.api("query", query=query)["result"])

    def own(self, name: str) -> float | None:
        """A series without labels on its own page; there is no label by which it knows itself among several."""
        return next(proof.series(proof.get(f"{self.url}/metrics", self.tls), name, {}), None)

    def by(self, label: str, queries: Mapping[str, str]) -> dict[str, dict[str, float]]:
        """The values of several queries, by a label of theirs."""
        found: dict[str, dict[str, float]] = {}
        for what, query in queries.items():
            for row in self.vector(query):
                found.setdefault(row["metric"].get(label, ""), {})[what] = float(row["value"][1])
        return found


def targets(prometheus: Prometheus, patience: float = SETTLE_S) -> list[dict[str, Any]]:
    """Every declared target: ``job``, ``instance``, ``health``, ``error``, and whether what is behind it answers.

    Who is not well is judged by a scrape that began after the question: what was down a moment ago may be up by now.
    """
    asked, until = time.time(), time.monotonic() + patience
    while True:
        found = _targets(prometheus)
        late = [row for row in found if not (row["health"] == "up" and row["answers"]) and row["scraped"] < asked]
        if not late or time.monotonic() > until:
            return found
        time.sleep(POLL_S)


def _targets(prometheus: Prometheus) -> list[dict[str, Any]]:
    shown = prometheus.api("targets", state="active")["activeTargets"]
    silent = {
        (row["metric"].get("job"), row["metric"].get("instance"))
        for row in prometheus.vector("redis_up != 1 or probe_success != 1")
    }
    return [
        {
            "job": target["labels"]["job"],
            "instance": target["labels"]["instance"],
            "declared": "__declaration__" in target["discoveredLabels"],
            "health": target["health"],
            "error": target["lastError"],
            "answers": (target["labels"]["job"], target["labels"]["instance"]) not in silent,
            "scraped": seconds(target["lastScrape"]),
        }
        for target in shown
    ]


def rules(prometheus: Prometheus, patience: float = SETTLE_S) -> list[dict[str, Any]]:
    """Every rule: ``type``, ``name``, ``health``, ``error``, and how many alerts of it fire."""
    asked, until = time.time(), time.monotonic() + patience
    while True:
        shown = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
        late = [rule for rule in shown if rule["health"] != "ok" and seconds(rule["lastEvaluation"]) < asked]
        if not late or time.monotonic() > until:
            return [
                {
                    "type": rule["type"],
                    "name": rule["name"],
                    "health": rule["health"],
                    "error": rule.get("lastError", ""),
                    "firing": sum(alert["state"] == "firing" for alert in rule.get("alerts") or ()),
                }
                for rule in shown
            ]
        time.sleep(POLL_S)


def seconds(moment: str) -> float:
    """Of a time as Go writes it, with up to nine digits of a second's parts."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", moment)
    if not match or match[1].startswith("0001-"):
        return NEVER
    whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    return whole.timestamp() + float(match[2] or 0)


def contract(prometheus: Prometheus, selector: str) -> dict[str, Any]:
    """What the services with a contract expose, as the filter contract_findings takes it."""
    metadata = prometheus.api("targets/metadata", match_target=selector)
    return {
        "metadata": [
            {
                "target": {name: entry["target"].get(name, "") for name in ("job", "instance")},
                "metric": entry["metric"],
                "type": entry["type"],
            }
            for entry in metadata
        ],
        "series": [row["metric"] for row in prometheus.vector(selector)],
    }


def retention(prometheus: Prometheus, host: str, data: str, root: Path = Path("/")) -> dict[str, Any]:
    """What bounds the data of the Prometheus on this host, and how long that will be: bytes and seconds."""
    forecast = prometheus.vector(f'instance:prometheus_retention_seconds:rate1h{{host="{host}"}}')
    return {
        "limit_bytes": prometheus.own("prometheus_tsdb_retention_limit_bytes"),
        "oldest": prometheus.own("prometheus_tsdb_lowest_timestamp_seconds"),
        "forecast_seconds": float(forecast[0]["value"][1]) if forecast else None,
        "running": host_facts.running(prometheus.url, prometheus.tls),
        "filesystem_bytes": host_facts.disk(Path(data), root)["size_bytes"],
        "at": time.time(),
    }


def scrapes(prometheus: Prometheus) -> dict[str, dict[str, float]]:
    """By job what SCRAPES asks, and ``made`` and ``due`` scrapes of all its targets together, since Prometheus runs."""
    began = prometheus.own("process_start_time_seconds") or 0.0
    found = prometheus.by("job", SCRAPES)
    for row in prometheus.vector(f"up[{WINDOW}]"):
        job = found.get(row["metric"].get("job", ""), {})
        times = [float(moment) for moment, _value in row["values"] if float(moment) >= began]
        if "interval" in job and len(times) > 1:
            job["made"] = job.get("made", 0) + len(times)
            job["due"] = job.get("due", 0) + round((times[-1] - times[0]) / job["interval"]) + 1
    return found


def sync(prometheus: Prometheus, services: Iterable[str]) -> dict[str, dict[str, float]]:
    """By instance what SYNC asks, of the services that keep the contract `backend`."""
    return prometheus.by("instance", _for(SYNC, services))


def drawn(prometheus: Prometheus, services: Iterable[str]) -> dict[str, dict[str, list[list[float]]]]:
    """What the page draws: by plot and by its label, points of time and value."""
    end = int(time.time())
    window = {"start": str(end - DRAWN_S), "end": str(end), "step": str(STEP_S)}
    return {
        plot: {
            next(iter(row["metric"].values()), ""): [[float(at), float(value)] for at, value in row["values"]]
            for row in prometheus.api("query_range", query=query, **window)["result"]
        }
        for plot, query in _for(DRAWN, services).items()
    }


def _for(queries: Mapping[str, str], services: Iterable[str]) -> dict[str, str]:
    selector = f'{{job=~"{"|".join(services)}"}}'
    return {what: query.replace("{SERVICES}", selector) for what, query in queries.items()}


# --- Alertmanager


def alert(
    url: str, tls: Tls | None, host: str, receiver: str, integrations: Mapping[str, int], patience: float = ALERT_S
) -> dict[str, Any]:
    """Send a test alert, see whether a receiver takes it, and end it.

    Args:
        host: of this Alertmanager, by which the alert tells itself from that of another.
        receiver: that it must reach.
        integrations: how many of each the receiver tells, such as ``{"webhook": 1}``.
        patience: seconds that the receiver has.

    Returns:
        ``watchdog``, whether Prometheus' own alert is there; ``named``, whether requests are counted by receiver; and
        by integration how many were ``taken`` and ``refused`` since.
    """
    watchdog = json.loads(proof.get(f"{url}/api/v2/alerts?{urlencode({'filter': 'alertname=Watchdog'})}", tls))
    page = proof.get(f"{url}/metrics", tls)
    named = "receiver_name=" in page
    labels = {"receiver_name": receiver} if named else {}
    before = _requests(page, labels, integrations)
    _post(url, tls, host, ALERT_LIFE_S)
    try:
        until = time.monotonic() + patience
        while True:
            now = _requests(proof.get(f"{url}/metrics", tls), labels, integrations)
            since = {name: {what: now[name][what] - before[name][what] for what in now[name]} for name in integrations}
            if all(since[name]["taken"] >= wanted for name, wanted in integrations.items()) or time.monotonic() > until:
                return {"watchdog": bool(watchdog), "named": named, "since": since}
            time.sleep(POLL_S / 2)
    finally:
        _post(url, tls, host, 0)


def _requests(page: str, labels: Mapping[str, str], integrations: Iterable[str]) -> dict[str, dict[str, float]]:
    """A request is counted when it has been answered; one that was started and hangs is not."""
    found = {}
    for name in integrations:
        of_it = {"integration": name, **labels}
        refused = sum(proof.series(page, "alertmanager_notification_requests_failed_total", of_it))
        total = sum(proof.series(page, "alertmanager_notification_requests_total", of_it))
        found[name] = {"taken": total - refused, "refused": refused}
    return found


def _post(url: str, tls: Tls | None, host: str, lasts: float) -> None:
    one = {
        "labels": {"alertname": TEST_ALERT, "severity": "info", "alertmanager": host},
        "annotations": {
            "summary": f"Only a test: alerts of {host} arrive",
            "description": "Nothing is wrong, and nothing is to be done. playbooks/verify.yml sent it and ends it.",
        },
        "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts)),
    }
    request = Request(  # noqa: S310  http is for loopback
        f"{url}/api/v2/alerts", json.dumps([one]).encode(), {"Content-Type": "application/json"}
    )
    with _opener(tls).open(request, timeout=proof.FETCH_TIMEOUT_S) as answer:
        answer.read()


# --- The host


def limits(units: Iterable[str], root: Path = Path("/")) -> dict[str, dict[str, Any]]:
    """By unit whether it is ``active``, and its limits by directive: ``systemd``'s word, and the ``kernel``'s.

    A number, or ``None`` for no limit: bytes, percents of a CPU, or a count. The kernel has none of what its cgroup
    lacks the controller for.
    """
    return {unit: _limits(unit, root) for unit in units}


def _limits(unit: str, root: Path) -> dict[str, Any]:
    names = ",".join(["ActiveState", "MainPID", "ControlGroup", *PROPERTIES.values()])
    answer = subprocess.run(
        ["systemctl", "show", f"--property={names}", "--", unit], capture_output=True, text=True, check=True, timeout=10
    )
    shown = dict(line.split("=", 1) for line in answer.stdout.splitlines())
    group = root / "sys/fs/cgroup" / shown.get("ControlGroup", "").lstrip("/")
    controls = {directive: read(group / file).split() for directive, file in CONTROLS.items()}
    kernel = {directive: _control(words) for directive, words in controls.items() if words}
    rlimits = read(root / "proc" / shown.get("MainPID", "0") / "limits")  # of a slice there is no process
    if files := re.search(r"^Max open files +\w+ +(\w+)", rlimits, re.MULTILINE):
        kernel["LimitNOFILE"] = _number(files[1])
    return {
        "active": shown["ActiveState"] == "active",
        "systemd": {directive: _number(shown[name]) for directive, name in PROPERTIES.items() if name in shown},
        "kernel": kernel,
    }


def _number(text: str) -> float | None:
    """Of a property; a time for each second of a CPU is percents."""
    if text.isdigit():
        return float(text)
    spans = re.findall(r"([\d.]+)(min|s|ms|us)\b", text)
    return round(100 * sum(float(count) * SPAN_S[unit] for count, unit in spans), 3) if spans else None


def _control(words: Sequence[str]) -> float | None:
    """Of a control file: a number, a word and a number (io.weight), or a quota and its period (cpu.max)."""
    if "max" in words:
        return None
    numbers = [float(word) for word in words[:2] if word.isdigit()]
    return 100 * numbers[0] / numbers[1] if len(numbers) > 1 else numbers[0]


def certificates(directory: str, listeners: Iterable[str], tls: Tls | None) -> dict[str, Any]:
    """What is on disk and what is presented, in PEM: ``files`` by name, and ``listeners`` by address."""
    return {
        "files": {name: read(Path(directory) / f"{name}.crt") for name in ("server", "client", "ca")},
        "listeners": {where: section(partial(proof.get, f"tls://{where}", tls)) for where in listeners},
    }


# --- The door


class _Stay(HTTPRedirectHandler):
    """Tells of a redirection instead of following it."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


def door(where: str, ca: str, paths: Iterable[str], plain_port: int) -> dict[str, Any]:
    """What somebody without a login meets: the ``certificate``, the status by path, and what plain HTTP says.

    Args:
        where: ``address:port``.
        ca: file of the authorities that it must be of.
        paths: what may not be seen without a login.
        plain_port: where a browser tries without TLS.
    """
    tls = {"ca": ca}
    plain = f"http://{where.rpartition(':')[0]}:{plain_port}/"
    return {
        "certificate": section(partial(proof.get, f"tls://{where}", tls)),
        "paths": {path: section(partial(_status, f"https://{where}{path}", tls)) for path in paths},
        "plain": section(partial(_status, plain, tls)),
    }


def _status(url: str, tls: Tls) -> dict[str, Any]:
    """Status of an answer, and where it leads to."""
    try:
        with _opener(tls, _Stay()).open(url, timeout=proof.FETCH_TIMEOUT_S) as answer:
            return {"status": answer.status, "location": ""}
    except HTTPError as error:
        return {"status": error.code, "location": error.headers.get("Location", "")}


def _opener(tls: Tls | None, *more: Any) -> OpenerDirector:
    return build_opener(ProxyHandler({}), HTTPSHandler(context=proof.context(tls or {})), *more)
