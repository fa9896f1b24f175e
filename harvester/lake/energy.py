"""Energies out of a lake, month by month and part by part: summed up from powers, and as SMA sums them up.

Read lazily and straight from the files; what is held at once is a month of the plants of one part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from harvester import clock
from harvester.catalog import ENERGY_BALANCE
from harvester.errors import LakeError
from harvester.lake import inventory, naming
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read
from harvester.lake.schema import INSTANT, WALL_CLOCK
from harvester.model import Level, Period

TABLE = naming.table_name(Level.PLANT, ENERGY_BALANCE.name)
CHANNELS = tuple(naming.channel_column(c.name) for c in ENERGY_BALANCE.channels if c.unit == "W")
"""Columns whose powers add up to an energy; shares and states of charge do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What one plant made and used in one day or month."""

    plant_id: str
    start: date
    """Plant-local day, or the first of the month."""
    wh: Mapping[str, float]
    """By column; one that has no value at all is not in it."""
    changed_at: datetime
    """When the newest of its rows last changed, aware UTC."""
    provisional: bool = False
    """Whether SMA's sum was read while the period ran."""
    minutes: int | None = None
    """Minutes that the summed intervals last; None of SMA's own sums, and where an interval's length is not known."""


@dataclass(frozen=True, slots=True)
class PlantLife:
    """What a lake knows of a plant's days."""

    timezone: str
    start_up: datetime | None
    """Aware UTC."""


class EnergyTables:
    """The tables of energies of one lake at one moment; whoever reads may be anybody. Raises `LakeError`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._days: dict[tuple[int, date], list[Partition]] = {}
        for partition in places.partitions(TABLE):
            if partition.day is not None:
                self._days.setdefault((partition.part, partition.day.replace(day=1)), []).append(partition)
        views = (naming.by_period(TABLE, period) for period in (Period.MONTH, Period.YEAR))
        self._parts = sorted({p.part for view in views for p in places.partitions(view)} | {k[0] for k in self._days})

    @property
    def parts(self) -> Sequence[int]:
        """The parts that have any energy, ascending."""
        return self._parts

    def plants(self) -> dict[str, PlantLife]:
        """Return every plant of the lake by its id."""
        frame = read(self._places.file(Partition("plants", None, 0)))
        if frame is None:
            return {}
        known = frame.select(*(c.name for c in inventory.TABLES["plants"] if c.name in _LIFE))
        return {row["plant_id"]: PlantLife(row["timezone"], row["start_up"]) for row in known.iter_rows(named=True)}

    def from_powers(self, part: int, month: date, plants: Collection[str]) -> list[Energy]:
        """Return the sum of power x length of the intervals of each plant and day of *month*, which is its first day.

        *plants* that are none mean all.
        """
        files = [self._places.file(partition) for partition in self._days.get((part, month), ())]
        hours = pl.col("interval_minutes") / 60
        summed = (
            _scan(files, {"local_time": WALL_CLOCK, "interval_minutes": pl.Int16()}, plants)
            .group_by("plant_id", pl.col("local_time").dt.date().alias("start"))
            .agg(
                *(pl.when(pl.col(c).count() > 0).then((pl.col(c) * hours).sum()).alias(c) for c in CHANNELS),
                pl.col("harvested_at").max(),
                pl.when(pl.col("interval_minutes").is_not_null().all())
                .then(pl.col("interval_minutes").cast(pl.Int64).sum())
                .alias("minutes"),
            )
        )
        return list(_energies(summed, files))

    def by_day(self, part: int, month: date, plants: Collection[str]) -> list[Energy]:
        """Return SMA's sum of each plant and day of *month*, which is its first day."""
        return self._sums(Period.MONTH, part, month, clock.month_after(month), plants)

    def by_month(self, part: int, year: date, plants: Collection[str]) -> list[Energy]:
        """Return SMA's sum of each plant and month of *year*, which is its first day."""
        return self._sums(Period.YEAR, part, year, clock.year_after(year), plants)

    def _sums(self, view: Period, part: int, first: date, end: date, plants: Collection[str]) -> list[Energy]:
        file = self._places.file(Partition(naming.by_period(TABLE, view), None, part, first.year))
        files = [file] if file.exists() else []
        held = pl.col("period_start").is_between(first, end - timedelta(days=1))
        rows = _scan(files, {"period_start": pl.Date(), "provisional": pl.Boolean()}, plants).filter(held)
        return list(_energies(rows.rename({"period_start": "start"}), files))


_LIFE = {"plant_id", "timezone", "start_up"}


def _scan(files: Sequence[Path], keys: Mapping[str, pl.DataType], plants: Collection[str]) -> pl.LazyFrame:
    channels = dict.fromkeys(CHANNELS, pl.Float64())
    schema = pl.Schema({"plant_id": pl.String(), **keys, **channels, "harvested_at": INSTANT})
    if not files:
        return pl.LazyFrame(schema=schema)
    rows = pl.scan_parquet(
        list(files),
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
    )
    return rows.filter(pl.col("plant_id").is_in(list(plants))) if plants else rows


def _energies(rows: pl.LazyFrame, files: Sequence[Path]) -> Iterator[Energy]:
    try:
        frame = rows.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        where = files[0].parent.parent if files else ""
        raise LakeError(f"{where}: not readable as Parquet ({error}). If it is being written to, ask again.") from error
    for row in frame.sort("plant_id", "start").iter_rows(named=True):
        yield Energy(
            plant_id=row["plant_id"],
            start=row["start"],
            wh={channel: value for channel in CHANNELS if (value := row[channel]) is not None},
            changed_at=row["harvested_at"],
            provisional=bool(row.get("provisional")),
            minutes=row.get("minutes"),
        )
