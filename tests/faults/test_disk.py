"""A disk that is full, rights that are lost, files that somebody spoils: told with what to do, and mended by a run."""

import errno
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from killing import Nursery, World
from running import accept_all
from spent import Listener
from truth_frames import days, truth_tables

from harvester.errors import Full, LedgerFull
from harvester.sandbox import Faults, Settings, serving

FIRST = datetime.now(UTC).date() - timedelta(days=20)
LAST = FIRST + timedelta(days=1)
BACKFILL = ("backfill", "--from", FIRST.isoformat(), "--to", LAST.isoformat())
REPAIR = ("repair", "--from", FIRST.isoformat(), "--to", LAST.isoformat(), "--force")
REFUSED = 2
Truth = dict[str, pl.DataFrame]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[World, Truth]]:
    """Return an empty world and the truth about it."""
    settings = Settings(plants=1, devices=3, start=FIRST, faults=Faults(surplus=1.0))
    async with serving(settings) as running, Nursery.opened() as nursery:
        accept_all(running)
        world = World(running, Listener.of(running), tmp_path, FIRST, LAST, nursery)
        yield world, truth_tables(running.cloud, days(FIRST, LAST + timedelta(days=7)))


@pytest.fixture
async def filled(place: tuple[World, Truth]) -> tuple[World, Truth]:
    """Return the same, harvested."""
    end = await place[0].run(*BACKFILL)
    assert end.code == 0, end.err
    return place


def words(text: str) -> str:
    """Return *text* in one line."""
    return " ".join(text.split())


def left_over(world: World) -> list[Path]:
    """Return what was not finished."""
    return list(world.lake.rglob("*.tmp*"))


async def mended(world: World, truth: Truth, *arguments: str) -> None:
    """Run again: the lake is the truth, and nothing is missing."""
    again = await world.run(*(arguments or BACKFILL))
    gaps = await world.question("gaps", *BACKFILL[1:], "--json", "--check")
    assert again.code == 0, again.err
    assert world.amiss(truth) == []
    assert world.unlike(truth) == []
    assert (gaps.code, gaps.json) == (0, []), gaps.err


@pytest.mark.parametrize(
    "step",
    [
        *("before create lake.json", "before fsync registry.json", "after write partition", "before fsync raw pack"),
        *("before create quarantined facts", "before write master data"),
    ],
)
async def test_a_full_disk_is_told_and_loses_nothing(place: tuple[World, Truth], step: str) -> None:
    """Exit code 2 and what to do, nothing half-written, and a run with room again ends with the truth."""
    world, truth = place
    world.listener.spoil = 1
    end = await world.run(*BACKFILL, refuse=[{"step": step, "errno": errno.ENOSPC}])

    assert end.refused != []
    assert end.code == Full.exit_code, end.err
    assert "no space is left" in words(end.err)
    assert "make room and run again" in words(end.err)
    assert left_over(world) == []
    assert world.amiss(truth) == []
    await mended(world, truth)


async def test_a_disk_that_fills_up_in_the_middle(place: tuple[World, Truth]) -> None:
    """What was written before is in lake and ledger, and is not asked again."""
    world, truth = place
    end = await world.run(*BACKFILL, refuse=[{"step": "before write partition", "errno": errno.ENOSPC, "after": 25}])
    assert end.code == Full.exit_code, end.err
    kept, heard = world.kept(), len(world.listener.asked)
    assert any(kept.days.values())
    await mended(world, truth)

    assert [one.url for one in world.listener.asked[heard:] if kept.needless(one, FIRST, LAST)] == []


async def test_no_room_for_the_copy_of_the_ledger(place: tuple[World, Truth]) -> None:
    """The run is done all the same: its data are worth more than the copy, and the log tells."""
    world, truth = place
    end = await world.run(*BACKFILL, refuse=[{"step": "before fsync snapshot", "errno": errno.ENOSPC}])

    assert end.code == 0
    assert "snapshot.failed" in end.err
    assert left_over(world) == []
    await mended(world, truth)


async def test_a_full_disk_under_the_ledger(place: tuple[World, Truth]) -> None:
    """The ledger says so itself; what is made of it so far does not stand in the way later."""
    world, truth = place
    end = await world.run(*BACKFILL, most_pages=4)

    assert end.code == LedgerFull.exit_code, end.err
    assert "no space is left for the ledger" in words(end.err)
    assert world.amiss(truth) == []
    await mended(world, truth)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
async def test_rights_that_are_lost_in_mid_run(place: tuple[World, Truth], code: int) -> None:
    """Exit code 2, the file, and whose rights to check."""
    world, truth = place
    end = await world.run(*BACKFILL, refuse=[{"step": "before create .*partition", "errno": code, "after": 3}])

    assert end.code == REFUSED, end.err
    assert "not writable" in words(end.err)
    assert "Check owner and mode" in words(end.err)
    assert world.amiss(truth) == []
    await mended(world, truth)


async def test_a_file_in_the_place_of_a_folder(place: tuple[World, Truth]) -> None:
    """It is named, stays as it is, and once it is gone the run goes on."""
    world, truth = place
    world.lake.mkdir()
    wrong = world.lake / "plant_energy_balance"
    wrong.write_text("mine")
    end = await world.run(*BACKFILL)

    assert end.code == REFUSED, end.err
    assert str(wrong) in end.err.replace("\n", "")
    assert wrong.read_text() == "mine"
    wrong.unlink()
    await mended(world, truth)


async def test_a_ledger_that_somebody_else_keeps_locked(filled: tuple[World, Truth]) -> None:
    """After patience that is made short here: exit code 2, and who it is not. Nothing is changed."""
    world, truth = filled
    with closing(sqlite3.connect(world.ledger, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        end = await world.run(*REPAIR, busy_seconds=0.2)

    assert end.code == REFUSED, end.err
    assert "the ledger is locked by another program" in words(end.err)
    await mended(world, truth, *REPAIR)


def first_page(file: Path) -> None:
    """Spoil the head of a database."""
    content = bytearray(file.read_bytes())
    content[:64] = bytes(byte ^ 0xFF for byte in content[:64])
    file.write_bytes(content)


def middle(file: Path) -> None:
    """Spoil everything behind the first page."""
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(byte ^ 0x5A for byte in content[4096:])
    file.write_bytes(content)


def half(file: Path) -> None:
    """Cut a file in the middle."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "way"), [(first_page, "rebuild"), (middle, "rebuild"), (half, "rebuild"), (half, "move")]
)
async def test_a_damaged_ledger_is_refused_and_made_again(
    filled: tuple[World, Truth], spoil: Callable[[Path], None], way: str
) -> None:
    """Exit code 2 and what to do; from its copy, or from nothing, the next run ends with the same lake."""
    world, truth = filled
    spoil(world.ledger)
    spoiled = world.ledger.read_bytes()
    end = await world.run(*REPAIR)
    untouched = world.ledger.read_bytes() == spoiled
    if way == "rebuild":
        made = await world.run("ledger", "rebuild")
        assert made.code == 0, made.err
    else:
        for file in world.folder.glob("ledger.db*"):
            file.unlink()

    assert end.code == REFUSED, end.err
    assert "the ledger is damaged" in words(end.err)
    assert "Move it away and restore a copy" in words(end.err)
    assert untouched
    await mended(world, truth)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lake.json", b""),
        ("lake.json", b'{"format": [1]}'),
        ("registry.json", b"{"),
        ("registry.json", b'{"tables": 7}'),
    ],
)
async def test_a_damaged_file_of_the_lake_s_own(filled: tuple[World, Truth], name: str, content: bytes) -> None:
    """Refused by name, before anything is asked or changed; put back, all is as before."""
    world, truth = filled
    file = world.lake / "_harvester" / name
    whole, heard = file.read_bytes(), len(world.listener.asked)
    file.write_bytes(content)
    end = await world.run(*REPAIR)
    asked = len(world.listener.asked) - heard
    kept = file.read_bytes()
    file.write_bytes(whole)

    assert end.code == REFUSED, end.err
    assert str(file) in end.err.replace("\n", "")
    assert "Restore it" in words(end.err)
    assert kept == content
    assert asked == 0
    await mended(world, truth, *REPAIR)


async def test_a_data_file_that_somebody_cut(filled: tuple[World, Truth]) -> None:
    """A run that must merge into it refuses it with what to do, and leaves it; so done, the truth is back."""
    world, truth = filled
    file = min(world.lake.glob("device_power_ac/date=*/*.parquet"))
    half(file)
    spoiled = file.read_bytes()
    end = await world.run(*REPAIR)
    checked = await world.question("lake", "check", "--json")
    kept = file.read_bytes()
    shutil.move(file, world.folder / "aside")

    assert end.code == REFUSED, end.err
    assert "move it away and ask its days again" in words(end.err)
    assert file.name in checked.out
    assert kept == spoiled
    await mended(world, truth, *REPAIR)
