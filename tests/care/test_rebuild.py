"""A lost ledger made again: what its snapshot knew stays settled, what the lake gained since is asked again."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import polars.selectors as cs
import pytest
from running import accept_all, backfilled, command, configured, environment
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import readable
from harvester.lake.layout import Places
from harvester.sandbox import Running, Settings, serving

FIRST = date(2026, 6, 1)
HALF = date(2026, 6, 7)
LAST = date(2026, 6, 14)
NEW_DAYS = 7
"""Days after the snapshot."""


@pytest.fixture
async def cloud() -> AsyncIterator[Running]:
    """Serve three plants, two to a part."""
    async with serving(Settings(plants=3, devices=2, zones=("Europe/Berlin", "Asia/Kolkata"))) as running:
        accept_all(running)
        yield running


async def two_weeks(running: Running, folder: Path) -> dict[str, str]:
    """Harvest a week, which makes a snapshot, and another one; return the environment of further commands."""
    config = configured(running, folder, lake__plants_per_file=2)
    await backfilled(config, FIRST, HALF)
    await backfilled(config, FIRST, LAST)
    return environment(running, folder, HARVESTER_LAKE__PLANTS_PER_FILE="2")


def lose(folder: Path) -> None:
    """Delete the ledger."""
    for file in folder.glob("ledger.db*"):
        file.unlink()


async def test_only_what_the_snapshot_did_not_know_is_asked_again(cloud: Running, tmp_path: Path) -> None:
    """After one more backfill the lake is the truth, for one request for each series and no more."""
    env = await two_weeks(cloud, tmp_path)
    parts = plants_with_parts(cloud, tmp_path)
    lose(tmp_path)
    done = await command(env, "ledger", "rebuild", "--json")
    again = await command(env, "backfill", "--from", str(FIRST), "--to", str(LAST), "--json")
    lake, truth = lake_tables(tmp_path / "lake"), truth_tables(cloud.cloud, days(FIRST, LAST))
    series = again.json["series"]

    assert (done.code, again.code) == (0, 0)
    assert done.json["snapshot"] is not None
    assert sum(each["series_days"] for each in done.json["ask_again"]) == series_days(truth, HALF)
    assert again.json["requests"]["values"] == series
    assert again.json["days"] == {"settled": NEW_DAYS * series, "open": 0}
    assert differences(lake, truth) == []
    assert plants_with_parts(cloud, tmp_path) == parts


def series_days(tables: dict[str, pl.DataFrame], after: date) -> int:
    """Count the series and days after a day that have rows."""
    main = [frame for name, frame in tables.items() if not name.endswith("_by_index")]
    days_of = [
        frame.filter(pl.col("local_time").dt.date() > after).with_columns(pl.col("local_time").dt.date())
        for frame in main
    ]
    return sum(
        frame.select(cs.by_name("plant_id", "device_id", "local_time", require_all=False)).n_unique()
        for frame in days_of
    )


def plants_with_parts(running: Running, folder: Path) -> dict[str, int]:
    """Return the part of each plant that the ledger knows."""
    with readable(configured(running, folder)) as stores:
        return {known.plant.plant_id: known.part for known in stores.inventory.plants()}


async def test_without_a_snapshot_the_lake_is_enough(cloud: Running, tmp_path: Path) -> None:
    """Plants keep their parts and their facts, every day with rows is open, and a backfill ends in the truth."""
    env = await two_weeks(cloud, tmp_path)
    parts = plants_with_parts(cloud, tmp_path)
    lose(tmp_path)
    shutil.rmtree(Places(tmp_path / "lake").snapshots)
    done = await command(env, "ledger", "rebuild", "--json")
    rebuilt = plants_with_parts(cloud, tmp_path)
    with readable(configured(cloud, tmp_path)) as stores:
        zones = {known.plant.timezone for known in stores.inventory.plants()}
        devices, summary = len(stores.inventory.devices()), stores.ledger.summary()
    again = await command(env, "backfill", "--from", str(FIRST), "--to", str(LAST), "--json")
    lake, truth = lake_tables(tmp_path / "lake"), truth_tables(cloud.cloud, days(FIRST, LAST))

    assert (done.json["snapshot"], done.json["plants_added"]) == (None, 3)
    assert rebuilt == parts
    assert zones == {"Europe/Berlin", "Asia/Kolkata"}
    assert devices >= 6
    assert (summary.settled, summary.open) == (0, sum(each["series_days"] for each in done.json["ask_again"]))
    assert again.code == 0
    assert differences(lake, truth) == []


async def test_a_healthy_ledger_is_not_replaced_unless_forced(cloud: Running, tmp_path: Path) -> None:
    """Refused with 2 and untouched; with --force it is moved aside, whole."""
    env = await two_weeks(cloud, tmp_path)
    before = (tmp_path / "ledger.db").read_bytes()
    refused = await command(env, "ledger", "rebuild")
    untouched = (tmp_path / "ledger.db").read_bytes() == before
    forced = await command(env, "ledger", "rebuild", "--force", "--json")
    with closing(sqlite3.connect(forced.json["moved_aside"])) as db:
        settled = db.execute("SELECT count(*) FROM month").fetchone()

    assert (refused.code, forced.code) == (2, 0)
    assert "--force" in refused.err
    assert untouched
    assert settled[0] > 0


async def test_a_damaged_ledger_is_moved_aside_and_a_damaged_snapshot_passed_over(
    cloud: Running, tmp_path: Path
) -> None:
    """The older of two snapshots serves; the damaged one is named, and so is where the damaged ledger went."""
    env, places = await two_weeks(cloud, tmp_path), Places(tmp_path / "lake")
    newest = places.snapshot_days()[-1]
    shutil.copy(places.snapshot(newest), places.snapshot(newest - timedelta(days=1)))
    places.snapshot(newest).write_bytes(b"not a ledger")
    lose(tmp_path)
    (tmp_path / "ledger.db").write_bytes(b"spoiled" * 1000)
    checked = await command(env, "ledger", "check", "--check")
    done = await command(env, "ledger", "rebuild", "--json")
    again = await command(env, "ledger", "check", "--check", "--json")

    assert checked.code == 3
    assert done.json["snapshot"] == str(newest - timedelta(days=1))
    assert [places.snapshot(newest).name in text for text in done.json["passed_over"]] == [True]
    assert Path(done.json["moved_aside"]).read_bytes() == b"spoiled" * 1000
    assert (again.code, again.json["problem"]) == (0, None)


async def test_a_snapshot_of_a_newer_version_is_refused(cloud: Running, tmp_path: Path) -> None:
    """It is not passed over for an older one: exit code 2, and no ledger is made."""
    env, places = await two_weeks(cloud, tmp_path), Places(tmp_path / "lake")
    lose(tmp_path)
    with closing(sqlite3.connect(places.snapshot(places.snapshot_days()[-1]))) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    done = await command(env, "ledger", "rebuild")

    assert done.code == 2
    assert "newer harvester" in done.err
    assert not list(tmp_path.glob("*ledger.db*"))


async def test_the_ledger_of_another_lake_is_wrong_and_stays(cloud: Running, tmp_path: Path) -> None:
    """`check` tells, `rebuild` refuses: most likely ledger.url is a mistake."""
    env = await two_weeks(cloud, tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("UPDATE meta SET value = 'another' WHERE key = 'lake_id'")
        db.commit()
    checked = await command(env, "ledger", "check", "--check", "--json")
    refused = await command(env, "ledger", "rebuild")

    assert (checked.code, refused.code) == (3, 2)
    assert "another" in checked.json["problem"]
    assert "ledger.url" in refused.err
