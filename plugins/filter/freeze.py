"""When nothing may be restarted: a calendar in Alertmanager's form of time intervals, asked for now."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = [name.lower() for name in (calendar.day_name[6], *calendar.day_name[:6])]
"""As Alertmanager counts them: the week begins on Sunday."""
MONTHS = [name.lower() for name in calendar.month_name]
KEYS = ("times", "weekdays", "days_of_month", "months", "years", "location")
CLOCK = re.compile(r"(\d\d):(\d\d)")
DAY_MINUTES = 24 * 60
STEP = timedelta(minutes=5)
AHEAD = timedelta(days=14)
"""As far as the end of a freeze is looked for."""
FORM = (
    'write intervals as Alertmanager has them: {weekdays: ["monday:friday"], '
    'times: [{start_time: "08:00", end_time: "17:00"}]}'
)


class _WrongError(ValueError):
    """A part of an interval that is none."""


def freeze(intervals: Sequence[Mapping[str, Any]], override: bool = False, now: datetime | None = None) -> str:
    """Why nothing may be restarted at this moment; empty when it may.

    Of intervals that cannot be read it says so too: freeze_findings has refused them before.
    """
    if override or not intervals:
        return ""
    at = now or datetime.now(UTC)
    try:
        if not _inside(intervals, at):
            return ""
    except _WrongError as error:
        return f"change_freeze cannot be read: one of its intervals {error}"
    end = _end(intervals, at)
    return f"change_freeze is on until {end:%Y-%m-%d %H:%M} UTC" if end else "change_freeze is on, and does not end"


def freeze_findings(intervals: object, now: datetime | None = None) -> list[str]:
    """Every interval that is none, and a freeze that does not end."""
    if not isinstance(intervals, Sequence) or isinstance(intervals, str):
        return [f"change_freeze is {intervals!r}: {FORM}"]
    found = []
    for index, interval in enumerate(intervals):
        try:
            _matches(interval, now or datetime.now(UTC))
        except _WrongError as error:
            found.append(f"change_freeze[{index}] {error}")
    if not found and intervals and _end(intervals, now or datetime.now(UTC)) is None:
        days = AHEAD.days
        found.append(
            f"change_freeze is {list(intervals)!r}, which does not end within {days} days: leave time for changes"
        )
    return found


def _end(intervals: Sequence[Mapping[str, Any]], at: datetime) -> datetime | None:
    """The first moment, to five minutes, that is in no interval."""
    begin = at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0) + STEP
    steps = (begin + STEP * step for step in range(int(AHEAD / STEP)))
    return next((moment for moment in steps if not _inside(intervals, moment)), None)


def _inside(intervals: Sequence[Mapping[str, Any]], at: datetime) -> bool:
    return any(_matches(interval, at) for interval in intervals)


def _matches(interval: object, at: datetime) -> bool:
    """Whether a moment is in an interval: in one of each of its lists; all of it is read."""
    if not isinstance(interval, Mapping) or not interval:
        raise _WrongError(f"is {interval!r}: {FORM}")
    if unknown := [key for key in interval if key not in KEYS]:
        raise _WrongError(f"has {', '.join(map(str, unknown))}: known are {', '.join(KEYS)}")
    local = at.astimezone(_zone(interval.get("location", "UTC")))
    last = calendar.monthrange(local.year, local.month)[1]
    named = [
        _any(interval, "weekdays", lambda text: local.isoweekday() % 7 in _range(text, DAYS, 0)),
        _any(interval, "months", lambda text: local.month in _range(text, MONTHS, 1)),
        _any(interval, "years", lambda text: local.year in _range(text, (), 1)),
        _any(interval, "days_of_month", lambda text: local.day in _days(text, last)),
        _any(interval, "times", lambda times: _between(times, 60 * local.hour + local.minute)),
    ]
    return all(named)


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _WrongError(f"has location {name!r}: write a time zone such as Europe/London") from None


def _any(interval: Mapping[str, Any], key: str, holds: Callable[[Any], bool]) -> bool:
    given = interval.get(key)
    if given is None:
        return True
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise _WrongError(f"has {key} {given!r}: write a list that is not empty")
    return any([holds(entry) for entry in given])  # noqa: C419  # each is read, also behind one that holds


def _range(entry: object, names: Sequence[str], least: int) -> range:
    """``monday:friday``, ``2``, ``2026:2027``: both ends are in it."""
    first, _, last = str(entry).lower().partition(":")
    numbers = [_number(part, names, least, entry) for part in (first, last or first)]
    if numbers[0] > numbers[1]:
        raise _WrongError(f"has {entry!r}, which ends before it begins")
    return range(numbers[0], numbers[1] + 1)


def _number(text: str, names: Sequence[str], least: int, entry: object) -> int:
    if text and text in names:
        return names.index(text)
    # Weekdays have names only, as in Alertmanager.
    if text.isdigit() and names is not DAYS and int(text) >= least and (not names or int(text) < len(names)):
        return int(text)
    raise _WrongError(f"has {entry!r}: {FORM}")


def _days(entry: object, last: int) -> range:
    """Days of a month that has ``last``; ``-1`` is the last one."""
    match = re.fullmatch(r"(-?\d+)(?::(-?\d+))?", str(entry))
    if not match or not all(0 < abs(int(part)) <= 31 for part in match.groups() if part):
        raise _WrongError(f"has days_of_month {entry!r}: write 1 to 31, or -1 for the last day")
    first, end = (int(part) if int(part) > 0 else last + 1 + int(part) for part in (match[1], match[2] or match[1]))
    return range(first, end + 1)


def _between(times: object, minute: int) -> bool:
    if not isinstance(times, Mapping) or set(times) != {"start_time", "end_time"}:
        raise _WrongError(f"has times {times!r}: {FORM}")
    start, end = _minutes(times["start_time"]), _minutes(times["end_time"])
    if start >= end:
        raise _WrongError(f"has times from {times['start_time']} to {times['end_time']}: for over midnight write two")
    return start <= minute < end


def _minutes(text: object) -> int:
    match = CLOCK.fullmatch(str(text))
    minutes = 60 * int(match[1]) + int(match[2]) if match else DAY_MINUTES + 1
    if not match or int(match[2]) > 59 or minutes > DAY_MINUTES:
        raise _WrongError(f'has the time {text!r}: write it as "08:00", in quotes')
    return minutes


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (freeze, freeze_findings)}
