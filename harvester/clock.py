"""Plant-local stamps and instants, both ways. Pure: no function here reads a clock.

SMA stamps intraday rows with the plant's wall clock at the *end* of the interval and sends no offset, so one
hour a year comes twice and another never. A wall clock alone then fits two instants, and only the order of an
answer's rows tells which. Zones come from the PyPI package ``tzdata`` alone: the system's copy may be of
another year.

Offsets are local time minus UTC. Local times are naive, instants are naive UTC where they are bulk data
(frames carry them so) and aware where they are single values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

_STEP = timedelta(days=3)  # tzdata knows no two changes of a zone within six days
_SECOND = timedelta(seconds=1)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*){0,2}")
_YEARS = range(1900, 2200)  # beyond, a stamp is an empty value in disguise, like 0001-01-01


class UnknownZone(ValueError):
    """The name is not one of tzdata's zones."""


class ImpossibleStamp(ValueError):
    """The wall clock never showed this time."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone *name* from the package tzdata; raise `UnknownZone`."""
    if not _NAME.fullmatch(name):
        raise UnknownZone(f"{name!r} is not the name of a time zone")
    *folders, file = name.split("/")
    try:
        source = resources.files(".".join(["tzdata", "zoneinfo", *folders])).joinpath(file)
        with source.open("rb") as data:
            return ZoneInfo.from_file(data, key=name)
    except (OSError, ModuleNotFoundError, ValueError) as error:
        raise UnknownZone(f"{name!r} is not a time zone of tzdata") from error


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a zone's offset."""

    instant: datetime
    """Naive UTC."""
    before: timedelta
    after: timedelta

    @property
    def repeats(self) -> tuple[datetime, datetime] | None:
        """Half-open span of local time that is shown twice, if any."""
        if self.after < self.before:
            return self.instant + self.after, self.instant + self.before
        return None

    @property
    def skips(self) -> tuple[datetime, datetime] | None:
        """Half-open span of local time that is never shown, if any."""
        if self.after > self.before:
            return self.instant + self.before, self.instant + self.after
        return None


def offset_at(instant: datetime, where: tzinfo) -> timedelta:
    """Return the offset at the naive UTC *instant*."""
    offset = instant.replace(tzinfo=UTC).astimezone(where).utcoffset()
    assert offset is not None  # noqa: S101 - a zone always answers for an aware time
    return offset


@lru_cache(maxsize=8192)
def _changes_in_year(name: str, year: int) -> tuple[Change, ...]:
    where = zone(name)
    found: list[Change] = []
    instant, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - naive UTC
    before = offset_at(instant, where)
    while instant < end:
        later = min(instant + _STEP, end)
        after = offset_at(later, where)
        if after != before:
            found.append(Change(_first_with(after, instant, later, where), before, after))
        instant, before = later, after
    return tuple(found)


def _first_with(offset: timedelta, low: datetime, high: datetime, where: tzinfo) -> datetime:
    """Return the first second in (low, high] that has *offset*, found by halving."""
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        low, high = (low, middle) if offset_at(middle, where) == offset else (middle, high)
    return high


def changes(name: str, first: datetime, last: datetime) -> tuple[Change, ...]:
    """Return the changes of zone *name* whose instants lie within a day of [first, last], ascending.

    *first* and *last* may be local or UTC: the day on either side makes up for the difference. Raises
    `ImpossibleStamp` for a time that is centuries away.
    """
    for time_given in (first, last):
        if time_given.year not in _YEARS:
            raise ImpossibleStamp(f"{time_given.isoformat()} is no time at which a plant can have measured")
    low, high = first - timedelta(days=1), last + timedelta(days=1)
    years = range(low.year, high.year + 1)
    return tuple(c for year in years for c in _changes_in_year(name, year) if low <= c.instant <= high)


def day_start(day: date, where: tzinfo) -> datetime:
    """Return the instant (aware UTC) at which the local *day* begins.

    Where midnight is skipped the day begins with the first instant after the gap; where midnight comes twice,
    with the first.
    """
    return datetime.combine(day, time(), tzinfo=where).astimezone(UTC)


@lru_cache(maxsize=4096)  # the same few weeks, in each of many answers
def day_end(day: date, where: tzinfo) -> datetime:
    """Return the instant (aware UTC) at which the local *day* is over: the start of the next one."""
    return day_start(day + timedelta(days=1), where)


def month_after(day: date) -> date:
    """Return the first day of the month after the one of *day*."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def year_after(day: date) -> date:
    """Return the first day of the year after the one of *day*."""
    return date(day.year + 1, 1, 1)


def local_day(instant: datetime, where: tzinfo) -> date:
    """Return the local day that the aware *instant* falls on."""
    return instant.astimezone(where).date()


def repeats_an_hour(day: date, name: str) -> bool:
    """Tell whether some local time comes twice on *day* in zone *name*."""
    midnight = datetime.combine(day, time())
    spans = (change.repeats for change in changes(name, midnight, midnight + timedelta(days=1)))
    return any(s and s[0] < midnight + timedelta(days=1) and s[1] > midnight for s in spans)


def ends_to_instants(stamps: Sequence[datetime], name: str) -> list[datetime]:
    """Return the naive UTC instant of each interval-end stamp of one answer, in the answer's order.

    A stamp shown once is itself. A stamp shown twice is decided by order: what comes after the wall clock
    steps back, or after an equal neighbour, is the second pass; where order does not decide, the first. A
    stamp at the very start of a gap is the end of the interval before it, and so is one at the very end of a
    repeated hour before the clock steps back. Raises `ImpossibleStamp` for one inside a gap.
    """
    if not stamps:
        return []
    near = changes(name, min(stamps), max(stamps))
    if not near:
        offset = offset_at(stamps[0], zone(name))
        return [stamp - offset for stamp in stamps]
    second = _second_passes(stamps, near)
    found = [_instant(stamp, near, second=again) for stamp, again in zip(stamps, second, strict=True)]
    for change in near:
        for i in _ends_of_first_pass(stamps, change):
            found[i] = change.instant
    return found


def _instant(stamp: datetime, near: Sequence[Change], *, second: bool) -> datetime:
    offset = near[0].before
    for change in near:
        if (gap := change.skips) and gap[0] < stamp < gap[1]:
            raise ImpossibleStamp(f"{stamp.isoformat()} does not exist: the clock skips {gap[0]:%H:%M}-{gap[1]:%H:%M}")
        shown_from = change.instant + change.after
        shown_twice_until = change.instant + change.before
        if stamp >= max(shown_from, shown_twice_until) or (second and stamp >= shown_from):
            offset = change.after
    return stamp - offset


def _second_passes(stamps: Sequence[datetime], near: Sequence[Change]) -> list[bool]:
    """Tell for each stamp whether it belongs to the second pass of a repeated hour."""
    second = [False] * len(stamps)
    for change in near:
        if span := change.repeats:
            inside = [i for i, stamp in enumerate(stamps) if span[0] <= stamp < span[1]]
            for i, again in zip(inside, _order_decides([stamps[i] for i in inside]), strict=True):
                second[i] = again
    return second


def _ends_of_first_pass(stamps: Sequence[datetime], change: Change) -> list[int]:
    """Return the places of stamps at which a clock that knew no *change* would have ended the first pass.

    A server that adds the interval to the wall clock of its start stamps the last one of the first pass with the end
    of the repeated hour, as if the clock had not stepped back; what follows it is the second pass. Of sorted
    answers it is the former of two equal stamps.
    """
    span = change.repeats
    if span is None:
        return []
    inside = [span[0] <= stamp < span[1] for stamp in stamps]
    repeated = [stamp for stamp, within in zip(stamps, inside, strict=True) if within]
    pairs = sum(later == earlier for earlier, later in pairwise(repeated))
    ascending = all(later >= earlier for earlier, later in pairwise(repeated))
    return [
        i
        for i, stamp in enumerate(stamps[:-1])
        if stamp == span[1]
        and ((inside[i + 1] and any(inside[:i])) or (stamps[i + 1] == stamp and ascending and pairs > 1))
    ]


def _order_decides(repeated: Sequence[datetime]) -> list[bool]:
    """Apply the rule of `ends_to_instants` to the stamps of one repeated hour, in the answer's order.

    Two or more equal pairs without a step back cannot be two passes one after the other: then the answer is
    sorted by stamp, and each pair is its own first and second pass.
    """
    back = next((i for i in range(1, len(repeated)) if repeated[i] < repeated[i - 1]), None)
    if back is not None:
        return [i >= back for i in range(len(repeated))]
    equal = [i > 0 and repeated[i] == repeated[i - 1] for i in range(len(repeated))]
    if sum(equal) > 1:
        return equal
    start = equal.index(True) if any(equal) else len(equal)
    return [i >= start for i in range(len(repeated))]


@dataclass(frozen=True, slots=True)
class Steady:
    """A piece of UTC time, [start, next piece), with one offset."""

    start: datetime
    """Naive UTC; the first piece of a list holds for everything before the second."""
    offset: timedelta


def steady_pieces(name: str, first: datetime, last: datetime) -> list[Steady]:
    """Return the offsets of zone *name* over the naive UTC span [first, last], ascending."""
    near = changes(name, first, last)
    if not near:
        return [Steady(first, offset_at(first, zone(name)))]
    opening = Steady(near[0].instant - timedelta(days=2), near[0].before)
    return [opening, *(Steady(change.instant, change.after) for change in near)]


def to_local(instant: datetime, pieces: Sequence[Steady]) -> datetime:
    """Return the wall clock at the naive UTC *instant*; *pieces* from `steady_pieces` must span it."""
    at = bisect_right([piece.start for piece in pieces], instant) - 1
    return instant + pieces[max(at, 0)].offset
