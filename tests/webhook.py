"""What the lab's webhook (lab/webhook.py) was told, and when: alerts as people would have got them.

since = time.time()  # a lab host's clock is this machine's
...
told = eventually(lambda: notifications(host, since, alertname="RedisDown"), 10)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from testinfra.host import Host

FILE = "/var/lib/webhook/notifications.jsonl"


@dataclass(frozen=True)
class Told:
    """One alert in one notification. ``at`` is its arrival and ``began`` since when it fires, in seconds since 1970."""

    at: float
    began: float
    path: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    authorization: str
    notification: dict[str, Any]


def notifications(host: Host, since: float, path: str = "/alerts", **labels: str) -> list[Told]:
    """Alerts that arrived after ``since`` and have these labels (``status`` too), in the order of their arrival."""
    text = host.check_output("test ! -e %s || cat %s", FILE, FILE)
    received = (json.loads(line) for line in text.splitlines())
    told = [
        Told(
            one["at"],
            datetime.fromisoformat(alert["startsAt"]).timestamp(),
            one["path"],
            alert["status"],
            alert["labels"],
            alert["annotations"],
            one["authorization"],
            one["notification"],
        )
        for one in received
        if one["at"] > since and one["path"] == path
        for alert in one["notification"]["alerts"]
    ]
    return [one for one in told if labels.items() <= (one.labels | {"status": one.status}).items()]
