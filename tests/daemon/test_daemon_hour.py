"""Hours in the life of a daemon, on a clock that is told when to move: real HTTP, real files, all that goes wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

from present import Present
from running import configured
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import writable
from harvester.config import Config
from harvester.daemon.daemon import Daemon
from harvester.daemon.lanes import Lane, Rota
from harvester.daemon.rounds import Rounds
from harvester.errand import Done
from harvester.intake import Stores
from harvester.model import WHOLE
from harvester.purse import kept
from harvester.sandbox import Faults, Running, Settings, serving
from harvester.sma.client import Client
from harvester.sma.pace import Pace
from harvester.sma.settings import Credentials, Hosts, Limits

ANNA, BERT = "anna@example.org", "bert@example.org"
CADENCES = {
    Lane.LIVE: timedelta(minutes=5),
    Lane.CONSENT: timedelta(minutes=10),
    Lane.DISCOVER: timedelta(minutes=10),
    Lane.SETTLE: timedelta(minutes=15),
    Lane.REPAIR: timedelta(minutes=20),
    Lane.BACKFILL: timedelta(minutes=30),
    Lane.HOUSEKEEPING: timedelta(minutes=60),
}
FIRST, TODAY = date(2026, 6, 12), date(2026, 6, 15)


class Log:
    """What the daemon told of its work."""

    def __init__(self) -> None:
        self.ended_with: Counter[tuple[str, int]] = Counter()
        self.broken: Counter[tuple[str, str]] = Counter()

    def began(self, work: str) -> None:
        """Hear of a turn."""

    def ended(self, work: str, done: Done) -> None:
        """Hear of an end."""
        self.ended_with[work, done.exit_code] += 1

    def broke(self, work: str, error: Exception) -> None:
        """Hear of an error."""
        self.broken[work, type(error).__name__] += 1


class Hour:
    """A daemon, its cloud, and the clock of both."""

    def __init__(self, running: Running, present: Present, daemon: Daemon) -> None:
        self.running, self.present, self.daemon = running, present, daemon
        self._next = dict.fromkeys(CADENCES, present())

    async def pass_by(self, span: timedelta) -> None:
        """Let time go by: in leaps while the daemon rests, second by second while it works."""
        end = self.present() + span
        async with asyncio.timeout(120):
            while self.present() < end:
                self._tick()
                await asyncio.sleep(0.02)
                idle = self.daemon.lane is None and not self.daemon.pending
                leap = min([end, *self._next.values()]) - self.present() if idle else timedelta(seconds=2)
                self.present.now += min(leap, end - self.present())

    async def rest(self) -> None:
        """Let the daemon finish what was asked for."""
        async with asyncio.timeout(120):
            while self.daemon.lane is not None or self.daemon.pending:
                await asyncio.sleep(0.02)
                self.present.now += timedelta(seconds=2)

    def _tick(self) -> None:
        for lane, moment in self._next.items():
            if moment <= self.present():
                self.daemon.post(lane)
                self._next[lane] = self.present() + CADENCES[lane]


def seconds_of(present: Present) -> Callable[[], float]:
    """Return a clock of seconds that goes with *present*."""
    began = present()

    def elapsed() -> float:
        return (present() - began).total_seconds()

    return elapsed


def client(running: Running, present: Present, clock: Callable[[], float]) -> Client:
    """Return a client whose budget goes by the same clock as the cloud's."""
    hosts = Hosts(auth_url=running.url, consent_url=running.url, monitoring_url=f"{running.url}/monitoring/v1")
    limits = Limits(timeout_seconds=1, concurrency=8, attempts=2, requests=100)
    pace = Pace(requests=100, window_seconds=300, clock=clock)
    credentials = Credentials(client_id="local-sandbox", client_secret="local-sandbox")
    return Client(hosts, credentials, limits, pace=pace, wall=present)


@asynccontextmanager
async def on_duty(running: Running, present: Present, config: Config, stores: Stores, log: Log) -> AsyncIterator[Hour]:
    """Let a daemon serve."""
    clock, stop = seconds_of(present), asyncio.Event()
    async with client(running, present, clock) as asked, kept(asked.pace, stores.budget, WHOLE, present):
        rounds = Rounds(config=config, client=asked, stores=stores, shard=WHOLE, wall=present)
        daemon = Daemon(
            rounds, stores.orders, Rota(300), log, limit=lambda: asked.pace.limit, live_apart=0, clock=clock
        )
        task = asyncio.create_task(daemon.serve(stop))
        try:
            yield Hour(running, present, daemon)
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await task


async def test_an_hour_of_service_ends_with_the_truth(tmp_path: Path) -> None:
    """Owners come, leave and come back, tokens run out, 429s and a dead half hour: nothing is lost in the end."""
    present = Present(2026, 6, 15, 9)
    settings = Settings(
        plants=4,
        devices=3,
        owners=(ANNA, BERT),
        start=FIRST,
        requests=100,
        window_seconds=300,
        token_seconds=120,
        zones=("Europe/Berlin", "Europe/Lisbon"),
    )
    log = Log()
    async with serving(settings, now=present) as running:
        running.cloud.accept(ANNA)
        config = configured(running, tmp_path, sma__owners=(ANNA, BERT), harvest__since="start", raw__keep="none")
        with writable(config, "daemon") as stores:
            async with on_duty(running, present, config, stores, log) as hour:
                await hour.pass_by(timedelta(minutes=12))
                refused_at_first = running.cloud.counts.limited
                running.cloud.accept(BERT)
                running.cloud.faults = Faults(http_429=0.05, http_401=0.05, reset=0.05)
                await hour.pass_by(timedelta(minutes=12))
                running.cloud.revoke(ANNA)
                await hour.pass_by(timedelta(minutes=11))
                running.cloud.faults = Faults(http_503=1.0)
                await hour.pass_by(timedelta(minutes=30))
                running.cloud.faults = Faults()
                running.cloud.accept(ANNA)
                await hour.pass_by(timedelta(minutes=30))
                present.advance(days=4)  # the day has ended and its rows are settled
                await hour.pass_by(timedelta(minutes=40))
                await hour.rest()
                summary = stores.ledger.summary()
        lake = lake_tables(config.lake.root)
        truth = truth_tables(running.cloud, days(FIRST, TODAY))

    asked = {name: frame.filter(frame["local_time"].dt.date() <= TODAY) for name, frame in lake.items()}
    assert differences(asked, truth) == []
    assert summary.failed == 0
    assert log.ended_with["live", 0] >= 10
    assert ("settle", 0) in log.ended_with
    assert refused_at_first == 0
