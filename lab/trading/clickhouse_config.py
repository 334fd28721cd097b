"""What ClickHouse's configuration says about metrics, as far as the stand-in needs it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Configuration:
    """Of all files together.

    ``metrics_on_http``: the HTTP port answers at ``path``, because there is a <prometheus> section without <port> and
    <handlers>, and no <http_handlers> or one with <defaults/>.
    """

    metrics_on_http: bool
    port: int | None
    path: str
    http_handlers: str


def read(directory: Path) -> Configuration:
    """The configuration below /etc/clickhouse-server.

    Raises:
        ElementTree.ParseError: a file is no XML.
    """
    sections: dict[str, list[ET.Element]] = {"prometheus": [], "http_handlers": []}
    for file in [*directory.glob("config.xml"), *sorted(directory.glob("config.d/*.xml"))]:
        root = ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314  # the operator's own files
        for name in sections:
            sections[name] += root.findall(name)
    settings = {child.tag: child.text or "" for section in sections["prometheus"] for child in section}
    rules = {child.tag for section in sections["http_handlers"] for child in section}
    port = int(settings.get("port") or 0)
    plain = bool(sections["prometheus"]) and not port and "handlers" not in settings
    return Configuration(
        metrics_on_http=plain and (not sections["http_handlers"] or "defaults" in rules),
        port=port or None,
        path=settings.get("endpoint", "/metrics"),
        http_handlers="".join(ET.tostring(each, encoding="unicode") for each in sections["http_handlers"]),
    )
