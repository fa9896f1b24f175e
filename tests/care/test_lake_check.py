"""`lake check` on a lake that somebody put files into: each is named, none is taken for data, none is touched."""

import asyncio
import shutil
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from running import accept_all, backfilled, command, configured, environment

from harvester.lake.layout import Places
from harvester.lake.measure import measure
from harvester.sandbox import Settings, serving

DAY = date(2026, 6, 1)
NOWHERE: Any = SimpleNamespace(url="http://127.0.0.1:9")
"""A cloud that is not asked."""
ALIEN = (
    "notes.txt",
    "part-00000.parquet",
    "Plants/part-00000.parquet",
    f"plant_energy_balance/date={DAY}/part-0.parquet",
    f"plant_energy_balance/date={DAY}/part-00000.parquet.bak",
    f"plant_energy_balance/date={DAY}/copy of part-00000.parquet",
    "plant_energy_balance/date=2026-13-01/part-00000.parquet",
    f"elsewhere/plant_energy_balance/date={DAY}/part-00000.parquet",
)
"""Where a file is no partition, though it is whole and holds rows of the very lake."""
STRANGE_TABLE = f"plant_of_somebody/date={DAY}/part-00000.parquet"
"""The name of a partition, of a table that nobody knows."""


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the lake and the ledger of a day of one plant."""

    async def fill(folder: Path) -> None:
        async with serving(Settings(plants=1, devices=2)) as running:
            accept_all(running)
            await backfilled(configured(running, folder), DAY, DAY)

    folder = tmp_path_factory.mktemp("harvested")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def lake(harvested: Path, tmp_path: Path) -> Path:
    """Return a lake of the test's own."""
    shutil.copytree(harvested, tmp_path, dirs_exist_ok=True)
    return tmp_path / "lake"


def put(lake: Path, *names: str) -> dict[Path, bytes]:
    """Put a whole file of the lake under other *names*, and return what lies there."""
    whole = min((lake / "plant_energy_balance").rglob("part-*.parquet")).read_bytes()
    for name in names:
        (lake / name).parent.mkdir(parents=True, exist_ok=True)
        (lake / name).write_bytes(whole)
    return {lake / name: whole for name in names}


def rows_of(lake: Path) -> dict[str, int | None]:
    """Return how many rows the harvester finds in each table."""
    return {size.table: size.rows for size in measure(Places(lake))}


async def test_a_lake_as_it_was_harvested_has_nothing_to_tell(lake: Path, tmp_path: Path) -> None:
    """0 with --check, and no finding."""
    done = await command(environment(NOWHERE, tmp_path), "lake", "check", "--check", "--json")

    assert (done.code, done.json) == (0, [])
    assert Places(lake).partitions() != []


async def test_each_file_that_somebody_put_there_is_named(lake: Path, tmp_path: Path) -> None:
    """3 with --check, 0 without; the path below the root and what it is not; nothing is deleted."""
    before, there = rows_of(lake), put(lake, *ALIEN, STRANGE_TABLE)
    env = environment(NOWHERE, tmp_path)
    done, told = await command(env, "lake", "check", "--check", "--json"), await command(env, "lake", "check")
    found = {each["path"]: each["what"] for each in done.json}

    assert (done.code, told.code) == (3, 0)
    assert found == {
        **dict.fromkeys(ALIEN, "not a file of the lake"),
        STRANGE_TABLE: "a table that neither catalogue nor registry names",
    }
    assert [name for name in found if f"  {name}: {found[name]}" not in told.out] == []
    assert {file: file.read_bytes() for file in there} == there
    assert {table: rows for table, rows in rows_of(lake).items() if table in before} == before


async def test_a_file_in_a_partition_s_place_is_looked_into(lake: Path, tmp_path: Path) -> None:
    """Under a right name with rows of another day: the name does not make it one of the lake's."""
    file = min((lake / "plant_energy_balance").rglob("part-*.parquet"))
    wrong = lake / "plant_energy_balance" / "date=2026-06-20" / file.name
    wrong.parent.mkdir()
    shutil.copy(file, wrong)
    rows = pl.read_parquet(file).height
    done = await command(environment(NOWHERE, tmp_path), "lake", "check", "--check", "--json")

    assert done.code == 3
    assert done.json == [
        {
            "path": wrong.relative_to(lake).as_posix(),
            "what": f"{rows} rows belong into another file by their day",
        }
    ]
