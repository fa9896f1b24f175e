"""Journeys: a harvest is killed at a step, looked at, started again, killed at the next one, and ends true."""

import asyncio
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from connecting import KEY, code_configured, connected
from killing import Asked, End, Kept, Listener, Nursery, Tables, World
from running import accept_all, configured
from truth_frames import days, lake_tables, truth_tables

from harvester.sandbox import Faults, Running, Settings, serving
from harvester.state.database import connect
from harvester.state.vault import Keyring, Vault

ANN, BOB = "ann@example.org", "bob@example.org"
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=20), TODAY - timedelta(days=18)
"""Long past, so that every read settles its day whatever the clock says."""
RECENT = TODAY - timedelta(days=5)
"""Where the daemon begins: that day and the next one are settled, the others are open."""
BUDGET, WINDOW = 150, 5
"""Requests per window, in seconds, of cloud and harvester alike."""
SIGKILL = -9
SPAN = ("--from", FIRST.isoformat(), "--to", LAST.isoformat())
SPIKED = Faults(spikes=1.0)
SMALL = {"plants": 2, "devices": 3, "owners": (ANN, BOB), "start": FIRST, "requests": BUDGET, "window_seconds": WINDOW}
LONGEST_MOMENT = 3.0
"""Seconds after which a child is killed at the latest whose step is left to chance."""
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
    reconnected: int = 0
    """Owners who had to connect again: SMA had exchanged a refresh token, and the new one was not kept yet. It is good
    for one use, so nothing that a client does can bring it back."""
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
    spoiled: int = 0
    """Answers that each child cannot read at first."""
    first: date = FIRST
    last: date = LAST
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


SCENES = (
    Scene(
        "backfill",
        ("backfill", *SPAN),
        Settings(**SMALL, faults=Faults(surplus=0.5)),  # type: ignore[arg-type]
        _nothing,
        spoiled=1,
    ),
    Scene("repair", ("repair", *SPAN, "--force"), Settings(**SMALL), _backfilled, before=SPIKED),  # type: ignore[arg-type]
    Scene(
        "code grant",
        ("backfill", *SPAN),
        Settings(**SMALL, grant="code", token_seconds=1),  # type: ignore[arg-type]
        _connected,
        {"HARVESTER_SMA__GRANT": "code", "HARVESTER_VAULT__KEY": KEY},
    ),
    Scene(
        "daemon",
        ("daemon",),
        Settings(**{**SMALL, "start": RECENT}),  # type: ignore[arg-type]
        _nothing,
        {"HARVESTER_HARVEST__SINCE": RECENT.isoformat(), "HARVESTER_WEB__OPERATOR": ""},
        first=RECENT,
        last=RECENT + timedelta(days=1),
    ),
)
"""What is killed: a first harvest with channels that nobody knew and answers that nobody can read; one that changes
values; one with owners' tokens; and a daemon, which has done its part once the days are settled."""


class Stage:
    """One scene with its cloud; many worlds are harvested there, one after another."""

    def __init__(self, scene: Scene, running: Running, nursery: Nursery, folder: Path, tally: Tally) -> None:
        self.scene, self.running, self.nursery, self.folder, self.tally = scene, running, nursery, folder, tally
        self._listener = Listener.of(running)
        self.longest = 0
        """How many steps a child passes that is not disturbed."""
        wanted = days(scene.first, scene.last + timedelta(days=7))  # a Week reaches further than what is asked for
        self.truths: tuple[Tables, ...] = (truth_tables(running.cloud, wanted),)
        if scene.before != Faults():
            now, running.cloud.faults = running.cloud.faults, scene.before
            self.truths += (truth_tables(running.cloud, wanted),)
            running.cloud.faults = now

    async def steps(self) -> list[str]:
        """Harvest a world undisturbed and return the names of the steps that were passed, in their order."""
        with self.place() as world:
            await self.scene.prepare(world)
            end = await self._lived(world, record=True)
            self._finished(world, end.code, end.err)
            self.longest = len(end.steps)
            return list(dict.fromkeys(end.steps))

    async def journey(self, chosen: Callable[[], Mapping[str, Any]], told: Callable[[], None] = lambda: None) -> None:
        """Harvest a world; each child gets the plan that is *chosen* then, until one comes to its end.

        After each kill it is *told*.
        """
        with self.place() as world:
            await self.scene.prepare(world)
            while True:
                kept, heard = world.kept(), len(self._listener.asked)
                end = await self._lived(world, **chosen())
                asked = self._listener.asked[heard:]
                self._count(asked, kept)
                if end.code != SIGKILL:
                    self._finished(world, end.code, end.err)
                    return
                name = end.killed or "at a random moment"
                self.tally.kills[name] += 1
                after = world.kept()
                self.tally.in_flight.append(sum(self._lost(one, after) for one in asked))
                self._complain(f"killed {name}", world.amiss(*self.truths))
                if self.scene.settings.grant == "code":
                    await self._reconnect(world)
                told()

    async def at_each(self, steps: Sequence[str], told: Callable[[], None] = lambda: None) -> list[str]:
        """Kill at every one of *steps* once, at whichever comes first; return those that no journey came by."""
        idle = 0
        while (left := [step for step in steps if step not in self.tally.kills]) and idle < IDLE:
            kills = self.tally.kills.total()
            await self.journey(lambda: {"kill": dict.fromkeys(set(steps) - self.tally.kills.keys(), 1)}, told)
            idle = idle + 1 if self.tally.kills.total() == kills else 0
        return left

    async def _lived(self, world: World, **plan: Any) -> End:
        """Let a child live; a daemon until the days are settled."""
        self._listener.spoil = self.scene.spoiled
        if self.scene.command != ("daemon",):
            return await world.run(*self.scene.command, **plan)
        moment = plan.pop("moment", None)
        child = await world.begun(*self.scene.command, **plan)
        if moment is not None:
            asyncio.get_running_loop().call_later(moment, child.kill)
        async with asyncio.timeout(120):
            while not child.code.done() and not self._settled(world):
                await asyncio.sleep(0.25)
        if moment is None or not child.code.done():
            child.send(signal.SIGTERM)
        return await world.ended(child)

    async def _reconnect(self, world: World) -> None:
        """Let owners connect again whose refresh token was lost on its way."""
        config = configured(self.running, world.folder, sma__grant="code", vault__key=KEY)
        engine = connect(config.ledger.path)
        try:
            vault = Vault(engine, Keyring.parse(KEY), lambda: datetime.now(UTC))
            kept = {owner: vault.get(owner, "refresh token") for owner in (ANN, BOB)}
        finally:
            engine.dispose()
        lost = [owner for owner, token in kept.items() if token not in self.running.cloud.tokens._refresh]
        self.tally.reconnected += len(lost)
        await connected(config, self.running, lost)

    def _settled(self, world: World) -> bool:
        wanted, known = set(days(self.scene.first, self.scene.last)), world.kept().days
        return len(known) == len(self.running.cloud.truth.series()) and all(wanted <= found for found in known.values())

    def _lost(self, asked: Asked, after: Kept) -> bool:
        """Tell whether an answer had come that was not in the ledger when its child was killed."""
        given = asked.about is not None and asked.status == HTTPStatus.OK
        return given and not after.needless(asked, self.scene.first, self.scene.last)

    def _count(self, asked: Sequence[Asked], kept: Kept) -> None:
        self.tally.children += 1
        self.tally.requests += sum("/monitoring/" in one.url for one in asked)
        self.tally.limited += sum(one.status == 429 for one in asked)
        if "--force" not in self.scene.command:  # who forces wants all of it again
            self.tally.needless += sum(kept.needless(one, self.scene.first, self.scene.last) for one in asked)

    def _finished(self, world: World, code: int, said: str) -> None:
        self.tally.worlds += 1
        problems = [*([f"exit code {code}: {said[-2000:]}"] if code else []), *world.amiss(*self.truths)]
        if not code:
            problems += world.unlike(self.truths[0])
        self._complain("at the end", problems)
        self.tally.rows += sum(frame.height for frame in lake_tables(world.lake).values())

    def _complain(self, when: str, problems: Sequence[str]) -> None:
        self.tally.problems.extend(f"{self.scene.name}, {when}: {problem}" for problem in problems)

    def place(self) -> "_Place":
        """Return a place for one world, to be entered."""
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
            self._stage.running,
            self._stage._listener,
            self._folder,
            self._stage.scene.first,
            self._stage.scene.last,
            self._stage.nursery,
            variables,
        )

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is None and len(self._stage.tally.problems) == self._before:
            shutil.rmtree(self._folder)


@asynccontextmanager
async def staged(scene: Scene, folder: Path, tally: Tally) -> AsyncIterator[Stage]:
    """Open the cloud of *scene*."""
    async with serving(scene.settings) as running, Nursery.opened() as nursery:
        if scene.settings.grant == "custom":
            accept_all(running)
        yield Stage(scene, running, nursery, folder, tally)


def at_random(steps: Sequence[str], chance: random.Random, longest: int) -> Mapping[str, Any]:
    """Return a plan that kills at the n-th time of a named step, at any step, or at a moment that is nobody's step."""
    match chance.randrange(3):
        case 0:
            return {"kill": {chance.choice(steps): chance.choice((1, 1, 2, 3, 5, 8))}}
        case 1:
            return {"kill_at": chance.randrange(1, longest + 1)}
    return {"moment": chance.uniform(0.2, LONGEST_MOMENT)}
