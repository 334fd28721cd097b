"""The exporter's README tells of the metrics that there are, and of the release that the role installs."""

from __future__ import annotations

import duckdb_exporter
import yaml

from tests.contract import duckdb_metrics
from tests.contract.roles import ROOT


def test_readme_has_the_current_table_of_metrics() -> None:
    text = duckdb_metrics.README.read_text(encoding="utf-8")
    assert "`duckdb_table_rows`" in text
    assert text == duckdb_metrics.readme(), "stale: run `make docs`"


def test_the_role_installs_this_version() -> None:
    defaults = yaml.safe_load((ROOT / "roles/duckdb_exporter/defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["duckdb_exporter_version"] == duckdb_exporter.__version__
    assert duckdb_exporter.__version__ in defaults["duckdb_exporter_pins"]
