"""Names of tables and columns: SQL is written against them, so each rule is pinned."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.catalog import SETS
from harvester.lake import naming
from harvester.model import Level

FIXED = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pvGeneration", "pv_generation"),
        ("voltagePhaseA2B", "voltage_phase_a2b"),
        ("EnergyAndPowerPv", "energy_and_power_pv"),
        ("PowerAC", "power_ac"),
        ("ABCDef", "abcdef"),
        ("plain", "plain"),
        ("already_snake", "already_snake"),
        ("dc1Power", "dc1power"),
    ],
)
def test_snake(name: str, expected: str) -> None:
    """An underscore goes between a lower-case letter and a capital, nowhere else."""
    assert naming.snake(name) == expected


@pytest.mark.parametrize("name", ["", "1st", "_date", "a b", "a-b", "Größe", "x" * 65, "a\n", "é", "a.b", "+"])
def test_odd_names_are_hashed(name: str) -> None:
    """What is no plain identifier becomes `x_` and twelve hexadecimal digits, the same every time."""
    assert re.fullmatch(r"x_[0-9a-f]{12}", naming.plain(name))
    assert naming.plain(name) == naming.plain(name)


def test_hash_is_pinned() -> None:
    """The hash of a name never changes between versions: columns in old files are named by it."""
    assert naming.plain("Größe") == "x_aedc3f80989a"


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("plantId", "plant_id_value"),
        ("deviceId", "device_id_value"),
        ("Time", "time_value"),
        ("localTime", "local_time_value"),
        ("intervalMinutes", "interval_minutes_value"),
        ("index", "index_value"),
        ("other", "other_value"),
        ("harvestedAt", "harvested_at_value"),
        ("date", "date_value"),
        ("Year", "year_value"),
        ("harvested", "harvested"),
    ],
)
def test_a_channel_never_takes_a_column_of_ours(channel: str, expected: str) -> None:
    """A channel that collides with a column of our own gets `_value`."""
    assert naming.channel_column(channel) == expected


@pytest.mark.parametrize(
    ("level", "measurement_set", "expected"),
    [
        (Level.PLANT, "EnergyBalance", "plant_energy_balance"),
        (Level.DEVICE, "PowerAc", "device_power_ac"),
        (Level.DEVICE, "Sensor", "device_sensor"),
        (Level.PLANT, "SomethingNew", "plant_something_new"),
    ],
)
def test_table_names(level: Level, measurement_set: str, expected: str) -> None:
    """A table is named after level and set."""
    assert naming.table_name(level, measurement_set) == expected


@pytest.mark.parametrize("name", ["PowerDc_by_index", "energy_daily", "energy_monthly", "energy_yearly"])
def test_a_set_never_takes_the_name_of_a_companion(name: str) -> None:
    """A set whose name ends like a companion or period table gets a hashed table."""
    assert re.fullmatch(r"device_x_[0-9a-f]{12}", naming.table_name(Level.DEVICE, name))


@pytest.mark.parametrize("name", SETS)
def test_documented_channels_do_not_collide(name: str) -> None:
    """No two documented channels of a set share a column, and none is hashed."""
    columns = [naming.channel_column(channel.name) for channel in SETS[name].channels]

    assert len(set(columns)) == len(columns)
    assert not any(column.startswith("x_") for column in columns)


@given(st.text())
@FIXED
def test_every_name_is_an_identifier(name: str) -> None:
    """Whatever SMA calls a channel, its column is a plain identifier and none of ours."""
    column = naming.channel_column(name)

    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", column)
    assert column not in {*naming.KEY_COLUMNS, *naming.CLOSING_COLUMNS}


@given(st.text())
@FIXED
def test_snake_is_stable(name: str) -> None:
    """A name that is plain already stays as it is."""
    column = naming.plain(name)

    assert naming.plain(column) == column
