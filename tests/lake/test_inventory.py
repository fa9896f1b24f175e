"""Master data as tables of the lake."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from harvester.lake.inventory import TABLES, publish_inventory
from harvester.lake.layout import Partition, Places
from harvester.lake.schema import polars_schema
from harvester.model import Device, Plant

FIRST = datetime(2024, 6, 1, 12, tzinfo=UTC)


@dataclass
class PlantSeen:
    """A plant in an inventory."""

    plant: Plant
    first_seen: datetime = FIRST
    last_seen: datetime = FIRST
    withdrawn_at: datetime | None = None


@dataclass
class DeviceSeen:
    """A device in an inventory."""

    device: Device
    first_seen: datetime = FIRST
    last_seen: datetime = FIRST


@dataclass
class Alias:
    """A redirection in an inventory."""

    old_id: str
    new_id: str
    level: str = "plant"
    since: datetime = FIRST


@dataclass
class Inventory:
    """Whatever was seen."""

    seen_plants: list[PlantSeen] = field(default_factory=list)
    seen_devices: list[DeviceSeen] = field(default_factory=list)
    known_aliases: list[Alias] = field(default_factory=list)

    def plants(self) -> list[PlantSeen]:
        """Return the plants."""
        return self.seen_plants

    def devices(self) -> list[DeviceSeen]:
        """Return the devices."""
        return self.seen_devices

    def aliases(self) -> list[Alias]:
        """Return the redirections."""
        return self.known_aliases


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Name a lake that is not there yet."""
    return Places(tmp_path)


def rows(places: Places, table: str) -> pl.DataFrame:
    """Return the rows of a table of master data."""
    return pl.read_parquet(places.file(Partition(table, None, 0)), hive_partitioning=False)


def fleet() -> Inventory:
    """Return two plants, three devices and an alias, in no order."""
    return Inventory(
        [
            PlantSeen(Plant(plant_id="2", name="Süd", timezone="Asia/Kolkata"), withdrawn_at=FIRST),
            PlantSeen(
                Plant(
                    plant_id="1",
                    name="Barn",
                    timezone="Europe/Berlin",
                    peak_power=9900,
                    start_up=FIRST,
                    latitude=51.3,
                    longitude=9.5,
                )
            ),
        ],
        [
            DeviceSeen(Device(device_id="9", plant_id="1", name="STP", product_id=9285, generator_power=9900.0)),
            DeviceSeen(Device(device_id="1", plant_id="1", name="of its plant's id", is_active=False)),
            DeviceSeen(
                Device(
                    device_id="5",
                    plant_id="2",
                    name="old",
                    serial="30",
                    deactivated_at=datetime(2024, 5, 1),  # noqa: DTZ001 - plant-local
                )
            ),
        ],
        [Alias("old", "new")],
    )


def test_everything_is_there(places: Places) -> None:
    """Plants, devices and aliases are written with all their facts, sorted by id."""
    assert publish_inventory(places, fleet()) == 3

    plants, devices = rows(places, "plants"), rows(places, "devices")
    assert plants.row(0) == ("1", "Barn", "Europe/Berlin", 9900.0, FIRST, 51.3, 9.5, FIRST, FIRST, None)
    assert plants.row(1) == ("2", "Süd", "Asia/Kolkata", None, None, None, None, FIRST, FIRST, FIRST)
    assert devices.get_column("device_id").to_list() == ["1", "5", "9"]
    assert devices.get_column("deactivated_at").to_list() == [None, datetime(2024, 5, 1), None]  # noqa: DTZ001 - likewise
    assert rows(places, "aliases").rows() == [("plant", "old", "new", FIRST)]


@pytest.mark.parametrize("table", TABLES)
def test_columns_and_metadata(places: Places, table: str) -> None:
    """The columns are those declared, each with its description, also where there is no row."""
    publish_inventory(places, Inventory())
    path = places.file(Partition(table, None, 0))

    assert rows(places, table).schema == polars_schema(TABLES[table])
    assert all(field.metadata[b"description"] for field in pq.read_schema(path))
    assert duckdb.sql(f"FROM '{path}'").fetchall() == []


def test_nothing_new_writes_nothing(places: Places) -> None:
    """The same inventory again, or seen a little later, leaves the files as they are."""
    publish_inventory(places, fleet())
    before = {p: places.file(p).stat().st_mtime_ns for p in places.partitions()}
    later = fleet()
    later.seen_plants.reverse()
    for seen in [*later.seen_plants, *later.seen_devices]:
        seen.last_seen = FIRST + timedelta(hours=23)

    assert publish_inventory(places, later) == 0
    assert {p: places.file(p).stat().st_mtime_ns for p in places.partitions()} == before


def test_last_seen_moves_by_the_day(places: Places) -> None:
    """Seen a day later, the moment is written; of one plant is enough."""
    publish_inventory(places, fleet())
    later = fleet()
    later.seen_plants[0].last_seen = FIRST + timedelta(days=1)

    assert publish_inventory(places, later) == 1
    assert rows(places, "plants").get_column("last_seen").to_list() == [FIRST, FIRST + timedelta(days=1)]


def test_a_change_is_written_at_once(places: Places) -> None:
    """A new name, a withdrawal, a new device or alias is written whenever it is seen."""
    publish_inventory(places, fleet())
    later = fleet()
    later.seen_plants[0].withdrawn_at = None
    later.seen_devices.append(DeviceSeen(Device(device_id="6", plant_id="2", name="new")))
    later.known_aliases.append(Alias("a", "b", level="device"))

    assert publish_inventory(places, later) == 3
    assert rows(places, "plants").get_column("withdrawn_at").to_list() == [None, None]
    assert rows(places, "devices").height == 4
    assert rows(places, "aliases").get_column("level").to_list() == ["device", "plant"]


def test_a_file_of_an_older_version(places: Places) -> None:
    """A file that lacks a column is written anew."""
    publish_inventory(places, fleet())
    path = places.file(Partition("plants", None, 0))
    rows(places, "plants").drop("latitude").write_parquet(path)

    assert publish_inventory(places, fleet()) == 1
    assert rows(places, "plants").schema == polars_schema(TABLES["plants"])
