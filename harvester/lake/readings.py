"""Decoded rows that wait to be published: as they were read, with what many of them share told once.

Plant, device, resolution and moment are those of an answer, and its rows come day by day. So rows wait without them,
at half the memory, and get them when their day is published. Each run of rows is a piece of its answer, sorted as it
came: to put the runs into order costs a fraction of sorting rows by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from harvester.lake.rows import split
from harvester.lake.schema import INSTANT, WALL_CLOCK, TableSchema

MARKS = ("_date", "_whole", "_repeats")
"""Columns beside the table's own: the partition's day; whether the answer was asked for that whole day; whether
that day repeats an hour."""

ROWS_OF_A_DAY = 2
"""A `Week` may touch a neighbouring day with the one row stamped at midnight; more rows mean that it covers it."""

ANSWER = pl.Schema(
    {
        "plant_id": pl.String(),
        "device_id": pl.String(),
        "interval_minutes": pl.Int16(),
        "harvested_at": INSTANT,
        "_asked": pl.Date(),
        "_rows": pl.UInt32(),
    }
)
"""What an answer says of all its rows; the day that it was asked for, null where it was a week; how many they are."""

_KEYS = ("plant_id", "device_id", "interval_minutes", "harvested_at")


@dataclass(frozen=True, slots=True)
class Day:
    """The rows of one plant-local day of one table, and of its companion."""

    date: date
    rows: pl.DataFrame
    """Columns of the table, as far as they hold something, and `MARKS`; by series, each as it came."""
    by_index: pl.DataFrame | None
    """The same of the companion table; None where there is nothing for it."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The rows of some answers to one measurement set at one level."""

    table: TableSchema
    rows: pl.DataFrame
    """Columns `time` (instant of the start), `local_time`, and the channels that hold something, arrays nested."""
    runs: pl.DataFrame
    """Rows of one answer and day that follow one another: `_answer` by number, from `_first` on `_rows` many, with the
    instant `_newest` among them; the columns of `ANSWER` that they share, and `MARKS`."""

    @classmethod
    def of(cls, table: TableSchema, answers: pl.DataFrame, rows: pl.DataFrame) -> Readings:
        """Take *rows* of *answers* (columns `ANSWER`) in, which are in the same order, placed in time.

        Columns of *rows* are `time` and `local_time` of the interval's start, `_repeats`, and channels by column.
        """
        height = rows.height
        void = [name for name in rows.columns if name not in {"time", "local_time"}]
        void = [name for name in void if rows.get_column(name).null_count() == height]
        kept = rows.drop("_repeats", *void, strict=False)
        kept = kept.with_columns(kept.get_column("time").cast(INSTANT))
        return cls(table, _moved(kept), _runs(answers, rows))

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the rows take."""
        return int(self.rows.estimated_size())


def _moved(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy *rows* out of the bytes that the reader made: these would leave holes in Python's memory while they wait."""
    return pl.concat([rows.head(1), rows.slice(1)], rechunk=True)


def by_day(pieces: Sequence[Readings]) -> Iterator[Day]:
    """Yield the rows of *pieces*, which are of one set, day by day; of equal keys in the order of arrival.

    One day is copied at a time: a sorted copy of all of them would be the most that a harvest ever holds.
    """
    table, frames = pieces[-1].table, _alike([piece.rows for piece in pieces])
    numbered = [piece.runs.with_columns(_piece=pl.lit(number)) for number, piece in enumerate(pieces)]
    runs = pl.concat(numbered).sort("_date", "plant_id", "device_id", maintain_order=True)
    for some in runs.partition_by("_date", maintain_order=True):
        yield Day(some.item(0, "_date"), *split(_whole_rows(frames, some), table, MARKS))


def _whole_rows(frames: Sequence[pl.DataFrame], runs: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of *runs* with what each run says of them."""
    places = runs.select("_piece", "_first", "_rows").iter_rows()
    rows = pl.concat([frames[piece].slice(first, height) for piece, first, height in places], rechunk=True)
    return runs.select(*_KEYS, *MARKS)[_repeated(runs.get_column("_rows"))].hstack(rows)


def _alike(frames: Sequence[pl.DataFrame]) -> Sequence[pl.DataFrame]:
    """Return *frames* with the columns of all of them, in one order."""
    if all(frame.columns == frames[0].columns for frame in frames):
        return frames
    names = {name: dtype for frame in frames for name, dtype in frame.schema.items()}
    void = {name: pl.lit(None, dtype=dtype).alias(name) for name, dtype in names.items()}
    return [
        frame.with_columns(void[name] for name in names if name not in frame.columns).select(*names) for frame in frames
    ]


def _runs(answers: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    heights, times = answers.get_column("_rows"), rows.get_column("time")
    ends, day = heights.cum_sum(), rows.get_column("local_time").dt.date()
    first = pl.concat([(ends - heights).filter(heights > 0), (day != day.shift()).arg_true()]).unique().sort()
    lengths = first.shift(-1, fill_value=rows.height) - first
    number = ends.search_sorted(first, side="right")
    newest = [times.slice(place, length).max() for place, length in zip(first, lengths, strict=True)]
    runs = answers.drop("_rows")[number].with_columns(
        number.alias("_answer"),
        day.gather(first).alias("_date"),
        rows.get_column("_repeats").gather(first),
        first.alias("_first"),
        lengths.alias("_rows"),
        pl.Series("_newest", newest, dtype=WALL_CLOCK).cast(INSTANT),
    )
    return runs.with_columns(
        _whole=pl.when(pl.col("_asked").is_not_null())
        .then(pl.col("_asked") == pl.col("_date"))
        .otherwise(pl.col("_rows").sum().over("_answer", "_date") >= ROWS_OF_A_DAY)
    )


def _repeated(times: pl.Series) -> pl.Series:
    """Return the number of each element of *times*, as often as the element says."""
    return pl.arange(times.len(), eager=True).repeat_by(times).explode(empty_as_null=False).rename("")
