"""Tables made again from archived answers: the same lake, no request, and what cannot be made again is told."""

import shutil
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from present import Present
from running import Command, accept_all, backfilled, command, configured, environment
from truth_frames import KEY, days, differences, lake_tables, truth_tables

from harvester.care.replay import Order, Outcome, Replay
from harvester.compose import writable
from harvester.config import Config
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read, write
from harvester.lake.raw import Archive
from harvester.lake.schema import INSTANT, REVISION_COLUMNS
from harvester.plan import Scope
from harvester.sandbox import Running, Settings, serving

FIRST, LAST = date(2026, 3, 27), date(2026, 3, 30)
"""Four days, the third of which is the one on which Europe's clocks are set forward."""
TABLE = "plant_energy_balance"
NOW = datetime.fromisoformat("2099-01-01T12:00:00Z")
"""Later than any answer."""


@pytest.fixture
async def cloud() -> AsyncIterator[Running]:
    """Serve two plants, in Berlin and in Lisbon."""
    async with serving(Settings(plants=2, devices=2, zones=("Europe/Berlin", "Europe/Lisbon"))) as running:
        accept_all(running)
        yield running


def contents(root: Path, first: date = FIRST, last: date = LAST) -> dict[str, pl.DataFrame]:
    """Return the rows of some days, without the moment at which they changed: a Week has brought others, too."""
    asked = pl.col("local_time").dt.date().is_between(first, last)
    return {name: frame.filter(asked).drop("harvested_at") for name, frame in lake_tables(root).items()}


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    """Tell whether two lakes hold the same."""
    return one.keys() == other.keys() and all(one[name].equals(other[name]) for name in one)


def replayed(
    config: Config, *, now: datetime = NOW, first: date = FIRST, last: date = LAST, **given: object
) -> Outcome:
    """Replay everything from *first* to *last*."""
    zones = given.pop("zones", {})
    order = Order(scope=Scope(**given), first=first, last=last, zones=zones)  # type: ignore[arg-type]
    with writable(config, "replay") as stores:
        return Replay(stores, order, now).run()


async def lost_and_replayed(running: Running, env: dict[str, str], root: Path, *tables: str) -> tuple[Command, int]:
    """Delete *tables*, replay the period, and return the command and the requests that it cost."""
    for table in tables:
        shutil.rmtree(root / table)
    asked = running.cloud.counts.requests.total()
    done = await command(env, "replay", "--from", str(FIRST), "--to", str(LAST), "--json")
    return done, running.cloud.counts.requests.total() - asked


async def test_deleted_tables_come_back_without_a_request(cloud: Running, tmp_path: Path) -> None:
    """All tables of measurements are deleted; a replay ends in the truth and asks the cloud for nothing."""
    config, env = configured(cloud, tmp_path), environment(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    before, truth = contents(config.lake.root), truth_tables(cloud.cloud, days(FIRST, LAST))
    done, requests = await lost_and_replayed(cloud, env, config.lake.root, *before)
    again = await command(env, "backfill", "--from", str(FIRST), "--to", str(LAST), "--json")

    assert (done.code, requests) == (0, 0)
    assert same(contents(config.lake.root), before)
    assert differences(contents(config.lake.root), truth) == []
    assert sum(done.json["rows"].values()) == sum(frame.height for frame in before.values())
    assert done.json["not_archived"] == []
    assert again.json["requests"].get("values", 0) == 0


async def test_overlapping_answers_of_many_days_end_in_the_same_lake(tmp_path: Path) -> None:
    """Days settled one by one over the change of the clock, rows late: each Week overlaps the ones before it."""
    first, last = date(2026, 10, 19), date(2026, 10, 27)
    now = Present(2026, 10, 23, 12)
    async with serving(Settings(plants=1, devices=2, late_rows=0.1, late_days=1), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        for _ in range(9):
            await backfilled(config, first, last, wall=now)
            now.advance(days=1)
    before = contents(config.lake.root, first, last)
    with writable(config, "check") as stores:
        archived = Archive(stores.lake.places).size().answers
        series = stores.ledger.summary().series
    for table in before:
        shutil.rmtree(config.lake.root / table)
    outcome = replayed(config, first=first, last=last)

    assert outcome.whole
    assert archived > 3 * series
    assert same(contents(config.lake.root, first, last), before)


async def test_a_replay_of_what_is_there_changes_nothing(cloud: Running, tmp_path: Path) -> None:
    """Not one file is written, not one revision recorded, and not one settled day becomes open."""
    config = configured(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    before = {file: file.stat().st_mtime_ns for file in config.lake.root.rglob("*.parquet")}
    outcome = replayed(config)
    with writable(config, "check") as stores:
        summary = stores.ledger.summary()

    assert outcome.whole
    assert (outcome.files, outcome.revisions, summary.open, summary.failed) == (0, 0, 0, 0)
    assert {file: file.stat().st_mtime_ns for file in config.lake.root.rglob("*.parquet")} == before


async def test_a_selection_makes_only_itself_again(cloud: Running, tmp_path: Path) -> None:
    """Days and plants that are not named stay lost."""
    config = configured(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    before = contents(config.lake.root)[TABLE]
    plant = before.item(0, "plant_id")
    shutil.rmtree(config.lake.root / TABLE)
    replayed(config, first=FIRST + timedelta(days=2), last=FIRST + timedelta(days=3), plants=frozenset({plant}))
    third = pl.col("local_time").dt.date().is_between(FIRST + timedelta(days=2), FIRST + timedelta(days=3))

    assert contents(config.lake.root)[TABLE].equals(before.filter(third, pl.col("plant_id") == plant))


@pytest.mark.parametrize(("right", "code"), [("Asia/Kolkata", 0), ("Europe/Athens", 3)])
async def test_a_corrected_zone_moves_rows_to_their_instants(
    cloud: Running, tmp_path: Path, right: str, code: int
) -> None:
    """Wall clocks stay, instants move, none is doubled; a later replay does not undo it, and other plants stay.

    What the right zone's clock never showed, the hour that Athens skips and Berlin does not, is told with exit code 3.
    """
    config, env = configured(cloud, tmp_path), environment(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    before = contents(config.lake.root)
    listed = read(Places(config.lake.root).file(Partition("plants", None, 0)))
    assert listed is not None
    berlin = listed.filter(timezone="Europe/Berlin").item(0, "plant_id")
    span = ("--from", str(FIRST), "--to", str(LAST))
    done = await command(env, "replay", *span, "--zone", f"{berlin}={right}")
    after = contents(config.lake.root)
    again = await command(env, "replay", *span, "--json")
    mine = pl.col("plant_id") == berlin

    assert (done.code, again.code, again.json["files_written"]) == (code, code, 0)
    for name, frame in after.items():
        key = [column for column in KEY if column in frame.columns]
        assert not frame.select(pl.struct(key).is_duplicated().any()).item()
        assert frame.filter(~mine).equals(before[name].filter(~mine))
    moved = after[TABLE].filter(mine)
    instants = moved.get_column("local_time").dt.replace_time_zone(right).dt.convert_time_zone("UTC")
    assert moved.get_column("time").equals(instants.alias("time"))
    assert 0 <= before[TABLE].filter(mine).height - moved.height <= (12 if code else 0)


async def test_a_zone_that_nobody_knows_is_refused(cloud: Running, tmp_path: Path) -> None:
    """A misspelt zone or plant ends with 2 before anything is done, and is not remembered."""
    config, env = configured(cloud, tmp_path), environment(cloud, tmp_path)
    await backfilled(config, FIRST, FIRST)
    plant = lake_tables(config.lake.root)[TABLE].item(0, "plant_id")
    span = ("replay", "--from", str(FIRST), "--to", str(FIRST), "--zone")
    codes = [(await command(env, *span, text)).code for text in (f"{plant}=Europe/Nowhere", "0=Europe/Berlin", "x")]

    assert codes == [2, 2, 2]
    assert not Places(config.lake.root).replays.exists()


async def test_what_changed_since_is_not_undone(cloud: Running, tmp_path: Path) -> None:
    """A value that came after the archived answer stays; one that an earlier replay made is made anew."""
    config = configured(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    path = Places(config.lake.root).file(Partition(TABLE, FIRST, 0))
    with writable(config, "check") as stores:
        columns = next(t.columns for t in stores.registry.tables() if t.table == TABLE)
    stored = read(path)
    assert stored is not None
    right = stored.get_column("pv_generation")
    for number, (changed_at, stays) in enumerate([(NOW, True), (NOW + timedelta(hours=1), False)]):
        moment = pl.lit(changed_at, dtype=INSTANT)
        wrong = stored.with_columns(pv_generation=pl.lit(1.5), harvested_at=moment)
        write(path, wrong, columns)
        replayed(config, now=NOW + timedelta(hours=1 + number))
        held = read(path)
        assert held is not None
        assert held.get_column("pv_generation").equals(wrong.get_column("pv_generation") if stays else right)


async def test_a_damaged_pack_is_told_and_skipped(cloud: Running, tmp_path: Path) -> None:
    """The other tables come back; the pack, its reason and its days are named, with exit code 3."""
    config, env = configured(cloud, tmp_path), environment(cloud, tmp_path)
    await backfilled(config, FIRST, LAST)
    before = contents(config.lake.root)
    places = Places(config.lake.root)
    for pack in places.packs(TABLE):
        places.pack(pack).write_bytes(places.pack(pack).read_bytes()[:-100])
    done, requests = await lost_and_replayed(cloud, env, config.lake.root, *before)
    after = contents(config.lake.root)

    assert (done.code, requests) == (3, 0)
    assert same(after, {name: frame for name, frame in before.items() if name != TABLE})
    assert len(done.json["damaged"]) == len(places.packs(TABLE))
    assert {entry["set"] for entry in done.json["not_archived"]} == {"EnergyBalance"}
    assert {(entry["from"], entry["to"]) for entry in done.json["not_archived"]} == {(str(FIRST), str(LAST))}


async def test_settled_days_that_were_never_archived_are_named(cloud: Running, tmp_path: Path) -> None:
    """Days of a time without archive are listed, those of a time with it are made anew."""
    without = configured(cloud, tmp_path, raw__keep="none")
    config = configured(cloud, tmp_path)
    await backfilled(without, FIRST, FIRST + timedelta(days=1))
    await backfilled(config, FIRST, LAST)
    outcome = replayed(config)

    assert not outcome.whole
    assert {(m.first, m.last) for m in outcome.missing} == {(FIRST, FIRST + timedelta(days=1))}


async def test_a_lost_table_of_revisions_costs_no_measurement(cloud: Running, tmp_path: Path) -> None:
    """Replaying over revisions neither adds to them nor needs them."""
    config = configured(cloud, tmp_path)
    await backfilled(config, FIRST, FIRST)
    revision = {"table": TABLE, "plant_id": "1", "channel": "pv_generation", "old": 1.0, "new": 2.0}
    frame = pl.DataFrame([revision], schema={c.name: c.dtype for c in REVISION_COLUMNS})
    path = Places(config.lake.root).file(Partition("revisions", FIRST, 0))
    write(path, frame, REVISION_COLUMNS)
    outcome = replayed(config, last=FIRST)
    held = read(path)

    assert held is not None
    assert (outcome.revisions, held.height) == (0, 1)
