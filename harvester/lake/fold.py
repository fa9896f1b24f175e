"""Answers of several moments to one frame, as merging them one after the other would leave it. Pure.

A replay must end where the harvest did. So archived answers are merged oldest first, beside the lake and not in it:
what an older one would undo for a moment never reaches a file or `revisions`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from harvester.lake import naming
from harvester.lake.decode import Decoded
from harvester.lake.merge import merge
from harvester.lake.schema import Column

Held = Callable[[str, date], pl.DataFrame | None]
"""Rows that the lake holds of a table and plant-local day, None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """What a replay must know beside the answers."""

    now: datetime
    """When it was begun, aware UTC: rows that it changes have changed then."""
    earlier: Collection[datetime]
    """When earlier replays were begun: what they made of the same answers does not stand against this one."""
    first: date
    last: date
    """Plant-local days that are replayed, both inclusive."""
    corrected: Collection[str]
    """Plants whose zone is corrected: rows that the lake holds of them lie at wrong instants."""


def fold(generations: Sequence[Decoded], held: Held, replaying: Replaying) -> Decoded:
    """Return the rows that *generations*, oldest first, leave behind together.

    No series may come twice in one of them. What an answer that is not archived has changed in the lake since is
    laid over them.
    """
    table = generations[-1].table
    rows = _fold(table.table, table.columns, [g.rows for g in generations], held, replaying)
    indexed = [g.by_index for g in generations if g.by_index is not None]
    name = naming.by_index(table.table)
    by_index = _fold(name, table.index_columns, indexed, held, replaying) if indexed else None
    return Decoded(table, rows, by_index, (), ())


def _fold(
    table: str, columns: Sequence[Column], frames: Sequence[pl.DataFrame], held: Held, replaying: Replaying
) -> pl.DataFrame:
    numbered = [frame.with_columns(_generation=pl.lit(number)) for number, frame in enumerate(frames)]
    rows = pl.concat(numbered, how="diagonal").filter(pl.col("_date").is_between(replaying.first, replaying.last))
    done = [rows.drop("_generation").clear()]
    for (day,), of_day in sorted(rows.partition_by("_date", as_dict=True).items(), key=str):
        assert isinstance(day, date)  # noqa: S101 - the column is a date without nulls
        done.append(_fold_day(of_day, columns, held(table, day), replaying))
    return pl.concat(done, how="diagonal")


def _fold_day(
    rows: pl.DataFrame, columns: Sequence[Column], lake: pl.DataFrame | None, replaying: Replaying
) -> pl.DataFrame:
    series = [name for name in ("plant_id", "device_id") if name in rows.columns]
    marks = rows.group_by(series).agg(
        pl.col("_date").first(),
        pl.col("_whole").any(),
        pl.col("_repeats").any(),
        pl.col("harvested_at").max().alias("_asked_at"),
    )
    folded: pl.DataFrame | None = None
    for generation in rows.drop("_generation", strict=False).partition_by(rows.get_column("_generation")):
        folded = merge(folded, generation, columns).frame
    if lake is not None:
        later = _later(lake, marks, series, replaying)
        folded = merge(folded, later, columns).frame
    assert folded is not None  # noqa: S101 - a day of `partition_by` has rows
    return folded.join(marks.drop("_asked_at"), on=series, nulls_equal=True).with_columns(
        harvested_at=pl.lit(replaying.now).dt.cast_time_unit("us")
    )


def _later(lake: pl.DataFrame, marks: pl.DataFrame, series: list[str], replaying: Replaying) -> pl.DataFrame:
    """Return the rows of *lake* that changed after the newest archived answer, but not by a replay."""
    known = lake.join(marks, on=series, nulls_equal=True)
    return known.filter(
        pl.col("harvested_at") > pl.col("_asked_at"),
        ~pl.col("harvested_at").is_in(list(replaying.earlier)),
        ~pl.col("plant_id").is_in(list(replaying.corrected)),
    ).with_columns(_whole=pl.lit(value=False))
