"""Many raw answers to typed rows: the hot path. Runs in a worker thread; knows no file.

What comes in is not trusted. An answer that cannot be read is a `Bad` with the reason, and costs no other answer
anything; where only some stamps are impossible the other rows are kept, and the answer is bad all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from types import MappingProxyType

import polars as pl

from harvester import clock
from harvester.catalog import RESOLUTION_MINUTES
from harvester.lake import stamps
from harvester.lake.answers import Bad, DeviceNamed, Envelope, PlantNamed, Reply, Stack, read_all
from harvester.lake.readings import Readings
from harvester.lake.registry import Registry
from harvester.lake.runs import Run, Said
from harvester.lake.schema import WALL_CLOCK
from harvester.model import Payload, Period, Slice


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many rows the answer to *slice* held of one plant-local day."""

    slice: Slice
    day: date
    rows: int
    minutes: int | None
    """Length of the rows' intervals; None for point samples."""
    newest: datetime
    """End of the newest row's interval, aware UTC."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Many answers to one measurement set at one level."""

    readings: Readings
    """Their rows."""
    counts: tuple[DayCount, ...]
    bad: tuple[Bad, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """Answers of one resolution, their rows placed in time."""

    replies: Sequence[Reply]
    minutes: int | None
    frame: pl.DataFrame
    lost: str = ""
    """What had to be left out of the frame, in words; only of a lone answer."""

    @property
    def heights(self) -> list[int]:
        """Return how many rows are left of each answer."""
        return [self.frame.height] if len(self.replies) == 1 else [reply.height for reply in self.replies]


NO_CORRECTIONS: Mapping[str, str] = MappingProxyType({})


def decode(
    payloads: Sequence[Payload],
    registry: Registry,
    zones: Mapping[str, str],
    corrected: Mapping[str, str] = NO_CORRECTIONS,
) -> Decoded:
    """Decode answers to slices of one measurement set at one level.

    *zones* maps plant ids to IANA names, for answers that do not name their plant's zone; *corrected* does so for
    answers that name a wrong one. Channels met for the first time are recorded in *registry* before any row that
    holds them is returned.
    """
    series = payloads[0].slice.series
    table, stacks, bad = read_all(payloads, registry, registry.table(series.level, series.set))
    placed: list[_Placed] = []
    for stack in stacks:
        runs, homeless = _runs(stack, zones, corrected)
        bad.extend(homeless)
        for minutes, timezone, run in runs:
            found, spoiled = _place_all(run, minutes, timezone)
            placed.extend(found)
            bad.extend(spoiled)
    bad.extend(Bad(some.replies[0].payload, some.lost, partial=True) for some in placed if some.lost)
    rows = pl.concat([some.frame for some in placed], how="diagonal") if placed else _no_rows()
    readings = Readings.of(table, _said(placed), rows)
    replies = [reply for some in placed for reply in some.replies]
    return Decoded(readings, _counts(readings.runs, replies), tuple(bad))


_Run = tuple[int | None, str, Stack]
"""Answers that name the same resolution and zone."""


def _runs(stack: Stack, zones: Mapping[str, str], corrected: Mapping[str, str]) -> tuple[list[_Run], list[Bad]]:
    """Part *stack* where resolution or zone change; an answer without rows is in none, one without resolution alone."""
    runs: list[_Run] = []
    bad: list[Bad] = []
    told: list[tuple[int | None, str, int] | None] = []
    for number, reply in enumerate(stack.replies):
        try:
            zone = zone_of(reply.payload.slice, reply.envelope, zones, corrected)
        except ValueError as error:
            bad.append(Bad(reply.payload, str(error)))
            told.append(None)
        else:
            minutes = RESOLUTION_MINUTES.get(reply.envelope.resolution or "")
            told.append((minutes, zone, number if minutes is None else 0) if reply.height else None)
    first = 0
    for same, some in groupby(told):
        last = first + len(list(some))
        if same:
            runs.append((*same[:2], stack.between(first, last)))
        first = last
    return runs, bad


def _place_all(run: Stack, minutes: int | None, timezone: str) -> tuple[list[_Placed], list[Bad]]:
    """Place the rows of answers together, or one by one where that cannot be done."""
    if len(run.replies) == 1:
        return _place_one(run, minutes, timezone)
    frame = stamps.place_steady(run.frame, minutes, timezone)
    if frame is not None:
        return [_Placed(run.replies, minutes, frame)], []
    each = [_place_one(one, minutes, timezone) for one in run.each()]
    return [some for found, _ in each for some in found], [some for _, bad in each for some in bad]


def _place_one(one: Stack, minutes: int | None, timezone: str) -> tuple[list[_Placed], list[Bad]]:
    try:
        if minutes is None:
            minutes = stamps.infer_minutes(one.frame.get_column("time").to_list())
        frame, lost = stamps.place(one.frame, minutes, timezone)
    except (ValueError, OverflowError) as error:
        return [], [Bad(one.replies[0].payload, str(error))]
    return [_Placed(one.replies, minutes, frame, lost)], []


def zone_of(piece: Slice, envelope: Envelope, zones: Mapping[str, str], corrected: Mapping[str, str]) -> str:
    """Return the zone of an answer's stamps; raise ValueError where there is none, or none that is known."""
    plant = envelope.plant or PlantNamed()
    names = (str(plant.plant_id or piece.series.plant_id), piece.series.plant_id)
    given = [*(corrected.get(name) for name in names), plant.timezone, *(zones.get(name) for name in names)]
    found = next((zone for zone in given if zone), None)
    if found is None:
        raise ValueError("neither the answer nor the plant list names a time zone")
    clock.zone(found)  # an unknown one is a ValueError, also where there are no rows
    return found


def ids_of(piece: Slice, envelope: Envelope) -> tuple[str, str | None]:
    """Return the ids of plant and device that an answer names; of those it does not, the ones that were asked."""
    plant, device = envelope.plant or PlantNamed(), envelope.device or DeviceNamed()
    device_id = piece.series.device_id
    return str(plant.plant_id or piece.series.plant_id), device_id and str(device.device_id or device_id)


def _said(placed: Sequence[_Placed]) -> list[Said]:
    """Return what every answer says of all its rows."""
    return [
        Said(*ids_of(piece, reply.envelope), some.minutes, reply.payload.asked_at, _asked(piece), height)
        for some in placed
        for reply, height in zip(some.replies, some.heights, strict=True)
        for piece in (reply.payload.slice,)
    ]


def _asked(piece: Slice) -> date | None:
    return piece.date if piece.period is Period.DAY else None


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema={"time": WALL_CLOCK, "local_time": WALL_CLOCK, "_repeats": pl.Boolean})


def _counts(runs: Sequence[Run], replies: Sequence[Reply]) -> tuple[DayCount, ...]:
    found: dict[tuple[int, date], tuple[int, datetime]] = {}
    for run in runs:
        rows, newest = found.get((run.answer, run.day), (0, run.newest))
        found[run.answer, run.day] = rows + run.rows, max(newest, run.newest)
    minutes = {run.answer: run.said.minutes for run in runs}
    return tuple(
        DayCount(replies[n].payload.slice, day, rows, minutes[n], newest + timedelta(minutes=minutes[n] or 0))
        for (n, day), (rows, newest) in found.items()
    )
