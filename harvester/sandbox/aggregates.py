"""Month, Year and Total: energy in Wh per day, month and year, stamped with the START of each.

Days differ from the sum of their intervals by a few Wh, months are exactly the sum of their days and years of
their months (measured on published BasicReporting answers).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from harvester.sandbox.chance import dice
from harvester.sandbox.lru import Recent
from harvester.sandbox.plant_sets import balance_rates
from harvester.sandbox.readings import Readings, Source, reports
from harvester.sandbox.scene import Row
from harvester.sandbox.sets import SETS
from harvester.sandbox.zones import grid, midnight

Sums = dict[tuple[str, str], int]
"""Channel and index ("" for a scalar) to mWh."""

DRIFT = {
    "directConsumption": ("directConsumption", "totalConsumption", "selfConsumption", "selfSupply"),
    "gridConsumption": ("gridConsumption", "totalConsumption"),
    "gridFeedIn": ("gridFeedIn",),
}
"""In EnergyBalance the deviation of one flow moves every channel it is part of; generation follows below."""

MADE = ("pvGeneration", "totalGeneration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One row of an aggregated answer."""

    start: date
    """First plant-local day of the period."""
    scalars: dict[str, float]
    """Channel to Wh; rates 0-1."""
    arrays: dict[str, dict[str, float]]
    """Channel to index to Wh."""


class Aggregates:
    """Energy per period of any series, as visible at an instant."""

    def __init__(self, readings: Readings, seed: int) -> None:
        self._readings = readings
        self._seed = seed
        self._settled: Recent[tuple[str, date], Sums] = Recent(8_000)

    def month(self, source: Source, year: int, month: int, *, at: float) -> list[Period]:
        """Return a row per day of the month that has begun to report."""
        days = _days_of(source, year, month, at)
        return [_period(source, day, sums) for day in days if (sums := self._day(source, day, at))]

    def year(self, source: Source, year: int, *, at: float) -> list[Period]:
        """Return a row per month."""
        rows = []
        for month in range(1, 13):
            sums = _add(self._day(source, day, at) for day in _days_of(source, year, month, at))
            if sums:
                rows.append(_period(source, date(year, month, 1), sums))
        return rows

    def total(self, source: Source, *, at: float) -> list[Period]:
        """Return a row per year since start-up."""
        rows = []
        year = source.plant.start.year
        while _begun(source, date(year, 1, 1), at) or year == source.plant.start.year:
            days = (day for month in range(1, 13) for day in _days_of(source, year, month, at))
            sums = _add(self._day(source, day, at) for day in days)
            if sums:
                rows.append(_period(source, date(year, 1, 1), sums))
            year += 1
        return rows

    def _day(self, source: Source, day: date, at: float) -> Sums:
        if not SETS[source.set].summed or not reports(source, day):
            return {}
        if at < self._readings.settled_at(source, day):
            return self._running(source, day, at)
        key = (source.key, day)
        return self._settled.get(key) or self._settled.put(key, self._final(source, day))

    def _running(self, source: Source, day: date, at: float) -> Sums:
        """Return the plain sum of what has come in so far."""
        days = grid(source.plant.timezone, day, source.plant.minutes)
        last = at - source.plant.minutes * 60 - source.delay
        rows = self._readings.flawless(source, day, energy=True)
        return _sum(source, (row for row in rows if days.starts[row.slot] <= last))

    def _final(self, source: Source, day: date) -> Sums:
        rng = dice(self._seed, "drift", source.key, day)
        if source.set != "EnergyBalance":
            sums = _sum(source, self._readings.flawless(source, day, energy=True))
            return {key: max(0, mwh + round(rng.uniform(-9_000, 14_000))) if mwh else 0 for key, mwh in sums.items()}
        sums = {(name, ""): mwh for name, mwh in self._readings.balance(source.plant, day).items()}
        for flow, moved in DRIFT.items():
            size = round(rng.uniform(-7_000, 7_000))
            if not sums.get((flow, "")) or sums[flow, ""] + size < 0:
                continue
            for channel in (
                *moved,
                *(MADE if flow != "gridConsumption" and sums["pvGeneration", ""] else ()),
            ):
                sums[channel, ""] += size
        return sums


def _days_of(source: Source, year: int, month: int, at: float) -> Iterable[date]:
    """Return the days of a month that have begun at the plant."""
    day = date(year, month, 1)
    days = []
    while day.month == month and _begun(source, day, at):
        days.append(day)
        day += timedelta(days=1)
    return days


def _begun(source: Source, day: date, at: float) -> bool:
    return midnight(source.plant.timezone, day) <= at


def _sum(source: Source, rows: Iterable[Row]) -> Sums:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    states = SETS[source.set].states
    for row in rows:
        for channel, value in row.scalars.items():
            if channel not in states:
                sums[channel, ""] += value
        for channel, values in row.arrays.items():
            if channel not in states:
                for index, value in values.items():
                    sums[channel, index] += value
    return {key: round(value * 1000) for key, value in sums.items()}


def _add(days: Iterable[Sums]) -> Sums:
    sums: Sums = defaultdict(int)
    for day in days:
        for key, mwh in day.items():
            sums[key] += mwh
    return sums


def _period(source: Source, start: date, sums: Sums) -> Period:
    scalars, arrays = spread(sums)
    if source.set == "EnergyBalance":
        scalars |= balance_rates(scalars)
    return Period(start=start, scalars=scalars, arrays=arrays)


def spread(sums: Sums) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the sums in Wh as scalars and arrays."""
    scalars: dict[str, float] = {}
    arrays: dict[str, dict[str, float]] = {}
    for (channel, index), mwh in sums.items():
        if index:
            arrays.setdefault(channel, {})[index] = mwh / 1000
        else:
            scalars[channel] = mwh / 1000
    return scalars, arrays


def sum_rows(
    source: Source, rows: Iterable[Row], *, hours: float
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return Wh over intraday rows, whose values are W over that many hours each (1 for rows in Wh)."""
    sums = {key: round(value * hours) for key, value in _sum(source, rows).items()}
    scalars, arrays = spread(sums)
    if source.set == "EnergyBalance":
        scalars |= balance_rates(scalars)
    return scalars, arrays
