"""The daemon: takes ticks and orders, does one piece of work at a time in the order of its urgency, drains when told.

A tick or an order that is more urgent than what is under way makes that halt between two requests; it goes on when its
turn comes again. So runs never overlap, live data stay fresh, and nothing starves (see `harvester.daemon.lanes`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import structlog

from harvester import show
from harvester.daemon.counter import Counter, Taken
from harvester.daemon.jobs import Job
from harvester.daemon.lanes import Lane, Rota
from harvester.errand import Done, Errand
from harvester.errors import HarvestError
from harvester.intake import Progress
from harvester.model import Shard
from harvester.sma.tally import Call
from harvester.sma.wire import Kind
from harvester.state.orders import INTERRUPTED, Orders

LOOK_SECONDS = 0.2
"""How often it is asked whether something more urgent waits."""
AGAIN_SECONDS, AGAIN_AT_MOST = 60.0, 900.0
"""How soon what failed is tried again at first, and how late at the most."""
ORDERS_SECONDS = 0.5
"""How often orders are looked for, and their progress is told."""

log = structlog.get_logger()


class Work(Protocol):
    """Knows what the work of each lane is, and of each order."""

    @property
    def shard(self) -> Shard:
        """The daemon's share."""

    @property
    def wall(self) -> Callable[[], datetime]:
        """The present, aware UTC."""

    def job(self, lane: Lane) -> Job | None:
        """Return the work of *lane* that a tick asks for; None where there is none to do."""

    def ordered(self, wanted: Errand, progress: Progress) -> Job:
        """Return the work of an order; raises the errors of ``harvester.errors``."""


class Watch(Protocol):
    """Whoever tells the operator what the daemon does."""

    def began(self, work: str) -> None:
        """Hear that a piece of work takes its turn."""

    def ended(self, work: str, done: Done) -> None:
        """Hear that it is done, and durable."""

    def broke(self, work: str, error: Exception) -> None:
        """Hear that it ended with an error."""


class Daemon:
    """One lake's daemon, or that of one shard of it."""

    def __init__(
        self,
        work: Work,
        orders: Orders,
        rota: Rota,
        watch: Watch,
        *,
        limit: Callable[[], int | None],
        live_apart: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*limit* tells the requests of a window, if they are known; live rows are published *live_apart* seconds."""
        self._work = work
        self._counter = Counter(orders, work.shard, work.wall)
        self._rota = rota
        self._watch = watch
        self._limit = limit
        self._live_apart = live_apart
        self._clock = clock
        self.shard: Shard = work.shard
        self._wall: Callable[[], datetime] = work.wall
        self._ticked: set[Lane] = set()
        self._halted: dict[Lane, Job] = {}
        self._ordered: Job | None = None
        self._live_from = -float("inf")
        self._failed: dict[Lane, int] = {}
        self._again_at: dict[Lane, float] = {}
        self._woken = asyncio.Event()
        self.lane: Lane | None = None
        """What it is at."""
        self.job: Job | None = None
        """The same, if it has begun."""
        self.turned_at: datetime = self._wall()
        """When it last looked what to do."""

    def post(self, lane: Lane) -> None:
        """Ask for the work of *lane*; asked for while it waits already, it is done once."""
        self._ticked.add(lane)
        self._woken.set()

    def spent(self, call: Call) -> None:
        """Count a request on the lane that is at work."""
        if self.lane is not None and call.kind is not Kind.TOKEN:
            self._rota.spend(self.lane, self._clock())

    @property
    def pending(self) -> set[Lane]:
        """The lanes that have work now."""
        now = self._clock()
        waiting = self._ticked | self._halted.keys() | ({self._counter.taken.lane} if self._counter.taken else set())
        waiting |= {lane for lane, moment in self._again_at.items() if moment <= now}
        return waiting - {Lane.LIVE} if now < self._live_from else waiting

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set; what is in flight then is finished or given up, what was answered is kept."""
        others = [asyncio.create_task(self._follow_orders()), asyncio.create_task(self._wake_at(stop))]
        try:
            while not stop.is_set():
                self.turned_at = self._wall()
                lane = self._rota.choose(self.pending, self._clock(), self._limit())
                if lane is None:
                    await self._rest()
                else:
                    await self._turn(lane, stop)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _rest(self) -> None:
        """Wait until something is asked for, or live rows are worth publishing again; a second at the most."""
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._woken.wait()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _turn(self, lane: Lane, stop: asyncio.Event) -> None:
        """Give *lane* its turn: an order first, then what a tick asked for."""
        taken = self._counter.taken if self._counter.taken and self._counter.taken.lane is lane else None
        work = taken.order.command if taken else lane.name.lower()
        self.lane = lane
        run = self._wall().strftime("%Y%m%dT%H%M%S")
        with structlog.contextvars.bound_contextvars(run=run, work=work, shard=str(self.shard)):
            self._watch.began(work)
            try:
                await (self._go_on_with(taken, stop) if taken else self._do(lane, stop))
            except HarvestError as error:
                self._watch.broke(work, error)
                await self._give_up(taken, error.exit_code, str(error))
            except Exception as error:  # a mistake of ours in one lane must not end the others
                log.exception("work.broke")
                self._watch.broke(work, error)
                await self._give_up(taken, 1, f"unexpected error: {type(error).__name__}; the daemon's log tells more")
            else:
                return
            finally:
                self.lane = None
        if taken is None:
            self._try_again(lane)

    def _try_again(self, lane: Lane) -> None:
        """Do what failed once more before its next tick, which may be far: soon at first, then less and less often."""
        times = self._failed[lane] = self._failed.get(lane, 0) + 1
        self._again_at[lane] = self._clock() + min(AGAIN_SECONDS * 2.0 ** min(times - 1, 10), AGAIN_AT_MOST)

    async def _do(self, lane: Lane, stop: asyncio.Event) -> None:
        """Do what a tick asked for, or go on with it."""
        job = self._halted.pop(lane, None)
        if job is None:
            self._ticked.discard(lane)
            self._again_at.pop(lane, None)
            if lane is Lane.LIVE:
                self._live_from = self._clock() + self._live_apart
            job = self._work.job(lane)
        if job is None:
            return
        done = await self._attended(job, lane, stop)
        if done is None:
            self._halted[lane] = job
            return
        self._ended(lane.name.lower(), done)
        self._follow_up(lane, done)

    def _follow_up(self, lane: Lane, done: Done) -> None:
        """Ask for what the end of a piece of work makes due."""
        if lane is Lane.DISCOVER and done.exit_code:
            self._try_again(lane)
        else:
            self._failed.pop(lane, None)
        if lane is Lane.DISCOVER:  # what is new is asked at once
            for after in (Lane.LIVE, Lane.SETTLE, Lane.BACKFILL):
                self.post(after)
        if lane is Lane.CONSENT and done.facts.get("accepted"):
            self.post(Lane.DISCOVER)

    async def _go_on_with(self, taken: Taken, stop: asyncio.Event) -> None:
        """Do what was ordered, or go on with it."""
        job = self._ordered
        if job is None:
            log.info("order.taken", order=taken.order.order_id)
            job = self._ordered = self._work.ordered(Errand.read(taken.order.arguments), taken.progress)
        done = await self._attended(job, taken.lane, stop, taken)
        if done is None and taken.stands:
            taken.progress.halted()
            return
        if done is not None:
            self._ended(taken.order.command, done)
        code = INTERRUPTED if done is None else done.exit_code
        result = None if done is None else {"facts": dict(done.facts), "text": show.printed(done.tell)}
        await self._hand_back(code, result)

    def _ended(self, work: str, done: Done) -> None:
        self._watch.ended(work, done)
        if done.report is not None:  # a look that finds nothing due is no news
            tell = log.info if done.report.slices or done.exit_code else log.debug
            tell("run.done", **done.report.log_line())

    async def _give_up(self, taken: Taken | None, exit_code: int, reason: str) -> None:
        if taken is not None:
            await self._hand_back(exit_code, {"facts": {"error": reason}, "text": reason})

    async def _hand_back(self, exit_code: int, result: Mapping[str, object] | None) -> None:
        await self._counter.finish(exit_code, result)
        self._ordered = None

    async def _attended(self, job: Job, lane: Lane, stop: asyncio.Event, taken: Taken | None = None) -> Done | None:
        """Let *job* work; halt it where the daemon is told to stop, or something else is more urgent."""
        attending = asyncio.create_task(self._attend(job, lane, stop, taken))
        self.job = job
        try:
            return await job.go_on()
        finally:
            attending.cancel()
            self.job = None

    async def _attend(self, job: Job, lane: Lane, stop: asyncio.Event, taken: Taken | None) -> None:
        while True:
            withdrawn = taken is not None and not taken.stands
            if stop.is_set() or withdrawn or self._rota.gives_way(lane, self.pending, self._clock(), self._limit()):
                job.halt.set()
            self.turned_at = self._wall()
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow_orders(self) -> None:
        """Look for orders, and tell their commands how far they are."""
        while True:
            try:
                if await self._counter.look():
                    self._woken.set()
            except HarvestError as error:
                log.warning("orders.unread", reason=str(error))
            await asyncio.sleep(ORDERS_SECONDS)
