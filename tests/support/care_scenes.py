"""Scenes of commands that care for what is there, killed: replay, purge, the making of a new ledger, upgrade."""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, closing
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import owned_lake
import polars as pl
from journeys import FIRST, LAST, SMALL, SPAN, Place, Scene
from killing import End, Tables, World
from looked_at import unreadable, wrong_rows
from truth_frames import differences, lake_tables

from harvester.lake.layout import Places
from harvester.lake.schema import REVISIONS
from harvester.sandbox import Faults, Running, Settings, serving

EARLIER = timedelta(hours=5, minutes=30)
"""How much earlier than in UTC a wall clock of Kolkata shows the same."""
LOST = ("device_power_ac", "device_power_dc", "plant_energy_balance_by_index")
STEPS = ["raw", "quarantine", "tables", "ledger", "master", "shred", "copies"]
"""Of a purge, in their order."""


class Cared(Scene):
    """Something that begins with a lake, which is made once, and needs no answer of a cloud."""

    silent = True

    async def furnish(self, place: Place) -> None:
        """Make the lake."""
        await super().furnish(place)
        made = place.world()
        await self.made(made)
        shutil.rmtree(made.folder / "children", ignore_errors=True)
        self.template = made.folder

    async def made(self, world: World) -> None:
        """Fill the *world* that all others begin as a copy of."""

    async def prepare(self, world: World) -> None:
        """Copy it."""
        shutil.copytree(self.template, world.folder, dirs_exist_ok=True)


class Replay(Cared):
    """Tables that were lost and a plant whose zone was wrong, made again from archived answers.

    Killed wherever, each row is as it was or as it is to be; in the end the lake is what one replay leaves behind.
    """

    name = "replay"
    settings = Settings(**SMALL)

    def arguments(self) -> tuple[str, ...]:
        """Return the command; it corrects the zone of one plant."""
        return ("replay", *SPAN, "--zone", f"{self._moved}=Asia/Kolkata")

    async def made(self, world: World) -> None:
        """Harvest, and lose some tables; find out where the rows of the corrected plant belong."""
        end = await world.run("backfill", *SPAN)
        assert end.code == 0, end.err
        self._moved = min(plant.plant_id for plant in self.running.cloud.truth.plants())
        self._right = {name: moved(frame, self._moved) for name, frame in self.truths[0].items()}
        self._settled, self._packs = world.kept().days, packs(world.lake)
        self._undisturbed: tuple[Tables, pl.DataFrame] | None = None
        for table in LOST:
            shutil.rmtree(world.lake / table, ignore_errors=True)

    async def killed(self, world: World) -> list[str]:
        """Look at the rows, which may be as before or as afterwards, and at what a replay does not touch."""
        problems = list(unreadable(world.lake))
        if not problems:
            problems += wrong_rows(world.lake, (self.truths[0], self._right), lake_tables(world.lake))
        if world.kept().days != self._settled:
            problems.append("the ledger calls other days settled than before")
        if packs(world.lake) != self._packs:
            problems.append("the raw archive has changed")
        return problems

    async def finished(self, world: World, _end: End) -> list[str]:
        """Look at the rows, which are as they are to be, and the revisions; another replay finds nothing to do."""
        again = await world.run(*self.arguments(), "--json", name="again")
        wrote = again.json["files_written"] if again.code == 0 else again.err
        have, revisions = same_but_when(lake_tables(world.lake)), revised(world.lake)
        undisturbed = self._undisturbed = self._undisturbed or (have, revisions)
        asked = pl.col("local_time").dt.date().is_between(FIRST, LAST)
        found, right = ({n: f.filter(asked) for n, f in tables.items()} for tables in (have, self._right))
        problems = [*await self.killed(world), *differences(found, right), *differences(have, dict(undisturbed[0]))]
        if not revisions.equals(undisturbed[1]):
            problems.append(f"{revisions.height} values were revised, {undisturbed[1].height} without a kill")
        return [*problems, *([f"another replay wrote {wrote} files"] if wrote else [])]


def moved(frame: pl.DataFrame, plant_id: str) -> pl.DataFrame:
    """Return *frame* with the rows of a plant at the instants at which Kolkata's clocks show their wall clock."""
    right = (pl.col("local_time") - EARLIER).dt.replace_time_zone("UTC")
    mine = pl.col("plant_id") == plant_id
    keys = [key for key in ("plant_id", "device_id", "time", "index") if key in frame.columns]
    return frame.with_columns(time=pl.when(mine).then(right).otherwise(pl.col("time"))).sort(keys)


def same_but_when(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return *tables* without the moments at which their rows changed."""
    return {name: frame.drop("harvested_at") for name, frame in tables.items() if frame.height}


def revised(root: Path) -> pl.DataFrame:
    """Return each value that was revised once: a replay that was killed may tell of it again."""
    files = sorted((root / REVISIONS).rglob("*.parquet"))
    if not files:
        return pl.DataFrame()
    frame = pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files], how="diagonal")
    return frame.drop("known_at").unique().sort(pl.all())


def packs(root: Path) -> dict[str, bytes]:
    """Return the raw archive."""
    places = Places(root)
    return {str(pack.path): places.pack(pack).read_bytes() for pack in places.packs()}


class Purge(Cared):
    """Everything of one of two owners is deleted, out of a lake that has something of both in every corner."""

    name = "purge"
    command = ("consent", "purge", owned_lake.ANN, "--yes")
    settings = owned_lake.SETTINGS
    owners = (owned_lake.ANN, owned_lake.BEN)
    first, last = owned_lake.FIRST, owned_lake.LAST
    variables: ClassVar[dict[str, str]] = {
        "HARVESTER_HARVEST__SETS": json.dumps(["EnergyBalance", "PowerDc", "EnergyAndPowerPv"])
    }

    @classmethod
    def cloud(cls) -> AbstractAsyncContextManager[Running]:
        """Open the cloud that the lake was filled from."""
        return serving(cls.settings, now=owned_lake.present)

    async def made(self, world: World) -> None:
        """Fill the lake."""
        await owned_lake.furnished(self.running, world.folder)
        self._terms = owned_lake.terms_of(self.running, owned_lake.ANN)
        self._bens = owned_lake.plants_of(self.running, owned_lake.BEN)
        self._of_ben = self._of_the_other(world)
        assert owned_lake.traces(world.folder, self._terms)

    async def killed(self, world: World) -> list[str]:
        """Look at what is the other owner's, and at the trail."""
        problems = [f"{file} is torn" for file in unreadable(world.lake) if ".tmp" not in file]
        if self._of_the_other(world) != self._of_ben:
            problems.append("something of the other owner has changed")
        torn = self.tally.kills["torn write audit"]
        problems += [f"the trail has a line {line!r}" for line in told(world.lake)[1][torn:]]
        return problems

    async def finished(self, world: World, _end: End) -> list[str]:
        """Search every byte for what was deleted; look at what is the other's; and read the trail."""
        left = owned_lake.traces(world.folder, self._terms)
        traces = [f"{file} holds something of the purged owner" for file in sorted(left) if "children/" not in file]
        config = owned_lake.config_of(self.running, world.folder)
        if (known := owned_lake.known_plants(config)) != self._bens:
            traces.append(f"the ledger knows {known}")
        if len(list(Places(world.lake).snapshots.iterdir())) != 1:
            traces.append("there is more than one copy of the ledger")
        archived = owned_lake.archived(world.lake, self._bens)
        if len(archived) != len(set(archived)):
            traces.append("answers of the other owner are archived twice")
        return [*await self.killed(world), *traces, *untold(world.lake)]

    def _of_the_other(self, world: World) -> tuple[object, ...]:
        """Return all that there is of the other owner."""
        frames = {path: frame.to_dicts() for path, frame in owned_lake.contents(world.lake, self._bens).items()}
        bodies = [file.read_bytes() for file in sorted(Places(world.lake).quarantine.glob("*"))]
        kept = [body for body in bodies if any(plant_id.encode() in body for plant_id in self._bens)]
        config = owned_lake.config_of(self.running, world.folder)
        archived = set(owned_lake.archived(world.lake, self._bens))
        return frames, archived, kept, owned_lake.rows_of(config, self._bens)


def told(root: Path) -> tuple[list[dict[str, object]], list[bytes]]:
    """Return the entries of the audit trail, and its lines that are none."""
    file, entries, torn = Places(root).audit, [], []
    for line in file.read_bytes().splitlines() if file.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            torn.append(line)
    return entries, torn


def untold(root: Path) -> Iterator[str]:
    """Say what the audit trail lacks: of every purge that it was begun, each step in its turn, that it was done.

    What was told when a kill came, and not recorded as done, is told again.
    """
    deletions: dict[object, list[str]] = {}
    for entry in told(root)[0]:
        counts = entry.get("counts")
        step = str(counts["step"]) if isinstance(counts, dict) else str(entry["what"])
        deletions.setdefault(entry["begun_at"], []).append(step)
    whole = ["purge.begun", *STEPS, "purge.done"]
    for begun_at, steps in deletions.items():
        if [step for n, step in enumerate(steps) if step not in steps[:n]] != whole:
            yield f"of the purge of {begun_at} the trail tells {steps}"
    if not deletions:
        yield "the trail tells of no purge"


class Rebuild(Cared):
    """A ledger made again from a snapshot that is older than it, and the lake; every other time it was lost before.

    Killed wherever, the ledger is the old one or the new one.
    """

    name = "ledger rebuild"
    command = ("ledger", "rebuild", "--force")
    settings = Settings(**SMALL)

    async def made(self, world: World) -> None:
        """Harvest a day, which makes a snapshot, and then the others."""
        for last in (FIRST, LAST):
            end = await world.run("backfill", "--from", str(FIRST), "--to", str(last))
            assert end.code == 0, end.err
        self._old = content(world.ledger)
        self._new: object = None
        self._worlds = 0

    async def prepare(self, world: World) -> None:
        """Copy the lake; of every other one the ledger is lost."""
        await super().prepare(world)
        self._lost, self._worlds = bool(self._worlds % 2), self._worlds + 1
        self._had = not self._lost
        if self._lost:
            for file in world.folder.glob("ledger.db*"):
                file.unlink()

    async def killed(self, world: World) -> list[str]:
        """Look at the lake, which is not touched, and at the ledger."""
        there = content(world.ledger)
        if there is None and self._had:
            return ["there is no ledger"]
        self._had = there is not None
        if there not in (None, self._old, self._new):
            return ["the ledger is neither the old one nor the new one"]
        return world.amiss(*self.truths)

    async def finished(self, world: World, _end: End) -> list[str]:
        """Look at the new ledger, and for the old one beside it; what it does not know is asked again, and no more."""
        there = content(world.ledger)
        self._new = self._new or there
        problems = await self.killed(world)
        if there != self._new:
            problems.append("the ledger is not the new one")
        beside = [file for file in world.folder.glob("ledger.db.aside-*") if not file.name.endswith(("-wal", "-shm"))]
        if not self._lost and self._old not in [content(file) for file in beside]:
            problems.append("the old ledger is lost")
        problems += [f"{file.name} was left" for file in world.folder.glob(".ledger.db*")]
        again = await world.run("backfill", *SPAN, "--json", name="again")
        series = len(self.running.cloud.truth.series())
        if again.code or again.json["requests"]["values"] > series:
            problems.append(f"the harvest that follows: {again.code}, {again.out}, {again.err}")
        return [*problems, *world.amiss(*self.truths), *world.unlike(self.truths[0])]


def content(ledger: Path) -> object:
    """Return what a ledger knows, but for the moments at which it learned it; None where there is none."""
    if not ledger.exists():
        return None
    queries = (
        "SELECT key, value FROM meta WHERE key = 'lake_id'",
        "SELECT plant_id, part, ordinal, name, timezone FROM plant",
        "SELECT device_id, plant_id, name, is_active FROM device",
        'SELECT series_id, part, plant_id, device_id, "set" FROM series',
        "SELECT series_id, month, days FROM month",
        "SELECT series_id, day, failed, rows FROM open_day",
        "SELECT series_id, period, start, failed FROM period_read",
    )
    with closing(sqlite3.connect(ledger)) as db:
        return [sorted(db.execute(query).fetchall(), key=repr) for query in queries]


class Upgrade(Cared):
    """Files from before some channels were known get their columns, one by one.

    Killed wherever, each row is as it was, and whatever column is new is null.
    """

    name = "lake upgrade"
    command = ("lake", "upgrade")
    settings = Settings(**SMALL)

    async def made(self, world: World) -> None:
        """Harvest, and then a day on which channels come that nobody knew."""
        end = await world.run("backfill", *SPAN)
        assert end.code == 0, end.err
        self.running.cloud.faults = Faults(surplus=1.0)
        later = str(LAST + timedelta(days=1))
        end = await world.run("backfill", "--from", later, "--to", later)
        assert end.code == 0, end.err
        self._rows, self._ledger, self._packs = every_row(world.lake), content(world.ledger), packs(world.lake)
        assert incomplete(world.lake)

    async def killed(self, world: World) -> list[str]:
        """Look at the rows, and at what an upgrade does not touch."""
        problems = list(unreadable(world.lake))
        rows = {} if problems else every_row(world.lake)
        changed = [file for file, frame in rows.items() if file not in self._rows or not frame.equals(self._rows[file])]
        problems += [f"{file} has other rows" for file in changed]
        if rows.keys() != self._rows.keys():
            problems.append("there are other files than before")
        if (content(world.ledger), packs(world.lake)) != (self._ledger, self._packs):
            problems.append("the ledger or the raw archive has changed")
        return problems

    async def finished(self, world: World, _end: End) -> list[str]:
        """Look for files that lack a column still; another upgrade finds nothing to do, and a check finds nothing."""
        again = await world.question("lake", "upgrade", "--json")
        checked = await world.question("lake", "check", "--json")
        problems = [f"{file} lacks {columns}" for file, columns in incomplete(world.lake).items()]
        if (again.code, again.json) != (0, {"rewritten": [], "unreadable": []}):
            problems.append(f"another upgrade: {again.code}, {again.out}, {again.err}")
        if (checked.code, checked.json) != (0, []):
            problems.append(f"a check: {checked.code}, {checked.out}, {checked.err}")
        return [*await self.killed(world), *problems]


def every_row(root: Path) -> dict[str, pl.DataFrame]:
    """Return the rows of each file in their order, without columns that hold nothing."""
    found = {}
    for file in sorted(root.rglob("*.parquet")):
        frame = pl.read_parquet(file, hive_partitioning=False)
        filled = [name for name in sorted(frame.columns) if frame.get_column(name).null_count() < frame.height]
        found[str(file.relative_to(root))] = frame.select(filled)
    return found


def incomplete(root: Path) -> dict[str, set[str]]:
    """Return the files that lack columns which others of their table have."""
    files: dict[str, dict[str, set[str]]] = {}
    for file in sorted(root.rglob("*.parquet")):
        path = file.relative_to(root)
        files.setdefault(path.parts[0], {})[str(path)] = set(pl.read_parquet_schema(file))
    every = {table: set().union(*columns.values()) for table, columns in files.items()}
    return {
        path: lacking
        for table, columns in files.items()
        for path, held in columns.items()
        if (lacking := every[table] - held)
    }


CARE: Sequence[type[Scene]] = (Replay, Purge, Rebuild, Upgrade)
