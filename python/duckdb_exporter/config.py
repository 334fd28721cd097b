"""The configuration of the standalone service: a JSON file, refused whole when anything in it is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from duckdb_exporter.files import File
from duckdb_exporter.queries import Query, QueryError
from duckdb_exporter.server import TLS

NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
RESERVED = ("memory", "system", "temp")  # databases of each DuckDB


class ConfigError(ValueError):
    """The configuration is not what it should be."""


@dataclass(frozen=True)
class Config:
    """What the service does."""

    files: tuple[File, ...]
    queries: tuple[Query, ...] = ()
    tls: TLS | None = None


def load(path: Path) -> Config:
    """The configuration of a file; ConfigError says what is wrong, and where."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(data: Any) -> Config:
    """The configuration of what the JSON file holds."""
    top = _mapping("the configuration", data, {"files", "queries", "tls"})
    files = tuple(_file(entry) for entry in _list("files", top.get("files")))
    for what in ("path", "name"):
        values = [getattr(file, what).lower() if what == "name" else file.path for file in files]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ConfigError(f"files: {', '.join(twice)} is there twice; give each its own {what}")
    queries = tuple(Query.from_mapping(entry) for entry in _list("queries", top.get("queries", [])))
    if queries and not any(file.read for file in files):
        raise QueryError("queries: no file has `read`, so there is nothing to ask")
    return Config(files, queries, _tls(top["tls"]) if top.get("tls") else None)


def _file(entry: Any) -> File:
    data = _mapping("a file", entry, {"path", "read", "name"})
    path, read = data.get("path"), data.get("read", False)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ConfigError(f"files: path must be absolute, not {path!r}")
    if not isinstance(read, bool):
        raise ConfigError(f"files: read of {path} must be true or false, not {read!r}")
    name = data.get("name", re.sub(r"\W", "_", PurePosixPath(path).stem, flags=re.ASCII))
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.lower() in RESERVED:
        raise ConfigError(f"files: {name!r} cannot be the name of {path}: set name to letters, digits and _")
    return File(path, name, read)


def _tls(entry: Any) -> TLS:
    data = _mapping("tls", entry, {"ca", "server", "clients"})
    clients = _list("tls: clients", data.get("clients", []))
    if not all(isinstance(text, str) and text for text in (data.get("ca"), data.get("server"), *clients)):
        raise ConfigError("tls: ca and server must be paths, and clients a list of names")
    return TLS(data["server"], data["ca"], tuple(clients))


def _mapping(what: str, data: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{what} must be a mapping, not {data!r}")
    if unknown := sorted(set(data) - known):
        raise ConfigError(f"{what} has unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return data


def _list(what: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ConfigError(f"{what} must be a list, not {data!r}")
    return data
