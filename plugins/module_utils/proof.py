"""Proof that a generation is in force: asked of the running process, until all of it holds.

A probe is a mapping with a ``url`` and at most one question about what the URL answers:

- nothing more: the URL answers 200;
- ``metric`` ``{name, labels, value | after_action}`` about a page in Prometheus' text format: a series
  of that name and labels is there, and has that value, or a time after the action (seconds since the epoch; asked
  only when there was an action);
- ``rows`` ``{at, keys, equal}`` about JSON: the list found at the dotted path ``at`` (lists on the way are
  flattened), reduced to ``keys`` (dotted paths too), equals ``equal`` in any order; with ``having``, a dotted path too,
  only items that have something there count;
- ``certificate`` about what a ``tls://host:port`` URL answers, which is the certificate that is presented: it is the
  first one in that file.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

POLL_S = 0.2
FETCH_TIMEOUT_S = 3
LIFE_S = 1.0
SHOWN_ROWS = 5

# How https is spoken: the authorities to trust, and the file with this host's client certificate and its key.
TLS: dict[str, Any] = {
    "type": "dict",
    "options": {"ca": {"type": "path", "required": True}, "client": {"type": "path"}},
}

PROBES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "mutually_exclusive": [("metric", "rows", "certificate")],
    "options": {
        "url": {"type": "str", "required": True},
        "metric": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "labels": {"type": "dict", "default": {}},
                "value": {"type": "float"},
                "after_action": {"type": "bool", "default": False},
            },
        },
        "rows": {
            "type": "dict",
            "options": {
                "at": {"type": "str", "required": True},
                "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
                "equal": {"type": "list", "elements": "list", "required": True},
                "having": {"type": "str"},
            },
        },
        "certificate": {"type": "path"},
    },
}

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

Probe = Mapping[str, Any]
Fetch = Callable[[str], str]


class Unproven(Exception):
    """The reason why a generation is not in force."""


def prove(
    probes: Sequence[Probe],
    acted_at: float | None,
    *,
    timeout: float,
    fetch: Fetch,
    exited: Callable[[], str | None],
    progress: Callable[[], str | None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when every probe holds and the process has lived for a second.

    Args:
        acted_at: when the process was reloaded or restarted (epoch seconds); ``None`` when it was not.
        timeout: seconds without progress after which the proof has failed.
        exited: says how the process died, or ``None`` while it lives; asked before and after the probes.
        progress: any text that changes while a slow start goes on; each change starts the timeout anew.

    Raises:
        Unproven: at once when the process exits, else at the timeout, with what did not hold.
    """
    started = last_progress = clock()
    seen: str | None = None
    while True:
        if death := exited():
            raise Unproven(death)
        failures = [failure for failure in (check(probe, acted_at, fetch) for probe in probes) if failure]
        lived = clock() - started
        if not failures and (acted_at is None or lived >= LIFE_S):
            if death := exited():
                raise Unproven(death)
            return
        if (now := progress()) is not None and now != seen:
            seen, last_progress = now, clock()
        if failures and clock() - last_progress >= timeout:
            raise Unproven(f"after {lived:.0f} s: " + "; ".join(failures))
        sleep(POLL_S)


def get(url: str, tls: Mapping[str, Any] | None = None) -> str:
    """The body of a page that answers 200 on a connection of its own; anything else raises."""
    if url.startswith("tls://"):
        return _presented(url, tls or {})
    ask = build_opener(ProxyHandler({}), HTTPSHandler(context=context(tls or {})))
    with ask.open(url, timeout=FETCH_TIMEOUT_S) as response:
        body: bytes = response.read()
    return body.decode(errors="replace")


def context(tls: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.get("ca"))
    # Since 3.13 Python wants more of an authority than the daemons do, and a proof is no stricter than they are.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.get("client"):
        context.load_cert_chain(tls["client"])
    return context


def _presented(url: str, tls: Mapping[str, Any]) -> str:
    """The certificate that a listener presents, in PEM; raises when it is not trusted or not for that name."""
    where = urlsplit(url)
    address = (where.hostname, where.port)
    with (
        socket.create_connection(address, FETCH_TIMEOUT_S) as connection,
        context(tls).wrap_socket(connection, server_hostname=where.hostname) as secured,
    ):
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")


def check(probe: Probe, acted_at: float | None, fetch: Fetch) -> str | None:
    """Ask one probe. The answer is ``None`` when it holds, else what was found instead."""
    url = probe["url"]
    try:
        body = fetch(url)
    except Exception as error:  # noqa: BLE001  whatever the client raises: the URL did not answer 200
        return f"{url} does not answer: {error}"
    if metric := probe.get("metric"):
        failure = _check_metric(metric, acted_at, body)
    elif rows := probe.get("rows"):
        failure = _check_rows(rows, body)
    elif certificate := probe.get("certificate"):
        failure = _check_certificate(certificate, body)
    else:
        failure = None
    return failure and f"{url}: {failure}"


def _check_metric(metric: Mapping[str, Any], acted_at: float | None, body: str) -> str | None:
    name, labels = metric["name"], metric.get("labels") or {}
    values = list(series(body, name, labels))
    shown = name + (str(labels) if labels else "")
    if not values:
        return f"{shown} is missing"
    if metric.get("after_action"):
        if acted_at is None or max(values) >= acted_at:
            return None
        return f"{shown} is {acted_at - max(values):.1f} s older than the action"
    wanted = metric.get("value")
    if wanted is None or float(wanted) in values:
        return None
    return f"{shown} is {values[0]:g} instead of {float(wanted):g}"


def _check_rows(rows: Mapping[str, Any], body: str) -> str | None:
    try:
        document = json.loads(body)
    except ValueError:
        return "is not JSON"
    items = [item for item in walk(document, rows["at"]) if not rows.get("having") or walk(item, rows["having"])]
    found = [[_text(walk(item, key)) for key in rows["keys"]] for item in items]
    missing, extra = _difference(rows["equal"], found), _difference(found, rows["equal"])
    if not missing and not extra:
        return None
    told = [f"lacks {row}" for row in missing[:SHOWN_ROWS]] + [f"also has {row}" for row in extra[:SHOWN_ROWS]]
    return f"{rows['at']} " + ", ".join(told)


def _check_certificate(path: str, presented: str) -> str | None:
    try:
        wanted = _first_certificate(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        return f"{path}, which it must present, cannot be read: {error.strerror}"
    if wanted is not None and wanted == _first_certificate(presented):
        return None
    return f"presents another certificate than the one in {path}"


def _first_certificate(text: str) -> str | None:
    """The first certificate in a text, without the line ends, which may differ."""
    found = CERTIFICATE.search(text)
    return "".join(found[0].split()) if found else None


def _difference(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
    rest = [list(row) for row in right]
    found = []
    for row in map(list, left):
        if row in rest:
            rest.remove(row)
        else:
            found.append(row)
    return found


def walk(document: Any, path: str) -> list[Any]:
    """All values at a dotted path, lists flattened: ``walk({"a": [{"b": 1}, {"b": 2}]}, "a.b")`` is ``[1, 2]``."""
    found = [document]
    for key in path.split("."):
        found = [item[key] for item in _flat(found) if isinstance(item, Mapping) and key in item]
    return list(_flat(found))


def _flat(items: Sequence[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _text(values: list[Any]) -> str:
    return ",".join(str(value) for value in values)


def series(body: str, name: str, labels: Mapping[str, str]) -> Iterator[float]:
    """The values of all series of that name which carry those labels, from Prometheus' text format."""
    pattern = re.compile(rf"^{re.escape(name)}(?:\{{(?P<labels>.*)\}})? (?P<value>\S+)", re.MULTILINE)
    for match in pattern.finditer(body):
        carried = dict(re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', match["labels"] or ""))
        if all(carried.get(key) == str(value) for key, value in labels.items()):
            with suppress(ValueError):  # a line that only looks like a series
                yield float(match["value"])
