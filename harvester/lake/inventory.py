"""Master data as tables of the lake: plants, devices, and the aliases of migrated ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read, write
from harvester.lake.schema import DEVICE_ID, INSTANT, PLANT_ID, WALL_CLOCK, Column, polars_schema
from harvester.model import Device, Plant

_SEEN_AGAIN = timedelta(days=1)
"""`last_seen` alone is worth a new file only once it has moved by this much."""

_FIRST_SEEN = Column("first_seen", INSTANT, "UTC", "When it was first listed.")
_LAST_SEEN = Column("last_seen", INSTANT, "UTC", "When it was last listed, to within a day.")
_NAME = Column("name", pl.String(), "", "Name given by the owner.")

TABLES: Mapping[str, tuple[Column, ...]] = {
    "plants": (
        PLANT_ID,
        _NAME,
        Column("timezone", pl.String(), "", "IANA name of the zone of the plant's wall clock."),
        Column("peak_power", pl.Float64(), "W", "Installed DC power."),
        Column("start_up", INSTANT, "UTC", "Commissioning."),
        Column("latitude", pl.Float64(), "°", "North."),
        Column("longitude", pl.Float64(), "°", "East."),
        _FIRST_SEEN,
        _LAST_SEEN,
        Column("withdrawn_at", INSTANT, "UTC", "When the owner's consent ended; null while it holds."),
    ),
    "devices": (
        DEVICE_ID,
        PLANT_ID,
        _NAME,
        Column("type", pl.String(), "", "SMA's product family in words."),
        Column("product", pl.String(), "", "Product name."),
        Column("product_id", pl.Int64(), "", "SMA's number of the product."),
        Column("vendor", pl.String(), "", "Manufacturer."),
        Column("serial", pl.String(), "", "Serial number; not unique."),
        Column("generator_power", pl.Float64(), "W", "Nominal power; PV inverters only."),
        Column("is_active", pl.Boolean(), "", "Whether the device is in service."),
        Column("deactivated_at", WALL_CLOCK, "plant-local", "From when on it delivers nothing more."),
        _FIRST_SEEN,
        _LAST_SEEN,
    ),
    "aliases": (
        Column("level", pl.String(), "", "Whose id it is: `plant` or `device`."),
        Column("old_id", pl.String(), "", "Id before the migration."),
        Column("new_id", pl.String(), "", "Id that SMA redirects to."),
        Column("since", INSTANT, "UTC", "When the redirection was first met."),
    ),
}
"""Master data tables and their columns."""


class SeenPlant(Protocol):
    """A plant and when it was seen."""

    @property
    def plant(self) -> Plant: ...  # noqa: D102 - the name says it
    @property
    def first_seen(self) -> datetime: ...  # noqa: D102
    @property
    def last_seen(self) -> datetime: ...  # noqa: D102
    @property
    def withdrawn_at(self) -> datetime | None: ...  # noqa: D102


class SeenDevice(Protocol):
    """A device and when it was seen."""

    @property
    def device(self) -> Device: ...  # noqa: D102
    @property
    def first_seen(self) -> datetime: ...  # noqa: D102
    @property
    def last_seen(self) -> datetime: ...  # noqa: D102


class SeenAlias(Protocol):
    """A redirection from one id to another."""

    @property
    def level(self) -> str: ...  # noqa: D102
    @property
    def old_id(self) -> str: ...  # noqa: D102
    @property
    def new_id(self) -> str: ...  # noqa: D102
    @property
    def since(self) -> datetime: ...  # noqa: D102


class Seen(Protocol):
    """Whoever keeps the inventory."""

    def plants(self) -> Sequence[SeenPlant]:
        """Return every plant ever seen."""

    def devices(self) -> Sequence[SeenDevice]:
        """Return every device ever seen."""

    def aliases(self) -> Sequence[SeenAlias]:
        """Return every redirection ever met."""


def publish_inventory(places: Places, seen: Seen) -> int:
    """Bring the master data tables up to date and return how many files were written; raises `LakeError`."""
    rows: dict[str, list[dict[str, object]]] = {
        "plants": [
            {
                **asdict(p.plant),
                "first_seen": p.first_seen,
                "last_seen": p.last_seen,
                "withdrawn_at": p.withdrawn_at,
            }
            for p in seen.plants()
        ],
        "devices": [{**asdict(d.device), "first_seen": d.first_seen, "last_seen": d.last_seen} for d in seen.devices()],
        "aliases": [
            {"level": a.level, "old_id": a.old_id, "new_id": a.new_id, "since": a.since} for a in seen.aliases()
        ],
    }
    return sum(_publish(places, table, found) for table, found in rows.items())


def _publish(places: Places, table: str, rows: Iterable[dict[str, object]]) -> int:
    columns = TABLES[table]
    frame = pl.DataFrame(list(rows), schema=polars_schema(columns), orient="row").sort(columns[0].name, columns[1].name)
    path = places.file(Partition(table, None, 0))
    if not _differs(read(path), frame):
        return 0
    write(path, frame, columns)
    return 1


def _differs(old: pl.DataFrame | None, new: pl.DataFrame) -> bool:
    if old is None:
        return True
    if "last_seen" not in new.columns:
        return not old.equals(new)
    if not old.drop("last_seen", strict=False).equals(new.drop("last_seen")):
        return True
    moved = (new.get_column("last_seen") - old.get_column("last_seen")).max()
    return isinstance(moved, timedelta) and moved >= _SEEN_AGAIN
