"""Answers to Month, Year and Total requests to one typed frame. Runs in a worker thread; knows no file.

Their rows are energies in Wh of days, months and years, stamped with the START of each at midnight, unlike intraday
rows (published BasicReporting answers; of Total assumed). The newest row grows until its period has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import islice
from types import MappingProxyType

import polars as pl

from harvester import clock
from harvester.lake.answers import Bad, Reply, Stack, read_all
from harvester.lake.decode import NO_CORRECTIONS, DayCount, ids_of, zone_of
from harvester.lake.registry import Registry
from harvester.lake.rows import ELEMENTS, array_column, split
from harvester.lake.schema import INSTANT, TableSchema, polars_schema
from harvester.model import Payload, Period, Slice

MARKS = ("_begins", "_year")
"""Columns beside the table's own: the instant at which the row's period begins; the year of the partition."""

_NEXT: Mapping[Period, Callable[[date], date]] = MappingProxyType(
    {
        Period.MONTH: lambda day: day + timedelta(days=1),
        Period.YEAR: clock.month_after,
        Period.TOTAL: clock.year_after,
    }
)
"""The start of the row after: a Month has rows of days, a Year of months, a Total of years."""
_YEARS = range(1970, 2200)
"""No plant measures outside."""
_PLACED = pl.Schema(
    {
        "plant_id": pl.String(),
        "device_id": pl.String(),
        "period_start": pl.Date(),
        "provisional": pl.Boolean(),
        "harvested_at": INSTANT,
        "_begins": INSTANT,
        "_year": pl.Int32(),
    }
)
"""What rows have beside their channels."""


@dataclass(frozen=True, slots=True)
class DecodedPeriods:
    """Many answers to one period view of one measurement set at one level."""

    table: TableSchema
    rows: pl.DataFrame
    """Columns of the table, as far as they were found, and `MARKS`."""
    by_index: pl.DataFrame | None
    """The same of the companion table; None where there is nothing for it."""
    counts: tuple[DayCount, ...]
    bad: tuple[Bad, ...]


def decode_periods(
    payloads: Sequence[Payload],
    registry: Registry,
    zones: Mapping[str, str],
    corrected: Mapping[str, str] = NO_CORRECTIONS,
) -> DecodedPeriods:
    """Decode answers to Month, Year or Total slices, one of the three, of one measurement set at one level.

    Arguments are those of `decode`. A row that is not stamped with a possible start is left out, and its answer is
    bad in part. The counts have a day for each row: the first of its period.
    """
    piece = payloads[0].slice
    table = registry.table(piece.series.level, piece.series.set, piece.period)
    table, stacks, bad = read_all(payloads, registry, table)
    placed: list[pl.DataFrame] = []
    counts: list[DayCount] = []
    for stack in stacks:
        rows, odd = _rows(stack, zones, corrected)
        bad += odd
        placed.append(_placed(stack.frame, rows))
        counts += [DayCount(row.slice, row.start, 1, None, row.begins) for row in rows if row]
    return DecodedPeriods(table, *split(_joined(placed, table), table, MARKS), tuple(counts), tuple(bad))


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row with a possible stamp is, beside its channels."""

    slice: Slice
    plant_id: str
    device_id: str | None
    asked_at: datetime
    start: date
    begins: datetime
    ends: datetime


def _rows(stack: Stack, zones: Mapping[str, str], corrected: Mapping[str, str]) -> tuple[list[_Row | None], list[Bad]]:
    """Return what each row of *stack* is, None where that cannot be told, and the answers that have such rows."""
    rows: list[_Row | None] = []
    bad: list[Bad] = []
    try:
        stamps = iter(stack.frame.get_column("time").to_list())
    except (ValueError, OverflowError) as error:  # beyond Python's calendar, in a lone answer
        return [None] * stack.frame.height, [Bad(reply.payload, str(error)) for reply in stack.replies]
    for reply in stack.replies:
        mine = list(islice(stamps, reply.height))
        try:
            zone = zone_of(reply.payload.slice, reply.envelope, zones, corrected)
            found = _rows_of(reply, mine, clock.zone(zone))
        except (ValueError, OverflowError) as error:
            found = [None] * reply.height
            bad.append(Bad(reply.payload, str(error)))
        else:
            if lost := found.count(None):
                told = f"{lost} rows are not stamped with the start of what they sum up"
                bad.append(Bad(reply.payload, told, partial=True))
        rows += found
    return rows, bad


def _rows_of(reply: Reply, stamps: Sequence[datetime], where: tzinfo) -> list[_Row | None]:
    piece, period = reply.payload.slice, reply.payload.slice.period
    said = (piece, *ids_of(piece, reply.envelope), reply.payload.asked_at)
    starts = [_start(stamp, period) if _starts(stamp, period) else None for stamp in stamps]
    return [
        None
        if start is None
        else _Row(*said, start, clock.day_start(start, where), clock.day_start(_NEXT[period](start), where))
        for start in starts
    ]


def _placed(frame: pl.DataFrame, rows: Sequence[_Row | None]) -> pl.DataFrame:
    """Return those of the *rows* of *frame* that have a possible stamp, with keys and marks."""
    kept = [row for row in rows if row]
    placed = pl.DataFrame(
        {
            "plant_id": [row.plant_id for row in kept],
            "device_id": [row.device_id for row in kept],
            "period_start": [row.start for row in kept],
            "provisional": [row.asked_at < row.ends for row in kept],
            "harvested_at": [row.asked_at for row in kept],
            "_begins": [row.begins for row in kept],
            "_year": [None if row.slice.period is Period.TOTAL else row.start.year for row in kept],
        },
        schema=_PLACED,
    )
    return frame.filter(pl.Series([row is not None for row in rows], dtype=pl.Boolean)).hstack(placed)


def _starts(stamp: datetime, period: Period) -> bool:
    """Tell whether *stamp* is the midnight with which a row's period can begin.

    Of Total no capture shows a stamp: any day stands for its year, since that of start-up begins within one.
    """
    if stamp.time() != time() or stamp.year not in _YEARS:
        return False
    return period is not Period.YEAR or stamp.day == 1


def _start(stamp: datetime, period: Period) -> date:
    return date(stamp.year, 1, 1) if period is Period.TOTAL else stamp.date()


def _joined(placed: Sequence[pl.DataFrame], table: TableSchema) -> pl.DataFrame:
    if placed:
        return pl.concat(placed, how="diagonal")
    arrays = {array_column(column.name): ELEMENTS for column in table.arrays}
    return pl.DataFrame(schema={**polars_schema(table.columns), **arrays, **_PLACED})
