"""Journeys: work is killed at a step, looked at, started again, killed at the next one, and ends true."""

import asyncio
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from killing import Child, End, Nursery, Tables, World
from running import accept_all
from spent import Asked, Kept, Listener, bearable
from truth_frames import days, lake_tables, truth_tables

from harvester.sandbox import Running, Settings, serving

ANN, BOB = "ann@example.org", "bob@example.org"
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=20), TODAY - timedelta(days=18)
"""Long past, so that every read settles its day whatever the clock says."""
SPAN = ("--from", FIRST.isoformat(), "--to", LAST.isoformat())
BUDGET, WINDOW = 150, 5
"""Requests per window, in seconds, of cloud and harvester alike."""
SMALL: Mapping[str, Any] = {
    "plants": 2,
    "devices": 3,
    "owners": (ANN, BOB),
    "start": FIRST,
    "requests": BUDGET,
    "window_seconds": WINDOW,
}
SIGKILL = -9
UNHEARD = -signal.SIGTERM
"""Exit code of a child that was told to stop before it could listen: nothing was left to do."""
STUCK = 124
"""Exit code of a child that had to be killed because it did not end."""
PATIENCE = 120.0
"""Seconds that a child has for its work."""
LONGEST_MOMENT = 3.0
"""Seconds after which a child is killed at the latest whose step is left to chance."""
IDLE = 8
"""Worlds in a row without a kill after which a step counts as one that is not come by again."""


class Cost(NamedTuple):
    """What a kill cost, in answers that have to be asked again as their days were not in the ledger yet."""

    lost: int
    bearable: int
    """The most that it may be: see `spent.bearable`."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a child goes through that is not disturbed."""

    steps: Sequence[str] = ()
    """The names of those that it passes, each once, in their order."""
    passed: int = 0
    """How many it passes, with repetitions."""
    seconds: float = LONGEST_MOMENT
    """How long it lives, as far as that matters."""


@dataclass(slots=True)
class Tally:
    """What came of many kills."""

    named: int = 0
    """Steps that a child passes which is not disturbed, and in `killed_at` those of them at which one was killed."""
    killed_at: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By step; those at random moments by that name."""
    worlds: int = 0
    children: int = 0
    requests: int = 0
    """To the monitoring API, of all children."""
    costs: list[Cost] = field(default_factory=list)
    """Of each kill, but for scenes in which all is wanted again anyway."""
    needless: int = 0
    """Requests for what the ledger had when the child started, or that the child itself had asked: spent twice."""
    limited: int = 0
    reconnected: int = 0
    """Owners who had to connect again: SMA had exchanged a refresh token, and the new one was not kept yet. It is good
    for one use, so nothing that a client does can bring it back."""
    rows: int = 0
    """Of all lakes in the end."""
    problems: list[str] = field(default_factory=list)

    @property
    def dear(self) -> int:
        """How many kills cost more than a kill may."""
        return sum(cost.lost > cost.bearable for cost in self.costs)

    @property
    def twice(self) -> float:
        """The share of all requests that were spent twice."""
        return self.needless / self.requests if self.requests else 0.0


class Scene:
    """A kind of work: the command, what is there before, what the cloud is like, and what must be true.

    One is made for each cloud; many worlds live in it, one after another.
    """

    name: ClassVar[str]
    command: ClassVar[tuple[str, ...]]
    settings: ClassVar[Settings]
    owners: ClassVar[tuple[str, ...]] = (ANN, BOB)
    variables: ClassVar[Mapping[str, str]] = {}
    first: ClassVar[date] = FIRST
    last: ClassVar[date] = LAST
    spoiled: ClassVar[int] = 0
    """Answers that each child cannot read at first."""
    workers: ClassVar[int] = 2
    """Requests that a child has in flight: so few that what a kill may cost is less than the whole work."""
    forced: ClassVar[bool] = False
    """Whether all of it is wanted again by each child, so that what one had before counts for nothing."""
    silent: ClassVar[bool] = False
    """Whether it is work for which nothing is to be asked."""

    def __init__(self, running: Running, tally: Tally) -> None:
        self.running, self.tally = running, tally
        self.truths: tuple[Tables, ...] = ()
        """What rows may be: as they are now, as they were."""
        self.problems: list[str] = []
        """What was noticed on the way and is not told yet."""

    @classmethod
    def cloud(cls) -> AbstractAsyncContextManager[Running]:
        """Open the cloud."""
        return serving(cls.settings)

    @property
    def wanted(self) -> Sequence[date]:
        """Days of which the lake may hold rows; a Week reaches further than what is asked for."""
        return days(self.first, self.last + timedelta(days=7))

    async def furnish(self, _place: "Place") -> None:
        """Find out once what is true, and make in a place whatever all worlds begin with."""
        self.truths = (truth_tables(self.running.cloud, self.wanted),)

    async def prepare(self, world: World) -> None:
        """Put into a *world* what is there before."""

    def arguments(self) -> tuple[str, ...]:
        """Return the command that is killed, as it is given again and again."""
        return self.command

    async def lived(self, world: World, **plan: Any) -> End:
        """Let a child live, which may be killed, until it has done its work."""
        return await self.until(world, await world.begun(*self.arguments(), **plan), **plan)

    async def until(self, world: World, child: Child, done: Callable[[], bool] = lambda: False, **plan: Any) -> End:
        """Return how *child* ended, which is told to stop when all is *done*."""
        if "moment" in plan:
            asyncio.get_running_loop().call_later(plan["moment"], child.kill)
        try:
            async with asyncio.timeout(PATIENCE):
                while not child.code.done() and not done():
                    await asyncio.wait([child.code], timeout=0.2)
                child.send(signal.SIGTERM)
                end = await world.ended(child)
                return replace(end, code=0) if end.code == UNHEARD else end
        except TimeoutError:
            child.kill()
            end = await world.ended(child)
            self.problems.append(f"it did not end within {PATIENCE:.0f} s: {end.err[-2000:]}")
            return End(code=STUCK, killed=None, steps=end.steps, out=end.out, err=end.err)

    async def killed(self, world: World) -> list[str]:
        """Say what is wrong after a kill, and do what nobody but a person can do then."""
        return world.amiss(*self.truths)

    async def finished(self, world: World, _end: End) -> list[str]:
        """Say what is wrong in the end."""
        return [*world.amiss(*self.truths), *world.unlike(self.truths[0])]

    def of_the_killed(self, asked: Sequence[Asked], _kept: Kept) -> Sequence[Asked]:
        """Return those of the requests that the child has made which was killed."""
        return asked

    async def left(self, world: World) -> None:
        """End whatever is at work in a *world* still."""


class Stage:
    """One scene with its cloud; many worlds are harvested there, one after another."""

    def __init__(self, scene: Scene, nursery: Nursery, folder: Path, tally: Tally) -> None:
        self.scene, self.nursery, self.folder, self.tally = scene, nursery, folder, tally
        self._listener = Listener.of(scene.running)
        self.course = Course()

    async def steps(self) -> list[str]:
        """Harvest a world undisturbed and return the names of the steps that were passed, in their order."""
        with self.place() as world:
            await self.scene.prepare(world)
            self._listener.spoil, began = self.scene.spoiled, time.monotonic()
            try:
                end = await self.scene.lived(world, record=True)
                seconds = min(time.monotonic() - began, LONGEST_MOMENT)
                await self._finished(world, end)
            finally:
                await self.scene.left(world)
            self.course = Course(tuple(dict.fromkeys(end.steps)), len(end.steps), seconds)
            return list(self.course.steps)

    async def journey(self, chosen: Callable[[], Mapping[str, Any]], told: Callable[[], None] = lambda: None) -> None:
        """Harvest a world; each child gets the plan that is *chosen* then, until one comes to its end.

        After each kill it is *told*.
        """
        with self.place() as world:
            await self.scene.prepare(world)
            try:
                while await self._survived_a_kill(world, chosen()):
                    told()
            finally:
                await self.scene.left(world)

    async def at_each(self, steps: Sequence[str], told: Callable[[], None] = lambda: None) -> list[str]:
        """Kill at every one of *steps* once, at whichever comes first; return those that no journey came by."""
        idle = 0
        while (left := [step for step in steps if step not in self.tally.kills]) and idle < IDLE:
            kills = self.tally.kills.total()
            await self.journey(lambda: {"kill": dict.fromkeys(set(steps) - self.tally.kills.keys(), 1)}, told)
            idle = idle + 1 if self.tally.kills.total() == kills else 0
        return left

    def place(self) -> "Place":
        """Return a place for one world, to be entered."""
        return Place(self.scene, self._listener, self.nursery, self.folder)

    def at_random(self, chance: random.Random) -> Mapping[str, Any]:
        """Return a plan that kills at the n-th time of a named step, at any step, or at a moment that is no step."""
        match chance.randrange(3):
            case 0:
                return {"kill": {chance.choice(self.course.steps): chance.choice((1, 1, 2, 3, 5, 8))}}
            case 1:
                return {"kill_at": chance.randrange(1, self.course.passed + 1)}
        return {"moment": chance.uniform(0.05, self.course.seconds)}

    async def _survived_a_kill(self, world: World, plan: Mapping[str, Any]) -> bool:
        """Let a child live under a *plan*, and tell whether it was killed; look at what is left either way."""
        kept, heard, born = world.kept(), len(self._listener.asked), time.time()
        self._listener.spoil = self.scene.spoiled
        end = await self.scene.lived(world, **plan)
        asked, after = self._listener.asked[heard:], world.kept()
        if end.code != SIGKILL:
            self._complain("at the end", self._uncalled_for(asked))
            self._count(asked, kept, after)
            await self._finished(world, end)
            return False
        name = end.killed or "at a random moment"
        self.tally.kills[name] += 1
        problems = [*self._uncalled_for(asked), *self._too_dear(asked, after, born)]
        self._complain(f"killed {name}", [*problems, *await self.scene.killed(world)])
        self._count(self._listener.asked[heard:], kept, after)
        return True

    def _uncalled_for(self, asked: Sequence[Asked]) -> Iterator[str]:
        """Say whether anything was asked for work that needs no answer."""
        if self.scene.silent and asked:
            yield f"{len(asked)} requests, where nothing was to be asked, such as {asked[0].url}"

    def _too_dear(self, asked: Sequence[Asked], after: Kept, born: float) -> Iterator[str]:
        """Say whether a kill has cost more answers than it may; where all is wanted again, that cannot be told."""
        if self.scene.forced:
            return
        answered = [one for one in self.scene.of_the_killed(asked, after) if one.answered]
        lost = sum(not after.has(one, born) for one in answered)
        cost = Cost(lost, bearable(answered, after.parts, self.scene.workers))
        self.tally.costs.append(cost)
        if cost.lost > cost.bearable:
            yield f"{lost} of {len(answered)} answers have to be asked again, {cost.bearable} may be"

    def _count(self, asked: Sequence[Asked], kept: Kept, after: Kept) -> None:
        self.tally.children += 1
        self.tally.requests += sum("/monitoring/" in one.url for one in asked)
        self.tally.limited += sum(one.status == HTTPStatus.TOO_MANY_REQUESTS for one in asked)
        self.tally.needless += after.repeated(asked, self.scene.first, self.scene.last)
        if not self.scene.forced:
            self.tally.needless += sum(kept.needless(one, self.scene.first, self.scene.last) for one in asked)

    async def _finished(self, world: World, end: End) -> None:
        self.tally.worlds += 1
        if end.code:
            self._complain("at the end", [f"exit code {end.code}: {end.err[-2000:]}", *world.amiss(*self.scene.truths)])
        else:
            self._complain("at the end", await self.scene.finished(world, end))
        self.tally.rows += sum(frame.height for frame in lake_tables(world.lake).values())

    def _complain(self, when: str, problems: Iterable[str]) -> None:
        told = [*self.scene.problems, *problems]
        self.scene.problems.clear()
        self.tally.problems.extend(f"{self.scene.name}, {when}: {problem}" for problem in told)


class Place:
    """A folder for one world, which goes when the world is done, unless something is wrong with it."""

    def __init__(self, scene: Scene, listener: Listener, nursery: Nursery, folder: Path) -> None:
        self._scene, self._listener, self._nursery, self._folder = scene, listener, nursery, folder

    def world(self) -> World:
        """Return a world in a folder of its own, which stays."""
        scene, folder = self._scene, Path(tempfile.mkdtemp(dir=self._folder))
        owners = ", ".join(f'"{owner}"' for owner in scene.owners)
        rate = {
            "HARVESTER_RATE__REQUESTS": str(scene.settings.requests),
            "HARVESTER_RATE__WINDOW_SECONDS": str(scene.settings.window_seconds),
        }
        variables = {
            "HARVESTER_SMA__OWNERS": f"[{owners}]",
            "HARVESTER_RATE__CONCURRENCY": str(scene.workers),
            **(rate if scene.settings.requests else {}),
            **scene.variables,
        }
        return World(scene.running, self._listener, folder, scene.first, scene.last, self._nursery, variables)

    def __enter__(self) -> World:
        self._world, self._before = self.world(), len(self._scene.tally.problems)
        return self._world

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is None and len(self._scene.tally.problems) == self._before:
            shutil.rmtree(self._world.folder)


@asynccontextmanager
async def staged(kind: type[Scene], folder: Path, tally: Tally) -> AsyncIterator[Stage]:
    """Open the cloud of a *kind* of scene, with all that its worlds begin with."""
    async with kind.cloud() as running, Nursery.opened() as nursery:
        if kind.settings.grant == "custom":
            accept_all(running)
        stage = Stage(kind(running, tally), nursery, folder, tally)
        await stage.scene.furnish(stage.place())
        yield stage
