"""prometheus.yml and the flags: what depends on the release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules.rendering import render

RETENTION = {"prometheus_retention_time": "33d", "prometheus_retention_size": "7GB"}


def rendered(version: str, directory: Path, settings: dict[str, Any] = RETENTION) -> tuple[dict[str, Any], list[str]]:
    """The configuration file as data, and the flags."""
    render(settings | {"prometheus_version": version, "rules": False}, directory)
    flags: list[str] = json.loads((directory / "arguments.json").read_text())
    return yaml.safe_load((directory / "prometheus.yml").read_text()), flags


@pytest.mark.parametrize("version", ["3.5.3", "3.11.9"])
def test_an_older_release_takes_the_retention_from_flags_only(tmp_path: Path, version: str) -> None:
    configuration, flags = rendered(version, tmp_path)
    assert "storage" not in configuration
    assert {"--storage.tsdb.retention.time=33d", "--storage.tsdb.retention.size=7GB"} <= set(flags)


@pytest.mark.parametrize("version", ["3.12.0", "3.13.4", "4.0.0"])
def test_a_newer_release_takes_the_retention_from_the_file_only(tmp_path: Path, version: str) -> None:
    configuration, flags = rendered(version, tmp_path)
    assert configuration["storage"] == {"tsdb": {"retention": {"time": "33d", "size": "7GB"}}}
    assert not [flag for flag in flags if "retention" in flag]


@pytest.mark.parametrize(("version", "place"), [("3.5.3", 1), ("3.13.4", 0)])
def test_no_more_is_kept_than_the_filesystem_has_room_for(tmp_path: Path, version: str, place: int) -> None:
    settings = {"prometheus_retention_size": "50GB", "prometheus_data_bytes": 50 * 10**9}
    shown = rendered(version, tmp_path, settings)[place]
    assert "40531MB" in str(shown)
    assert "50GB" not in str(shown)


@pytest.mark.parametrize(
    ("version", "in_file"), [("3.5.3", False), ("3.9.1", False), ("3.10.0", True), ("3.13.4", True)]
)
def test_the_series_of_a_target_s_limits_are_asked_for_in_one_place(
    tmp_path: Path, version: str, *, in_file: bool
) -> None:
    configuration, flags = rendered(version, tmp_path)
    assert ("extra_scrape_metrics" in configuration["global"]) == in_file
    assert ("--enable-feature=extra-scrape-metrics" in flags) != in_file
