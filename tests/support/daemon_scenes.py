"""Scenes with more than one process: two daemons that share a lake, and a command that hands a daemon its order."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import Any, ClassVar

from harvest_scenes import RECENT, harvested_days
from journeys import SMALL, SPAN, TODAY, Scene
from killing import Child, End, World
from spent import Asked, Kept
from truth_frames import days

from harvester.lake.layout import Places
from harvester.lake.lock import DAEMON, holders
from harvester.report import INCOMPLETE, OK
from harvester.sandbox import Settings

REFUSED = 2
PROMPT = 20.0
"""Seconds in which whoever waits for another process, or goes on without it, must be done."""


class Shards(Scene):
    """Two daemons, one of which is killed, each in its turn: the other goes on, and neither spends more than it has."""

    name = "two shards"
    settings = Settings(**{**SMALL, "plants": 4, "devices": 2, "start": RECENT, "requests": 60, "window_seconds": 2})
    variables: ClassVar[dict[str, str]] = {
        "HARVESTER_HARVEST__SINCE": RECENT.isoformat(),
        "HARVESTER_LAKE__PLANTS_PER_FILE": "1",
    }
    first, last = RECENT, RECENT + timedelta(days=1)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._worlds = 0
        self._other: Child | None = None

    async def prepare(self, world: World) -> None:
        """Find out what there is: that is for the first of them, and the second would have to wait for it."""
        end = await world.run("discover")
        assert end.code == 0, end.err
        self._victim, self._survivor = ("1/2", "2/2") if self._worlds % 2 == 0 else ("2/2", "1/2")
        self._worlds += 1

    async def lived(self, world: World, **plan: Any) -> End:
        """Let the one live beside the other, until all is settled."""
        if self._other is None:
            self._other = await world.begun("daemon", "--shard", self._survivor, name="survivor")
        child = await world.begun("daemon", "--shard", self._victim, name="victim", **plan)
        return await self.until(world, child, lambda: self._left(world) == 0, **plan)

    async def killed(self, world: World) -> list[str]:
        """Look at the lake while the other is at work in it, and wait for the other to end its part by itself."""
        problems = world.amiss(*self.truths, still=False)
        shard = int(self._survivor[0]) - 1
        try:
            async with asyncio.timeout(PROMPT):
                while self._left(world, shard) and self._other and not self._other.code.done():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            problems.append(f"shard {self._survivor} does not go on: {self._left(world, shard)} series are left")
        if self._other is None or self._other.code.done():
            problems.append(f"shard {self._survivor} has ended")
        return [*problems, *world.amiss(*self.truths, still=False)]

    async def finished(self, world: World, end: End) -> list[str]:
        """Let the other end as well, and look at what they have done together."""
        problems = []
        if self._other is not None:
            other, self._other = self._other, None
            survived = await self.until(world, other, lambda: True)
            if survived.code:
                problems.append(f"shard {self._survivor} ended with {survived.code}: {survived.err[-2000:]}")
        return [*problems, *await super().finished(world, end)]

    def of_the_killed(self, asked: Sequence[Asked], kept: Kept) -> Sequence[Asked]:
        """Return the requests about plants of its part."""
        mine = int(self._victim[0]) - 1
        return [one for one in asked if one.about and kept.parts.get(one.about[0], 0) % 2 == mine]

    async def left(self, _world: World) -> None:
        """End the other where it is at work still."""
        if self._other is not None:
            self._other.kill()
            await self._other.code
            self._other = None

    def _left(self, world: World, shard: int | None = None) -> int:
        """Count the series whose days are not all settled, of the one shard (0 or 1) or of both."""
        parts = parts_of(world)
        mine = {plant for plant, part in parts.items() if shard is None or part % 2 == shard}
        every = {(s.plant_id, s.device_id or "", s.set) for s in self.running.cloud.truth.series()}
        done = harvested_days(world, self.first, self.last)
        return sum(name[0] in mine and name not in done for name in every)


def parts_of(world: World) -> dict[str, int]:
    """Return the plants that the ledger knows, and their parts."""
    with closing(sqlite3.connect(world.ledger)) as db:
        return dict(db.execute("SELECT plant_id, part FROM plant"))


class Ordered(Scene):
    """A backfill that a daemon does on a command's order, killed in the middle and started again.

    The order is finished, whatever becomes of the command that placed it; that one ends by itself, with the order's
    exit code or with 3, when nobody does its work any more. Every other time a daemon comes back at once, and either
    is right: it depends on which of them looks first.
    """

    name = "order"
    settings = Settings(**SMALL)
    variables: ClassVar[dict[str, str]] = {
        **{f"HARVESTER_SCHEDULE__{lane}": "1d" for lane in ("LIVE", "SETTLE", "BACKFILL")},
        "HARVESTER_HARVEST__SINCE": "1d",
        "HARVESTER_HARVEST__LIVE_SETS": "[]",
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._worlds = 0
        self._asker: Child | None = None
        self._forsaken = False
        """Whether its daemon was killed while the command may have waited."""

    @property
    def wanted(self) -> Sequence[date]:
        """Days of which the lake may hold rows: the daemon asks yesterday and today by itself."""
        return [*super().wanted, *days(TODAY - timedelta(days=2), TODAY + timedelta(days=1))]

    async def prepare(self, _world: World) -> None:
        """Begin with nothing."""
        self._patient, self._worlds = self._worlds % 2 == 0, self._worlds + 1
        self._asker, self._forsaken = None, False

    async def lived(self, world: World, **plan: Any) -> End:
        """Let a daemon live until the order is done; it is placed as soon as there is a daemon."""
        daemon = await world.begun("daemon", name="daemon", **plan)
        asking = asyncio.create_task(self._ask(world, daemon))
        try:
            return await self.until(world, daemon, lambda: asking.done() and self._over(world), **plan)
        finally:
            await asking

    async def killed(self, world: World) -> list[str]:
        """Look at the lake; whoever waits for the order learns that nobody does it, where no other daemon comes."""
        problems = await super().killed(world)
        self._forsaken = True
        placed = bool(shares(world))  # else the command may do the work itself, now that the lake is free
        return [*problems, *(await self._ended(world) if self._patient or not placed else [])]

    async def finished(self, world: World, end: End) -> list[str]:
        """Look at the order, at the command that placed it, and at the same command once more, for nothing."""
        problems, orders = await self._ended(world), shares(world)
        if any((state, code) != ("done", OK) for _, state, code in orders) or not orders:
            problems.append(f"the orders have come to {orders}")
        again = await world.run("backfill", *SPAN, "--json", name="again")
        if again.code or again.json["requests"].get("values", 0):
            problems.append(f"the same command again: {again.code}, {again.out}, {again.err}")
        return [*problems, *await super().finished(world, end)]

    async def left(self, _world: World) -> None:
        """End the command where it still waits."""
        if self._asker is not None:
            self._asker.kill()
            await self._asker.code
            self._asker = None

    async def _ask(self, world: World, daemon: Child) -> None:
        """Place the order once a daemon has the lake, unless it was placed before."""
        while self._asker is None and not shares(world) and not daemon.code.done():
            if any(holder.command == DAEMON for holder in holders(Places(world.lake))):
                self._asker = await world.begun("backfill", *SPAN, name="asker")
            await asyncio.sleep(0.05)

    def _over(self, world: World) -> bool:
        """Tell whether an order was placed and all are done, or the command ended without placing one."""
        orders = shares(world)
        return all(state == "done" for _, state, _ in orders) if orders else not self._waits

    @property
    def _waits(self) -> bool:
        """Tell whether the command that placed the order is there still."""
        return self._asker is not None and not self._asker.code.done()

    async def _ended(self, world: World) -> list[str]:
        """Wait for the command that placed the order, and say what is wrong with its end."""
        asker, self._asker = self._asker, None
        if asker is None:
            return []
        await asyncio.wait([asker.code], timeout=PROMPT)
        stuck = not asker.code.done()
        asker.kill()
        end = await world.ended(asker)
        if stuck:
            return [f"the command that placed the order hangs: {end.err}"]
        placed = shares(world)
        right = {OK if all(state == "done" for _, state, _ in placed) else INCOMPLETE}
        if self._forsaken:
            right.add(INCOMPLETE)
        if not placed:  # the ledger that the daemon was making when it was killed is not one yet
            right.add(REFUSED)
        if end.code not in right:
            return [f"the command that placed the order ended with {end.code}: {end.out} {end.err}"]
        return []


def shares(world: World) -> list[tuple[int, str, int | None]]:
    """Return every order, how far it is, and its exit code."""
    if not world.ledger.exists():
        return []
    with closing(sqlite3.connect(world.ledger)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'order_share'").fetchone():
            return []
        return db.execute("SELECT order_id, state, exit_code FROM order_share ORDER BY order_id").fetchall()


COMPANIES: Sequence[type[Scene]] = (Shards, Ordered)
