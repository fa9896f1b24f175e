"""`harvester daemon`: everything a daemon needs, opened in the one safe order and closed in the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from harvester.compose import Stop, asking, utc_now, writable
from harvester.config import Cadence, Config
from harvester.daemon import Daemon
from harvester.errand import Done
from harvester.errors import ConfigError
from harvester.lake.lock import DAEMON
from harvester.lanes import Lane, Rota
from harvester.model import Shard
from harvester.report import OK
from harvester.rounds import Rounds
from harvester.schedule import ticking
from harvester.sma.tally import Call, OnRequest

log = structlog.get_logger()


@dataclass(slots=True)
class Calls:
    """Hands each request on to all who want to know of it: the client comes before them."""

    listeners: list[OnRequest] = field(default_factory=list)

    def tell(self, call: Call) -> None:
        """Hand *call* on."""
        for listener in self.listeners:
            listener(call)


class LogWatch:
    """Tells the log."""

    def began(self, work: str) -> None:
        """Hear that a piece of work takes its turn."""

    def ended(self, work: str, done: Done) -> None:
        """Hear that it is done, and durable."""
        log.info("work.done", work=work, exit_code=done.exit_code)

    def broke(self, work: str, error: Exception) -> None:
        """Hear that it ended with an error."""
        log.warning("work.broke", work=work, reason=str(error))


async def serve(config: Config, shard: Shard) -> int:
    """Run the daemon of *shard* until it is told to stop, and return the exit code; raises `Stop` errors."""
    if not shard.whole and config.sma.grant == "code":
        raise ConfigError('--shard works with sma.grant = "custom": two daemons cannot share an owner\'s token')
    stop = Stop()
    try:
        with writable(config, DAEMON, shard) as stores, stop.listening():
            calls = Calls()
            async with asking(config, stores, shard=shard, on_request=calls.tell) as client:
                rounds = Rounds(config=config, client=client, stores=stores, shard=shard, wall=utc_now)
                daemon = Daemon(
                    rounds,
                    stores.orders,
                    Rota(config.rate.window_seconds),
                    LogWatch(),
                    limit=lambda: client.pace.limit,
                    live_apart=config.lake.publish_seconds,
                )
                calls.listeners.append(daemon.spent)
                with ticking(cadences(config, shard), daemon.post):
                    for lane in first_of(shard):
                        daemon.post(lane)
                    await daemon.serve(stop.event)
    except asyncio.CancelledError:
        if not stop.signal:
            raise
    log.info("daemon.drained")
    return OK


def cadences(config: Config, shard: Shard) -> Mapping[Lane, Cadence]:
    """Return when the daemon of *shard* does what; what is done once for all shards is for the first one."""
    schedule = config.schedule
    own = {
        Lane.LIVE: schedule.live,
        Lane.SETTLE: schedule.settle,
        Lane.REPAIR: schedule.repair,
        Lane.BACKFILL: schedule.backfill,
    }
    common = {
        Lane.CONSENT: schedule.consent,
        Lane.DISCOVER: schedule.discover,
        Lane.HOUSEKEEPING: schedule.housekeeping,
    }
    return own | common if shard.first else own


def first_of(shard: Shard) -> tuple[Lane, ...]:
    """Return what a daemon does at once when it starts: what fell due while none ran."""
    if shard.first:
        return (Lane.CONSENT, Lane.DISCOVER, Lane.REPAIR, Lane.HOUSEKEEPING)
    return (Lane.LIVE, Lane.SETTLE, Lane.REPAIR, Lane.BACKFILL)
