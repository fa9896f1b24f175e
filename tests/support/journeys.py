"""Journeys: a harvest that is killed at one step, looked at, started again, killed at the next one, and in the end true."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from connecting import KEY, code_configured, connected
from killing import Asked, Kept, Listener, Nursery, Tables, World
from running import accept_all
from truth_frames import days, lake_tables, truth_tables

from harvester.sandbox import Faults, Running, Settings, serving

ANN, BOB = "ann@example.org", "bob@example.org"
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=20), TODAY - timedelta(days=18)
"""Long past, so that every read settles its day whatever the clock says."""
BUDGET, WINDOW = 150, 5
"""Requests per window, in seconds, of cloud and harvester alike."""
SIGKILL = -9
IDLE = 8
"""Worlds in a row without a kill after which a step counts as one that is not come by again."""


@dataclass(slots=True)
class Tally:
    """What came of many kills."""

    kills: Counter[str] = field(default_factory=Counter)
    """By step; those at random moments by that name."""
    worlds: int = 0
    children: int = 0
    requests: int = 0
    """To the monitoring API, of all children."""
    in_flight: list[int] = field(default_factory=list)
    """Per kill: answers whose days were not in the ledger yet, and which had to be asked again therefore."""
    needless: int = 0
    """Requests for what the ledger had when the child started: spent twice."""
    limited: int = 0
    rows: int = 0
    """Of all lakes in the end."""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of harvest: the command, what is there before, and what the cloud is like."""

    name: str
    command: tuple[str, ...]
    settings: Settings
    prepare: Callable[[World], Awaitable[None]]
    variables: dict[str, str] = field(default_factory=dict)
    before: Faults = field(default_factory=Faults)
    """How the cloud was when the lake was prepared; rows of then may still be there."""


async def _nothing(_world: World) -> None:
    """Begin with nothing but the owners' consent."""


async def _backfilled(world: World) -> None:
    """Begin with a lake that holds what the cloud says later was wrong."""
    now, world.running.cloud.faults = world.running.cloud.faults, SPIKED
    end = await world.run("backfill", *SPAN)
    world.running.cloud.faults = now
    assert end.code == 0, end.err


async def _connected(world: World) -> None:
    """Begin with two owners who have connected."""
    config = code_configured(world.running, world.folder)
    await connected(config, world.running, (ANN, BOB))


SPAN = ("--from", FIRST.isoformat(), "--to", LAST.isoformat())
SPIKED = Faults(spikes=1.0)
SMALL = {"plants": 2, "devices": 3, "owners": (ANN, BOB), "start": FIRST, "requests": BUDGET, "window_seconds": WINDOW}
SCENES = (
    Scene(
        "backfill",
        ("backfill", *SPAN),
        Settings(**SMALL, faults=Faults(surplus=0.5, octets=0.3, only=("PowerDc",))),  # type: ignore[arg-type]
        _nothing,
    ),
    Scene("repair", ("repair", *SPAN, "--force"), Settings(**SMALL), _backfilled, before=SPIKED),  # type: ignore[arg-type]
    Scene(
        "code grant",
        ("backfill", *SPAN),
        Settings(**SMALL, grant="code", token_seconds=1),  # type: ignore[arg-type]
        _connected,
        {"HARVESTER_SMA__GRANT": "code", "HARVESTER_VAULT__KEY": KEY},
    ),
)


class Stage:
    """One scene with its cloud; many worlds are harvested there, one after another."""

    def __init__(self, scene: Scene, running: Running, nursery: Nursery, folder: Path, tally: Tally) -> None:
        self.scene, self.running, self.nursery, self.folder, self.tally = scene, running, nursery, folder, tally
        self._listener = Listener.of(running)
        wanted = days(FIRST, LAST + timedelta(days=7))  # a Week reaches further than what is asked for
        self.truths: tuple[Tables, ...] = (truth_tables(running.cloud, wanted),)
        if scene.before != Faults():
            now, running.cloud.faults = running.cloud.faults, scene.before
            self.truths += (truth_tables(running.cloud, wanted),)
            running.cloud.faults = now

    async def steps(self) -> list[str]:
        """Harvest a world undisturbed and return the names of the steps that were passed, in their order."""
        with self._place() as world:
            await self.scene.prepare(world)
            end = await world.run(*self.scene.command, record=True)
            self._finished(world, end.code, end.err)
            return list(dict.fromkeys(end.steps))

    async def journey(self, chosen: Callable[[], Mapping[str, Any]]) -> None:
        """Harvest a world; each child gets the plan that is *chosen* then, until one comes to its end."""
        with self._place() as world:
            await self.scene.prepare(world)
            while True:
                kept, heard = world.kept(), len(self._listener.asked)
                end = await world.run(*self.scene.command, **chosen())
                asked = self._listener.asked[heard:]
                self._count(asked, kept)
                if end.code != SIGKILL:
                    self._finished(world, end.code, end.err)
                    return
                name = end.killed or "at a random moment"
                self.tally.kills[name] += 1
                after = world.kept()
                self.tally.in_flight.append(sum(1 for one in asked if _lost(one, after)))
                self._complain(f"killed {name}", world.amiss(*self.truths))

    async def at_each(self, steps: Sequence[str]) -> list[str]:
        """Kill at every one of *steps* once, at whichever comes first; return those that no journey came by."""
        idle = 0
        while (left := [step for step in steps if step not in self.tally.kills]) and idle < IDLE:
            kills = self.tally.kills.total()
            await self.journey(lambda: {"kill": dict.fromkeys(set(steps) - self.tally.kills.keys(), 1)})
            idle = idle + 1 if self.tally.kills.total() == kills else 0
        return left

    def _count(self, asked: Sequence[Asked], kept: Kept) -> None:
        self.tally.children += 1
        self.tally.requests += sum("/monitoring/" in one.url for one in asked)
        self.tally.limited += sum(one.status == 429 for one in asked)
        if "--force" not in self.scene.command:  # who forces wants all of it again
            self.tally.needless += sum(kept.needless(one, FIRST, LAST) for one in asked)

    def _finished(self, world: World, code: int, said: str) -> None:
        self.tally.worlds += 1
        problems = [*([f"exit code {code}: {said[-2000:]}"] if code else []), *world.amiss(*self.truths)]
        if not code:
            problems += world.unlike(self.truths[0])
        self._complain("at the end", problems)
        self.tally.rows += sum(frame.height for frame in lake_tables(world.lake).values())

    def _complain(self, when: str, problems: Sequence[str]) -> None:
        self.tally.problems.extend(f"{self.scene.name}, {when}: {problem}" for problem in problems)

    def _place(self) -> "_Place":
        return _Place(self)


class _Place:
    """A folder for one world, which goes when the world is done, unless something is wrong with it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> World:
        self._folder = Path(tempfile.mkdtemp(dir=self._stage.folder))
        self._before = len(self._stage.tally.problems)
        variables = {
            "HARVESTER_SMA__OWNERS": f'["{ANN}", "{BOB}"]',
            "HARVESTER_RATE__REQUESTS": str(BUDGET),
            "HARVESTER_RATE__WINDOW_SECONDS": str(WINDOW),
            **self._stage.scene.variables,
        }
        return World(
            self._stage.running, self._stage._listener, self._folder, FIRST, LAST, self._stage.nursery, variables
        )

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is None and len(self._stage.tally.problems) == self._before:
            shutil.rmtree(self._folder)


def _lost(asked: Asked, after: Kept) -> bool:
    """Tell whether an answer had come that was not in the ledger when its child was killed."""
    return asked.about is not None and asked.status == 200 and not after.needless(asked, FIRST, LAST)


@asynccontextmanager
async def staged(scene: Scene, folder: Path, tally: Tally) -> AsyncIterator[Stage]:
    """Open the cloud of *scene*."""
    async with serving(scene.settings) as running, Nursery.opened() as nursery:
        if scene.settings.grant == "custom":
            accept_all(running)
        yield Stage(scene, running, nursery, folder, tally)


def at_random(steps: Sequence[str], chance: random.Random, longest: float) -> dict[str, Any]:
    """Return a plan that kills at the n-th time of a named step, at any step, or at a moment that is nobody's step."""
    match chance.randrange(3):
        case 0:
            return {"kill": {chance.choice(list(steps)): chance.choice((1, 1, 2, 3, 5, 8))}}
        case 1:
            return {"kill_at": chance.randrange(1, 600)}
    return {"moment": chance.uniform(0.3, longest)}


def span() -> tuple[date, date]:
    """Return the days that are harvested, both inclusive."""
    return FIRST, LAST
