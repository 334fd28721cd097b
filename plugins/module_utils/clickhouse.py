"""The configuration file that makes a ClickHouse serve its metrics, and what stands in its way."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

SECTIONS = ("metrics", "events", "asynchronous_metrics", "errors")
SERIES = "ClickHouseMetrics_Query"
"""A series that every ClickHouse has."""
TOP_LEVEL_KEY = r"^{}\s*:"


HEADER = "<!-- Ansible managed: role clickhouse_metrics -->"


def drop_in(port: int, http_port: int) -> str:
    """The file: metrics on the HTTP port, or on a port of their own.

    Without a port ClickHouse adds /metrics to the default handlers of its HTTP port, and makes these when it starts to
    listen. It listens anew when <http_handlers> changes; with nothing but <defaults/> that says what its absence does.
    """
    lines = ["        <endpoint>/metrics</endpoint>"]
    if port != http_port:
        lines.append(f"        <port>{port}</port>")
    lines += [f"        <{name}>true</{name}>" for name in SECTIONS]
    handlers = ["    <http_handlers>", "        <defaults/>", "    </http_handlers>"] if port == http_port else []
    whole = ["<clickhouse>", "    <prometheus>", *lines, "    </prometheus>", *handlers, "</clickhouse>"]
    return "\n".join([HEADER, *whole, ""])


def is_ours(text: str) -> bool:
    return text.startswith(HEADER)


def conflicts(files: Mapping[str, str], port: int, http_port: int) -> list[str]:
    """Everything in other files of the configuration that ours would be mixed with, each with its remedy."""
    return list(_conflicts(files, port, http_port))


def _conflicts(files: Mapping[str, str], port: int, http_port: int) -> Iterator[str]:
    for name, text in files.items():
        try:
            sections = _sections(name, text)
        except ET.ParseError as error:
            yield f"{name} is no well-formed XML ({error}): ClickHouse does not read it either, mend it"
            continue
        if "prometheus" in sections:
            yield f"{name} has <prometheus> already: remove it there, or clickhouse: true in monitored_services"
        if "http_handlers" in sections and port == http_port:
            yield (
                f"{name} has <http_handlers>, so port {http_port} answers what is said there: let the target in"
                " monitored_services have a port of its own, such as 9363"
            )


def _sections(name: str, text: str) -> set[str]:
    """Names of the sections in a file; of YAML only those that matter here."""
    if name.endswith((".yaml", ".yml")):
        known = ("prometheus", "http_handlers")
        return {key for key in known if re.search(TOP_LEVEL_KEY.format(key), text, re.MULTILINE)}
    return {child.tag for child in ET.fromstring(text)}  # noqa: S314  the administrator's own files
