"""Many raw answers to one typed frame: the hot path. Runs in a worker thread; knows no file.

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
from harvester.lake.registry import Registry
from harvester.lake.rows import ELEMENTS, array_column, explode
from harvester.lake.schema import INSTANT, Column, TableSchema, polars_schema
from harvester.model import Payload, Period, Slice

MARKS = ("_date", "_whole", "_repeats")
"""Columns beside the table's own: the partition's day; whether the answer was asked for that whole day; whether
that day repeats an hour."""

ROWS_OF_A_DAY = 2
"""A `Week` may touch a neighbouring day with the one row stamped at midnight; more rows mean that it covers it."""

_KEYS = pl.Schema(
    {
        "_body": pl.UInt32(),
        "plant_id": pl.String(),
        "device_id": pl.String(),
        "interval_minutes": pl.Int16(),
        "harvested_at": INSTANT,
        "_asked": pl.Date(),
        "_rows": pl.UInt32(),
    }
)


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
    """The rows of many answers to one measurement set at one level."""

    table: TableSchema
    rows: pl.DataFrame
    """Columns of the table, and `MARKS`."""
    by_index: pl.DataFrame | None
    """Columns of the companion table, and `MARKS`; None where the set has no array channel."""
    counts: tuple[DayCount, ...]
    bad: tuple[Bad, ...]

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the rows take."""
        frames = [self.rows] if self.by_index is None else [self.rows, self.by_index]
        return sum(int(frame.estimated_size()) for frame in frames)


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
    replies = [reply for some in placed for reply in some.replies]
    rows = _joined(placed, replies, table)
    return Decoded(table, *split(rows, table, MARKS), _counts(rows, replies), tuple(bad))


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
    try:
        frame = stamps.place_steady(_parsed(run.frame), minutes, timezone)
    except ValueError:
        frame = None
    if frame is not None:
        return [_Placed(run.replies, minutes, frame)], []
    each = [_place_one(one, minutes, timezone) for one in run.each()]
    return [some for found, _ in each for some in found], [some for _, bad in each for some in bad]


def _place_one(one: Stack, minutes: int | None, timezone: str) -> tuple[list[_Placed], list[Bad]]:
    try:
        frame = _parsed(one.frame)
        if minutes is None:
            minutes = stamps.infer_minutes(frame.get_column("time").to_list())
        frame, lost = stamps.place(frame, minutes, timezone)
    except (ValueError, OverflowError) as error:
        return [], [Bad(one.replies[0].payload, str(error))]
    return [_Placed(one.replies, minutes, frame, lost)], []


def _parsed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(stamps.parse(frame.get_column("time")))


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


def _joined(placed: Sequence[_Placed], replies: Sequence[Reply], table: TableSchema) -> pl.DataFrame:
    """Put the rows of all answers under one another, each with its keys and marks; `_body` counts *replies*."""
    minutes_and_heights = [(some.minutes, height) for some in placed for height in some.heights]
    if not any(height for _, height in minutes_and_heights):
        arrays = {array_column(c.name): ELEMENTS for c in table.arrays}
        marks = {"_body": pl.UInt32, "_date": pl.Date, "_whole": pl.Boolean, "_repeats": pl.Boolean}
        return pl.DataFrame(schema={"device_id": pl.String, **polars_schema(table.columns), **arrays, **marks})
    keys = [
        (n, *ids_of(r.payload.slice, r.envelope), minutes, r.payload.asked_at, _asked(r.payload.slice), height)
        for n, (r, (minutes, height)) in enumerate(zip(replies, minutes_and_heights, strict=True))
    ]
    each = pl.DataFrame(keys, schema=_KEYS, orient="row")
    body = each.select(pl.col("_body").repeat_by("_rows").explode(empty_as_null=False)).to_series()
    frame = pl.concat([some.frame for some in placed])
    day = pl.col("local_time").dt.date()
    return (
        each.drop("_rows")[body]
        .hstack(frame)
        .with_columns(pl.col("time").cast(INSTANT), _date=day)
        .with_columns(
            _whole=pl.when(pl.col("_asked").is_not_null())
            .then(pl.col("_asked") == pl.col("_date"))
            .otherwise(pl.len().over("_body", "_date") >= ROWS_OF_A_DAY)
        )
    )


def _asked(piece: Slice) -> date | None:
    """Return the day that a `Day` was asked for; which days a `Week` covers only its rows can tell."""
    return piece.date if piece.period is Period.DAY else None


def split(frame: pl.DataFrame, table: TableSchema, marks: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows of *table* and of its companion for arrays (None where it has none), both with *marks*."""
    rows = frame.select(*(c.name for c in table.columns), *marks)
    if not table.arrays:
        return rows, None
    names = _names(table.index_columns)
    arrays = {c.name for c in table.arrays}  # a scalar may have the same name, but is not for this table
    keep = [*(name for name in names if name not in {"index", *arrays}), *marks]
    exploded = explode(frame, [array_column(c.name) for c in table.arrays], keep)
    return rows, exploded.select(*names, *marks)


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]


def _counts(frame: pl.DataFrame, replies: Sequence[Reply]) -> tuple[DayCount, ...]:
    grouped = frame.group_by("_body", "_date", maintain_order=True)
    counted = grouped.agg(pl.len(), pl.col("interval_minutes").first(), pl.col("time").max())
    return tuple(
        DayCount(replies[body].payload.slice, day, rows, minutes, newest + timedelta(minutes=minutes or 0))
        for body, day, rows, minutes, newest in counted.rows()
    )
