"""Harvests that are ended from outside, and what must be true of lake, ledger and requests whenever nothing runs."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import polars as pl
import pyarrow.parquet as pq
from running import Command, environment
from truth_frames import KEY, differences, lake_tables, snake

from harvester.lake.layout import Partition
from harvester.sandbox import Running
from harvester.sandbox.exchange import Answer, Body, Call
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger

CHILD = Path(__file__).parents[1] / "faults" / "child"
"""Its `sitecustomize` names the steps of a child and ends it at one of them."""
ROOT = Path(__file__).parents[2]
Tables = Mapping[str, pl.DataFrame]
Name = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a child ended."""

    code: int
    killed: str | None
    """The step at which it was killed by its plan."""
    steps: Sequence[str]
    """All that it passed, where that was to be recorded; also which were refused."""
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed on stdout."""
        return json.loads(self.out)

    @property
    def refused(self) -> list[str]:
        """The steps that failed because the plan said so."""
        return [step.removeprefix("refused ") for step in self.steps if step.startswith("refused ")]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the cloud has answered."""

    url: str
    status: int

    @property
    def about(self) -> tuple[str, str, str, str] | None:
        """Return id, set, period and date of a request for values; None for any other."""
        path, _, query = self.url.partition("?")
        words = [word for word in path.split("/") if word]
        if "sets" not in words or words[-1] == "sets":
            return None
        at = words.index("sets")
        dates = {name.casefold(): value for name, value in parse_qs(query).items()}.get("date", [""])
        return words[at - 2], words[at + 1], words[at + 2].casefold(), dates[0]


@dataclass(slots=True)
class Listener:
    """Writes down what a cloud is asked, and spoils some answers."""

    asked: list[Asked] = field(default_factory=list)
    spoil: int = 0
    """How many of the next answers to PowerDc are to come with bytes that no JSON has."""

    @classmethod
    def of(cls, running: Running) -> "Listener":
        """Listen to a cloud from now on."""
        listener, answer = cls(), running.cloud.answer

        def heard(call: Call) -> Answer:
            given = answer(call)
            listener.asked.append(Asked(call.url, given.status))
            if listener.spoil and "/PowerDc/" in call.url and b'"time"' in given.body.plain:
                listener.spoil -= 1
                return replace(given, body=Body(given.body.plain.replace(b'"time"', b'"t\xffme"', 1)))
            return given

        running.cloud.answer = heard  # type: ignore[method-assign]
        return listener


@dataclass(frozen=True, slots=True)
class Kept:
    """What a ledger says need not be asked again."""

    days: Mapping[Name, frozenset[date]]
    sums: frozenset[tuple[str, str, str]]
    """Plant, period, first day."""
    explored: frozenset[str]
    """Plants whose devices and sets are known."""

    def needless(self, asked: Asked, first: date, last: date) -> bool:
        """Tell whether a request about the days from *first* to *last* was spent before, for nothing new."""
        if asked.about is None:
            words = asked.url.partition("?")[0].split("/")
            return bool(self.explored.intersection(words)) and words[-1] in {"devices", "sets"}
        thing, measurement_set, period, day = asked.about
        mine = [days for name, days in self.days.items() if thing in name[:2] and name[2] == measurement_set]
        if len(mine) != 1:
            return False
        if period == "day":
            return date.fromisoformat(day) in mine[0]
        if period == "week":
            return all(first + timedelta(days=n) in mine[0] for n in range((last - first).days + 1))
        return (thing, period, day) in self.sums


def kept_of(file: Path, first: date, last: date) -> Kept:
    """Read a ledger; there may be none yet, or an empty file."""
    if not file.exists() or not file.stat().st_size or not _made(file):
        return Kept({}, frozenset(), frozenset())
    engine = connect(file, create=False)
    try:
        inventory = Inventory(engine, plants_per_file=100)
        parts = {plant.part for plant in inventory.plants()}
        series = [known for part in parts for known in inventory.every_series(part)]
        days = Ledger(engine).days([known.series_id for known in series], first, last)
        explored = {plant.plant.plant_id for plant in inventory.plants() if plant.explored_at is not None}
    finally:
        engine.dispose()
    with closing(sqlite3.connect(file)) as db:
        query = (
            "SELECT s.plant_id, lower(p.period), p.start FROM period_read p JOIN series s USING (series_id) "
            "WHERE NOT p.failed AND p.next_at IS NULL"
        )
        sums = [(plant, period, date(1970, 1, 1) + timedelta(days=start)) for plant, period, start in db.execute(query)]
    lengths = {"month": 7, "year": 4, "total": 0}
    return Kept(
        {
            (k.series.plant_id, k.series.device_id or "", k.series.set): frozenset(days[k.series_id].settled)
            for k in series
        },
        frozenset((plant, period, str(start)[: lengths[period]]) for plant, period, start in sums),
        frozenset(explored),
    )


def _made(file: Path) -> bool:
    """Tell whether the ledger's first migration has been committed."""
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return found is not None and db.execute("SELECT 1 FROM alembic_version").fetchone() is not None


@dataclass(slots=True)
class Child:
    """A command that is at work."""

    process: int
    out: Path
    err: Path
    code: asyncio.Future[int]
    """How it ended; negative: by that signal."""

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.code.done():
            os.kill(self.process, number)

    def kill(self) -> None:
        """Kill it."""
        self.send(signal.SIGKILL)


class Nursery:
    """Where children come from: a process that has the harvester loaded and forks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._codes: dict[int, asyncio.Future[int]] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["Nursery"]:
        """Open a nursery, and close it when all its children have ended."""
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHILD), str(ROOT)])}
        pipe = asyncio.subprocess.PIPE
        words = (sys.executable, str(CHILD / "nursery.py"))
        process = await asyncio.create_subprocess_exec(*words, env=env, stdin=pipe, stdout=pipe)
        nursery = cls(process)
        try:
            yield nursery
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
            nursery._listening.cancel()

    async def started(self, env: Mapping[str, str], folder: Path, *arguments: str) -> Child:
        """Start the command with *arguments*; what it prints is in *folder*."""
        words = {
            "arguments": arguments,
            "environment": dict(env),
            "out": str(folder / "out"),
            "err": str(folder / "err"),
        }
        assert self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            born = await self._born.get()
        return Child(born, folder / "out", folder / "err", self._code_of(born))

    def _code_of(self, child: int) -> asyncio.Future[int]:
        return self._codes.setdefault(child, asyncio.get_running_loop().create_future())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            words = json.loads(line)
            if "started" in words:
                self._codes.pop(words["started"], None)
                self._code_of(words["started"])
                self._born.put_nowait(words["started"])
            else:
                self._code_of(words["ended"]).set_result(words["code"])


@dataclass(slots=True)
class World:
    """A lake, its ledger and the cloud that they are filled from, with what a child needs to know of them."""

    running: Running
    listener: Listener
    folder: Path
    first: date
    last: date
    nursery: "Nursery"
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        """The lake's root."""
        return self.folder / "lake"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.db"

    async def begun(self, *arguments: str, **plan: Any) -> "Child":
        """Start the command with *arguments* under a *plan*."""
        words = {"lake": str(self.lake), "log": str(self._log), **plan}
        (self.folder / "plan.json").write_text(json.dumps(words))
        self._log.unlink(missing_ok=True)
        env = environment(self.running, self.folder, **self.variables)
        env["FAULTS_PLAN"] = str(self.folder / "plan.json")
        return await self.nursery.started(env, self.folder, *arguments)

    async def run(self, *arguments: str, moment: float | None = None, **plan: Any) -> End:
        """Let the command run to its end, or kill it after *moment* seconds."""
        child = await self.begun(*arguments, **plan)
        if moment is not None:
            asyncio.get_running_loop().call_later(moment, child.kill)
        return await self.ended(child)

    async def ended(self, child: "Child") -> End:
        """Return how a child ended, once it has."""
        code = await child.code
        steps = self._log.read_text().splitlines() if self._log.exists() else []
        killed = next((step.removeprefix("killed ") for step in steps if step.startswith("killed ")), None)
        return End(code=code, killed=killed, steps=steps, out=child.out.read_text(), err=child.err.read_text())

    async def question(self, *arguments: str) -> Command:
        """Ask the command something, without a plan."""
        end = await self.run(*arguments)
        return Command(end.code, end.out, end.err)

    def kept(self) -> Kept:
        """Return what the ledger says need not be asked again."""
        return kept_of(self.ledger, self.first, self.last)

    def amiss(self, *truths: Tables) -> list[str]:
        """Say what is wrong while nothing runs; *truths* are what the rows may be: as they are now, as they were."""
        if unreadable := list(_unreadable(self.lake)):
            return unreadable
        return [*_wrong_rows(self.lake, truths), *self._ledger_amiss(truths[0])]

    def unlike(self, truth: Tables) -> list[str]:
        """Say how the lake differs from the truth on the days that were asked for; a Week may have reached further."""
        return differences(self._asked(lake_tables(self.lake)), self._asked(truth))

    def _asked(self, tables: Tables) -> dict[str, pl.DataFrame]:
        span = pl.col("local_time").dt.date().is_between(self.first, self.last)
        return {
            table: asked for table, frame in tables.items() if frame.height and (asked := frame.filter(span)).height
        }

    def _ledger_amiss(self, truth: Tables) -> Iterator[str]:
        if not self.ledger.exists() or not self.ledger.stat().st_size:
            return
        with closing(sqlite3.connect(self.ledger)) as db:
            if (found := db.execute("PRAGMA integrity_check").fetchone()) != ("ok",):
                yield f"the ledger is damaged: {found}"
        have, want = _rows_a_day(lake_tables(self.lake) if self.lake.exists() else {}), _rows_a_day(truth)
        for name, days in self.kept().days.items():
            called = (*name[:2], f"{'device' if name[1] else 'plant'}_{snake(name[2])}")
            for day in days:
                if have[called, day] != want[called, day]:
                    yield f"{name} {day} is settled with {have[called, day]} rows of {want[called, day]}"

    @property
    def _log(self) -> Path:
        return self.folder / "steps.log"


def _rows_a_day(tables: Tables) -> Counter[tuple[Name, date]]:
    """Count the rows of each series, which is called by its table, and day."""
    found: Counter[tuple[Name, date]] = Counter()
    for table, frame in tables.items():
        if table.endswith("_by_index") or not frame.columns:
            continue
        key = ["plant_id", *(["device_id"] if "device_id" in frame.columns else [])]
        for row in frame.group_by(*key, pl.col("local_time").dt.date().alias("day")).len().rows():
            found[(row[0], row[1] if len(key) > 1 else "", table), row[-2]] += row[-1]
    return found


def _unreadable(root: Path) -> Iterator[str]:
    """Read every file that a reader's pattern finds, each by itself, as a reader would."""
    for file in sorted(root.rglob("*.parquet")) if root.exists() else []:
        try:
            Partition.parse(file.relative_to(root).as_posix())
            pq.read_table(file, partitioning=None)
        except (OSError, ValueError) as error:
            yield f"{file}: {error}"
    for file in root.rglob("*") if root.exists() else []:
        data = file.is_file() and "_harvester" not in file.parts and file.suffix != ".parquet"
        if data and not (file.name.startswith(".") and file.name.endswith(".tmp")):
            yield f"{file} lies among the data"


def _wrong_rows(root: Path, truths: Sequence[Tables]) -> Iterator[str]:
    """Look for rows that are there twice, and rows that are not the truth; with both readers."""
    with duckdb.connect() as db:
        for table, frame in (lake_tables(root) if root.exists() else {}).items():
            key = [name for name in KEY if name in frame.columns]
            if not key:  # its first file was not finished
                continue
            query = f"SELECT count(*), count(DISTINCT ({', '.join(key)})) FROM read_parquet(?, union_by_name = true)"
            counts = db.execute(query, [f"{root}/{table}/**/*.parquet"]).fetchone()
            if counts != (frame.height, frame.height):
                yield f"{table}: {frame.height} rows by pyarrow, {counts} rows and keys by DuckDB"
            left = frame
            for truth in truths:
                if table in truth:
                    columns = [name for name in truth[table].columns if name in left.columns]
                    left = left.join(truth[table], on=columns, how="anti", nulls_equal=True)
            if left.height:
                yield f"{table}: {left.height} rows are not the truth"
