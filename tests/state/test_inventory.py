"""What was ever visible, in a real database: parts that never change, series that come and go."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from harvester.model import Device, Plant, Series
from harvester.state.database import connect
from harvester.state.inventory import Inventory, KnownAlias, KnownDevice, KnownPlant

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
BARN = Plant(
    plant_id="1",
    name="Barn South",
    timezone="Europe/Berlin",
    peak_power=9900.0,
    start_up=datetime(2019, 4, 1, 22, tzinfo=UTC),
    latitude=51.3,
    longitude=9.5,
)
INVERTER = Device(
    device_id="7",
    plant_id="1",
    name="STP 10",
    type="Solar inverter",
    product="STP 10.0-3AV-40",
    product_id=9345,
    vendor="SMA",
    serial="3004711",
    generator_power=9900.0,
    is_active=False,
    deactivated_at=datetime(2025, 3, 1, 12, 30),  # noqa: DTZ001 - plant-local
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an empty database."""
    engine = connect(tmp_path / "ledger.db")
    yield engine
    engine.dispose()


@pytest.fixture
def inventory(engine: Engine) -> Inventory:
    """Return an inventory with three plants in a file."""
    return Inventory(engine, plants_per_file=3)


def plants(*ids: str) -> list[Plant]:
    """Return plants of which little is known."""
    return [Plant(plant_id=plant_id, name=f"plant {plant_id}", timezone="UTC") for plant_id in ids]


def offered(inventory: Inventory, part: int = 0) -> list[str]:
    """Return the series on offer, in words."""
    return [str(known.series) for known in inventory.offered_series(part)]


# Plants -----------------------------------------------------------------------------------------------------


def test_a_plant_comes_back_as_it_was(inventory: Inventory) -> None:
    """All facts of a plant are kept, with when it was seen and that nobody has looked into it yet."""
    inventory.see_plants([BARN], NOW)

    assert inventory.plants() == [KnownPlant(BARN, 0, NOW, NOW, None, None)]


def test_a_bare_plant_comes_back_bare(inventory: Inventory) -> None:
    """What a plant list does not tell stays unknown."""
    (bare,) = plants("1")
    inventory.see_plants([bare], NOW)

    assert inventory.plants()[0].plant == bare


def test_plants_fill_part_after_part(inventory: Inventory) -> None:
    """Plants get parts in the order in which they were first seen, so many to a part."""
    inventory.see_plants(plants("9", "5"), NOW)
    inventory.see_plants(plants("7", "5", "1", "3", "2"), LATER)

    assert [(known.plant.plant_id, known.part) for known in inventory.plants()] == [
        ("9", 0),
        ("5", 0),
        ("7", 0),
        ("1", 1),
        ("3", 1),
        ("2", 1),
    ]


@settings(deadline=None, derandomize=True, max_examples=12)
@given(
    lists=st.lists(st.lists(st.integers(1, 12).map(str), max_size=8), max_size=5),
    sizes=st.lists(st.integers(1, 5), min_size=5),
)
def test_parts_never_change(lists: list[list[str]], sizes: list[int]) -> None:
    """Whatever is listed in whatever order, with whatever number to a file, no plant ever changes its part."""
    places: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(Path(folder) / "ledger.db")
        for ids, size in zip(lists, sizes, strict=False):
            inventory = Inventory(engine, plants_per_file=size)
            inventory.see_plants(plants(*ids), NOW)
            found = {known.plant.plant_id: known.part for known in inventory.plants()}
            assert found.items() >= places.items()
            assert found.keys() == places.keys() | set(ids)
            places = found
        engine.dispose()


def test_a_list_does_not_forget_what_the_detail_told(inventory: Inventory) -> None:
    """A plant list that leaves out what is known changes only what it names, and when it was last seen."""
    inventory.see_plants([BARN], NOW)
    inventory.see_plants([Plant(plant_id="1", name="Barn", timezone="Europe/Vienna")], LATER)

    assert inventory.plants() == [
        KnownPlant(replace(BARN, name="Barn", timezone="Europe/Vienna"), 0, NOW, LATER, None, None)
    ]


def test_a_plant_twice_in_a_list_is_one(inventory: Inventory) -> None:
    """Two owners' lists may hold the same plant; it takes one place."""
    inventory.see_plants(plants("1", "2", "1"), NOW)

    assert [known.plant.plant_id for known in inventory.plants()] == ["1", "2"]


def test_a_plant_that_is_not_listed_stays_known(inventory: Inventory) -> None:
    """Lists without a plant forget nothing of it; since when it is missing, and how often, is counted."""
    inventory.see_plants([BARN], NOW)
    before = inventory.plants()[0]
    inventory.see_plants([], LATER)
    inventory.see_plants(plants("2"), LATER + timedelta(hours=1))

    assert inventory.plants()[0] == replace(before, missing_since=LATER, missing_count=2)
    assert inventory.plants()[1].missing_count == 0


def test_a_plant_that_is_listed_again_is_not_missing(inventory: Inventory) -> None:
    """Once it is listed again nothing is left of its absence, and it counts afresh the next time."""
    inventory.see_plants([BARN], NOW)
    before = inventory.plants()[0]
    inventory.see_plants([], NOW)
    inventory.see_plants([BARN], LATER)
    assert inventory.plants() == [replace(before, last_seen=LATER)]
    inventory.see_plants([], LATER)
    assert inventory.plants() == [replace(before, last_seen=LATER, missing_since=LATER, missing_count=1)]


# Devices and sets -------------------------------------------------------------------------------------------


def test_a_device_comes_back_as_it_was(inventory: Inventory) -> None:
    """All facts of a device are kept, and when its plant was looked into."""
    inventory.see_plants([BARN], NOW)
    inventory.explored(BARN, [INVERTER], {None: ["EnergyBalance"], "7": ["PowerAc"]}, LATER)

    assert inventory.devices() == [KnownDevice(INVERTER, LATER, LATER)]
    assert inventory.plants()[0].explored_at == LATER
    assert offered(inventory) == ["1/EnergyBalance", "1/7/PowerAc"]


def test_a_device_changes_and_keeps_its_first_day(inventory: Inventory) -> None:
    """A device seen again has the newest facts, and when it was first seen."""
    inventory.see_plants([BARN], NOW)
    back = replace(INVERTER, is_active=True, deactivated_at=None, name="STP 10 new")
    inventory.explored(BARN, [INVERTER], {}, NOW)
    inventory.explored(BARN, [back], {}, LATER)

    assert inventory.devices() == [KnownDevice(back, NOW, LATER)]


def test_a_device_may_carry_the_id_of_its_plant(inventory: Inventory) -> None:
    """The same set of a plant and of a device with the plant's id are two series."""
    inventory.see_plants([BARN], NOW)
    twin = replace(INVERTER, device_id="1")
    inventory.explored(BARN, [twin], {None: ["EnergyBalance"], "1": ["EnergyBalance"]}, NOW)

    assert [known.series for known in inventory.offered_series(0)] == [
        Series(plant_id="1", set="EnergyBalance"),
        Series(plant_id="1", device_id="1", set="EnergyBalance"),
    ]


def explore(inventory: Inventory, sets: dict[str | None, Sequence[str] | None], now: datetime = NOW) -> list[str]:
    """Look into the plant and return what it offers."""
    inventory.explored(BARN, [], sets, now)
    return offered(inventory)


def test_sets_go_and_come_again_under_their_number(inventory: Inventory) -> None:
    """A set no longer offered is gone, one offered again is back, and the ledger's number for it is the same."""
    inventory.see_plants([BARN], NOW)
    explore(inventory, {None: ["EnergyBalance"], "7": ["PowerAc", "PowerDc"]})
    before = {known.series: known.series_id for known in inventory.offered_series(0)}

    assert explore(inventory, {None: ["EnergyBalance"], "7": ["PowerDc"]}) == ["1/EnergyBalance", "1/7/PowerDc"]
    assert explore(inventory, {None: ["EnergyBalance"]}) == ["1/EnergyBalance"]
    explore(inventory, {None: ["EnergyBalance"], "7": ["PowerDc", "PowerAc"]})
    assert {known.series: known.series_id for known in inventory.offered_series(0)} == before


def test_sets_that_could_not_be_asked_for_stay(inventory: Inventory) -> None:
    """Where the sets of a device or plant are unknown, what is on offer stays, and what is gone stays gone."""
    inventory.see_plants([BARN], NOW)
    explore(inventory, {None: ["EnergyBalance"], "7": ["PowerAc", "PowerDc"], "8": ["PowerAc"]})
    explore(inventory, {None: ["EnergyBalance"], "7": ["PowerAc"], "8": ["PowerAc"]})

    assert explore(inventory, {None: None, "7": None, "8": []}) == ["1/EnergyBalance", "1/7/PowerAc"]


def test_one_plants_sets_are_not_anothers(inventory: Inventory) -> None:
    """What one plant no longer offers changes no other plant."""
    inventory.see_plants([BARN, *plants("2")], NOW)
    inventory.explored(plants("2")[0], [], {None: ["EnergyBalance"]}, NOW)

    assert explore(inventory, {None: ["GridSettings"]}) == ["1/GridSettings", "2/EnergyBalance"]
    assert explore(inventory, {None: []}) == ["2/EnergyBalance"]


def test_series_are_listed_by_the_part_of_their_plant(inventory: Inventory) -> None:
    """The series of a plant are in the part of the plant, those of other parts apart."""
    inventory.see_plants(plants("1", "2", "3", "4"), NOW)
    for plant in plants("1", "4"):
        inventory.explored(plant, [], {None: ["EnergyBalance"]}, NOW)

    assert (offered(inventory, 0), offered(inventory, 1)) == (["1/EnergyBalance"], ["4/EnergyBalance"])
    assert {known.part for known in inventory.offered_series(1)} == {1}


def test_series_have_names(inventory: Inventory) -> None:
    """Numbers lead back to series, also to those that are gone."""
    inventory.see_plants([BARN], NOW)
    explore(inventory, {None: ["EnergyBalance"], "7": ["PowerAc"]})
    numbers = {known.series_id: known.series for known in inventory.offered_series(0)}
    explore(inventory, {None: []})

    assert inventory.series_named(numbers) == numbers
    assert inventory.series_named([]) == {}


def test_more_names_than_a_statement_can_bind(engine: Engine, inventory: Inventory) -> None:
    """A database that takes as few values in a statement as SQLite does by default is asked in portions."""
    with engine.connect() as db:
        db.connection.driver_connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    inventory.see_plants([BARN], NOW)
    explore(inventory, {None: ["EnergyBalance"]})

    assert [str(series) for series in inventory.series_named(range(40_000)).values()] == ["1/EnergyBalance"]


# Aliases ----------------------------------------------------------------------------------------------------


def test_the_first_redirection_counts(inventory: Inventory) -> None:
    """A redirection is recorded once, with when it was first met; plants and devices are apart."""
    inventory.add_alias("plant", "guid", "1", NOW)
    inventory.add_alias("plant", "guid", "1", LATER)
    inventory.add_alias("device", "guid", "9", LATER)

    assert inventory.aliases() == [KnownAlias("device", "guid", "9", LATER), KnownAlias("plant", "guid", "1", NOW)]
