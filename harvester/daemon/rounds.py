"""What the work of each lane is, and of each order: jobs made of the parts that a daemon holds open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from harvester import errand
from harvester.care.purge import Asked
from harvester.care.purging import carried_out
from harvester.care.tending import begun_replay, replayed
from harvester.compose import asked_owners, harvest_of, keep_house, scope_of
from harvester.config import Config
from harvester.daemon.jobs import HarvestJob, Job, OneGo, Resumable, Steps, harvested
from harvester.daemon.lanes import Lane
from harvester.errand import Done, Errand
from harvester.errors import ConfigError
from harvester.harvest import Harvest
from harvester.intake import Progress, Stores
from harvester.model import Shard
from harvester.owners import consents
from harvester.report import OK, Report
from harvester.show import Quiet
from harvester.sma.client import Client
from harvester.sma.consent import ConsentState
from harvester.state.ledger import LAST_RUN

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Makes the daemon's jobs."""

    config: Config
    client: Client
    stores: Stores
    shard: Shard
    wall: Callable[[], datetime]

    def job(self, lane: Lane) -> Job | None:
        """Return the work of *lane* that a tick asks for; None where there is none to do."""
        match lane:
            case Lane.CONSENT:
                return OneGo(self._consents)
            case Lane.DISCOVER:
                return self._discovery()
            case Lane.HOUSEKEEPING:
                return OneGo(self._house)
        return self._harvest(lane)

    def ordered(self, wanted: Errand, progress: Progress) -> Job:
        """Return the work of an order; raises `ConfigError` for one that cannot be done."""
        match wanted.command:
            case "run" | "backfill" | "repair":
                what, halt = errand.wanted(wanted, self.config, self.wall()), asyncio.Event()
                work = self._harvesting(halt, progress)
                # Looking around is for the one that does it for all shards; the others go by what it found.
                return HarvestJob(work, what, halt, work.run if self.shard.first else work.go_on, self._noted)
            case "replay":
                replay = begun_replay(self.stores, wanted, self.wall())
                return Steps(replay.steps(), lambda: replayed(replay.outcome))
            case "purge":
                return self._purge(wanted, progress)
        raise ConfigError(f"a daemon does not do `harvester {wanted.command}`")

    def _purge(self, wanted: Errand, progress: Progress) -> Job:
        if not self.shard.whole:
            raise ConfigError("a purge needs the whole lake: stop the daemons that share it, and give it again")
        asked = Asked(owner=wanted.owner or "", plants=wanted.scope.plants, not_plants=wanted.not_plants)
        return Resumable(lambda told: carried_out(self.config, self.stores, asked, told), progress)

    def _harvest(self, lane: Lane) -> Job | None:
        config, scope, now = self.config, scope_of(self.config), self.wall()
        match lane:
            case Lane.LIVE:
                what = errand.live(config, scope, now)
            case Lane.SETTLE:
                what = errand.late(config, scope, now)
            case Lane.REPAIR:
                what = errand.failed(config, scope, now)
            case _:
                what = errand.recent(config, scope, now, command="backfill")
        if what is None:
            return None
        halt = asyncio.Event()
        work = self._harvesting(halt, Quiet())
        return HarvestJob(work, what, halt, work.go_on, self._noted)

    def _noted(self, report: Report) -> None:
        """Remember a run that asked for anything, for `status`."""
        if report.slices:
            self.stores.ledger.record(LAST_RUN, json.dumps(report.facts()))

    def _harvesting(self, halt: asyncio.Event, progress: Progress) -> Harvest:
        return harvest_of(self.config, self.client, self.stores, halt, progress, wall=self.wall, shard=self.shard)

    def _discovery(self) -> Job:
        async def work() -> Done:
            return harvested(await harvest.discover())

        harvest = self._harvesting(asyncio.Event(), Quiet())
        return OneGo(work)

    async def _consents(self) -> Done:
        changes = await consents.look(self.client, self.stores.owners, asked_owners(self.config), self.wall())
        accepted = sum(change.after == ConsentState.ACCEPTED for change in changes)
        return Done(exit_code=OK, facts={"changes": len(changes), "accepted": accepted}, tell=lambda: None)

    async def _house(self) -> Done:
        facts = await asyncio.to_thread(keep_house, self.config, self.stores, self.wall())
        log.info("house.kept", **facts)
        return Done(exit_code=OK, facts=facts, tell=lambda: None)
