"""The stamps of one answer: words to local interval ends to instants and wall clocks of interval starts. Pure.

What a stamp means is decided in `harvester.clock`; here it is applied to a frame, in one piece where the zone's
offset is steady and row by row only near a change of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl

from harvester import clock
from harvester.catalog import RESOLUTION_MINUTES
from harvester.lake.schema import WALL_CLOCK

_PLAIN = "%Y-%m-%dT%H:%M:%S"
_WITH_FRACTION = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?$"
_LEAST_ROWS_ON_A_GRID = 3
_EARLIEST, _LATEST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - local time has no zone
"""No plant measures outside; a server's default stamp, of the year 1 or 9999, lies there."""


def parse(words: pl.Series) -> pl.Series:
    """Parse stamps with none to nine fractional digits (microseconds are kept); raise ValueError for others."""
    try:  # the stamps of one answer differ: to remember them would cost more than it saves
        return words.str.to_datetime(_PLAIN, time_unit="us", strict=True, exact=True, cache=False)
    except pl.exceptions.PolarsError:
        pass
    parts = words.to_frame("time").select(
        pl.col("time").str.extract(_WITH_FRACTION, 1).str.to_datetime(_PLAIN, time_unit="us", strict=False),
        pl.col("time").str.extract(_WITH_FRACTION, 2).fill_null("0").str.pad_end(6, "0").str.head(6).alias("part"),
    )
    if parts.get_column("time").null_count():
        odd = words.filter(parts.get_column("time").is_null()).first()
        raise ValueError(f"a stamp is not a local time without offset: {odd!r:.60}")
    fraction = pl.col("part").cast(pl.Int64).cast(pl.Duration("us"))
    return parts.select(pl.col("time") + fraction).to_series()


def infer_minutes(stamps: Sequence[datetime]) -> int | None:
    """Return the interval in minutes of rows whose answer names no resolution, None for point samples.

    Intervals end on a grid from midnight; fewer than three rows show none.
    """
    if len(stamps) < _LEAST_ROWS_ON_A_GRID:
        return None
    gaps = [gap for earlier, later in pairwise(stamps) if (gap := later - earlier) > timedelta()]
    minutes = min(gaps, default=timedelta()) // timedelta(minutes=1)
    if minutes not in RESOLUTION_MINUTES.values():
        return None
    on_grid = all(s.second == s.microsecond == 0 and (60 * s.hour + s.minute) % minutes == 0 for s in stamps)
    return minutes if on_grid else None


def place(frame: pl.DataFrame, minutes: int | None, timezone: str) -> tuple[pl.DataFrame, str]:
    """Replace `time` (local interval end) by `time` (naive UTC) and `local_time` of the interval's start.

    Adds `_repeats`: whether the row's local day repeats an hour. Rows with stamps that the wall clock never
    showed are dropped, and the second value says which.
    """
    if frame.is_empty():
        return frame.with_columns(local_time=pl.col("time"), _repeats=pl.lit(value=False)), ""
    steady = place_steady(frame, minutes, timezone)
    if steady is not None:
        return steady, ""
    first, last = _ends(frame)
    if first < _EARLIEST or last > _LATEST:
        return _place_possible(frame, minutes, timezone)
    return _place_row_by_row(frame, timedelta(minutes=minutes or 0), timezone, clock.changes(timezone, first, last))


def place_steady(frame: pl.DataFrame, minutes: int | None, timezone: str) -> pl.DataFrame | None:
    """Place rows as `place` does if the zone's offset is steady among them, of however many answers they are.

    Returns None where it is not, or where a stamp is of no possible year; *frame* has rows.
    """
    first, last = _ends(frame)
    if first < _EARLIEST or last > _LATEST or clock.changes(timezone, first, last):
        return None
    start = frame.get_column("time") - timedelta(minutes=minutes or 0)
    offset = clock.offset_at(first, clock.zone(timezone))
    return frame.with_columns(start - offset, local_time=start, _repeats=pl.lit(value=False))


def _ends(frame: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return the first and the last of the stamps of *frame*, which has some."""
    first, last = frame.get_column("time").min(), frame.get_column("time").max()
    assert isinstance(first, datetime)  # noqa: S101 - what `parse` returns
    assert isinstance(last, datetime)  # noqa: S101
    return first, last


def _place_possible(frame: pl.DataFrame, minutes: int | None, timezone: str) -> tuple[pl.DataFrame, str]:
    possible = pl.col("time").is_between(_EARLIEST, _LATEST)
    odd = frame.filter(~possible).get_column("time")
    placed, lost = place(frame.filter(possible), minutes, timezone)
    said = f"{odd.len()} stamps of no year that a plant has seen, the first {odd.dt.to_string()[0]}"
    return placed, f"{said}; {lost}" if lost else said


def _place_row_by_row(
    frame: pl.DataFrame, length: timedelta, timezone: str, near: Sequence[clock.Change]
) -> tuple[pl.DataFrame, str]:
    stamps: list[datetime] = frame.get_column("time").to_list()
    gaps = [gap for change in near if (gap := change.skips)]
    skipped = [any(low < stamp < high for low, high in gaps) for stamp in stamps]
    ends = clock.ends_to_instants([s for s, lost in zip(stamps, skipped, strict=True) if not lost], timezone)
    starts = [end - length for end in ends]
    pieces = clock.steady_pieces(timezone, min(starts), max(starts)) if starts else []
    walls = [clock.to_local(start, pieces) for start in starts]
    repeats = {day: clock.repeats_an_hour(day, timezone) for day in {wall.date() for wall in walls}}
    placed = frame.filter(~pl.Series(skipped, dtype=pl.Boolean)).with_columns(
        pl.Series("time", starts, dtype=WALL_CLOCK),
        pl.Series("local_time", walls, dtype=WALL_CLOCK),
        pl.Series("_repeats", [repeats[wall.date()] for wall in walls], dtype=pl.Boolean),
    )
    if not any(skipped):
        return placed, ""
    odd = stamps[skipped.index(True)].isoformat()
    return placed, f"{sum(skipped)} stamps that the wall clock in {timezone} never showed, the first {odd}"
