"""Answers with values: rows of a period in the API's envelope, rendered once and kept."""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from harvester.sandbox.aggregates import Aggregates, Period, sum_rows
from harvester.sandbox.exchange import Body
from harvester.sandbox.lru import Recent
from harvester.sandbox.master_data import device_head, plant_head
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.question import Question
from harvester.sandbox.readings import Readings, Sheet, Source
from harvester.sandbox.scene import Row
from harvester.sandbox.sets import SETS
from harvester.sandbox.settings import Settings
from harvester.sandbox.zones import midnight, wall_clock

RESOLUTIONS = {1: "OneMinute", 5: "FiveMinutes", 15: "FifteenMinutes", 60: "OneHour"}
PERIOD_RESOLUTIONS = {"month": "OneDay", "year": "OneMonth", "total": "OneYear"}
Found = list[tuple[Sheet, list[Row]]]
"""The visible rows of each day, with the sheet they are from."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away: rows are thousands of containers without a cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Values:
    """Bodies of value answers."""

    def __init__(
        self,
        settings: Settings,
        readings: Readings,
        aggregates: Aggregates,
        now: Callable[[], datetime],
        bodies: "Recent[Hashable, Body]",
    ) -> None:
        self._settings = settings
        self._readings = readings
        self._aggregates = aggregates
        self._now = now
        self._bodies = bodies

    def body(self, question: Question, *, drop: tuple[str, ...] = (), digits: int = 0) -> Body:
        """Return the body: without the envelope fields to drop, stamps with that many fractional digits."""
        source, at = question.source, self._now().timestamp()
        if source.device is not None and source.device.stub:
            return Body(orjson.dumps(stub(source.plant, source.device, at)))
        if question.period in PERIOD_RESOLUTIONS:
            with uncollected():
                return self._aggregated(question, at, drop)
        days = self._recent_days(source, at) if question.period == "recent" else question.days(self._settings.week)
        key = self._key(question, days, at, drop, digits)
        found = self._bodies.get(key)
        if found is not None:
            return found
        with uncollected():
            rows = self._visible(question, days, at)
            return self._bodies.put(key, self._intraday(question, rows, drop, digits))

    def _key(self, question: Question, days: list[date], at: float, drop: tuple[str, ...], digits: int) -> Hashable:
        """Return what the body depends on; of a day that still grows, how many rows it has."""
        source = question.source
        settled = all(at >= self._readings.settled_at(source, day) for day in days)
        grown = None if settled else tuple(len(rows) for _, rows in self._visible(question, days, at))
        ids = source.plant.plant_id, source.device.device_id if source.device else None
        first = days[0] if days else None
        return (ids, source.key, question.period, first, question.energy, question.total, grown, drop, digits)

    def _visible(self, question: Question, days: list[date], at: float) -> Found:
        source = question.source
        sheets = (
            self._readings.sheet(source, day, energy=question.energy)
            for day in days
            if midnight(source.plant.timezone, day) <= at
        )
        return [(sheet, sheet.at(at)) for sheet in sheets]

    def _recent_days(self, source: Source, at: float) -> list[date]:
        """Return yesterday and today at the plant: after midnight the newest row is yesterday's last."""
        today = wall_clock(source.plant.timezone, int(at)).date()
        return [today - timedelta(days=1), today]

    def _intraday(self, question: Question, found: Found, drop: tuple[str, ...], digits: int) -> Body:
        source = question.source
        if question.period == "recent":
            found = _newest(found)
        fraction = "." + "0" * digits if digits else ""
        rows = [as_json(sheet.grid.stamps[row.slot] + fraction, row) for sheet, visible in found for row in visible]
        envelope = self._envelope(source, RESOLUTIONS[source.plant.minutes], rows, drop)
        if question.total:
            energy = question.energy and SETS[source.set].two_views
            flat = (row for _, visible in found for row in visible)
            envelope["total"] = _total(source, flat, 1 if energy else source.plant.minutes / 60)
        return Body(orjson.dumps(envelope))

    def _aggregated(self, question: Question, at: float, drop: tuple[str, ...]) -> Body:
        source, day = question.source, question.first
        if question.period == "total":
            periods = self._aggregates.total(source, at=at)
        elif question.period == "year":
            periods = self._aggregates.year(source, day.year, at=at)
        else:
            periods = self._aggregates.month(source, day.year, day.month, at=at)
        rows = [
            as_json(f"{period.start.isoformat()}T00:00:00", Row(0, period.scalars, period.arrays)) for period in periods
        ]
        envelope = self._envelope(source, PERIOD_RESOLUTIONS[question.period], rows, drop)
        if question.total:
            envelope["total"] = _total(source, map(_as_row, periods), 1)
        return Body(orjson.dumps(envelope))

    def _envelope(
        self, source: Source, resolution: str, rows: list[dict[str, Any]], drop: tuple[str, ...]
    ) -> dict[str, Any]:
        envelope: dict[str, Any] = {"plant": plant_head(source.plant)}
        if source.device is not None:
            envelope["device"] = device_head(source.plant, source.device)
        envelope["setType"] = source.set
        if rows:
            # captured: an empty set comes without resolution
            envelope["resolution"] = resolution
        for name in drop:
            envelope.pop(name, None)
        envelope["set"] = rows
        return envelope


def as_json(stamp: str, row: Row) -> dict[str, Any]:
    """Return a row as the API writes it."""
    value: dict[str, Any] = {"time": stamp, **row.scalars}
    for channel, by_index in row.arrays.items():
        value[channel] = [{"index": index, "value": number} for index, number in by_index.items()]
    return value


def stub(plant: Plant, device: Device, at: float) -> dict[str, Any]:
    """Return the canned answer of SMA's own sandbox (captured): any channels, no resolution, 7 digits."""
    now = wall_clock(plant.timezone, int(at)).isoformat() + f".{int(at % 1 * 1e7):07d}"
    balance = {
        "pvGeneration": 4500.0,
        "batteryCharging": 1000.0,
        "batteryDischarging": 0.0,
        "batteryStateOfCharge": 55.0,
        "gridFeedIn": 1500.0,
        "gridConsumption": 0.0,
        "directConsumption": 2000.0,
        "totalConsumption": 2000.0,
        "totalGeneration": 4500.0,
        "selfConsumption": 3000.0,
        "selfSupply": 2000.0,
        "autarkyRate": 1.0,
        "selfConsumptionRate": 0.667,
    }
    points = {"setPointFeedInPower": 5000, "setPointReactivePower": 0}
    return {
        "plant": plant_head(plant),
        "device": device_head(plant, device),
        "set": [{"time": now, **balance}, {"time": now, **points}],
        "total": balance,
    }


def _newest(found: Found) -> Found:
    """Return the newest visible row of today; of yesterday only the one that ends at midnight."""
    for position, (sheet, rows) in reversed(list(enumerate(found))):
        if rows:
            is_last = rows[-1].slot == len(sheet.grid.starts) - 1
            return [(sheet, rows[-1:])] if position == len(found) - 1 or is_last else []
    return []


def _total(source: Source, rows: Any, hours: float) -> dict[str, Any]:
    """Return the channels summed in Wh (assumption: also of W); of PowerAc only activePower."""
    scalars, arrays = sum_rows(source, rows, hours=hours)
    if not SETS[source.set].summed:
        return {name: value for name, value in scalars.items() if name == "activePower"}
    return {name: value for name, value in as_json("", Row(0, scalars, arrays)).items() if name != "time"}


def _as_row(period: Period) -> Row:
    return Row(0, period.scalars, period.arrays)
