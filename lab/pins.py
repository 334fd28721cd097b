"""Which releases the roles want: read from their defaults, so that nothing is pinned twice."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.common import LabError

ARCHIVE_SUFFIX = ".tar.gz"


@dataclass(frozen=True)
class Component:
    """One role's release; the component is named as the role."""

    name: str
    version: str
    upstream: str
    """Base URL of the archive, without a slash at its end."""
    archive: str
    """File name of the archive."""
    sha256: str
    """The pin of this version for this architecture, empty when there is none."""
    defaults: Mapping[str, Any]
    architecture: str
    built_from: str = ""
    """Digest of the sources in this checkout that it is built from; empty for a publisher's release."""

    def archive_of(self, version: str) -> str:
        """The archive's file name if it were of that version."""
        return _render(self.name, "archive", self.defaults, version, self.architecture)

    @property
    def fingerprint(self) -> list[str]:
        """What decides whether a cached archive is still the wanted one."""
        return [self.version, self.upstream, self.archive, self.sha256, *filter(None, [self.built_from])]


def read(repository: Path, architecture: str) -> list[Component]:
    """The components of all roles that define NAME_version, _upstream, _archive and _pins."""
    files = sorted(repository.glob("roles/*/defaults/main.yml"))
    found = (component(path.parts[-3], _load(path), architecture) for path in files)
    return [one for one in found if one]


def component(role: str, defaults: Mapping[str, Any], architecture: str) -> Component | None:
    """The component that a role's defaults describe, None when they describe none."""
    if any(f"{role}_{part}" not in defaults for part in ("version", "upstream", "archive", "pins")):
        return None
    version = str(defaults[f"{role}_version"])
    pins = {str(key): value for key, value in defaults[f"{role}_pins"].items()}
    return Component(
        name=role,
        version=version,
        upstream=_render(role, "upstream", defaults, version, architecture).rstrip("/"),
        archive=_render(role, "archive", defaults, version, architecture),
        sha256=pins.get(version, {}).get(architecture, ""),
        defaults=defaults,
        architecture=architecture,
    )


def _load(path: Path) -> Mapping[str, Any]:
    yaml = _module("yaml")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LabError(f"{path} is no YAML: {error}") from error
    return data if isinstance(data, dict) else {}


def _render(role: str, part: str, defaults: Mapping[str, Any], version: str, architecture: str) -> str:
    """One setting with its variables filled in; they may have variables in turn, as in Ansible."""
    jinja2 = _module("jinja2")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    values = {**defaults, f"{role}_version": version, "daemon_architecture": architecture}
    text = str(defaults[f"{role}_{part}"])
    try:
        while (rendered := environment.from_string(text).render(values)) != text:
            text = rendered
    except jinja2.TemplateError as error:
        raise LabError(f"{role}_{part} in the defaults of {role}: {error}") from error
    return text


def _module(name: str) -> Any:
    """These two come with ansible-core; the rest of the lab does without them."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise LabError(
            f"reading the roles' pins needs Python's {name}: run this in the environment that "
            "Ansible runs in, or `apt-get install python3-yaml python3-jinja2`"
        ) from None
