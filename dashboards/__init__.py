"""The dashboards of the trade distribution system, as code: one module each, made of the blocks in parts.py.

``make dashboards`` writes what the role grafana installs.
"""

from pathlib import Path

ROLES = Path(__file__).resolve().parents[1] / "roles"
FILES = ROLES / "grafana/files"
"""Where they go: ``dashboards/<uid>.json``, and beside them ``site_values.json``."""
