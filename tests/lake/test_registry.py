"""The registry: what no document told of is recorded before any file holds it, and for ever."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.catalog import SETS
from harvester.errors import LakeError
from harvester.lake import naming
from harvester.lake.registry import Registry
from harvester.lake.schema import Shape
from harvester.model import Level


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a registry that is not there yet."""
    return tmp_path / "_harvester" / "registry.json"


def test_documented_tables_need_no_registry(path: Path) -> None:
    """What the catalogue knows is not recorded."""
    registry = Registry(path)
    found = [registry.table(level, s.name).table for s in SETS.values() for level in s.levels]
    views = ("_daily", "_monthly", "_yearly")

    assert sorted(found) == [table.table for table in registry.tables() if not table.table.endswith(views)]
    assert not path.exists()


def test_a_new_set_is_recorded_at_once(path: Path) -> None:
    """A set in no document is on disk, with SMA's name, as soon as its table is asked for."""
    table = Registry(path).table(Level.DEVICE, "HeatPump")

    assert table.table == "device_heat_pump"
    assert json.loads(path.read_bytes())["tables"]["device_heat_pump"]["set"] == "HeatPump"
    assert "device_heat_pump" in [t.table for t in Registry(path).tables()]


def test_a_new_channel_is_recorded_at_once(path: Path) -> None:
    """A channel in no document is on disk, with SMA's name, before the schema with it is returned."""
    registry = Registry(path)
    table = registry.learn(registry.table(Level.DEVICE, "Sensor"), [("Größe", Shape.SCALAR)])
    column = table.names["Größe", Shape.SCALAR]

    assert column.startswith("x_")
    assert json.loads(path.read_bytes())["tables"]["device_sensor"]["channels"] == [
        {"name": "Größe", "shape": "scalar", "column": column}
    ]
    assert Registry(path).table(Level.DEVICE, "Sensor") == table


def test_known_channels_change_nothing(path: Path) -> None:
    """To meet a channel again records nothing and writes nothing."""
    registry = Registry(path)
    table = registry.learn(registry.table(Level.DEVICE, "Sensor"), [("a", Shape.SCALAR)])
    before = path.stat().st_mtime_ns
    again = registry.learn(table, [("a", Shape.SCALAR), ("windSpeed", Shape.SCALAR)])

    assert again == table
    assert path.stat().st_mtime_ns == before


def test_an_outdated_schema_learns_only_what_is_new(path: Path) -> None:
    """A channel that another answer has brought meanwhile is not recorded twice."""
    registry = Registry(path)
    outdated = registry.table(Level.DEVICE, "Sensor")
    registry.learn(outdated, [("a", Shape.SCALAR)])
    table = registry.learn(outdated, [("a", Shape.SCALAR), ("b", Shape.SCALAR)])

    assert [column.name for column in table.scalars[-2:]] == ["a", "b"]
    assert len(json.loads(path.read_bytes())["tables"]["device_sensor"]["channels"]) == 2


def test_a_channel_in_both_shapes_has_two_columns(path: Path) -> None:
    """A channel that comes as a number and as an array goes to both tables."""
    registry = Registry(path)
    found = [("windSpeed", Shape.ARRAY), ("gust", Shape.SCALAR), ("gust", Shape.ARRAY)]
    table = registry.learn(registry.table(Level.DEVICE, "Sensor"), found)

    assert [column.name for column in table.arrays] == ["wind_speed", "gust"]
    assert [column.name for column in table.scalars][-2:] == ["wind_speed", "gust"]


def test_sets_that_would_share_a_table(path: Path) -> None:
    """A set whose table is taken gets one of its own, the same after a restart."""
    registry = Registry(path)
    names = ["HeatPump", "heat_pump", "heatPump", "Power_ac"]
    tables = [registry.table(Level.DEVICE, name).table for name in names]

    assert tables[0] == "device_heat_pump"
    assert len({*tables, "device_power_ac"}) == 5
    assert [Registry(path).table(Level.DEVICE, name).table for name in reversed(names)] == tables[::-1]


NAMES = st.sampled_from(
    ["a", "A", "aB", "a_b", "aB_", "a_B", "time_", "index", "indexValue", "é", "windSpeed", "wind_speed"]
)


@given(st.lists(st.lists(st.tuples(NAMES | st.text(max_size=4), st.sampled_from(Shape)), max_size=4), max_size=3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_no_two_channels_share_a_column(
    tmp_path_factory: pytest.TempPathFactory, portions: list[list[tuple[str, Shape]]]
) -> None:
    """Whatever channels come, each shape of each keeps one column that no other has, also after a restart."""
    path = tmp_path_factory.mktemp("registry") / "registry.json"
    registry = Registry(path)
    table = registry.table(Level.DEVICE, "Sensor")
    for portion in portions:
        known = dict(table.names)
        table = registry.learn(table, portion)

        assert {key: table.names[key] for key in known} == known
    for columns in (table.columns, table.index_columns):
        names = [column.name for column in columns]

        assert len(set(names)) == len(names)
    assert {channel for portion in portions for channel in portion} <= set(table.names)
    assert Registry(path).table(Level.DEVICE, "Sensor") == table


def test_a_name_that_is_the_hash_of_another(path: Path) -> None:
    """A channel that is called like the hash of another does not share its column."""
    registry = Registry(path)
    found = [(naming.hashed("é"), Shape.SCALAR), ("é", Shape.SCALAR)]
    table = registry.learn(registry.table(Level.DEVICE, "Sensor"), found)

    assert len({table.names[channel] for channel in found}) == 2


def test_what_could_not_be_written_is_not_known(path: Path) -> None:
    """Where the registry cannot be written nothing is learned; tried again, the channel gets its plain column."""
    registry = Registry(path)
    table = registry.table(Level.DEVICE, "Sensor")
    path.parent.write_bytes(b"a file where the folder belongs")
    for _ in range(2):
        with pytest.raises(LakeError):
            registry.learn(table, [("a", Shape.SCALAR)])
        with pytest.raises(LakeError):
            registry.table(Level.DEVICE, "HeatPump")
    path.parent.unlink()

    assert registry.learn(table, [("a", Shape.SCALAR)]).names["a", Shape.SCALAR] == "a"
    assert registry.table(Level.DEVICE, "HeatPump").table == "device_heat_pump"
    assert len(json.loads(path.read_bytes())["tables"]["device_sensor"]["channels"]) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"tables":{"t":{"level":"moon","set":"x"}}}'])
def test_a_spoiled_registry_is_refused(path: Path, content: bytes) -> None:
    """A registry that cannot be read is refused by name, and left as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LakeError, match=r"registry\.json: the registry of tables cannot be read"):
        Registry(path)

    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_two_that_learn_side_by_side(path: Path) -> None:
    """Daemons that share a lake each keep what the other has learned meanwhile, tables and channels."""
    one, other = Registry(path), Registry(path)
    first = one.table(Level.DEVICE, "HeatPump")
    other.table(Level.DEVICE, "WindTurbine")
    one.learn(first, [("flowTemperature", Shape.SCALAR)])
    other.learn(other.table(Level.DEVICE, "HeatPump"), [("returnTemperature", Shape.SCALAR)])
    known = {table.table: table for table in Registry(path).tables()}

    assert {"device_heat_pump", "device_wind_turbine"} <= set(known)
    assert {name for name, _ in known["device_heat_pump"].names} == {"flowTemperature", "returnTemperature"}
