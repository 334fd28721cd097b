"""When nothing may be restarted, by the same calendar as the alerts'."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter.freeze import freeze, freeze_findings

TRADING = [{"weekdays": ["monday:friday"], "times": [{"start_time": "08:00", "end_time": "17:00"}]}]
LONDON = [TRADING[0] | {"location": "Europe/London"}]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("intervals", "now", "until"),
    [
        (TRADING, "2026-11-26 08:00", "2026-11-26 17:00"),  # a Thursday
        (TRADING, "2026-11-26 16:59:59", "2026-11-26 17:00"),
        (TRADING, "2026-11-26 17:00", None),
        (TRADING, "2026-11-26 07:59", None),
        (TRADING, "2026-11-28 12:00", None),  # a Saturday
        (LONDON, "2026-07-01 07:30", "2026-07-01 16:00"),  # summer time
        (LONDON, "2026-07-01 16:30", None),
        ([{"days_of_month": ["-1"]}], "2026-02-28 12:00", "2026-03-01 00:00"),
        ([{"days_of_month": ["-1"]}], "2028-02-28 12:00", None),
        ([{"days_of_month": ["1:3"]}], "2026-02-03 23:00", "2026-02-04 00:00"),
        ([{"months": ["december:december"], "days_of_month": [24, "31"]}], "2026-12-24 00:00", "2026-12-25 00:00"),
        ([{"months": ["12"], "days_of_month": ["24"]}], "2026-11-24 00:00", None),
        ([{"years": ["2027:2028"]}], "2026-11-24 00:00", None),
        ([{"years": [2026], "weekdays": ["thursday"]}], "2026-11-26 00:00", "2026-11-27 00:00"),
        ([TRADING[0], {"weekdays": ["thursday"], "times": [{"start_time": "17:00", "end_time": "24:00"}]}],
         "2026-11-26 10:00", "2026-11-27 00:00"),
        ([], "2026-11-26 10:00", None),
    ],
)  # fmt: skip
def test_it_is_on_while_one_of_the_intervals_holds(intervals: list[Any], now: str, until: str | None) -> None:
    wanted = f"change_freeze is on until {until} UTC" if until else ""
    assert freeze(intervals, now=at(now)) == wanted
    assert freeze(intervals, override=True, now=at(now)) == ""
    assert freeze_findings(intervals, now=at(now)) == []


@pytest.mark.parametrize(
    ("intervals", "told"),
    [
        ("always", "change_freeze is 'always': write intervals as Alertmanager has them"),
        ({"weekdays": ["monday"]}, "change_freeze is {'weekdays': ['monday']}: write"),
        (None, "change_freeze is None"),
        ([{}], "change_freeze[0] is {}"),
        (["monday"], "change_freeze[0] is 'monday'"),
        ([{"weekday": ["monday"]}], "change_freeze[0] has weekday: known are times, weekdays"),
        ([{"weekdays": ["mon:fri"]}], "change_freeze[0] has 'mon:fri': write intervals"),
        ([{"weekdays": ["1:5"]}], "change_freeze[0] has '1:5'"),
        ([{"weekdays": ["friday:monday"]}], "has 'friday:monday', which ends before it begins"),
        ([{"weekdays": "monday"}], "has weekdays 'monday': write a list that is not empty"),
        ([{"weekdays": []}], "has weekdays []: write a list that is not empty"),
        ([{"times": [{"start_time": "8:00", "end_time": "17:00"}]}], "has the time '8:00': write it as \"08:00\""),
        ([{"times": [{"start_time": "08:60", "end_time": "17:00"}]}], "has the time '08:60'"),
        ([{"times": [{"start_time": "08:00", "end_time": "24:01"}]}], "has the time '24:01'"),
        ([{"times": [{"start_time": 480, "end_time": "17:00"}]}], "has the time 480"),
        ([{"times": [{"start_time": "22:00", "end_time": "02:00"}]}], "for over midnight write two"),
        ([{"times": [{"start_time": "08:00"}]}], "has times {'start_time': '08:00'}"),
        ([{"days_of_month": ["0"]}], "has days_of_month '0': write 1 to 31"),
        ([{"days_of_month": ["32"]}], "has days_of_month '32'"),
        ([{"months": ["13"]}], "has '13'"),
        ([{"months": ["0"]}], "has '0'"),
        ([{"years": ["soon"]}], "has 'soon'"),
        ([{"weekdays": ["monday"], "location": "London"}], "has location 'London': write a time zone"),
        ([{"weekdays": ["monday:sunday"]}], "which ends before it begins"),  # the week begins on Sunday
        (
            [{"weekdays": ["sunday:saturday"]}],
            "[{'weekdays': ['sunday:saturday']}], which does not end within 14 days: leave time for changes",
        ),
        ([{"times": [{"start_time": "00:00", "end_time": "24:00"}]}], "which does not end within 14 days"),
        ([{"weekdays": ["monday"]}, {"weekdays": ["x"]}], "change_freeze[1] has 'x'"),
    ],
)
def test_what_is_no_calendar_is_told(intervals: object, told: str) -> None:
    (finding,) = freeze_findings(intervals, now=at("2026-11-26 10:00"))
    assert told in finding


def test_what_cannot_be_read_freezes() -> None:
    assert freeze([{"weekdays": ["mon"]}]).startswith("change_freeze cannot be read: one of its intervals has 'mon'")
    always = [{"weekdays": ["sunday:saturday"]}]
    assert freeze(always, now=at("2026-11-26 10:00")) == "change_freeze is on, and does not end"
