"""`harvester daemon`: everything a daemon needs, opened in the one safe order and closed in the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import structlog

from harvester.compose import Readable, asking, keyring_of, readable, utc_now, writable
from harvester.config import Cadence, Config
from harvester.daemon.daemon import Daemon
from harvester.daemon.lanes import Lane, Rota
from harvester.daemon.panel import Panel
from harvester.daemon.rounds import Rounds
from harvester.daemon.schedule import ticking
from harvester.daemon.watchers import Watchers, watchers
from harvester.errors import ConfigError, HarvestError
from harvester.intake import Stores
from harvester.lake.lock import DAEMON
from harvester.model import Shard
from harvester.ops.connect import serving_connect
from harvester.ops.metrics import Metrics
from harvester.ops.web import serving_operator
from harvester.report import OK
from harvester.sma.client import Client
from harvester.sma.code_client import CodeClient
from harvester.sma.tally import Call, OnRequest
from harvester.stopping import Stop

LOOK_SECONDS = 60.0
"""How often fleet, owners and disk are looked at."""
COUNT_SECONDS = 5.0
"""How often what has become durable is counted while work goes on."""

log = structlog.get_logger()


@dataclass(slots=True)
class Calls:
    """Hands each request on to all who want to know of it: the client comes before them."""

    listeners: list[OnRequest] = field(default_factory=list)

    def tell(self, call: Call) -> None:
        """Hand *call* on."""
        for listener in self.listeners:
            listener(call)


async def serve(config: Config, shard: Shard) -> int:
    """Run the daemon of *shard* until it is told to stop, and return the exit code; raises `Stop` errors."""
    if not shard.whole and config.sma.grant == "code":
        raise ConfigError('--shard works with sma.grant = "custom": two daemons cannot share an owner\'s token')
    stop, calls = Stop(), Calls()
    try:
        with writable(config, DAEMON, shard) as stores, readable(config) as read, stop.listening():
            async with asking(config, stores, shard=shard, on_request=calls.tell) as client:
                await _served(config, stores, read, client, calls=calls, stop=stop.event, shard=shard)
    except asyncio.CancelledError:
        if not stop.signal:
            raise
    log.info("daemon.drained")
    return OK


async def _served(  # the parts that meet here
    config: Config,
    stores: Stores,
    read: Readable,
    client: Client,
    *,
    calls: Calls,
    stop: asyncio.Event,
    shard: Shard,
) -> None:
    watch = watchers(config, stores, read)
    rounds = Rounds(config=config, client=client, stores=stores, shard=shard, wall=utc_now)
    daemon = Daemon(
        rounds,
        stores.orders,
        Rota(config.rate.window_seconds),
        watch.watching,
        limit=lambda: client.pace.limit,
        live_apart=config.lake.publish_seconds,
    )
    calls.listeners += [daemon.spent, watch.metrics.on_request, watch.contact.on_request]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(watch.alerts.aclose)
        next_of = stack.enter_context(ticking(cadences(config, shard), daemon.post))
        panel = Panel(
            config=config,
            daemon=daemon,
            pace=client.pace,
            watch=watch,
            next_of=next_of,
            wall=utc_now,
            began_at=utc_now(),
        )
        await _open_doors(stack, config, client, daemon, panel)
        stack.push_async_callback(_ended, asyncio.create_task(_look_around(watch, shard)))
        stack.push_async_callback(_ended, asyncio.create_task(_count(daemon, watch.metrics, client)))
        for lane in first_of(shard):
            daemon.post(lane)
        await daemon.serve(stop)


async def _open_doors(stack: AsyncExitStack, config: Config, client: Client, daemon: Daemon, panel: Panel) -> None:
    """Open the operator's listener and, in the code grant, the owners'."""
    web = config.web
    if web.operator:
        password = web.operator_password.get_secret_value() if web.operator_password else None
        url = await stack.enter_async_context(
            serving_operator(web.operator_of(panel.shard.index), panel, password=password)
        )
        log.info("operator.listening", url=url)
    if web.public and web.public_url and isinstance(client, CodeClient):
        connecting = serving_connect(
            web.public,
            client,
            public_url=web.public_url,
            keyring=keyring_of(config),
            wall=utc_now,
            on_connected=lambda _owner: daemon.post(Lane.DISCOVER),
        )
        log.info("connect.listening", url=await stack.enter_async_context(connecting), public_url=web.public_url)


async def _look_around(watch: Watchers, shard: Shard) -> None:
    """Tell metrics and alerts how the fleet stands, which is for one daemon to do."""
    while shard.first:
        seen = watch.watching.turns
        try:
            await watch.lookout.look()
        except HarvestError as error:
            log.warning("lookout.blind", reason=str(error))
        for _ in range(int(LOOK_SECONDS / COUNT_SECONDS)):
            await asyncio.sleep(COUNT_SECONDS)
            if watch.watching.turns != seen:
                break


async def _count(daemon: Daemon, metrics: Metrics, client: Client) -> None:
    """Count what has become durable, and what is left of the budget."""
    while True:
        if daemon.job is not None and daemon.job.report is not None:
            metrics.came(daemon.job.report)
        pace = client.pace
        metrics.budget(limit=pace.limit, spent=pace.spent, pause_left=pace.pause_left)
        await asyncio.sleep(COUNT_SECONDS)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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
