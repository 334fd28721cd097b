"""Of limits: what is refused, what they add up to, and what each daemon is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter.envelope import (
    cpu_numbers,
    envelope,
    envelope_findings,
    go_runtime,
)
from hypothesis import given
from hypothesis import strategies as st

GIB = 2**30
PROMETHEUS = {"MemoryMax": "2G", "CPUQuota": "200%", "TasksMax": 512}
SMALL = {"MemoryMax": "128M", "CPUQuota": "50%", "TasksMax": 64}


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({}, {"cpus": 0, "memory": 0, "memory_together": 0, "slice": {}}),
        (
            {"a": PROMETHEUS, "b": SMALL},
            {
                "cpus": 2,
                "memory": 2 * GIB,
                "memory_together": 2 * GIB + GIB // 8,
                "slice": {"MemoryMax": 2 * GIB + GIB // 8, "CPUQuota": "200%", "TasksMax": 576},
            },
        ),
        # Of what one has no limit, all have none.
        (
            {"a": PROMETHEUS, "b": {"CPUQuota": "50%"}},
            {"cpus": 2, "memory": 2 * GIB, "memory_together": 2 * GIB, "slice": {"CPUQuota": "200%"}},
        ),
        (
            {"a": {"MemoryMax": 1024, "TasksMax": 64}},
            {"cpus": 0, "memory": 1024, "memory_together": 1024, "slice": {"MemoryMax": 1024, "TasksMax": 64}},
        ),
        # What cannot be read is told elsewhere.
        ({"a": {"MemoryMax": "2 gigs"}, "b": "2G"}, {"cpus": 0, "memory": 0, "memory_together": 0, "slice": {}}),
    ],
)
def test_what_daemons_need_follows_from_their_limits(limits: dict[str, Any], needed: dict[str, Any]) -> None:
    assert envelope(limits) == needed


@pytest.mark.parametrize(
    ("directive", "value", "remedy"),
    [
        ("MemoryMax", "2 gigs", "write bytes, or a size such as 2G"),
        ("MemoryMax", "0G", "write bytes, or a size such as 2G"),
        ("MemoryMax", 0, "write bytes"),
        ("MemoryMax", -1, "write bytes"),
        ("MemoryMax", "2GB", "write bytes"),
        ("MemoryMax", "infinity", "write bytes"),
        ("MemoryHigh", "1.5G", "write bytes, or a size such as 2G"),
        ("CPUQuota", 0, "write percents of one CPU, such as 200%"),
        ("CPUQuota", "2", "write percents of one CPU, such as 200%"),
        ("CPUQuota", "0%", "write percents"),
        ("CPUQuota", "-5%", "write percents"),
        ("CPUQuota", "two", "write percents"),
        ("TasksMax", 0, "write a number, such as 512"),
        ("TasksMax", "many", "write a number, such as 512"),
        ("LimitNOFILE", 0, "write a number, such as 16384"),
        ("IOWeight", 0, "write a number from 1 to 10000"),
        ("CPUWeight", "half", "write a number from 1 to 10000"),
    ],
)
def test_a_limit_that_cannot_work_is_told_with_variable_value_and_remedy(
    directive: str, value: object, remedy: str
) -> None:
    (told,) = envelope_findings({"redis_exporter_limits": SMALL, "prometheus_limits": {directive: value}})
    assert told.startswith(f"prometheus_limits.{directive} is {value!r}: {remedy}")


@pytest.mark.parametrize("cpus", ["two", "0-", "-1", "0,,1", "0;1", "1-2-3", 1.5])
def test_no_list_of_cpus_is_told(cpus: object) -> None:
    assert envelope_findings({}, cpus) == [
        f"monitoring_cpus is {cpus!r}: write numbers of CPUs, such as 0-1,4, or nothing for all"
    ]


@pytest.mark.parametrize("cpus", ["", None, 0, 1, "0-1,4", "0 2"])
def test_what_can_work_is_no_finding(cpus: object) -> None:
    assert envelope_findings({"a": PROMETHEUS | {"Nice": 5, "IOWeight": None, "LogRateLimitBurst": 0}}, cpus) == []


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, {}),
        (PROMETHEUS, {"GOMAXPROCS": "2", "GOMEMLIMIT": "1536MiB"}),
        (SMALL, {"GOMAXPROCS": "1", "GOMEMLIMIT": "96MiB"}),
        ({"CPUQuota": "150%"}, {"GOMAXPROCS": "2"}),
    ],
)
def test_a_go_program_is_told_of_its_limits(limits: dict[str, Any], told: dict[str, str]) -> None:
    assert go_runtime(limits) == told


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_cpus_is_read_as_the_kernel_writes_it(cpus: set[int]) -> None:
    text, numbers = [], sorted(cpus)
    while numbers:
        first = last = numbers.pop(0)
        while numbers and numbers[0] == last + 1:
            last = numbers.pop(0)
        text.append(f"{first}-{last}" if last > first else str(first))
    assert cpu_numbers(",".join(text)) == cpus


@pytest.mark.parametrize("text", ["", None, "none", "0-"])
def test_what_is_no_list_names_no_cpu(text: object) -> None:
    assert cpu_numbers(text) == set()
