"""Harvests that are ended from outside, and what must be true of lake, ledger and requests whenever nothing runs."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from archived import wrong_packs
from looked_at import rows_a_day, unreadable, wrong_rows
from running import Command, environment
from spent import Kept, Listener, Name, kept_of
from truth_frames import differences, lake_tables, snake

from harvester.sandbox import Running

CHILD = Path(__file__).parents[1] / "faults" / "child"
"""Its `sitecustomize` names the steps of a child and ends it at one of them."""
ROOT = Path(__file__).parents[2]
Tables = Mapping[str, pl.DataFrame]
Settled = Mapping[Name, Collection[date]]


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


@dataclass(slots=True)
class Child:
    """A command that is at work."""

    process: int
    folder: Path
    """Where its streams, its plan and its steps are, and nothing else."""
    code: asyncio.Future[int]
    """How it ended; negative: by that signal."""

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.code.done():
            with suppress(ProcessLookupError):  # it has ended, and the nursery has not said so yet
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
        return Child(born, folder, self._code_of(born))

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
    nursery: Nursery
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        """The lake's root."""
        return self.folder / "lake"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.db"

    async def begun(self, *arguments: str, name: str = "child", **plan: Any) -> "Child":
        """Start the command with *arguments* under a *plan*; those that live side by side have a *name* each."""
        folder = self.folder / "children" / name
        folder.mkdir(parents=True, exist_ok=True)
        words = {"lake": str(self.lake), "ledger": str(self.ledger), "log": str(folder / "steps.log"), **plan}
        (folder / "plan.json").write_text(json.dumps(words))
        (folder / "steps.log").unlink(missing_ok=True)
        env = environment(self.running, self.folder, **self.variables)
        env["FAULTS_PLAN"] = str(folder / "plan.json")
        return await self.nursery.started(env, folder, *arguments)

    async def run(self, *arguments: str, moment: float | None = None, **plan: Any) -> End:
        """Let the command run to its end, or kill it after *moment* seconds."""
        child = await self.begun(*arguments, **plan)
        if moment is not None:
            asyncio.get_running_loop().call_later(moment, child.kill)
        return await self.ended(child)

    async def ended(self, child: "Child") -> End:
        """Return how a child ended, once it has."""
        code = await child.code
        log = child.folder / "steps.log"
        steps = log.read_text().splitlines() if log.exists() else []
        killed = next((step.removeprefix("killed ") for step in steps if step.startswith("killed ")), None)
        said = {stream: (child.folder / stream).read_text() for stream in ("out", "err")}
        return End(code=code, killed=killed, steps=steps, **said)

    async def question(self, *arguments: str) -> Command:
        """Ask the command something, without a plan."""
        end = await self.run(*arguments, name="question")
        return Command(end.code, end.out, end.err)

    def kept(self) -> Kept:
        """Return what the ledger says need not be asked again."""
        return kept_of(self.ledger, self.first, self.last)

    def amiss(self, *truths: Tables, still: bool = True) -> list[str]:
        """Say what is wrong; *truths* are what the rows may be: as they are now, as they were.

        *still* is whether nobody is at work.
        """
        if spoiled := list(unreadable(self.lake)):
            return spoiled
        settled = self.kept().days  # before the lake is looked at, where somebody may be at work
        tables = lake_tables(self.lake) if self.lake.exists() else {}
        return [
            *wrong_rows(self.lake, truths, tables, still=still),
            *wrong_packs(self.lake, settled),
            *self._damage(),
            *self._settled_amiss(settled, tables, truths[0]),
        ]

    def unlike(self, truth: Tables) -> list[str]:
        """Say how the lake differs from the truth on the days that were asked for; a Week may have reached further."""
        return differences(self._asked(lake_tables(self.lake)), self._asked(truth))

    def _asked(self, tables: Tables) -> dict[str, pl.DataFrame]:
        span = pl.col("local_time").dt.date().is_between(self.first, self.last)
        return {
            table: asked for table, frame in tables.items() if frame.height and (asked := frame.filter(span)).height
        }

    def _damage(self) -> Iterator[str]:
        if not self.ledger.exists() or not self.ledger.stat().st_size:
            return
        with closing(sqlite3.connect(self.ledger)) as db:
            if (found := db.execute("PRAGMA integrity_check").fetchone()) != ("ok",):
                yield f"the ledger is damaged: {found}"

    def _settled_amiss(self, settled: Settled, tables: Tables, truth: Tables) -> Iterator[str]:
        """Look for settled days whose rows are not all in the *tables* of the lake."""
        have, want = rows_a_day(tables), rows_a_day(truth)
        for name, days in settled.items():
            called = (*name[:2], f"{'device' if name[1] else 'plant'}_{snake(name[2])}")
            for day in days:
                if have[called, day] != want[called, day]:
                    yield f"{name} {day} is settled with {have[called, day]} rows of {want[called, day]}"
