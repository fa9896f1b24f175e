"""Files that lack columns get them, one by one; and what is wrong with a lake is found."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from running import accept_all, backfilled, command, configured, environment
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.lake.check import Finding, check
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read, write
from harvester.lake.registry import Registry
from harvester.lake.schema import Shape, polars_schema
from harvester.lake.upgrade import upgrade
from harvester.model import Level
from harvester.sandbox import Settings, serving

DAY = date(2026, 6, 1)
NOON = datetime.fromisoformat("2026-06-01T10:00:00Z")


def lake_of(folder: Path, *, files: int = 3) -> tuple[Places, Registry]:
    """Return a lake with one row in each of some days' files of one table."""
    places, registry = Places(folder), Registry(Places(folder).registry)
    for number in range(files):
        put(places, registry, number, [row(number)])
    return places, registry


def row(day: int, plant: str = "1", minute: int = 0) -> dict[str, object]:
    """Return a row of the day with that number."""
    time = NOON + timedelta(days=day, minutes=minute)
    local = (time + timedelta(hours=2)).replace(tzinfo=None)
    return {"plant_id": plant, "time": time, "local_time": local, "interval_minutes": 5, "harvested_at": NOON}


def put(places: Places, registry: Registry, day: int, rows: list[dict[str, object]]) -> Path:
    """Write *rows* as the file of the day with that number."""
    columns = registry.table(Level.PLANT, "EnergyBalance").columns
    path = places.file(Partition("plant_energy_balance", DAY + timedelta(days=day), 0))
    write(path, pl.DataFrame(rows, schema=polars_schema(columns)), columns)
    return path


def test_files_that_lack_a_column_get_it(tmp_path: Path) -> None:
    """Null in every row, in the contract's order, everything else as it was; a second time nothing is to do."""
    places, registry = lake_of(tmp_path)
    learned = registry.learn(registry.table(Level.PLANT, "EnergyBalance"), [("novelty", Shape.SCALAR)])
    put(places, registry, 1, [{**row(1), "novelty": 7.0}])
    before = read(places.file(places.partitions()[0]))
    done = list(upgrade(places, registry))
    held = [read(places.file(partition)) for partition in places.partitions()]

    assert [(each.partition.day, each.added) for each in done] == [
        (DAY, ("novelty",)),
        (DAY + timedelta(days=2), ("novelty",)),
    ]
    assert all(frame is not None and frame.columns == [c.name for c in learned.columns] for frame in held)
    assert [frame.get_column("novelty").to_list() for frame in held if frame is not None] == [[None], [7.0], [None]]
    assert held[0] is not None
    assert before is not None
    assert held[0].drop("novelty").equals(before)
    assert list(upgrade(places, registry)) == []


def test_an_interrupted_upgrade_goes_on(tmp_path: Path) -> None:
    """What one began another ends; files that are done are not written again."""
    places, registry = lake_of(tmp_path, files=4)
    registry.learn(registry.table(Level.PLANT, "EnergyBalance"), [("novelty", Shape.SCALAR)])
    first = next(upgrade(places, registry))
    written = places.file(first.partition).stat().st_mtime_ns
    rest = list(upgrade(places, registry))

    assert len(rest) == 3
    assert first.partition not in {each.partition for each in rest}
    assert places.file(first.partition).stat().st_mtime_ns == written


def test_a_column_that_the_registry_forgot_is_kept(tmp_path: Path) -> None:
    """A file that holds more than the contract, and lacks something of it, loses nothing."""
    places, registry = lake_of(tmp_path, files=0)
    registry.learn(registry.table(Level.PLANT, "EnergyBalance"), [("forgotten", Shape.SCALAR)])
    path = put(places, registry, 0, [{**row(0), "forgotten": 3.0}])
    places.registry.unlink()
    other = Registry(places.registry)
    other.learn(other.table(Level.PLANT, "EnergyBalance"), [("novelty", Shape.SCALAR)])
    list(upgrade(places, other))
    held = read(path)

    assert held is not None
    assert held.select("forgotten", "novelty").rows() == [(3.0, None)]


def test_an_unreadable_file_is_told_and_left(tmp_path: Path) -> None:
    """The others are upgraded all the same."""
    places, registry = lake_of(tmp_path, files=2)
    spoiled = places.file(places.partitions()[0])
    spoiled.write_bytes(b"PAR1 no more")
    registry.learn(registry.table(Level.PLANT, "EnergyBalance"), [("novelty", Shape.SCALAR)])
    done = list(upgrade(places, registry))

    assert [bool(each.problem) for each in done] == [True, False]
    assert spoiled.read_bytes() == b"PAR1 no more"


def _doubled(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(0), row(0)])


def _unsorted(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(0, "2"), row(0, "1")])


def _misplaced(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(5)])


def _unreadable(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(0)]).write_bytes(b"nothing")


def _unknown_column(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(0)])
    path = places.file(places.partitions()[0])
    pl.read_parquet(path).with_columns(stray=1.0).write_parquet(path)


def _wrong_type(places: Places, registry: Registry) -> None:
    path = put(places, registry, 0, [row(0)])
    pl.read_parquet(path).with_columns(pl.col("interval_minutes").cast(pl.Int64)).write_parquet(path)


def _keyless(places: Places, registry: Registry) -> None:
    path = put(places, registry, 0, [row(0)])
    pl.read_parquet(path).drop("time").write_parquet(path)


def _foreign(places: Places, registry: Registry) -> None:
    put(places, registry, 0, [row(0)]).with_name("part-0.parquet").touch()


def _unknown_table(places: Places, registry: Registry) -> None:
    path = put(places, registry, 0, [row(0)])
    target = places.file(Partition("plant_of_nobody", DAY, 0))
    target.parent.mkdir(parents=True)
    path.rename(target)


def _damaged_pack(places: Places, registry: Registry) -> None:
    pack = places.raw / "t" / "week=2026-06-01" / f"part-00000-{'0' * 16}.pack"
    pack.parent.mkdir(parents=True)
    pack.write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (_doubled, "2 rows share their key"),
        (_unsorted, "not sorted by plant_id, time"),
        (_misplaced, "1 rows belong into another file"),
        (_unreadable, "not readable as Parquet"),
        (_unknown_column, "neither catalogue nor registry names: stray"),
        (_wrong_type, "another type than the contract's: interval_minutes"),
        (_keyless, "key columns are missing: time"),
        (_foreign, "not a file of the lake"),
        (_unknown_table, "a table that neither"),
        (_damaged_pack, "cannot be read"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, spoil: Callable[[Places, Registry], None], what: str) -> None:
    """Each defect is one finding that names the file and the defect."""
    places, registry = lake_of(tmp_path, files=0)
    spoil(places, registry)
    found = list(check(places, registry))

    assert [what in finding.what for finding in found] == [True]
    assert (tmp_path / found[0].path).exists()


def test_what_a_writer_has_not_finished_is_no_defect(tmp_path: Path) -> None:
    """Neither a temporary file nor a file that lacks a later column is one."""
    places, registry = lake_of(tmp_path)
    places.file(places.partitions()[0]).with_name(".part-00000.parquet.0a.tmp").touch()
    registry.learn(registry.table(Level.PLANT, "EnergyBalance"), [("novelty", Shape.SCALAR)])

    assert list(check(places, registry)) == list[Finding]()


async def test_a_harvested_lake_keeps_the_contract_before_and_after_an_upgrade(tmp_path: Path) -> None:
    """The commands: nothing found, nothing to upgrade; a lost column comes back; what is foreign ends with 3."""
    async with serving(Settings(plants=2, devices=3)) as running:
        accept_all(running)
        config, env = configured(running, tmp_path), environment(running, tmp_path)
        await backfilled(config, DAY, DAY)
        path = Places(config.lake.root).file(Partition("plant_energy_balance", DAY, 0))
        first = await command(env, "lake", "check", "--check", "--json")
        frame = pl.read_parquet(path)
        frame.drop("other").write_parquet(path)
        upgraded = await command(env, "lake", "upgrade", "--json")
        again = await command(env, "lake", "upgrade", "--json")
        (config.lake.root / "notes.txt").touch()
        last = await command(env, "lake", "check", "--check", "--json")
        truth = truth_tables(running.cloud, days(DAY, DAY))

    assert (first.code, first.json) == (0, [])
    assert upgraded.json["rewritten"] == [
        {"file": str(path.relative_to(config.lake.root)), "added": ["other"]},
    ]
    assert again.json == {"rewritten": [], "unreadable": []}
    assert (last.code, [finding["path"] for finding in last.json]) == (3, ["notes.txt"])
    assert differences(lake_tables(config.lake.root), truth) == []
