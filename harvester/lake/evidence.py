"""What a lake tells of plants, devices, series and days, for a ledger that was lost. Reads, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import groupby
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import LakeError
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read
from harvester.lake.registry import Registry
from harvester.lake.schema import TableSchema
from harvester.model import Device, Plant, Series


@dataclass(frozen=True, slots=True)
class Listed:
    """A plant or device of the master data tables."""

    what: Plant | Device
    first_seen: datetime
    last_seen: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Alias:
    """A redirection of the table `aliases`."""

    level: str
    old_id: str
    new_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class DayRows:
    """The rows of one series and plant-local day."""

    series: Series
    """By the ids that the rows carry."""
    day: date
    rows: int
    changed_at: datetime
    """When the newest of them came or changed, aware UTC."""


def listed(places: Places) -> Iterator[Listed]:
    """Yield every plant, and then every device, of the master data; raises `LakeError`."""
    for table, kind in (("plants", Plant), ("devices", Device)):
        names = {field.name for field in fields(kind)}
        for row in _master(places, table):
            facts: dict[str, Any] = {name: value for name, value in row.items() if name in names}
            yield Listed(kind(**facts), row["first_seen"], row["last_seen"], row.get("withdrawn_at"))


def aliases(places: Places) -> Iterator[Alias]:
    """Yield every redirection of the master data; raises `LakeError`."""
    for row in _master(places, "aliases"):
        yield Alias(row["level"], row["old_id"], row["new_id"], row["since"])


def day_rows(places: Places, registry: Registry) -> Iterator[tuple[int, list[DayRows]]]:
    """Count the rows of every series and day, a part and month of a table at a time; raises `LakeError`."""
    for table in registry.tables():
        if table.period is None:
            days = sorted((p.part, p.day, p) for p in places.partitions(table.table) if p.day is not None)
            for (part, _), some in groupby(days, key=lambda each: (each[0], each[1].replace(day=1))):
                yield part, [found for _, _, partition in some for found in _counted(places, partition, table)]


def _counted(places: Places, partition: Partition, table: TableSchema) -> Iterator[DayRows]:
    assert partition.day is not None  # noqa: S101 - asked for tables by day alone
    path, key = places.file(partition), list(table.series_key)
    try:
        frame = pl.from_arrow(pq.read_table(path, columns=[*key, "harvested_at"], partitioning=None))
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"{path}: not readable as Parquet ({error}). Move it away and begin again.") from error
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - of a table, not of a column
    grouped = frame.group_by(key, maintain_order=True).agg(pl.len(), pl.col("harvested_at").max())
    for *ids, rows, changed_at in grouped.rows():
        device_id = ids[1] if len(ids) > 1 else None
        series = Series(plant_id=ids[0], device_id=device_id, set=table.set)
        yield DayRows(series, partition.day, rows, changed_at)


def _master(places: Places, table: str) -> Sequence[dict[str, Any]]:
    frame = read(places.file(Partition(table, None, 0)))
    return [] if frame is None else frame.to_dicts()
