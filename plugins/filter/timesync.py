"""Whom chrony is to follow: every mistake in it, before a host is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

KINDS = ("server", "pool", "peer", "refclock")
KEYS = ("address", "kind", "options")
REFCLOCKS = ("PPS", "SHM", "SOCK", "PHC")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
DIRECTIVE = re.compile(r"[a-z]+[a-z0-9]*")
LINE = re.compile(r"[^\n\r]*")
FLAGS = (
    "auto_offline", "burst", "copy", "iburst", "noselect", "nts", "offline", "prefer", "require", "trust", "xleave",
)  # fmt: skip
VALUES = (
    "asymmetry", "certset", "extfield", "filter", "key", "maxdelay", "maxdelaydevratio", "maxdelayquant",
    "maxdelayratio", "maxpoll", "maxsamples", "maxsources", "maxunreach", "mindelay", "minpoll", "minsamples",
    "minstratum", "ntsport", "offset", "polltarget", "port", "presend", "version",
)  # fmt: skip
"""chrony.conf(5): options of a server that stand alone, and those with a value behind them."""
TAKEN = ("server", "pool", "peer", "refclock", "sourcedir", "confdir", "include", "user", "pidfile")
"""Directives that are written from elsewhere, or that Debian's unit counts on."""


def timesync_findings(servers: object, settings: object = None) -> list[str]:
    """Every mistake in ``timesync_servers`` and ``timesync_settings``, each with its value and the remedy."""
    return [*_servers(servers), *_settings({} if settings is None else settings)]


def _servers(servers: object) -> Iterator[str]:
    if not isinstance(servers, Sequence) or isinstance(servers, str):
        yield f"timesync_servers is {servers!r}: write a list, such as [{{address: 192.0.2.1, options: iburst}}]"
        return
    seen: dict[str, int] = {}
    for index, server in enumerate(servers):
        path = f"timesync_servers[{index}]"
        if not isinstance(server, Mapping):
            yield f"{path} is {server!r}: write {{address: {server if isinstance(server, str) else 'NAME'}}}"
            continue
        yield from (f"{path}.{key} is not known: known are {', '.join(KEYS)}" for key in server if key not in KEYS)
        yield from _server(path, server)
        address = str(server.get("address"))
        if server.get("kind") != "refclock" and seen.setdefault(address, index) != index:
            yield f"{path}.address is {address!r}: timesync_servers[{seen[address]}] is that too, remove one"


def _server(path: str, server: Mapping[str, Any]) -> Iterator[str]:
    kind, address, options = server.get("kind", "server"), server.get("address"), server.get("options", "")
    if kind not in KINDS:
        yield f"{path}.kind is {kind!r}: write one of {', '.join(KINDS)}"
    elif kind == "refclock" and address not in REFCLOCKS:
        yield f"{path}.address is {address!r}: write the driver of the reference clock, one of {', '.join(REFCLOCKS)}"
    elif not isinstance(address, str) or not WORD.fullmatch(address):
        yield f"{path}.address is {address!r}: write one IP address or name"
    if not isinstance(options, str) or not LINE.fullmatch(options):
        yield f"{path}.options is {options!r}: write one line of text, such as iburst prefer"
    elif kind == "refclock" and not options.strip():
        yield f"{path}.options is {options!r}: write the device first, such as /dev/ptp0 poll 2"
    elif kind != "refclock":
        yield from (f"{path}.options is {options!r}: {fault}" for fault in _option_faults(options.split()))


def _option_faults(words: Sequence[str]) -> Iterator[str]:
    left = iter(words)
    for word in left:
        if word in VALUES:
            value = next(left, None)
            if value is None or value in (*FLAGS, *VALUES):
                yield f"write a value behind {word}"
        elif word not in FLAGS:
            close = get_close_matches(word, [*FLAGS, *VALUES], n=1)
            yield f"{word} is no option of chrony; {f'did you mean {close[0]}?' if close else 'see chrony.conf(5)'}"


def _settings(settings: object) -> Iterator[str]:
    if not isinstance(settings, Mapping):
        yield f"timesync_settings is {settings!r}: write a mapping of directives, such as {{maxslewrate: 500}}"
        return
    for name, value in settings.items():
        path = f"timesync_settings.{name}"
        if not DIRECTIVE.fullmatch(str(name)):
            yield f"{path} is no name of a directive: see chrony.conf(5)"
        elif name in TAKEN:
            yield f"{path} is no setting: write servers into timesync_servers, files into /etc/chrony/conf.d"
        elif not isinstance(value, str | int | float | None) or not LINE.fullmatch(str(value)):
            yield f"{path} is {value!r}: write one line of text, a number, true, or null to leave it out"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"timesync_findings": timesync_findings}
