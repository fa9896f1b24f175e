"""Answers of several moments to the rows of each day, as merging them one after the other would leave it. Pure.

A replay must end where the harvest did. So archived answers are merged oldest first, beside the lake and not in it:
what an older one would undo for a moment never reaches a file or `revisions`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from harvester.lake import naming
from harvester.lake.merge import merge
from harvester.lake.readings import Day, Readings, by_day
from harvester.lake.schema import INSTANT, Column

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


def fold(pieces: Sequence[tuple[int, Readings]], held: Held, replaying: Replaying) -> Iterator[Day]:
    """Yield, day by day, the rows that *pieces*, each with the number of its generation, leave behind together.

    Generations are merged by ascending number, and no series may come twice in one. What an answer that is not
    archived has changed in the lake since is laid over them.
    """
    table = pieces[-1][1].table
    layers: dict[date, list[Day]] = {}
    for number in sorted({number for number, _ in pieces}):
        for day in by_day([piece for n, piece in pieces if n == number]):
            if replaying.first <= day.date <= replaying.last:
                layers.setdefault(day.date, []).append(day)
    for of, some in sorted(layers.items()):
        lake = held(table.table, of)
        rows = _fold_day([day.rows for day in some], table.columns, lake, replaying)
        indexed = [day.by_index for day in some if day.by_index is not None]
        if not indexed:
            yield Day(of, rows, None)
            continue
        lake = held(naming.by_index(table.table), of)
        yield Day(of, rows, _fold_day(indexed, table.index_columns, lake, replaying))


def _fold_day(
    layers: list[pl.DataFrame], columns: Sequence[Column], lake: pl.DataFrame | None, replaying: Replaying
) -> pl.DataFrame:
    rows = pl.concat(layers, how="diagonal")
    series = [name for name in ("plant_id", "device_id") if name in rows.columns]
    marks = rows.group_by(series).agg(
        pl.col("_date").first(),
        pl.col("_whole").any(),
        pl.col("_repeats").any(),
        pl.col("harvested_at").max().alias("_asked_at"),
    )
    if lake is not None:
        layers = [*layers, _later(lake, marks, series, replaying)]
    folded = merge(None, layers[0], columns).frame
    for layer in layers[1:]:
        folded = merge(folded, layer, columns).frame
    marked = folded.join(marks.drop("_asked_at"), on=series, nulls_equal=True)
    return marked.with_columns(harvested_at=pl.lit(replaying.now, dtype=INSTANT))


def _later(lake: pl.DataFrame, marks: pl.DataFrame, series: Sequence[str], replaying: Replaying) -> pl.DataFrame:
    """Return the rows of *lake* that changed after the newest archived answer, but not by a replay."""
    known = lake.join(marks, on=series, nulls_equal=True)
    return known.filter(
        pl.col("harvested_at") > pl.col("_asked_at"),
        ~pl.col("harvested_at").is_in(list(replaying.earlier)),
        ~pl.col("plant_id").is_in(list(replaying.corrected)),
    ).with_columns(_whole=pl.lit(value=False))
