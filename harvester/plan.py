"""Which days are due, and the fewest requests that cover them. Pure: no clock is read, nobody is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from harvester import clock
from harvester.errors import ConfigError
from harvester.model import Device, Period, Plant, Series, Slice
from harvester.week import WeekRule

_DAY = timedelta(days=1)
_WEEK = 7
_LEAST_DAYS_FOR_A_WEEK = 2
_FIRST_YEAR, _LAST_YEAR = 1980, 9999
"""Years that a start-up can be of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run was asked for; empty selections mean everything."""

    plants: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    level: str | None = None
    exclude_plants: frozenset[str] = frozenset()
    exclude_sets: frozenset[str] = frozenset()

    @property
    def narrow(self) -> bool:
        """Tell whether it selects anything at all."""
        return bool(self.plants or self.devices or self.sets or self.level)

    def words(self) -> str:
        """Return the selection for a person."""
        chosen = {"plant": self.plants, "device": self.devices, "set": self.sets}
        told = [f"{name} {', '.join(sorted(values))}" for name, values in chosen.items() if values]
        return "; ".join([*told, *([f"level {self.level}"] if self.level else [])])

    def takes_plant(self, plant_id: str) -> bool:
        """Tell whether *plant_id* is asked for."""
        return (not self.plants or plant_id in self.plants) and plant_id not in self.exclude_plants

    def takes(self, series: Series) -> bool:
        """Tell whether *series* is asked for."""
        return (
            self.takes_plant(series.plant_id)
            and (not self.devices or series.device_id in self.devices)
            and (not self.sets or series.set in self.sets)
            and series.set not in self.exclude_sets
            and (self.level is None or series.level == self.level)
        )


@dataclass(frozen=True, slots=True)
class Span:
    """Days from *first* to *last*, both inclusive."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        return (self.first + _DAY * n for n in range((self.last - self.first).days + 1))

    def __bool__(self) -> bool:
        return self.first <= self.last

    def within(self, other: Span) -> Span:
        """Return the days that both have."""
        return Span(max(self.first, other.first), min(self.last, other.last))

    def until_yesterday(self, today: date) -> Span:
        """Return it without the running day."""
        return Span(self.first, min(self.last, today - _DAY))


@dataclass(frozen=True, slots=True)
class Batch:
    """Slices whose answers go into the same files: of one part, one measurement set and one week.

    Those of Month, Year and Total are of one of the three, and of one year.
    """

    part: int
    week: date
    """First day of the week, or of the year."""
    slices: tuple[Slice, ...]

    @property
    def summed(self) -> bool:
        """Tell whether it asks Month, Year or Total."""
        return any(piece.period.summed for piece in self.slices)


EVER = Span(date.min, date.max)
"""All days there are."""


def pieces(whole: Span, weeks: int, rule: WeekRule) -> list[Span]:
    """Cut all days into spans of which none has more than so many *weeks* of *whole*, ascending; the outer are open.

    What is planned and asked piece by piece needs no more memory for years than for weeks. No `Week` is cut in two.
    """
    begin = rule.grid(whole.first)
    cuts = [begin + _DAY * n for n in range(_WEEK * weeks, (whole.last - begin).days + 1, _WEEK * weeks)]
    return [Span(a, b if b == date.max else b - _DAY) for a, b in pairwise([date.min, *cuts, date.max])]


def refuse_nothing(scope: Scope, matched: int) -> None:
    """Refuse a selection that fits none of the series that are known, most likely misspelt; raises `ConfigError`."""
    if not matched and scope.narrow:
        raise ConfigError(f"nothing fits {scope.words()}. `harvester discover` lists plants, devices and sets.")


@dataclass(frozen=True, slots=True)
class SpanOf:
    """Which days of a measurement set of a plant a run is asked for."""

    days: Callable[[Plant, str], Span]
    """From a plant and the name of a set."""
    apart: frozenset[str] = frozenset()
    """Sets whose days may be others than those of the rest, which all have the same ones at one plant."""

    def __call__(self, plant: Plant, name: str) -> Span:
        """Return the plant-local days that are wanted of the set *name* of *plant*."""
        return self.days(plant, name)


def between(first: date, last: date) -> SpanOf:
    """Ask every set for the plant-local days from *first* to *last*, both inclusive."""
    return SpanOf(lambda _plant, _set: Span(first, last))


def recent(first_day: Callable[[date, date | None], date], live_sets: Collection[str], now: datetime) -> SpanOf:
    """Ask the *live_sets* up to the plant's running day and the others up to the day before.

    *first_day* gives the first day from the plant's local today and the day of its start-up.
    """

    def span(plant: Plant, name: str) -> Span:
        where = clock.zone(plant.timezone)
        today = clock.local_day(now, where)
        return Span(first_day(today, start_day(plant)), today if name in live_sets else today - _DAY)

    return SpanOf(span, frozenset(live_sets))


def running(now: datetime) -> SpanOf:
    """Ask every set for the day that runs at the plant *now*."""

    def span(plant: Plant, _set: str) -> Span:
        day = today(plant, now)
        return Span(day, day)

    return SpanOf(span)


def applicable(asked: Span, plant: Plant, device: Device | None, now: datetime) -> Span:
    """Return the days of *asked* on which a series of *plant* (or its *device*) can have rows.

    Not before the plant's start-up, not after the device's deactivation, not after the plant's local today.
    """
    began, running = _life(plant, now)
    first, last = max(asked.first, began), min(asked.last, running)
    if device is not None and device.deactivated_at is not None:
        # less a moment: a device switched off at midnight measures nothing on the day that begins there
        last = min(last, (device.deactivated_at - datetime.resolution).date())
    return Span(first, last)


def today(plant: Plant, now: datetime) -> date:
    """Return the plant-local day at *now*."""
    return _life(plant, now)[1]


@lru_cache(maxsize=1024)
def _life(plant: Plant, now: datetime) -> tuple[date, date]:
    """Return the first day that *plant* can have rows on, and its local today."""
    return start_day(plant) or date.min, clock.local_day(now, clock.zone(plant.timezone))


def start_day(plant: Plant) -> date | None:
    """Return the plant-local day of start-up, None where it is not known or stands for that (the year 1)."""
    if plant.start_up is None or not _FIRST_YEAR <= plant.start_up.year < _LAST_YEAR:
        return None
    return clock.local_day(plant.start_up, clock.zone(plant.timezone))


def due(span: Span, answered: Collection[date]) -> tuple[date, ...]:
    """Return the days of *span* that are to be asked now: all but those *answered*."""
    return _due(span, frozenset(answered))


@lru_cache(maxsize=1024)
def _due(span: Span, answered: frozenset[date]) -> tuple[date, ...]:
    """Do so once for the many series that lack the same days."""
    return tuple(day for day in span if day not in answered)


def slices(series: Series, days: Sequence[date], rule: WeekRule, grid: date) -> Iterator[Slice]:
    """Cover the due *days* of *series* with the fewest requests, in weeks of the *grid* (which begins one).

    ``Week`` where it is sure to cover two due days or more, ``Day`` otherwise.
    """
    for period, at, covered in _cover(tuple(days), rule, grid):
        yield Slice(series=series, period=period, date=at, days=covered)


@lru_cache(maxsize=1024)
def _cover(days: tuple[date, ...], rule: WeekRule, grid: date) -> list[tuple[Period, date, tuple[date, ...]]]:
    """Return period, ``Date`` and days of each request; most series of a fleet are due on the same days."""
    found: list[tuple[Period, date, tuple[date, ...]]] = []
    by_week: dict[date, list[date]] = {}
    for day in days:
        by_week.setdefault(week_of(day, grid), []).append(day)
    for week, wanted in by_week.items():
        left = list(wanted)
        while len(left) >= _LEAST_DAYS_FOR_A_WEEK:
            at, covered = _best_week(week, left, rule)
            if len(covered) < _LEAST_DAYS_FOR_A_WEEK:
                break
            found.append((Period.WEEK, at, covered))
            left = [day for day in left if day not in covered]
        found.extend((Period.DAY, day, (day,)) for day in left)
    return found


def _best_week(week: date, wanted: Sequence[date], rule: WeekRule) -> tuple[date, tuple[date, ...]]:
    """Return the ``Date`` within *week* that is sure to cover most of *wanted*, and what it covers.

    Of equal ones, while it is not known what a Week covers, the first that is wanted: within a week, an answer to it
    tells the conventions apart, and to a Monday or Sunday it does not.
    """
    begin = 0 if rule.known else (wanted[0] - week).days
    choices = [(at, rule.covers(at)) for at in (week + _DAY * ((begin + n) % _WEEK) for n in range(_WEEK))]
    found = [(at, tuple(day for day in wanted if day in covered)) for at, covered in choices]
    return max(found, key=lambda choice: len(choice[1]))


def week_of(day: date, grid: date) -> date:
    """Return the first day of the week of *grid* that *day* lies in."""
    return grid + _DAY * ((day - grid).days // _WEEK * _WEEK)


def batches(part: int, wanted: Iterable[Slice], grid: date, *, newest_first: bool = False) -> list[Batch]:
    """Group slices of one part by week, level and set: each group's files are then written once."""
    groups: dict[tuple[date, str, str], list[Slice]] = {}
    for piece in wanted:
        key = (week_of(piece.days[0], grid), piece.series.level.value, piece.series.set)
        groups.setdefault(key, []).append(piece)
    ordered = sorted(groups.items(), key=lambda item: item[0][1:])
    ordered.sort(key=lambda item: item[0][0], reverse=newest_first)
    return [Batch(part, key[0], tuple(pieces)) for key, pieces in ordered]
