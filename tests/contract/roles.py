"""The roles as their files say they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Role:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def defaults(self) -> dict[str, Any]:
        return self._yaml("defaults/main.yml")

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self._yaml("meta/argument_specs.yml").get("argument_specs", {}).get("main", {}))

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        return self.spec.get("options") or {}

    def _yaml(self, name: str) -> dict[str, Any]:
        file = self.path / name
        return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}


def roles() -> list[Role]:
    """Every directory in roles/ that has tasks."""
    return [Role(tasks.parent) for tasks in sorted(ROOT.glob("roles/*/tasks"))]
