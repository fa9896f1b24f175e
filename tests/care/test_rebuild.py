"""A lost ledger made again: what its snapshot knew stays settled, what the lake gained since is asked again."""

import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest
from nobody import open_way, unprivileged
from running import accept_all, backfilled, command, configured, environment
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.care.rebuild import rebuild, remains
from harvester.compose import readable, utc_now
from harvester.errors import LedgerError
from harvester.lake.layout import Places
from harvester.sandbox import Running, Settings, serving

FIRST = date(2026, 6, 1)
HALF = date(2026, 6, 7)
LAST = date(2026, 6, 14)
NOWHERE: Any = SimpleNamespace(url="http://127.0.0.1:9")
"""A cloud that is not asked."""
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


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the lake of two weeks, and a ledger whose snapshot knows the first of them."""

    async def fill(folder: Path) -> None:
        async with serving(Settings(plants=1, devices=2)) as running:
            accept_all(running)
            await two_weeks(running, folder)

    folder = tmp_path_factory.mktemp("harvested")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def copied(harvested: Path, tmp_path: Path) -> dict[str, str]:
    """Return the environment of commands that find a copy of it in the test's own folder."""
    shutil.copytree(harvested, tmp_path, dirs_exist_ok=True)
    return environment(NOWHERE, tmp_path, HARVESTER_LAKE__PLANTS_PER_FILE="2")


def settled_in(folder: Path) -> tuple[int, str | None]:
    """Return how many days the ledger calls settled, and what only a killed writer put there."""
    with readable(configured(NOWHERE, folder)) as stores:
        return stores.ledger.summary().settled, stores.ledger.fact("stale")


def lose(folder: Path) -> None:
    """Delete the ledger."""
    for file in folder.glob("ledger.db*"):
        file.unlink()


KILLED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = " + sys.argv[2])
db.execute("PRAGMA cache_size = 2")
db.execute("PRAGMA cache_spill = 2")
db.execute("BEGIN IMMEDIATE")
db.execute("DELETE FROM month")
db.execute("INSERT INTO meta SELECT 'stale', hex(randomblob(200000))")
if sys.argv[2] == "wal":
    db.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Changes a ledger, and is killed before SQLite has put its log away."""


def killed_writer(file: Path, mode: str) -> Path:
    """Have a writer that forgets all settled days killed, and return the log that it leaves."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file), mode], check=False)
    left = Path(f"{file}-{'wal' if mode == 'wal' else 'journal'}")
    assert killed.returncode == -signal.SIGKILL
    assert left.stat().st_size > 0
    return left


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


async def test_a_healthy_ledger_is_not_replaced_unless_forced(copied: dict[str, str], tmp_path: Path) -> None:
    """Refused with 2 and untouched; with --force it is moved aside, whole."""
    before = (tmp_path / "ledger.db").read_bytes()
    refused = await command(copied, "ledger", "rebuild")
    untouched = (tmp_path / "ledger.db").read_bytes() == before
    forced = await command(copied, "ledger", "rebuild", "--force", "--json")
    with closing(sqlite3.connect(forced.json["moved_aside"])) as db:
        settled = db.execute("SELECT count(*) FROM month").fetchone()

    assert (refused.code, forced.code) == (2, 0)
    assert "--force" in refused.err
    assert untouched
    assert settled[0] > 0


@pytest.mark.usefixtures("copied")
def test_two_rebuilds_within_a_second_keep_both_ledgers(tmp_path: Path) -> None:
    """What the first one moved aside is still there after the second, and so is what the first one made."""
    places, file = Places(tmp_path / "lake"), tmp_path / "ledger.db"
    now, contents = datetime(2026, 6, 20, 12, tzinfo=UTC), [file.read_bytes()]
    asides = []
    for _ in range(3):
        asides.append(rebuild(places, file, force=True, now=now).aside)
        contents.append(file.read_bytes())

    assert [aside.name for aside in asides if aside] == [
        f"ledger.db.aside-20260620T120000{more}" for more in ("", "-2", "-3")
    ]
    assert [aside.read_bytes() for aside in asides if aside] == contents[:3]


async def test_a_damaged_ledger_is_moved_aside_and_a_damaged_snapshot_passed_over(
    copied: dict[str, str], tmp_path: Path
) -> None:
    """The older of two snapshots serves; the damaged one is named, and so is where the damaged ledger went."""
    places = Places(tmp_path / "lake")
    newest = places.snapshot_days()[-1]
    shutil.copy(places.snapshot(newest), places.snapshot(newest - timedelta(days=1)))
    places.snapshot(newest).write_bytes(b"not a ledger")
    lose(tmp_path)
    (tmp_path / "ledger.db").write_bytes(b"spoiled" * 1000)
    checked = await command(copied, "ledger", "check", "--check")
    done = await command(copied, "ledger", "rebuild", "--json")
    again = await command(copied, "ledger", "check", "--check", "--json")

    assert checked.code == 3
    assert done.json["snapshot"] == str(newest - timedelta(days=1))
    assert [places.snapshot(newest).name in text for text in done.json["passed_over"]] == [True]
    assert Path(done.json["moved_aside"]).read_bytes() == b"spoiled" * 1000
    assert (again.code, again.json["problem"]) == (0, None)


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("lost", [True, False])
async def test_the_log_of_the_old_ledger_never_meets_the_new_one(
    copied: dict[str, str], tmp_path: Path, mode: str, *, lost: bool
) -> None:
    """A writer was killed, with or without its ledger the log is left: it goes aside, and says nothing any more."""
    settled, _ = settled_in(tmp_path)
    log = killed_writer(tmp_path / "ledger.db", mode)
    if lost:
        (tmp_path / "ledger.db").unlink()
    done = await command(copied, "ledger", "rebuild", "--json", *([] if lost else ["--force"]))
    known, stale = settled_in(tmp_path)
    aside, suffix = Path(done.json["moved_aside"]), log.name.removeprefix("ledger.db")

    assert done.code == 0, done.err
    assert stale is None
    assert 0 < known < settled
    assert re.fullmatch(rf"ledger\.db\.aside-\w+{suffix if lost else ''}", aside.name)
    assert Path(f"{aside}{'' if lost else suffix}").stat().st_size > 0
    assert not log.exists() or log.stat().st_size == 0
    assert aside in remains(tmp_path / "ledger.db")


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_what_lies_beside_a_snapshot_is_not_read(copied: dict[str, str], tmp_path: Path, mode: str) -> None:
    """Somebody opened a copy, and was killed: the copy as it was made is what is restored."""
    places = Places(tmp_path / "lake")
    snapshot = places.snapshot(places.snapshot_days()[-1])
    whole = snapshot.read_bytes()
    killed_writer(snapshot, mode)
    snapshot.write_bytes(whole)
    lose(tmp_path)
    done = await command(copied, "ledger", "rebuild", "--json")
    known, stale = settled_in(tmp_path)

    assert done.code == 0, done.err
    assert (done.json["passed_over"], stale) == ([], None)
    assert known > 0


@pytest.mark.usefixtures("copied")
def test_a_ledger_that_may_not_be_read_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    """Somebody else's, and whole for all that is known: refused with what to do, and nothing is moved."""
    file = tmp_path / "ledger.db"
    before = file.read_bytes()
    open_way(tmp_path)
    tmp_path.chmod(0o777)
    file.chmod(0o000)
    try:
        with unprivileged(), pytest.raises(LedgerError, match=r"whole \(unable to open .* Check its owner and mode"):
            rebuild(Places(tmp_path / "lake"), file, force=False, now=utc_now())
    finally:
        file.chmod(0o600)

    assert file.read_bytes() == before
    assert remains(file) == []


@pytest.mark.usefixtures("copied")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    """Exit code 2, whose rights to check, and what is there stays as it is."""
    file = tmp_path / "sealed" / "ledger.db"
    file.parent.mkdir()
    file.write_bytes(b"spoiled" * 1000)
    open_way(tmp_path)
    file.parent.chmod(0o555)
    try:
        with unprivileged(), pytest.raises(LedgerError, match="Check owner and mode of the ledger") as caught:
            rebuild(Places(tmp_path / "lake"), file, force=False, now=utc_now())
    finally:
        file.parent.chmod(0o755)

    assert caught.value.exit_code == 2
    assert list(file.parent.iterdir()) == [file]
    assert file.read_bytes() == b"spoiled" * 1000


async def test_a_snapshot_of_a_newer_version_is_refused(copied: dict[str, str], tmp_path: Path) -> None:
    """It is not passed over for an older one: exit code 2, and no ledger is made."""
    places = Places(tmp_path / "lake")
    lose(tmp_path)
    with closing(sqlite3.connect(places.snapshot(places.snapshot_days()[-1]))) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    done = await command(copied, "ledger", "rebuild")

    assert done.code == 2
    assert "newer harvester" in done.err
    assert not list(tmp_path.glob("*ledger.db*"))


async def test_the_ledger_of_another_lake_is_wrong_and_stays(copied: dict[str, str], tmp_path: Path) -> None:
    """`check` tells, `rebuild` refuses: most likely ledger.url is a mistake."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("UPDATE meta SET value = 'another' WHERE key = 'lake_id'")
        db.commit()
    checked = await command(copied, "ledger", "check", "--check", "--json")
    refused = await command(copied, "ledger", "rebuild")

    assert (checked.code, refused.code) == (3, 2)
    assert "another" in checked.json["problem"]
    assert "ledger.url" in refused.err
