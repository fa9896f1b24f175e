"""What an answer means, told a second time: plain Python over the standard library, from the lake's contract alone.

Slow, and without one line of the decoder's: where the two differ, one of them is wrong.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MINUTES = {"OneMinute": 1, "FiveMinutes": 5, "FifteenMinutes": 15, "OneHour": 60, "OneDay": 1440}
STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.ASCII)
SUMMER = timedelta(hours=2)
"""Berlin's offset on the days that the fuzzers ask for."""
Number = int | float


class Unreadable(Exception):
    """The answer as a whole means nothing."""


@dataclass
class Row:
    """One row of an answer."""

    start: datetime
    """Of the interval, aware UTC."""
    scalars: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, dict[str, float | None]] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)


def read(body: bytes) -> list[Row]:
    """Return the rows of an answer in its order; raise `Unreadable`."""
    try:
        answer = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if not isinstance(answer, dict) or "set" not in answer:
        raise Unreadable("no set")
    rows = answer["set"] if isinstance(answer["set"], list) else [answer["set"]]
    if not all(isinstance(row, dict) and isinstance(row.get("time"), str) for row in rows):
        raise Unreadable("rows")
    length = timedelta(minutes=MINUTES.get(answer.get("resolution") or "", 0))
    return [_row(row, length) for row in rows]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    if abs(number := float(text)) == float("inf"):
        raise ValueError(f"{text} is no number that a column can hold")
    return number


def _whole(text: str) -> Number:
    return int(text) if len(text) < 300 else _finite(text)


def _row(row: dict[str, Any], length: timedelta) -> Row:
    found = Row(_start(row["time"], length))
    for name, value in row.items():
        if name == "time" or value is None:
            continue
        if _is_number(value):
            found.scalars[name] = float(value)
        elif (elements := _elements(value)) is not None:
            found.arrays[name] = elements
        else:
            found.other[name] = value
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _elements(value: object) -> dict[str, float | None] | None:
    """Return an array channel by index; None for what is none."""
    if not isinstance(value, list):
        return None
    found: dict[str, float | None] = {}
    for element in value:
        if not isinstance(element, dict) or not set(element) <= {"index", "value"}:
            return None
        index, number = element.get("index"), element.get("value")
        if isinstance(index, bool) or not isinstance(index, (str, int)) or str(index) in found:
            return None
        if number is not None and not _is_number(number):
            return None
        found[str(index)] = None if number is None else float(number)
    return found


def _start(stamp: str, length: timedelta) -> datetime:
    matched = STAMP.fullmatch(stamp)
    if matched is None:
        raise Unreadable(f"stamp {stamp}")
    *parts, fraction = matched.groups()
    try:
        end = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError as error:
        raise Unreadable(str(error)) from error
    return end + timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6])) - length - SUMMER
