"""alerts/hosts.yml and alerts/monitoring.yml under promtool: green at any threshold, red when an expression is changed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rules.rendering import render

JOBS = ["alertmanager", "backend", "blackbox_exporter", "host", "node", "probe", "prometheus", "redis_exporter"]
PROD: dict[str, Any] = {
    "prometheus_scrape_configs": [{"job_name": "backend", "scrape_interval": "1s"}]
    + [{"job_name": job, "scrape_interval": "15s"} for job in JOBS if job != "backend"],
}
OTHER_THRESHOLDS = {
    "host_down_for": "7s",
    "cpu_busy_ratio": 0.6,
    "memory_pressure_ratio": 0.4,
    "disk_full_in_4h_free_ratio": 0.2,
    "disk_full_in_24h_free_ratio": 0.3,
    "inodes_free_ratio": 0.2,
    "network_error_ratio": 0.02,
    "clock_offset_milliseconds": 3,
    "scrape_time_ratio": 0.5,
    "scrapes_missed_ratio": 0.3,
    "rules_time_ratio": 0.4,
    "rules_missed_ratio": 0.2,
    "notifications_failing_ratio": 0.3,
    "certificate_days_warning": 30,
    "certificate_days_critical": 10,
}
SITES: dict[str, dict[str, Any]] = {
    "as shipped": PROD,
    "with other thresholds": PROD | {"prometheus_thresholds": OTHER_THRESHOLDS},
    "with nothing of its own to scrape": {},
}
