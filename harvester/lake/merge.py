"""New rows into the rows of one partition. Pure, idempotent, and indifferent to order but for the stated exception.

Upsert by key: a value never becomes null and a row is never deleted because an answer lacks it. Only where the
zone of a series changed, its day repeats an hour, or it has another resolution throughout that covers no less, does a
newer answer for the whole day replace the series' rows of that day: old and new rows would lie beside each other there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import polars as pl

from harvester.lake.schema import REVISION_COLUMNS, Column, polars_schema

KEY_COLUMNS = ("plant_id", "device_id", "time", "index")
"""Of these the key of a table consists, as far as it has them."""

_NEW = "+"
"""What tells a new column from the old one of the same name in a join; no column's name can end with it."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The rows of a partition after a merge."""

    frame: pl.DataFrame
    """Sorted by key, one row a key."""
    changed: bool
    """Whether it differs from what was there."""
    revisions: pl.DataFrame
    """Values that were there before and have changed or vanished; columns of the table `revisions` but `table`."""


def merge(old: pl.DataFrame | None, new: pl.DataFrame, columns: Sequence[Column], *, ascends: bool = False) -> Merged:
    """Merge *new* rows (with the marks of `decode`) into the *old* rows of a partition of a table with *columns*.

    Both may lack columns that the table gained later. *ascends* says that *new* is known to come by key, each once.
    """
    key = [c.name for c in columns if c.name in KEY_COLUMNS]
    new = new.with_columns(_missing(new, columns))
    if not ascends:
        new = _last_of_each(new, key)
    if old is None or old.is_empty():
        return Merged(new[[c.name for c in columns]], not new.is_empty(), _no_revisions())
    old = _complete(old, columns)
    series = [name for name in key if name in {"plant_id", "device_id"}]
    touched = new.select(series).unique()
    before = old.join(touched, on=series, how="semi", nulls_equal=True)
    if before.is_empty():  # other series: the rest of a batch that was published in portions
        return Merged(_together(old, new.select(c.name for c in columns), key), not new.is_empty(), _no_revisions())
    untouched = old.join(touched, on=series, how="anti", nulls_equal=True)
    kept = _without_replaced(before, new, series)
    values = [c.name for c in columns if c.name not in {*key, "local_time", "interval_minutes", "harvested_at"}]
    after, differs = _upsert(kept, new, columns, key, values)
    if kept.height != before.height:
        after = _as_known(after, before)
        differs = not after.sort(key).equals(before.sort(key))
    revisions = _revisions(before, kept, new, key, [v for v in values if v != "other"])
    if not differs:
        return Merged(old, changed=False, revisions=revisions)
    return Merged(_together(untouched, after, key), changed=True, revisions=revisions)


def _together(some: pl.DataFrame, others: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return rows of different series sorted by *key*; stable, which is faster where they are sorted in long pieces."""
    return pl.concat([some, others]).sort(key, maintain_order=True)


def merge_periods(old: pl.DataFrame | None, new: pl.DataFrame, columns: Sequence[Column]) -> Merged:
    """Merge *new* rows of a period table (with `_begins`, the instant of their start) into the *old* ones.

    A row grows while it is provisional, and that is no revision; what changes later is. The revisions have the
    column `period_start` as well, to tell their partition.
    """
    key = [c.name for c in columns if c.name in {"plant_id", "device_id", "period_start", "index"}]
    new = _last_of_each(new.with_columns(_missing(new, columns)), key)
    if old is None or old.is_empty():
        return Merged(new[[c.name for c in columns]], not new.is_empty(), _no_revisions())
    old = _complete(old, columns)
    values = [c.name for c in columns if c.name not in {*key, "harvested_at"}]
    after, differs = _upsert(old, new, columns, key, values)
    final = old.filter(pl.col("provisional").not_())
    found = _revisions(final, final, new, key, [v for v in values if v not in {"provisional", "other"}])
    begins = new.select(*key, pl.col("_begins").alias("time"))
    keyed = pl.concat([old.select(key).clear(), found.drop("time")], how="diagonal")
    revisions = keyed.join(begins, on=key, how="left", nulls_equal=True)
    return Merged(after.sort(key) if differs else old, changed=differs, revisions=revisions)


def _last_of_each(new: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return one row a key, sorted; of rows that came twice in what was asked at once, the later one."""
    if _ascends(new, key):
        return new
    return new.unique(key, keep="last", maintain_order=True).sort(key)


def _ascends(rows: pl.DataFrame, key: list[str]) -> bool:
    """Tell whether every row has a greater key than the one before: sorted and none twice, for less than a sort."""
    if rows.height <= 1:
        return True
    less = pl.Series([False])
    for name in reversed(key):
        before, after = rows.get_column(name).head(-1), rows.get_column(name).slice(1)
        less = (before < after) | ((before == after) & less)
    return less.null_count() == 0 and less.all()


def _complete(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    return frame.with_columns(_missing(frame, columns)).select(c.name for c in columns)


def _missing(frame: pl.DataFrame, columns: Sequence[Column]) -> list[pl.Expr]:
    return [pl.lit(None, dtype=c.dtype).alias(c.name) for c in columns if c.name not in frame.columns]


def _as_known(after: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return *after*; a row that came back as it was before it was replaced keeps the moment it last changed."""
    same = [name for name in after.columns if name != "harvested_at"]
    known = after.join(before, on=same, how="left", nulls_equal=True, maintain_order="left", suffix=_NEW)
    moment = pl.coalesce(f"harvested_at{_NEW}", "harvested_at").alias("harvested_at")
    return known.with_columns(moment).select(after.columns)


def _without_replaced(before: pl.DataFrame, new: pl.DataFrame, series: list[str]) -> pl.DataFrame:
    """Drop the rows of the series that *new* replaces as a whole."""
    offsets = (pl.col("local_time") - pl.col("time").dt.replace_time_zone(None)).unique().alias("offsets")
    asked = new.filter(pl.col("_whole"))
    now = asked.group_by(series).agg(*_MINUTES, offsets, pl.col("_repeats").any())
    then = before.group_by(series).agg(*_MINUTES, offsets)
    replaced = then.join(now, on=series, nulls_equal=True, suffix=_NEW).filter(
        pl.col("_repeats")
        | (_other_resolution() & _as_complete())
        | (pl.col("offsets").list.set_intersection(f"offsets{_NEW}").list.len() == 0)
    )
    gone = pl.concat([replaced.select(series), _at_other_instants(before, asked, series)])
    return before.join(gone, on=series, how="anti", nulls_equal=True)


_MINUTES = (
    pl.col("interval_minutes").drop_nulls().unique().sort().alias("minutes"),
    pl.col("interval_minutes").cast(pl.Int64).sum().alias("covered"),
    pl.len().alias("rows"),
)
"""The resolutions of a series' day, the minutes that its intervals cover, and its rows."""


def _other_resolution() -> pl.Expr:
    """Tell whether a new answer has another resolution; some rows without any among others tell nothing."""
    return pl.col("minutes").ne_missing(pl.col(f"minutes{_NEW}"))


def _as_complete() -> pl.Expr:
    """Tell whether a new answer covers as much of the day: a row or two of another kind are no other day.

    Where the resolution of one of the two is not known, their rows are counted instead.
    """
    both = (pl.col("covered") > 0) & (pl.col(f"covered{_NEW}") > 0)
    by_time = pl.col(f"covered{_NEW}") >= pl.col("covered")
    return pl.when(both).then(by_time).otherwise(pl.col(f"rows{_NEW}") >= pl.col("rows"))


def _at_other_instants(before: pl.DataFrame, asked: pl.DataFrame, series: list[str]) -> pl.DataFrame:
    """Return the series in which some wall clock stands for another instant than it did: their zone changed.

    Offsets alone would not tell: on the day that two zones set their clocks forward, one has the offset after
    that the other had before.
    """
    then, now = (frame.select(*series, "local_time", "time").unique() for frame in (before, asked))
    pairs = then.join(now, on=[*series, "local_time"], nulls_equal=True, suffix=_NEW)
    return pairs.filter(pl.col("time") != pl.col(f"time{_NEW}")).select(series).unique()


def _upsert(
    old: pl.DataFrame, new: pl.DataFrame, columns: Sequence[Column], key: list[str], values: list[str]
) -> tuple[pl.DataFrame, bool]:
    """Return the union of *old* and *new* rows, new values over old ones, and whether that differs from *old*."""
    arriving = new.select(c.name for c in columns)
    both = old.join(arriving, on=key, how="full", coalesce=True, suffix=_NEW, nulls_equal=True)
    gains = [pl.col(f"{v}{_NEW}").is_not_null() & pl.col(v).ne_missing(pl.col(f"{v}{_NEW}")) for v in values]
    arrives = pl.col("harvested_at").is_null()
    differs = pl.any_horizontal(arrives, *gains)
    others = [c.name for c in columns if c.name not in {*key, "harvested_at"}]
    placed = [pl.coalesce(f"{name}{_NEW}", name).alias(name) for name in others]
    stamped = pl.when("_differs").then(f"harvested_at{_NEW}").otherwise("harvested_at").alias("harvested_at")
    both = both.with_columns(_differs=differs)
    frame = both.with_columns(*placed, stamped).select(c.name for c in columns)
    return frame, bool(both.get_column("_differs").any())


def _revisions(
    before: pl.DataFrame, kept: pl.DataFrame, new: pl.DataFrame, key: list[str], values: list[str]
) -> pl.DataFrame:
    """Return the numbers of *before* that *new* has otherwise or lacks: in a row that it has, or in a replaced one."""
    fresh = new.select(*key, *values, "harvested_at")
    pairs = before.select(*key, *values).join(fresh, on=key, suffix=_NEW, nulls_equal=True)
    dropped = before.join(kept, on=key, how="anti", nulls_equal=True).join(new, on=key, how="anti", nulls_equal=True)
    series = [name for name in key if name in {"plant_id", "device_id"}]
    moments = new.group_by(series).agg(pl.col("harvested_at").max())
    gone = dropped.select(*key, *values).join(moments, on=series, nulls_equal=True)
    pairs = pl.concat([pairs, gone], how="diagonal")
    found = [
        pairs.filter(pl.col(v).is_not_null() & pl.col(v).ne_missing(pl.col(f"{v}{_NEW}"))).select(
            *key,
            pl.lit(v).alias("channel"),
            pl.col(v).alias("old"),
            pl.col(f"{v}{_NEW}").alias("new"),
            pl.col("harvested_at").alias("known_at"),
        )
        for v in values
    ]
    return pl.concat([_no_revisions(), *found], how="diagonal")


@cache
def _no_revisions() -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema(REVISION_COLUMNS)).drop("table")
