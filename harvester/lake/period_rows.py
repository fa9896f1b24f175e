"""Answers to Month, Year and Total requests to one typed frame. Runs in a worker thread; knows no file.

Their rows are energies in Wh of days, months and years, stamped with the START of each at midnight, unlike intraday
rows (published BasicReporting answers; of Total assumed). The newest row grows until its period has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType

import polars as pl

from harvester import clock
from harvester.lake.answers import Bad, Envelope, read_all
from harvester.lake.decode import NO_CORRECTIONS, DayCount, ids_of, zone_of
from harvester.lake.registry import Registry
from harvester.lake.rows import ELEMENTS, array_column, split
from harvester.lake.schema import INSTANT, TableSchema, polars_schema
from harvester.model import Payload, Period

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
_PLACED = {"_begins": INSTANT, "_year": pl.Int32()}


@dataclass(frozen=True, slots=True)
class DecodedPeriods:
    """Many answers to one period view of one measurement set at one level."""

    table: TableSchema
    rows: pl.DataFrame
    """Columns of the table, and `MARKS`."""
    by_index: pl.DataFrame | None
    """Columns of the companion table, and `MARKS`; None where there is nothing for it."""
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
    for one in (one for stack in stacks for one in stack.each()):
        payload, envelope, rows = one.replies[0].payload, one.replies[0].envelope, one.frame
        try:
            frame = _place(payload, envelope, rows, zone_of(payload.slice, envelope, zones, corrected))
        except (ValueError, OverflowError) as error:
            bad.append(Bad(payload, str(error)))
            continue
        if lost := rows.height - frame.height:
            bad.append(Bad(payload, f"{lost} rows are not stamped with the start of what they sum up", partial=True))
        placed.append(frame)
        counts.extend(_counts(payload, frame))
    return DecodedPeriods(table, *split(_joined(placed, table), table, MARKS), tuple(counts), tuple(bad))


def _place(payload: Payload, envelope: Envelope, rows: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Return the rows with a possible stamp, with keys and marks; raise ValueError for one beyond all calendars."""
    where, period, now = clock.zone(timezone), payload.slice.period, payload.asked_at
    stamps = rows.get_column("time")
    possible = pl.Series([_starts(stamp, period) for stamp in stamps], dtype=pl.Boolean)
    starts = [_start(stamp, period) for stamp in stamps.filter(possible)]
    plant_id, device_id = ids_of(payload.slice, envelope)
    years = [None if period is Period.TOTAL else start.year for start in starts]
    return rows.filter(possible).with_columns(
        pl.lit(plant_id, dtype=pl.String).alias("plant_id"),
        pl.lit(device_id, dtype=pl.String).alias("device_id"),
        pl.Series("period_start", starts, dtype=pl.Date),
        pl.Series("provisional", [now < clock.day_start(_NEXT[period](s), where) for s in starts], dtype=pl.Boolean),
        pl.lit(now, dtype=INSTANT).alias("harvested_at"),
        pl.Series("_begins", [clock.day_start(start, where) for start in starts], dtype=INSTANT),
        pl.Series("_year", years, dtype=pl.Int32),
    )


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
        return pl.concat(placed)
    arrays = {array_column(column.name): ELEMENTS for column in table.arrays}
    return pl.DataFrame(schema={**polars_schema(table.columns), **arrays, **_PLACED})


def _counts(payload: Payload, frame: pl.DataFrame) -> list[DayCount]:
    starts = frame.select("period_start", "_begins").rows()
    return [DayCount(payload.slice, start, 1, None, begins) for start, begins in starts]
