"""The settled days of one series and month in at most 62 bytes. Pure.

Two bytes a day, little endian: 0 where the day is not settled, else the rows received plus one, at most
65,535. Trailing days that are not settled are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

_MOST = 0xFFFF
_LONGEST_MONTH = 31


def month_of(day: date) -> int:
    """Return the number of *day*'s month: 12 x year + month - 1."""
    return 12 * day.year + day.month - 1


def unpack(month: int, days: bytes) -> dict[date, int]:
    """Return the settled days of *month* with the rows received."""
    year, index = divmod(month, 12)
    return {
        date(year, index + 1, at // 2 + 1): word - 1
        for at in range(0, len(days), 2)
        if (word := int.from_bytes(days[at : at + 2], "little"))
    }


def settled(month: int, days: bytes, first: date, last: date) -> frozenset[date]:
    """Return the settled days of *month* that lie from *first* to *last*, both inclusive."""
    low = first.day if month_of(first) == month else 1
    high = last.day if month_of(last) == month else _LONGEST_MONTH
    part = days[2 * low - 2 : 2 * high]
    return _filled(month, low, bytes(map(bool, memoryview(part).cast("H")))) if part else frozenset()


@lru_cache(maxsize=1024)
def _filled(month: int, low: int, marks: bytes) -> frozenset[date]:
    """Return the marked days of *month*, the first mark being of day *low*: most series lack the same ones."""
    year, index = divmod(month, 12)
    return frozenset(date(year, index + 1, low + n) for n, mark in enumerate(marks) if mark)


def settle(days: bytes, settled: Mapping[date, int]) -> bytes:
    """Return *days* with the days of one month *settled*; a count never shrinks."""
    words = bytearray(days)
    words.extend(bytes(max(0, 2 * max((day.day for day in settled), default=0) - len(words))))
    for day, rows in settled.items():
        at = 2 * (day.day - 1)
        known = int.from_bytes(words[at : at + 2], "little")
        words[at : at + 2] = max(known, min(rows + 1, _MOST)).to_bytes(2, "little")
    return bytes(words)
