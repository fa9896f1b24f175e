"""Many raw answers to one typed frame: the hot path. Runs in a worker thread; knows no file.

What comes in is not trusted. An answer that cannot be read is a `Bad` with the reason, and costs no other answer
anything; where only some stamps are impossible the other rows are kept, and the answer is bad all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType

import msgspec
import polars as pl

from harvester import clock
from harvester.catalog import RESOLUTION_MINUTES
from harvester.lake import stamps
from harvester.lake.registry import Registry
from harvester.lake.rows import ELEMENTS, Reader, Walked, array_column, explode, walk
from harvester.lake.schema import INSTANT, Column, TableSchema, polars_schema
from harvester.model import Payload, Period, Slice

MARKS = ("_date", "_whole", "_repeats")
"""Columns beside the table's own: the partition's day; whether the answer was asked for that whole day; whether
that day repeats an hour."""

MOST_CHANNELS = 1000
"""Channels of one table; the largest documented set has 23. A server that makes up names without end fills no lake."""
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


class _Plant(msgspec.Struct):
    plant_id: str | int | None = msgspec.field(default=None, name="plantId")
    timezone: str | None = None


class _Device(msgspec.Struct):
    device_id: str | int | None = msgspec.field(default=None, name="deviceId")


class Envelope(msgspec.Struct):
    """What surrounds the rows of an answer, as far as it says something."""

    rows: msgspec.Raw = msgspec.field(name="set")
    plant: _Plant | None = None
    device: _Device | None = None
    resolution: str | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope)

_Read = tuple[Payload, Envelope, pl.DataFrame | Walked]
"""One answer: its envelope, and its rows by SMA's names."""
_UNREADABLE = (ValueError, OverflowError, RecursionError)
"""What reading an answer may raise: msgspec's and orjson's errors are ValueErrors, but for what is nested too deep."""


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
class Bad:
    """An answer that could not be read, wholly or in part."""

    payload: Payload
    reason: str
    partial: bool = False
    """Whether its other rows are kept: to ask again would bring the same."""


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


@dataclass(frozen=True, slots=True)
class _Body:
    """The rows of one answer, placed in time."""

    payload: Payload
    plant_id: str
    device_id: str | None
    minutes: int | None
    frame: pl.DataFrame
    lost: str
    """What had to be left out of the frame, in words."""


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
    table, read, bad = read_all(payloads, registry, registry.table(series.level, series.set))
    bodies: list[_Body] = []
    for payload, envelope, frame in read:
        try:
            bodies.append(_place(payload, envelope, frame, zone_of(payload.slice, envelope, zones, corrected)))
        except (ValueError, OverflowError) as error:
            bad.append(Bad(payload, str(error)))
    bad.extend(Bad(body.payload, body.lost, partial=True) for body in bodies if body.lost)
    rows = _joined(bodies, table)
    return Decoded(table, *split(rows, table, MARKS), _counts(rows, bodies), tuple(bad))


def read_all(
    payloads: Sequence[Payload], registry: Registry, table: TableSchema
) -> tuple[TableSchema, list[tuple[Payload, Envelope, pl.DataFrame]], list[Bad]]:
    """Read the rows of answers that belong into *table*, their stamps as they came.

    Returns *table* with the channels that were met for the first time, which are recorded; each answer with the
    columns of the table, arrays as `array_column` names them; and the answers that could not be read.
    """
    reader = Reader.of(table)
    read: list[_Read] = []
    bad: list[Bad] = []
    for payload in payloads:
        try:
            read.append((payload, *_read(payload.body, reader)))
        except _UNREADABLE as error:
            bad.append(Bad(payload, str(error)))
    read, crowded = _few_enough(read, table)
    bad.extend(crowded)
    found = (channel for _, _, rows in read if isinstance(rows, Walked) for channel in rows.found)
    table = registry.learn(table, found)
    shape = _shape(table)
    frames: list[tuple[Payload, Envelope, pl.DataFrame]] = []
    for payload, envelope, rows in read:
        try:
            frame = rows.frame(table) if isinstance(rows, Walked) else reader.named(rows)
            frames.append((payload, envelope, _conform(frame, shape)))
        except (ValueError, OverflowError) as error:
            bad.append(Bad(payload, str(error)))
    return table, frames, bad


def _few_enough(read: Sequence[_Read], table: TableSchema) -> tuple[list[_Read], list[Bad]]:
    """Part the answers with which *table* has no more than `MOST_CHANNELS` from the others."""
    known, kept, bad = set(table.names), [], []
    for payload, envelope, rows in read:
        new = rows.found.keys() - known if isinstance(rows, Walked) else set()
        if len(known) + len(new) > MOST_CHANNELS:
            told = f"{len(new)} channels that nobody has seen before; {table.table} may have {MOST_CHANNELS} in all"
            bad.append(Bad(payload, told))
            continue
        known |= new
        kept.append((payload, envelope, rows))
    return kept, bad


def _read(body: bytes, reader: Reader) -> tuple[Envelope, pl.DataFrame | Walked]:
    envelope = _ENVELOPE.decode(body)
    raw = bytes(envelope.rows)
    if raw[:1] == b"{":  # SMA's Live API sends a lone object where Monitoring sends a list
        raw = b"[" + raw + b"]"
    if raw[:1] != b"[":
        raise ValueError("`set` is neither a list nor an object")
    frame = reader.fast(raw)
    return envelope, walk(raw) if frame is None else frame


def _conform(frame: pl.DataFrame, shape: pl.Schema) -> pl.DataFrame:
    """Return *frame* with the columns *shape*, in that order; those that it lacks hold nothing."""
    known = set(frame.columns)
    lacking = [(name, dtype) for name, dtype in shape.items() if name not in known]
    # no expression: one costs more than it does to the rows of one answer
    nothing = [pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height) for name, dtype in lacking]
    return frame.hstack(nothing)[shape.names()]


def _shape(table: TableSchema) -> pl.Schema:
    """Return the columns that every answer of *table* has before its stamps are placed."""
    arrays = {array_column(column.name): ELEMENTS for column in table.arrays}
    return pl.Schema({"time": pl.String(), **polars_schema(table.scalars), **arrays, "other": pl.String()})


def zone_of(piece: Slice, envelope: Envelope, zones: Mapping[str, str], corrected: Mapping[str, str]) -> str:
    """Return the zone of an answer's stamps; raise ValueError where there is none, or none that is known."""
    plant = envelope.plant or _Plant()
    names = (str(plant.plant_id or piece.series.plant_id), piece.series.plant_id)
    given = [*(corrected.get(name) for name in names), plant.timezone, *(zones.get(name) for name in names)]
    found = next((zone for zone in given if zone), None)
    if found is None:
        raise ValueError("neither the answer nor the plant list names a time zone")
    clock.zone(found)  # an unknown one is a ValueError, also where there are no rows
    return found


def _place(payload: Payload, envelope: Envelope, frame: pl.DataFrame, timezone: str) -> _Body:
    frame.replace_column(frame.get_column_index("time"), stamps.parse(frame.get_column("time")))
    minutes = RESOLUTION_MINUTES.get(envelope.resolution or "")
    if minutes is None:
        minutes = stamps.infer_minutes(frame.get_column("time").to_list())
    frame, lost = stamps.place(frame, minutes, timezone)
    return _Body(payload, *ids_of(payload.slice, envelope), minutes, frame, lost)


def ids_of(piece: Slice, envelope: Envelope) -> tuple[str, str | None]:
    """Return the ids of plant and device that an answer names; of those it does not, the ones that were asked."""
    plant, device = envelope.plant or _Plant(), envelope.device or _Device()
    device_id = piece.series.device_id
    return str(plant.plant_id or piece.series.plant_id), device_id and str(device.device_id or device_id)


def _joined(bodies: Sequence[_Body], table: TableSchema) -> pl.DataFrame:
    """Put the rows of all answers under one another, each with its keys and marks."""
    keys = [
        (n, b.plant_id, b.device_id, b.minutes, b.payload.asked_at, _asked(b.payload.slice), b.frame.height)
        for n, b in enumerate(bodies)
        if b.frame.height
    ]
    if not keys:
        arrays = {array_column(c.name): ELEMENTS for c in table.arrays}
        marks = {"_body": pl.UInt32, "_date": pl.Date, "_whole": pl.Boolean, "_repeats": pl.Boolean}
        return pl.DataFrame(schema={"device_id": pl.String, **polars_schema(table.columns), **arrays, **marks})
    each = pl.DataFrame(keys, schema=_KEYS, orient="row")
    body = each.select(pl.arange(pl.len()).repeat_by("_rows").explode(empty_as_null=False)).to_series()
    frame = pl.concat([b.frame for b in bodies if b.frame.height])
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


def _counts(frame: pl.DataFrame, bodies: Sequence[_Body]) -> tuple[DayCount, ...]:
    grouped = frame.group_by("_body", "_date", maintain_order=True)
    counted = grouped.agg(pl.len(), pl.col("interval_minutes").first(), pl.col("time").max())
    return tuple(
        DayCount(bodies[body].payload.slice, day, rows, minutes, newest + timedelta(minutes=minutes or 0))
        for body, day, rows, minutes, newest in counted.rows()
    )
