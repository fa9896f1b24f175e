"""Whether both passes of a repeated hour are in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from harvester.clock import Change
from harvester.lake.layout import Partition, Places
from harvester.lake.naming import table_name
from harvester.model import Series


@dataclass(frozen=True, slots=True)
class Passes:
    """Rows of one series in an hour that the wall clock showed twice."""

    first: int
    second: int


def passes(places: Places, series: Series, part: int, day: date, change: Change) -> Passes:
    """Count the rows of *series* on the plant-local *day* in the time that *change* repeats, before it and after it.

    *part* is the part of its plant.
    """
    file = places.file(Partition(table_name(series.level, series.set), day, part))
    if not file.exists():
        return Passes(0, 0)
    again = change.before - change.after
    keys = {"plant_id": series.plant_id, **({"device_id": series.device_id} if series.device_id else {})}
    own = pl.all_horizontal(pl.col(name) == value for name, value in keys.items())
    # the stamp that SMA repeats is the end of the interval
    end = pl.col("time") + pl.duration(minutes=pl.col("interval_minutes").fill_null(0))
    ends = (
        pl.scan_parquet(file, hive_partitioning=False, glob=False).filter(own).select(end.alias("end")).collect()["end"]
    )
    start, middle, last = (_aware(at) for at in (change.instant - again, change.instant, change.instant + again))
    return Passes(int(((ends >= start) & (ends < middle)).sum()), int(((ends >= middle) & (ends < last)).sum()))


def _aware(naive: datetime) -> datetime:
    return naive.replace(tzinfo=UTC)
