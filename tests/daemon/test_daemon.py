"""The daemon: one piece of work at a time, the most urgent first; halted work goes on; nothing ends it but the word."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.daemon.daemon import Daemon
from harvester.daemon.jobs import Job
from harvester.daemon.lanes import Lane, Rota
from harvester.errand import Done, Errand
from harvester.errors import LedgerError, Unreachable
from harvester.intake import Progress
from harvester.model import WHOLE, Shard
from harvester.plan import Scope
from harvester.state.database import connect
from harvester.state.orders import INTERRUPTED, Orders, Stage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DONE = Done(exit_code=0, facts={"rows": 7}, tell=lambda: None)


@dataclass
class Scripted:
    """A job that lasts until it is let go or halted."""

    name: str
    story: list[str]
    lasts: bool = False
    error: Exception | None = None
    done: Done = DONE
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def go_on(self) -> Done | None:
        """Work."""
        self.halt.clear()
        self.story.append(f"{self.name} begins")
        waits = [asyncio.create_task(self.free.wait()), asyncio.create_task(self.halt.wait())]
        if self.lasts:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if self.error is not None:
            raise self.error
        over = not self.lasts or self.free.is_set()
        self.story.append(f"{self.name} {'ends' if over else 'halts'}")
        return self.done if over else None


@dataclass
class Script:
    """Jobs by lane and by command, made ahead; it listens to what the daemon tells of them, too."""

    jobs: dict[Lane, Scripted] = field(default_factory=dict)
    orders: dict[str, Scripted] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    progress: Progress | None = None
    shard: Shard = WHOLE
    wall: Callable[[], datetime] = lambda: NOW

    def add(self, lane: Lane, **facts: object) -> Scripted:
        """Make the next job of *lane*."""
        self.jobs[lane] = Scripted(lane.name.lower(), self.story, **facts)  # type: ignore[arg-type]
        return self.jobs[lane]

    def job(self, lane: Lane) -> Job | None:
        """Return the job of *lane*."""
        return self.jobs.get(lane)

    def ordered(self, wanted: Errand, progress: Progress) -> Job:
        """Return the job of an order."""
        self.progress = progress
        return self.orders[wanted.command]

    def began(self, work: str) -> None:
        """Hear of a turn."""

    def ended(self, work: str, done: Done) -> None:
        """Hear of an end."""
        self.told.append(f"{work}: {done.exit_code}")

    def broke(self, work: str, error: Exception) -> None:
        """Hear of an error."""
        self.told.append(f"{work}: {type(error).__name__}")


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Orders]:
    """Return the orders of a new ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield Orders(engine)
    engine.dispose()


@asynccontextmanager
async def serving(
    script: Script, orders: Orders, live_apart: float = 0.0
) -> AsyncIterator[tuple[Daemon, asyncio.Event]]:
    """Let a daemon work, and end it."""
    stop = asyncio.Event()
    daemon = Daemon(script, orders, Rota(300), script, limit=lambda: None, live_apart=live_apart)
    task = asyncio.create_task(daemon.serve(stop))
    try:
        yield daemon, stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something to come true."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_the_most_urgent_comes_first(orders: Orders) -> None:
    """Ticks that wait are done in the order of their urgency, each once however often it was posted."""
    script = Script()
    for lane in Lane:
        script.add(lane)
    stop = asyncio.Event()
    daemon = Daemon(script, orders, Rota(300), script, limit=lambda: None, live_apart=0)
    for lane in reversed(Lane):
        daemon.post(lane)
        daemon.post(lane)
    del script.jobs[Lane.DISCOVER]  # its end would ask for live, late and history again
    task = asyncio.create_task(daemon.serve(stop))
    await until(lambda: len(script.told) == len(Lane) - 1)
    await asyncio.sleep(0.3)
    stop.set()
    await task

    assert script.told == [f"{lane.name.lower()}: 0" for lane in Lane if lane is not Lane.DISCOVER]


async def test_what_is_more_urgent_halts_the_rest(orders: Orders) -> None:
    """A live tick makes history halt and go on later, as the same job: two are never under way."""
    script = Script()
    history = script.add(Lane.BACKFILL, lasts=True)
    script.add(Lane.LIVE)
    async with serving(script, orders) as (daemon, _):
        daemon.post(Lane.BACKFILL)
        await until(lambda: script.story == ["backfill begins"])
        daemon.post(Lane.LIVE)
        await until(lambda: script.story[-1:] == ["backfill begins"] and len(script.story) > 1)
        history.free.set()
        await until(lambda: len(script.told) == 2)

    assert script.story == [
        *("backfill begins", "backfill halts"),
        *("live begins", "live ends"),
        *("backfill begins", "backfill ends"),
    ]
    assert script.told == ["live: 0", "backfill: 0"]


async def test_what_is_less_urgent_waits(orders: Orders) -> None:
    """A tick for history does not halt what is late."""
    script = Script()
    late = script.add(Lane.SETTLE, lasts=True)
    script.add(Lane.BACKFILL)
    async with serving(script, orders) as (daemon, _):
        daemon.post(Lane.SETTLE)
        await until(lambda: script.story == ["settle begins"])
        daemon.post(Lane.BACKFILL)
        await asyncio.sleep(0.6)
        assert script.story == ["settle begins"]
        late.free.set()
        await until(lambda: len(script.told) == 2)

    assert script.story == ["settle begins", "settle ends", "backfill begins", "backfill ends"]


async def test_discovery_asks_for_what_is_new(orders: Orders) -> None:
    """After a look around, live, late and history are due at once: there may be a plant that nobody asked yet."""
    script = Script()
    for lane in (Lane.DISCOVER, Lane.LIVE, Lane.SETTLE, Lane.BACKFILL):
        script.add(lane)
    async with serving(script, orders) as (daemon, _):
        daemon.post(Lane.DISCOVER)
        await until(lambda: len(script.told) == 4)

    assert script.told == ["discover: 0", "live: 0", "settle: 0", "backfill: 0"]


@pytest.mark.parametrize("error", [ZeroDivisionError("a mistake"), LedgerError("locked"), Unreachable("no answer")])
async def test_an_error_ends_one_piece_of_work(orders: Orders, error: Exception) -> None:
    """Whatever breaks in one lane is told of, and the others go on; so does the same one at its next tick."""
    script = Script()
    script.add(Lane.SETTLE, error=error)
    script.add(Lane.BACKFILL)
    async with serving(script, orders) as (daemon, _):
        daemon.post(Lane.SETTLE)
        daemon.post(Lane.BACKFILL)
        await until(lambda: len(script.told) == 2)
        script.add(Lane.SETTLE)
        daemon.post(Lane.SETTLE)
        await until(lambda: len(script.told) == 3)

    assert script.told == [f"settle: {type(error).__name__}", "backfill: 0", "settle: 0"]


async def test_what_failed_is_tried_again_before_its_next_tick(orders: Orders) -> None:
    """A look around that found nobody is repeated after a minute, then after two; once it succeeds, it is over."""
    script, now = Script(), 0.0
    script.add(Lane.DISCOVER, error=Unreachable("no answer"))
    stop = asyncio.Event()
    daemon = Daemon(script, orders, Rota(300), script, limit=lambda: None, live_apart=0, clock=lambda: now)
    task = asyncio.create_task(daemon.serve(stop))
    daemon.post(Lane.DISCOVER)
    await until(lambda: len(script.told) == 1)
    now = 59.0
    assert Lane.DISCOVER not in daemon.pending
    now = 60.0
    await until(lambda: len(script.told) == 2)
    now = 179.0
    assert Lane.DISCOVER not in daemon.pending
    script.add(Lane.DISCOVER)
    now = 180.0
    await until(lambda: script.told[-1:] == ["discover: 0"])
    now = 10_000.0
    assert Lane.DISCOVER not in daemon.pending
    stop.set()
    await task

    assert script.told[:3] == ["discover: Unreachable", "discover: Unreachable", "discover: 0"]


async def test_an_owner_who_accepts_is_looked_for_at_once(orders: Orders) -> None:
    """What came of reading consents decides whether to look around."""
    script = Script()
    script.add(Lane.CONSENT)
    script.add(Lane.DISCOVER)
    async with serving(script, orders) as (daemon, _):
        daemon.post(Lane.CONSENT)
        await until(lambda: len(script.told) == 1)
        await asyncio.sleep(0.3)
        assert script.told == ["consent: 0"]
        script.jobs[Lane.CONSENT].done = replace(DONE, facts={"accepted": 1})
        daemon.post(Lane.CONSENT)
        await until(lambda: len(script.told) == 3)

    assert script.told == ["consent: 0", "consent: 0", "discover: 0"]


async def test_live_rows_are_not_published_too_often(orders: Orders) -> None:
    """A live tick that comes soon after the last one waits; it is not lost."""
    script = Script()
    script.add(Lane.LIVE)
    async with serving(script, orders, live_apart=1.0) as (daemon, _):
        daemon.post(Lane.LIVE)
        await until(lambda: len(script.told) == 1)
        daemon.post(Lane.LIVE)
        daemon.post(Lane.LIVE)
        await asyncio.sleep(0.3)
        assert len(script.told) == 1
        await until(lambda: len(script.told) == 2)
        await asyncio.sleep(0.3)

    assert script.told == ["live: 0", "live: 0"]


def order(orders: Orders, command: str = "backfill") -> int:
    """Place an order."""
    errand = Errand(command=command, scope=Scope(plants=frozenset({"4711001"})))
    return orders.place(command, errand.arguments(), ["1/1"], placed_by="somebody", now=NOW)


async def test_an_order_is_followed(orders: Orders) -> None:
    """An order is taken, its progress and its result told; other work is done in between."""
    script = Script()
    job = script.orders["backfill"] = Scripted("order", script.story, lasts=True)
    script.add(Lane.LIVE)
    number = order(orders)
    async with serving(script, orders) as (daemon, _):
        await until(lambda: script.progress is not None)
        assert script.progress is not None
        script.progress.planned(9)
        script.progress.advanced()
        await until(lambda: orders.shares(number)[0].planned == 9)
        assert orders.shares(number)[0].advanced == 1
        daemon.post(Lane.LIVE)
        await until(lambda: script.story[-1:] == ["order begins"] and len(script.story) > 1)
        job.free.set()
        await until(lambda: orders.shares(number)[0].stage is Stage.DONE)
    (share,) = orders.shares(number)

    assert (share.exit_code, share.result) == (0, {"facts": {"rows": 7}, "text": ""})
    assert script.story == [
        *("order begins", "order halts"),
        *("live begins", "live ends"),
        *("order begins", "order ends"),
    ]


async def test_an_order_taken_back_is_given_up(orders: Orders) -> None:
    """Its command was told to stop: the daemon halts, and takes the next order."""
    script = Script()
    script.orders["backfill"] = Scripted("first", script.story, lasts=True)
    script.orders["repair"] = Scripted("second", script.story)
    first, second = order(orders), order(orders, "repair")
    async with serving(script, orders):
        await until(lambda: script.story == ["first begins"])
        orders.withdraw(first)
        await until(lambda: orders.shares(second)[0].stage is Stage.DONE)

    assert orders.shares(first)[0].exit_code == INTERRUPTED
    assert script.story == ["first begins", "first halts", "second begins", "second ends"]


@pytest.mark.parametrize(("error", "code"), [(LedgerError("locked"), 2), (ZeroDivisionError("a mistake"), 1)])
async def test_an_order_that_breaks_says_so(orders: Orders, error: Exception, code: int) -> None:
    """The command gets the exit code that it would have ended with, and a reason."""
    script = Script()
    script.orders["backfill"] = Scripted("order", script.story, error=error)
    number = order(orders)
    async with serving(script, orders):
        await until(lambda: orders.shares(number)[0].stage is Stage.DONE)
    (share,) = orders.shares(number)

    assert share.exit_code == code
    assert share.result is not None
    assert ("locked" if code == 2 else "ZeroDivisionError") in share.result["text"]


async def test_an_order_of_another_version_is_refused(orders: Orders) -> None:
    """What this version does not understand it does not do in part."""
    number = orders.place("backfill", {"command": "backfill", "first": 7}, ["1/1"], placed_by="x", now=NOW)
    async with serving(Script(), orders):
        await until(lambda: orders.shares(number)[0].stage is Stage.DONE)

    assert orders.shares(number)[0].exit_code == 2


async def test_told_to_stop_it_drains(orders: Orders) -> None:
    """Work under way is halted, an order stays taken, and nothing new is begun."""
    script = Script()
    script.orders["backfill"] = Scripted("order", script.story, lasts=True)
    script.add(Lane.HOUSEKEEPING)
    number = order(orders)
    async with serving(script, orders) as (daemon, stop):
        await until(lambda: script.story == ["order begins"])
        stop.set()
        await until(lambda: script.story == ["order begins", "order halts"])
        daemon.post(Lane.HOUSEKEEPING)

    assert script.told == []
    assert orders.shares(number)[0].stage is Stage.TAKEN
