"""A disk that is full, rights that are lost, files that somebody spoils: told with what to do, and mended by a run."""

import asyncio
import errno
import itertools
import resource
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from killing import Child, End, Nursery, World
from running import accept_all, environment
from spent import Listener
from truth_frames import days, truth_tables

from harvester.errors import Full, LedgerFull
from harvester.sandbox import Faults, Settings, serving

FIRST = datetime.now(UTC).date() - timedelta(days=20)
LAST = FIRST + timedelta(days=1)
BACKFILL = ("backfill", "--from", FIRST.isoformat(), "--to", LAST.isoformat())
REPAIR = ("repair", "--from", FIRST.isoformat(), "--to", LAST.isoformat(), "--force")
REFUSED = 2
FILLER = 1_000_000
"""The first id of series that there are not."""
LARGEST = 90_000
"""Bytes that a file may have: more than any file of these lakes but the ledger and its log."""
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
    """Exit code 1 and what to do, nothing half-written, and a run with room again ends with the truth."""
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


def crammed(file: Path, room: int) -> int:
    """Fill the page where a ledger keeps settled days, but for *room* rows, and return how many pages it has now."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute("BEGIN")
        for number in itertools.count():
            db.execute("SAVEPOINT before")
            db.execute("INSERT INTO month VALUES (?, 0, zeroblob(4))", (FILLER + number,))
            if db.execute("PRAGMA page_count").fetchone() != (pages,):
                db.execute("ROLLBACK TO before")
                break
        db.execute("DELETE FROM month WHERE series_id >= ?", (FILLER + number - room,))
        db.execute("COMMIT")
    return int(pages)


async def test_a_disk_that_is_full_when_days_are_settled(place: tuple[World, Truth]) -> None:
    """In the middle of a run, after the data and before the ledger: the days are asked again, and no row is twice."""
    world, truth = place
    await world.run("discover")
    pages = crammed(world.ledger, room=3)
    end = await world.run(*BACKFILL, most_pages=pages, record=True)
    ledger = [step for step in end.steps if step.endswith((" days", " sums", " facts", " inventory"))]
    kept = world.kept()

    assert end.code == LedgerFull.exit_code, end.err
    assert "no space is left for the ledger. Make room and run again" in words(end.err)
    assert "after commit days" in ledger
    assert ledger[-1] == "before change days"
    assert 0 < sum(map(bool, kept.days.values())) < len(kept.days)
    assert left_over(world) == []
    assert world.amiss(truth) == []
    with closing(sqlite3.connect(world.ledger)) as db, db:
        db.execute("DELETE FROM month WHERE series_id >= ?", (FILLER,))
    await mended(world, truth)


async def test_a_write_that_fails_in_the_very_commit(place: tuple[World, Truth]) -> None:
    """The ledger's log may grow no more, as under a quota: exit code 2, what to check, and the truth after it."""
    world, truth = place
    await world.run("discover")
    child = await world.begun(*BACKFILL, record=True)
    resource.prlimit(child.process, resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    end = await world.ended(child)

    assert end.code == REFUSED, end.err
    assert "the ledger cannot be used (disk I/O error). Check the disk" in words(end.err)
    assert "after commit days" in end.steps
    assert [step for step in end.steps if "commit" in step][-1].startswith("before commit")
    assert left_over(world) == []
    assert world.amiss(truth) == []
    await mended(world, truth)


READ_ONLY = """
import sqlite3, sys
from harvester.cli.app import main

connect = sqlite3.connect

class Connection(sqlite3.Connection):
    settled = False

    def commit(self):
        super().commit()
        if self.settled:
            self.execute("PRAGMA query_only = ON")

def opened(*args, **kwargs):
    db = connect(*args, **{"factory": Connection, **kwargs})
    db.set_trace_callback(lambda sql: setattr(db, "settled", db.settled or "INTO month" in sql))
    return db

sqlite3.connect = sqlite3.dbapi2.connect = opened
sys.exit(main())
"""
"""The command, whose ledger takes no change any more once days were settled in it."""


async def test_a_ledger_that_becomes_read_only_in_mid_run(place: tuple[World, Truth]) -> None:
    """Exit code 2, the file, and whose rights to check; what was settled before counts."""
    world, truth = place
    end = await coded(world, READ_ONLY, *BACKFILL)
    kept = world.kept()

    assert end.code == REFUSED, end.err
    assert f"{world.ledger}: the ledger cannot be used" in words(end.err)
    assert "readonly" in words(end.err)
    assert "Check owner and mode of the ledger" in words(end.err)
    assert "not mounted read-only" in words(end.err)
    assert "Traceback" not in end.err
    assert 0 < sum(map(bool, kept.days.values())) < len(kept.days)
    assert left_over(world) == []
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


def commits(child: Child) -> list[str]:
    """Return what a child has committed so far."""
    log = child.folder / "steps.log"
    return [step for step in log.read_text().splitlines() if step.startswith("after commit")] if log.exists() else []


async def settling(world: World, **plan: Any) -> Child:
    """Start a backfill, and wait until it has settled something."""
    child = await world.begun(*BACKFILL, record=True, **plan)
    async with asyncio.timeout(60):
        while "after commit days" not in commits(child):
            await asyncio.sleep(0.005)
    assert not child.code.done()
    return child


async def test_a_ledger_that_is_locked_in_mid_run_for_too_long(place: tuple[World, Truth]) -> None:
    """Once its patience is at an end: exit code 2, and what to do; what had been settled is."""
    world, truth = place
    child = await settling(world, busy_seconds=0.3)
    with closing(sqlite3.connect(world.ledger, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        end = await world.ended(child)
    kept = world.kept()

    assert end.code == REFUSED, end.err
    assert f"{world.ledger}: the ledger is locked by another program. Close it there and run again" in words(end.err)
    assert "Traceback" not in end.err
    assert any(kept.days.values())
    assert left_over(world) == []
    assert world.amiss(truth) == []
    await mended(world, truth)


async def test_a_ledger_that_is_locked_in_mid_run_for_a_while(place: tuple[World, Truth]) -> None:
    """The run waits, and ends as if nothing had been: no request is spent twice."""
    world, truth = place
    child = await settling(world, busy_seconds=30)
    with closing(sqlite3.connect(world.ledger, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        before = commits(child)
        await asyncio.sleep(1.5)
        during, waited = commits(child), not child.code.done()
        other.execute("ROLLBACK")
        end = await world.ended(child)
    asked = [one.about for one in world.listener.asked if one.about]

    assert (during, waited) == (before, True)
    assert end.code == 0, end.err
    assert len(asked) == len(set(asked))
    assert world.amiss(truth) == []
    assert world.unlike(truth) == []
    await mended(world, truth)


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


@pytest.mark.parametrize("step", ["before create ledger", "before link ledger moved aside", "before fsync ledger"])
async def test_no_room_for_a_ledger_that_is_made_again(filled: tuple[World, Truth], step: str) -> None:
    """Exit code 1 and what to do; the damaged one is where it was, and with room it is made all the same."""
    world, truth = filled
    half(world.ledger)
    spoiled = world.ledger.read_bytes()
    end = await world.run("ledger", "rebuild", refuse=[{"step": step, "errno": errno.ENOSPC}])
    there = world.ledger.read_bytes()
    again = await world.run("ledger", "rebuild")

    assert end.refused != []
    assert end.code == LedgerFull.exit_code, end.err
    assert f"{world.ledger}: no space is left for the ledger. Make room and run again" in words(end.err)
    assert there == spoiled
    assert list(world.folder.glob(".ledger.db*")) == []
    assert again.code == 0, again.err
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


UNPRIVILEGED = """
import ctypes, os, sys

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24
if os.geteuid() == 0:
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "harvester", *sys.argv[1:]])
"""
"""The command, of a user whom the modes of the own files bind; those of root do not, as long as it has its rights."""


async def coded(world: World, code: str, *arguments: str) -> End:
    """Run Python *code* with the command's arguments and environment."""
    pipe, env = asyncio.subprocess.PIPE, environment(world.running, world.folder, **world.variables)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, env=env, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return End(code=process.returncode or 0, killed=None, steps=[], out=out.decode(), err=err.decode())


@dataclass(frozen=True)
class Shut:
    """A place that is there, and what may be done with it."""

    name: str
    """Below the lake's own folder."""
    mode: int
    folder: bool = False
    told: str = "not writable"
    remedy: str = "Check owner and mode"


@pytest.mark.parametrize(
    "shut",
    [
        Shut("lock", 0o444),
        Shut("raw", 0o555, folder=True),
        Shut("quarantine", 0o555, folder=True),
        Shut("registry.json", 0o000, told="Permission denied", remedy="Restore it"),
        Shut("", 0o555, folder=True),
    ],
    ids=lambda shut: shut.name or "own folder",
)
async def test_a_place_without_rights(place: tuple[World, Truth], shut: Shut) -> None:
    """Exit code 2, the place, why, and what to do; nothing is half-written, and a run with rights mends all."""
    world, truth = place
    world.listener.spoil = 1
    path = world.lake / "_harvester" / shut.name
    (path if shut.folder else path.parent).mkdir(parents=True)
    if not shut.folder:
        path.write_bytes(b"" if shut.name == "lock" else b"{}")
    path.chmod(shut.mode)
    end = await coded(world, UNPRIVILEGED, *BACKFILL)
    found = world.amiss(truth)
    path.chmod(0o755 if shut.folder else 0o644)

    assert end.code == REFUSED, end.err
    assert str(path) in end.err.replace("\n", "")
    assert shut.told in words(end.err)
    assert shut.remedy in words(end.err)
    assert "Traceback" not in end.err
    assert left_over(world) == []
    assert found == []
    await mended(world, truth)


async def test_a_registry_that_may_not_be_written_in_mid_run(filled: tuple[World, Truth]) -> None:
    """What it does not name any more is not written either: exit code 2, and the lake stays as it was."""
    world, truth = filled
    own = world.lake / "_harvester"
    (own / "registry.json").unlink()
    own.chmod(0o555)
    end = await coded(world, UNPRIVILEGED, *REPAIR)
    own.chmod(0o755)

    assert end.code == REFUSED, end.err
    assert f"{own / 'registry.json'}: not writable" in words(end.err)
    assert "Check owner and mode" in words(end.err)
    assert left_over(world) == []
    await mended(world, truth, *REPAIR)


async def test_a_folder_of_snapshots_that_may_not_be_written(place: tuple[World, Truth]) -> None:
    """The run is done all the same, and the log tells; the next day's run makes the copy."""
    world, truth = place
    snapshots = world.lake / "_harvester" / "snapshots"
    snapshots.mkdir(parents=True)
    snapshots.chmod(0o555)
    end = await coded(world, UNPRIVILEGED, *BACKFILL)
    left = list(snapshots.iterdir())
    snapshots.chmod(0o755)

    assert end.code == 0, end.err
    assert "snapshot.failed" in end.err
    assert "not writable" in end.err
    assert left == []
    assert world.amiss(truth) == []
    await mended(world, truth)
    assert list(snapshots.glob("ledger-*.db")) != []


async def test_a_ledger_s_folder_without_rights(place: tuple[World, Truth]) -> None:
    """Where no ledger can be made nothing is asked: exit code 2, the file, and whose rights to check."""
    world, truth = place
    world.lake.mkdir()
    world.folder.chmod(0o555)
    heard = len(world.listener.asked)
    end = await coded(world, UNPRIVILEGED, *BACKFILL)
    world.folder.chmod(0o755)

    assert end.code == REFUSED, end.err
    assert f"{world.ledger}: the ledger cannot be used" in words(end.err)
    assert "Check owner and mode of the ledger" in words(end.err)
    assert len(world.listener.asked) == heard
    assert not world.ledger.exists()
    await mended(world, truth)
