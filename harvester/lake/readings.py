"""Decoded rows that wait to be published: as they were read, with what many of them share told once.

Plant, device, resolution and moment are those of an answer, and its rows come day by day. So rows wait without them,
at half the memory, and get them when their day is published. Each run of rows is a piece of its answer, sorted as it
came: to put the runs into order costs a fraction of sorting rows by their keys.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import polars as pl
import pyarrow as pa

from harvester.lake.rows import split
from harvester.lake.runs import Run, Said, runs_of
from harvester.lake.schema import INSTANT, TableSchema

MARKS = ("_date", "_whole", "_repeats")
"""Columns beside the table's own: the partition's day; whether the answer was asked for that whole day; whether
that day repeats an hour."""

_TOLD = pl.Schema(
    {
        "plant_id": pl.String(),
        "device_id": pl.String(),
        "interval_minutes": pl.Int16(),
        "harvested_at": INSTANT,
        "_date": pl.Date(),
        "_whole": pl.Boolean(),
        "_repeats": pl.Boolean(),
    }
)
"""What a run says of each of its rows."""


@dataclass(frozen=True, slots=True)
class Day:
    """The rows of one plant-local day of one table, and of its companion."""

    date: date
    rows: pl.DataFrame
    """Columns of the table, as far as they hold something, and `MARKS`; by series, each as it came."""
    by_index: pl.DataFrame | None
    """The same of the companion table; None where there is nothing for it."""
    ascends: bool = False
    """Whether both are known to come by key, and each key once."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The rows of some answers to one measurement set at one level."""

    table: TableSchema
    rows: pl.DataFrame
    """Columns `time` (instant of the start), `local_time`, and the channels that hold something, arrays nested."""
    runs: tuple[Run, ...]
    """Where they come from, in their order."""

    @classmethod
    def of(cls, table: TableSchema, answers: Sequence[Said], rows: pl.DataFrame) -> Readings:
        """Take *rows* of *answers* in, which are in the same order, placed in time.

        Columns of *rows* are `time` (naive UTC) and `local_time` of the interval's start, `_repeats`, and channels by
        column.
        """
        times = [rows.get_column("time").cast(INSTANT), rows.get_column("local_time")]
        channels = [column for column in rows.iter_columns() if column.name not in {"time", "local_time", "_repeats"}]
        held = [column for column in channels if column.null_count() < rows.height]
        return cls(table, _moved(pl.DataFrame([*times, *held])), runs_of(answers, rows))

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
    runs = sorted(((number, run) for number, piece in enumerate(pieces) for run in piece.runs), key=_place)
    told = pl.DataFrame([_told(run) for _, run in runs], schema=_TOLD, orient="row")
    for day, some in groupby(runs, key=lambda each: each[1].day):
        found = list(some)
        rows = pl.concat([frames[number].slice(run.first, run.rows) for number, run in found], rechunk=True)
        whole = told[_repeated([run.rows for _, run in found])].hstack(rows)
        told = told.slice(len(found))
        yield Day(day, *split(whole, table, MARKS), _ascend([run for _, run in found]))


def _place(numbered: tuple[int, Run]) -> tuple[date, str, str]:
    """Return by what runs are sorted."""
    run = numbered[1]
    return run.day, run.said.plant_id, run.said.device_id or ""


def _ascend(runs: Sequence[Run]) -> bool:
    """Tell whether rows come by key, each once, where *runs* come by series."""
    series = {(run.said.plant_id, run.said.device_id) for run in runs}
    return len(series) == len(runs) and all(run.rises for run in runs)


def _told(run: Run) -> tuple[object, ...]:
    said = run.said
    return said.plant_id, said.device_id, said.minutes, said.harvested_at, run.day, run.whole, run.repeats


def _repeated(heights: Sequence[int]) -> pl.Series:
    """Return the number of each element of *heights*, as often as the element says."""
    numbers = b"".join(n.to_bytes(4, sys.byteorder) * height for n, height in enumerate(heights))
    return pl.Series(pa.Array.from_buffers(pa.uint32(), sum(heights), [None, pa.py_buffer(numbers)]))


def _alike(frames: Sequence[pl.DataFrame]) -> Sequence[pl.DataFrame]:
    """Return *frames* with the columns of all of them, in one order."""
    if all(frame.columns == frames[0].columns for frame in frames):
        return frames
    names = {name: dtype for frame in frames for name, dtype in frame.schema.items()}
    void = {name: pl.lit(None, dtype=dtype).alias(name) for name, dtype in names.items()}
    return [
        frame.with_columns(void[name] for name in names if name not in frame.columns).select(*names) for frame in frames
    ]
