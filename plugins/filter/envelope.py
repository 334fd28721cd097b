"""What the monitoring may take of a host: from the limits of its daemons to what all need, and what each is told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

BYTES, SUFFIXES = re.compile(r"([1-9]\d*)([KMGT]?)"), ("", "K", "M", "G", "T")
PERCENT = re.compile(r"([1-9]\d*)%")
COUNT = re.compile(r"[1-9]\d*")
CPUS = re.compile(r"\d+(-\d+)?([, ]\d+(-\d+)?)*")
GO_SHARE = 0.75
"""What of MemoryMax Go's heap may have. The rest is for the page cache, which a cgroup's memory counts too: 500 MB of
Prometheus' 2 GiB."""
FORMS = {
    "MemoryMax": (BYTES, "bytes, or a size such as 2G"),
    "MemoryHigh": (BYTES, "bytes, or a size such as 2G"),
    "CPUQuota": (PERCENT, "percents of one CPU, such as 200%"),
    "TasksMax": (COUNT, "a number, such as 512"),
    "LimitNOFILE": (COUNT, "a number, such as 16384"),
    "IOWeight": (COUNT, "a number from 1 to 10000"),
    "CPUWeight": (COUNT, "a number from 1 to 10000"),
}


def envelope_findings(limits: Mapping[str, Any], cpus: object = "") -> list[str]:
    """What systemd would not read, or what would let nothing run, by the variable that has it.

    Args:
        limits: directives by variable, such as ``prometheus_limits``.
        cpus: ``monitoring_cpus``.
    """
    found = [text for variable, directives in limits.items() for text in _unreadable(variable, directives)]
    if not CPUS.fullmatch(str(cpus or "0")):
        found.append(f"monitoring_cpus is {cpus!r}: write numbers of CPUs, such as 0-1,4, or nothing for all")
    return found


def _unreadable(variable: str, directives: object) -> Iterator[str]:
    if not isinstance(directives, Mapping):
        yield f"{variable} is {directives!r}: write a mapping, such as {{MemoryMax: 128M, CPUQuota: 50%}}"
        return
    for directive, value in directives.items():
        pattern, form = FORMS.get(directive, (None, ""))
        if pattern and value is not None and not pattern.fullmatch(str(value)):
            yield f"{variable}.{directive} is {value!r}: write {form}"


def envelope(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Of the daemons' limits: ``cpus`` and ``memory`` of the largest, ``memory_together``, and ``slice``.

    ``slice`` has the directives that bound all of them: the memory and the tasks of all together, and the CPUs of the
    largest. Of what one of them has no limit, all have none. What cannot be read is left out: envelope_findings tells.
    """
    every = [each for each in limits.values() if isinstance(each, Mapping)]
    memory = [_bytes(each.get("MemoryMax")) for each in every]
    cpus = [_percent(each.get("CPUQuota")) for each in every]
    tasks = [_count(each.get("TasksMax")) for each in every]
    together = {
        "MemoryMax": sum(memory) if all(memory) else 0,
        "CPUQuota": f"{max(cpus)}%" if cpus and all(cpus) else "",
        "TasksMax": sum(tasks) if all(tasks) else 0,
    }
    return {
        "cpus": max(cpus, default=0) / 100,
        "memory": max(memory, default=0),
        "memory_together": sum(memory),
        "slice": {directive: value for directive, value in together.items() if value},
    }


def limit_number(directive: str, value: object) -> int | None:
    """Bytes, percents of a CPU or a count of a directive; ``None`` for one that is not known, or cannot be read."""
    read = {BYTES: _bytes, PERCENT: _percent, COUNT: _count}
    return read[FORMS[directive][0]](value) or None if directive in FORMS else None


def go_runtime(limits: Mapping[str, Any]) -> dict[str, str]:
    """The environment that has a Go program keep its limits by itself, before the kernel does it more rudely."""
    cpus, memory = _percent(limits.get("CPUQuota")), _bytes(limits.get("MemoryMax"))
    told = {
        "GOMAXPROCS": str(math.ceil(cpus / 100)) if cpus else "",
        "GOMEMLIMIT": f"{int(GO_SHARE * memory) >> 20}MiB" if memory else "",
    }
    return {name: value for name, value in told.items() if value}


def cpu_numbers(text: object) -> set[int]:
    """Of a list such as ``0-3,8``; none of what is no list."""
    return set(_numbers(str(text))) if CPUS.fullmatch(str(text)) else set()


def _numbers(text: str) -> Iterator[int]:
    for part in re.split("[, ]", text):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _bytes(value: object) -> int:
    match = BYTES.fullmatch(str(value))
    return int(match[1]) * 1024 ** SUFFIXES.index(match[2]) if match else 0


def _percent(value: object) -> int:
    match = PERCENT.fullmatch(str(value))
    return int(match[1]) if match else 0


def _count(value: object) -> int:
    return int(str(value)) if COUNT.fullmatch(str(value)) else 0


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (envelope, envelope_findings, go_runtime)}
