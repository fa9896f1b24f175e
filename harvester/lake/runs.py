"""Runs of rows: what one answer says of one plant-local day, in one piece. Pure.

An answer's rows come day by day, so its runs are few: what all rows of a run share is told once, and rows are put into
order run by run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import accumulate, pairwise
from typing import Any

import polars as pl

ROWS_OF_A_DAY = 2
"""A `Week` may touch a neighbouring day with the one row stamped at midnight; more rows mean that it covers it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says of all its rows."""

    plant_id: str
    device_id: str | None
    minutes: int | None
    """Length of the rows' intervals; None for point samples."""
    harvested_at: datetime
    """When it was asked for, aware UTC."""
    asked: date | None
    """The day that it was asked for; None where that was a week: only its rows can tell which days that covers."""
    rows: int


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of one answer and plant-local day that follow one another."""

    answer: int
    """Number of the answer."""
    said: Said
    day: date
    whole: bool
    """Whether the answer was asked for the whole of the day."""
    repeats: bool
    """Whether the day repeats an hour."""
    first: int
    """Number of the first row, among those of all answers."""
    rows: int
    rises: bool
    """Whether every row begins later than the one before."""
    newest: datetime
    """The newest start of an interval, aware UTC."""


def runs_of(answers: Sequence[Said], rows: pl.DataFrame) -> tuple[Run, ...]:
    """Part the *rows* of *answers*, which are in the same order, into runs.

    Columns of *rows* are `time` (naive UTC), `local_time` and `_repeats`, all of the start of an interval.
    """
    if rows.is_empty():
        return ()
    times, days = rows.get_column("time"), rows.get_column("local_time").dt.date()
    ends = list(accumulate(said.rows for said in answers))
    begins = (end - said.rows for end, said in zip(ends, answers, strict=True) if said.rows)
    firsts = sorted({*begins, *(days != days.shift()).arg_true()})
    heights = [after - first for first, after in pairwise([*firsts, rows.height])]
    numbers = [bisect_right(ends, first) for first in firsts]
    dates, repeats = days.gather(firsts).to_list(), rows.get_column("_repeats").gather(firsts).to_list()
    covered: Counter[tuple[int, date]] = Counter()
    for number, day, height in zip(numbers, dates, heights, strict=True):
        covered[number, day] += height
    return tuple(
        Run(number, answers[number], day, _whole(answers[number], day, covered[number, day]), *rest)
        for number, day, *rest in zip(
            numbers, dates, repeats, firsts, heights, *_course(times, firsts, heights), strict=True
        )
    )


def _whole(said: Said, day: date, rows: int) -> bool:
    return rows >= ROWS_OF_A_DAY if said.asked is None else said.asked == day


def _course(times: pl.Series, firsts: Sequence[int], heights: Sequence[int]) -> tuple[list[bool], list[datetime]]:
    """Return of each run whether its *times* rise throughout, and the newest of them."""
    newest: list[Any]
    falls = set((times <= times.shift()).arg_true()).difference(firsts)
    fallen = {bisect_right(firsts, place) - 1 for place in falls}
    if fallen:
        newest = [times.slice(first, height).max() for first, height in zip(firsts, heights, strict=True)]
    else:
        newest = times.gather([first + height - 1 for first, height in zip(firsts, heights, strict=True)]).to_list()
    return [number not in fallen for number in range(len(firsts))], [time.replace(tzinfo=UTC) for time in newest]
