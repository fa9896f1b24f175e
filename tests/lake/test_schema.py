"""Schemas: the columns of the contract, in order, with their types, units and descriptions."""

import polars as pl
import pyarrow as pa
import pytest

from harvester.catalog import SETS
from harvester.lake import naming, schema
from harvester.lake.schema import Shape
from harvester.model import Level

OPENING = {
    "time": pl.Datetime("us", "UTC"),
    "local_time": pl.Datetime("us"),
    "interval_minutes": pl.Int16(),
}
CLOSING = {"other": pl.String(), "harvested_at": pl.Datetime("us", "UTC")}


def build(level: Level, name: str, **extra: Shape) -> schema.TableSchema:
    """Return the schema of set *name* with *extra* channels that are their own columns."""
    return schema.build(level, name, naming.table_name(level, name), {(c, s): c for c, s in extra.items()})


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("level", Level)
def test_columns_of_the_contract(level: Level, name: str) -> None:
    """Ids, time, local time, interval, channels in catalogue order, other, harvested at; nothing else."""
    ids = {"plant_id": pl.String()} | ({"device_id": pl.String()} if level is Level.DEVICE else {})
    channels = {naming.channel_column(c.name): pl.Float64() for c in SETS[name].channels if not c.array}

    found = schema.polars_schema(build(level, name).columns)

    assert list(found.items()) == list((ids | OPENING | channels | CLOSING).items())


@pytest.mark.parametrize("name", SETS)
def test_companions_of_the_contract(name: str) -> None:
    """Arrays go to a companion with an index and without `other`; a set without arrays has none."""
    arrays = {naming.channel_column(c.name): pl.Float64() for c in SETS[name].channels if c.array}
    ids = {"plant_id": pl.String(), "device_id": pl.String()}
    expected = ids | OPENING | {"index": pl.String()} | arrays | {"harvested_at": pl.Datetime("us", "UTC")}

    found = schema.polars_schema(build(Level.DEVICE, name).index_columns)

    assert list(found.items()) == (list(expected.items()) if arrays else [])


def test_extra_channels_follow_the_documented_ones() -> None:
    """Channels found on the wire come after those of the catalogue, in the order they were found."""
    table = build(Level.DEVICE, "PowerDc", zeta=Shape.SCALAR, alpha=Shape.SCALAR, gamma=Shape.ARRAY)

    assert [c.name for c in table.scalars] == ["isolation_resistance", "zeta", "alpha"]
    assert [c.name for c in table.arrays][-1] == "gamma"
    assert table.names["zeta", Shape.SCALAR] == "zeta"


def test_an_extra_channel_that_is_documented_adds_nothing() -> None:
    """A recorded channel that the catalogue has come to know keeps the catalogue's column."""
    table = schema.build(Level.DEVICE, "Sensor", "device_sensor", {("windSpeed", Shape.SCALAR): "x_old"})

    assert [c.name for c in table.scalars][-1] == "wind_speed"
    assert "x_old" not in table.names.values()


def test_series_keys() -> None:
    """A series is a plant, or a device of a plant."""
    assert build(Level.PLANT, "EnergyBalance").series_key == ("plant_id",)
    assert build(Level.DEVICE, "PowerAc").series_key == ("plant_id", "device_id")


def test_units_and_descriptions_are_in_the_metadata() -> None:
    """Every field is described; a channel's has its unit and SMA's name of it."""
    arrow = schema.arrow_schema(build(Level.DEVICE, "Sensor").columns, {"harvester_format": "1"})
    wind = arrow.field("wind_speed").metadata

    assert wind == {b"description": b"Wind speed.", b"unit": b"m/s", b"sma_channel": b"windSpeed"}
    assert all(arrow.field(name).metadata[b"description"] for name in arrow.names)
    assert arrow.metadata == {b"harvester_format": b"1"}


def test_arrow_types() -> None:
    """The Arrow types are those of the contract: local time alone has no zone."""
    arrow = schema.arrow_schema(build(Level.DEVICE, "Sensor").columns, {})

    assert arrow.field("time").type == pa.timestamp("us", tz="UTC")
    assert arrow.field("local_time").type == pa.timestamp("us")
    assert arrow.field("interval_minutes").type == pa.int16()
    assert arrow.field("wind_speed").type == pa.float64()
    assert arrow.field("harvested_at").type == pa.timestamp("us", tz="UTC")


def test_revisions() -> None:
    """The table of revisions names table, row, channel, both values and when the new one became known."""
    names = ["table", "plant_id", "device_id", "time", "index", "channel", "old", "new", "known_at"]

    assert schema.polars_schema(schema.REVISION_COLUMNS).names() == names
