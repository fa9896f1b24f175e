"""One day of one plant out of a lake, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from harvester.lake.layout import Places

_TABLE = "plant_energy_balance"


@dataclass(frozen=True, slots=True)
class DayCurve:
    """The PV generation of one plant on one plant-local day."""

    plant_id: str
    day: date
    watts: tuple[float, ...]
    """One mean power an interval from midnight on; nothing is 0."""


def sample_day(places: Places, day: date) -> DayCurve | None:
    """Return the curve of the plant that generated most on *day*, None where there is none."""
    files = [places.file(p) for p in places.partitions(_TABLE) if p.day == day]
    if not files:
        return None
    rows = pl.concat([pl.read_parquet(file, hive_partitioning=False, glob=False) for file in files], how="diagonal")
    totals = rows.group_by("plant_id").agg(pl.col("pv_generation").sum()).sort("pv_generation", "plant_id")
    if totals.is_empty():
        return None
    plant_id = str(totals.get_column("plant_id")[-1])
    curve = rows.filter(pl.col("plant_id") == plant_id).sort("time").get_column("pv_generation").fill_null(0.0)
    return DayCurve(plant_id, day, tuple(curve.to_list()))
