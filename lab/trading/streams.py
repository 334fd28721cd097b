"""What backend and engine agree on in the four Redis servers."""

from __future__ import annotations

import os
import time
from typing import Any

from redis import Redis

SIGNALS = "signals"
RESULTS = "results"
ENGINE_GROUP = "engine"
BACKEND_GROUP = "backend"
LONGEST = 10_000
INSTRUMENTS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "BTCUSD")


def connect(instance: str) -> Any:
    """The Redis of that name in the catalogue; TRADING_REDIS has all as `name=host:port,...`.

    Any, because redis' own types leave open whether each answer is one to wait for.
    """
    places = dict(pair.split("=") for pair in os.environ["TRADING_REDIS"].split(","))
    host, _, port = places[instance].rpartition(":")
    return Redis(host=host, port=int(port), decode_responses=True, socket_timeout=1, socket_connect_timeout=0.5)


def ensure_group(redis: Any, stream: str, group: str) -> None:
    """The consumer group, from the stream's beginning; a Redis that was restarted has lost it."""
    groups = redis.xinfo_groups(stream) if redis.exists(stream) else []
    if group not in [each["name"] for each in groups]:
        redis.xgroup_create(stream, group, id="0", mkstream=True)


def seconds_of(entry: str) -> float:
    """When a stream's entry was made, by its id."""
    return int(entry.partition("-")[0]) / 1000


def age(entry: str) -> float:
    return max(0.0, time.time() - seconds_of(entry))
