"""Clocks that are set back, and machines that sleep: the daemon goes on, spends no more than it may, and is right."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from present import Present
from running import accept_all, backfilled, configured
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import writable
from harvester.config import Cadence, Config
from harvester.daemon.daemon import Daemon
from harvester.daemon.lanes import Lane, Rota
from harvester.daemon.rounds import Rounds
from harvester.daemon.schedule import ticking
from harvester.errand import Done
from harvester.intake import Stores
from harvester.model import WHOLE
from harvester.purse import kept
from harvester.sandbox import Running, Settings, serving
from harvester.sma.client import Client
from harvester.sma.pace import Pace
from harvester.sma.settings import Credentials, Hosts, Limits

FIRST, TODAY = date(2026, 6, 13), date(2026, 6, 15)
OWNER = "owner@example.org"
BUDGET, WINDOW, SHORT = 80, 300, 4
"""Requests per window; seconds by a clock that a test moves, and by one that nobody moves."""
SETTINGS = Settings(
    plants=2, devices=3, owners=(OWNER,), start=FIRST, requests=BUDGET, window_seconds=WINDOW, token_seconds=120
)
HOUR = timedelta(hours=1)
LANES = (Lane.DISCOVER, Lane.LIVE, Lane.SETTLE, Lane.REPAIR, Lane.BACKFILL)


@dataclass
class Machine:
    """True time, and what the machine's two clocks make of it."""

    true: Present
    wrong: timedelta = timedelta()
    """How far the wall clock is ahead of the truth."""
    slept: timedelta = timedelta()
    """For how long the monotonic clock stood."""
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.true()

    def wall(self) -> datetime:
        """Return what the wall clock shows."""
        return self.true() + self.wrong

    def seconds(self) -> float:
        """Return what the monotonic clock shows."""
        return (self.true() - self.began - self.slept).total_seconds()


class Log:
    """What the daemon told of its work."""

    def __init__(self) -> None:
        self.turns: Counter[str] = Counter()
        self.bad: list[str] = []

    def began(self, work: str) -> None:
        """Hear of a turn."""
        self.turns[work] += 1

    def ended(self, work: str, done: Done) -> None:
        """Hear of an end."""
        if done.exit_code:
            self.bad.append(f"{work}: {done.exit_code}")

    def broke(self, work: str, error: Exception) -> None:
        """Hear of an error."""
        self.bad.append(f"{work}: {error!r}")


@asynccontextmanager
async def on_duty(
    running: Running, machine: Machine, config: Config, stores: Stores, log: Log
) -> AsyncIterator[Callable[[timedelta], object]]:
    """Let a daemon serve on *machine*; yield what lets time pass by, with a tick for each lane every five minutes."""
    hosts = Hosts(auth_url=running.url, consent_url=running.url, monitoring_url=f"{running.url}/monitoring/v1")
    limits = Limits(timeout_seconds=5, concurrency=8, attempts=2, requests=BUDGET)
    pace = Pace(requests=BUDGET, window_seconds=WINDOW, clock=machine.seconds)
    credentials = Credentials(client_id="local-sandbox", client_secret="local-sandbox")
    stop = asyncio.Event()
    asked = Client(hosts, credentials, limits, pace=pace, wall=machine.wall)
    async with asked, kept(pace, stores.budget, WHOLE, machine.wall):
        rounds = Rounds(config=config, client=asked, stores=stores, shard=WHOLE, wall=machine.wall)
        daemon = Daemon(
            rounds, stores.orders, Rota(WINDOW), log, limit=lambda: pace.limit, live_apart=0, clock=machine.seconds
        )

        async def pass_by(span: timedelta) -> None:
            end, tick = machine.true() + span, machine.true()
            async with asyncio.timeout(50):
                while machine.true() < end or daemon.lane is not None or daemon.pending:
                    if tick <= machine.true() < end:
                        tick = machine.true() + timedelta(minutes=5)
                        for lane in LANES:
                            daemon.post(lane)
                    await asyncio.sleep(0.02)
                    idle = daemon.lane is None and not daemon.pending
                    machine.true.advance(seconds=60 if idle else 2)

        task = asyncio.create_task(daemon.serve(stop))
        try:
            yield pass_by
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await task


def until_today(lake: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the rows up to `TODAY`, where there are any."""
    found = {name: frame.filter(frame["local_time"].dt.date() <= TODAY) for name, frame in lake.items()}
    return {name: frame for name, frame in found.items() if frame.height}


def set_back(machine: Machine) -> None:
    """Let the wall clock go back by an hour."""
    machine.wrong -= HOUR


def asleep(machine: Machine) -> None:
    """Suspend the machine for a day; its monotonic clock stands, as Linux has it."""
    machine.true.advance(days=1)
    machine.slept += timedelta(days=1)


def asleep_counting(machine: Machine) -> None:
    """Suspend the machine for a day; its monotonic clock goes on, as others have it."""
    machine.true.advance(days=1)


@pytest.mark.parametrize("ahead", [timedelta(), HOUR], ids=["right before", "right after"])
@pytest.mark.parametrize("mishap", [set_back, asleep, asleep_counting])
async def test_a_daemon_outlives_it(tmp_path: Path, mishap: Callable[[Machine], None], ahead: timedelta) -> None:
    """In the middle of its work: it ends with the truth, no request too many, and no turn for nothing."""
    machine, log = Machine(Present(2026, 6, 15, 9), wrong=ahead), Log()
    async with serving(SETTINGS, now=machine.true) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__owners=(OWNER,), harvest__since="start", raw__keep="none")
        with writable(config, "daemon") as stores:
            async with on_duty(running, machine, config, stores, log) as pass_by:
                await pass_by(timedelta(minutes=12))
                mishap(machine)
                await pass_by(timedelta(minutes=30))
                machine.true.advance(days=4)
                machine.wrong = timedelta()
                await pass_by(timedelta(minutes=20))
                summary = stores.ledger.summary()
        limited = running.cloud.counts.limited
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, TODAY))

    assert differences(until_today(lake), truth) == []
    assert summary.failed == 0
    assert log.bad == []
    assert limited == 0
    assert max(log.turns.values()) <= 60


async def test_a_clock_that_was_ahead_of_the_run_before(tmp_path: Path) -> None:
    """The next run, an hour before the last one by its clock, neither waits for that hour nor spends too much."""
    machine = Machine(Present(2026, 6, 25, 9), wrong=HOUR)
    async with serving(replace(SETTINGS, window_seconds=SHORT), now=machine.true) as running:
        accept_all(running)
        more = {"rate__requests": BUDGET, "rate__window_seconds": SHORT, "sma__owners": (OWNER,)}
        config = configured(running, tmp_path, **more)
        first = await backfilled(config, FIRST, FIRST, wall=machine.wall)
        machine.wrong = timedelta()
        async with asyncio.timeout(60):
            second = await backfilled(config, FIRST, TODAY, wall=machine.wall)
        limited = running.cloud.counts.limited
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, TODAY))

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert limited == 0
    assert differences(until_today(lake), truth) == []


async def test_ticks_go_on_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next tick of an interval does not wait until the clock shows again what it showed."""
    shift, ticks = [timedelta()], []

    class Wall(datetime):
        """The wall clock as APScheduler reads it."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(tz or UTC) - shift[0]  # type: ignore[arg-type]

    for module in ("schedulers.base", "triggers.interval"):
        monkeypatch.setattr(f"apscheduler.{module}.datetime", Wall)
    with ticking({"often": Cadence.parse("1s")}, ticks.append, look=0.3) as next_of:
        async with asyncio.timeout(30):
            while len(ticks) < 2:
                await asyncio.sleep(0.05)
            shift[0] = HOUR
            seen = len(ticks)
            while len(ticks) < seen + 3:
                await asyncio.sleep(0.05)
        expected = next_of("often")

    assert expected is not None
    assert expected < datetime.now(UTC) - HOUR / 2
