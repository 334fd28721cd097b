"""From a fault to the webhook, in a lab with the shipped site.yml: Redis is killed, the sync made slow, and stalled.

Writes ``bench/results/alerts.json``: per fault the trials, median, 95th percentile and maximum of the seconds from the
fault to the arrival at the webhook, and the median part of each stage:

- ``scrape``: from the fault to the first scrape that shows it,
- ``pending``: from there to the evaluation that sees it,
- ``for``: as long as it has to last before the alert fires,
- ``alertmanager``: from there to its arrival at Alertmanager,
- ``webhook``: from there to its arrival at the webhook; a warning waits here for others of its kind.

    python3 -m bench.alerts [FAULT ...]     all of them, or those named; other faults' results stay in the file
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from bench.hosts import ROOT, lab, load, play, save

LAB = "bench-alerts"
TRIALS = 20
PATIENCE_S = 60
PLAYBOOKS = ("lab/playbooks/redis.yml", "lab/playbooks/trading.yml", "lab/playbooks/webhook.yml", "site.yml")
STAGES = ("scrape", "pending", "for", "alertmanager", "webhook")
CONTROL = 'curl --silent --fail --max-time 3 --json \'{"sync": "%s"}\' http://backend:8000/control'


@dataclass(frozen=True)
class Fault:
    """What is done on app1, what undoes it, the alert that has to arrive, and the samples that show the fault."""

    alert: dict[str, str]
    cause: str
    mend: str
    symptom: str
    shows: Callable[[float], bool]


FAULTS = {
    "redis_down": Fault(
        alert={"alertname": "RedisDown", "instance_name": "trade-state"},
        cause="systemctl kill --signal=KILL redis-server@trade-state",
        mend="systemctl start redis-server@trade-state",
        symptom='redis_up{instance_name="trade-state"}',
        shows=lambda value: value == 0,
    ),
    "slow_sync": Fault(
        alert={"alertname": "SlowSync"},
        cause=CONTROL % "slow",
        mend=CONTROL % "normal",
        symptom='sync_latency_seconds{service="backend"}',
        shows=lambda value: value > 0.2,
    ),
    "sync_stalled": Fault(
        alert={"alertname": "SyncStalled"},
        cause=CONTROL % "stall",
        mend=CONTROL % "normal",
        symptom='sync_pending_rows{service="backend"}',
        shows=lambda _value: True,
    ),
}


def on(host: str, command: str) -> str:
    return lab("ssh", LAB, host, command)


def ask(url: str) -> Any:
    return json.loads(on("mon1", f"curl --silent --fail --max-time 5 '{url}'"))


def prepare() -> None:
    lab("down", LAB)
    lab("up", LAB, "mon1", "app1")
    for playbook in PLAYBOOKS:
        if not (ROOT / playbook).exists():
            print(f"{playbook} is not there, and what it runs is left out")
            continue
        play(LAB, playbook)


def rules() -> set[str]:
    groups = ask("http://127.0.0.1:9090/api/v1/rules")["data"]["groups"]
    return {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}


def told(fault: Fault, status: str, since: float) -> float | None:
    """When the webhook was told of the fault's alert, or of its end."""
    for line in on("app1", "cat /var/lib/webhook/notifications.jsonl 2>/dev/null || true").splitlines():
        one = json.loads(line)
        if one["at"] > since and one["path"] == "/alerts":
            for alert in one["notification"]["alerts"]:
                if alert["status"] == status and fault.alert.items() <= alert["labels"].items():
                    return float(one["at"])
    return None


def await_told(fault: Fault, status: str, since: float) -> float:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if at := told(fault, status, since):
            return at
        time.sleep(0.3)
    sys.exit(f"the webhook was not told in {PATIENCE_S} s that {fault.alert} is {status}")


def samples(selector: str) -> list[tuple[float, float]]:
    """Time and value of the raw samples of the last minute, oldest first."""
    query = urlencode({"query": f"{selector}[{PATIENCE_S}s]"})
    found = ask(f"http://127.0.0.1:9090/api/v1/query?{query}")["data"]["result"]
    return sorted((float(at), float(value)) for series in found for at, value in series["values"])


def first(selector: str, since: float, shows: Callable[[float], bool] = lambda _value: True) -> float:
    return next(at for at, value in samples(selector) if at > since and shows(value))


def trial(fault: Fault) -> dict[str, float]:
    """One fault: the seconds of each stage, and of all."""
    labels = ",".join(f'{name}="{value}"' for name, value in fault.alert.items())
    began = float(on("app1", f"date +%s.%N; {fault.cause} >/dev/null"))
    arrived = await_told(fault, "firing", began)
    url = f"http://127.0.0.1:9093/api/v2/alerts?{urlencode({'filter': 'alertname=' + fault.alert['alertname']})}"
    received = min(datetime.fromisoformat(alert["updatedAt"]).timestamp() for alert in ask(url))
    shown = first(fault.symptom, began, fault.shows)
    pending = first(f'ALERTS{{alertstate="pending",{labels}}}', began)
    fires = first(f'ALERTS{{alertstate="firing",{labels}}}', began)
    on("app1", f"{fault.mend} >/dev/null")
    await_told(fault, "resolved", began)
    # Each trial falls into another phase of the scrapes.
    time.sleep(3 + random.random())  # noqa: S311  no secret
    # Prometheus tells Alertmanager again every 5 s; when that has come first, its share is the webhook's.
    received = received if fires < received < arrived else fires
    ends = (shown, pending, fires, received, arrived)
    parts = [end - begin for begin, end in zip((began, *ends[:-1]), ends, strict=True)]
    return dict(zip(STAGES, parts, strict=True)) | {"all": arrived - began}


def summary(trials: list[dict[str, float]]) -> dict[str, Any]:
    seconds = sorted(one["all"] for one in trials)
    return {
        "trials": len(trials),
        "median_s": round(statistics.median(seconds), 2),
        "p95_s": round(seconds[max(0, -(-95 * len(seconds) // 100) - 1)], 2),
        "max_s": round(seconds[-1], 2),
        "stages": {stage: round(statistics.median(one[stage] for one in trials), 3) for stage in STAGES},
    }


def main() -> None:
    wanted = sys.argv[1:] or list(FAULTS)
    if unknown := set(wanted) - set(FAULTS):
        sys.exit(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    result: dict[str, Any] = load("alerts")
    prepare()
    try:
        there = rules()
        for name in wanted:
            fault = FAULTS[name]
            if (
                fault.alert["alertname"] not in there
                or on("app1", f"{fault.mend} >/dev/null && echo well || true") == ""
            ):
                print(f"{name}: left out, there is no alert {fault.alert['alertname']} or nothing to break")
                continue
            result[name] = summary([trial(fault) for _trial in range(TRIALS)])
            print(f"{name}: {json.dumps(result[name])}")
    finally:
        lab("down", LAB)
    save("alerts", result)


if __name__ == "__main__":
    main()
