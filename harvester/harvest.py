"""One run, top to bottom: plants -> due days -> slices -> answers -> lake -> ledger -> report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from itertools import islice

from harvester import clock, plan
from harvester.departures import departures, told
from harvester.discover import due_for_exploration, explore
from harvester.due import Again, Asked, DueNow, Wanted, in_turn
from harvester.intake import Intake, Part, Progress, Stores, Terms
from harvester.lake.inventory import publish_inventory
from harvester.model import Period, Plant
from harvester.owners.listing import list_plants_of
from harvester.plan import Batch, Scope
from harvester.report import Miss, Report
from harvester.sma.client import Client
from harvester.sma.tally import Counts
from harvester.state.inventory import KnownPlant
from harvester.week import WeekRule

PROBES = 3
"""How many requests a run spends at most, one after the other, on learning which days a Week covers."""


class Harvest:
    """One run over everything that is visible and wanted."""

    def __init__(
        self,
        client: Client,
        stores: Stores,
        terms: Terms,
        *,
        wall: Callable[[], datetime],
        stop: asyncio.Event,
        progress: Progress,
    ) -> None:
        self._client = client
        self._stores = stores
        self._shard = terms.shard
        self._asked = Asked()
        self._owners = terms.owners
        self._workers = terms.workers
        self._wall = wall
        self._stop = stop
        self.report = Report("", wall())
        """What it came to so far."""
        self._intake = Intake(
            client,
            stores,
            self.report,
            terms,
            wall=wall,
            stop=stop,
            progress=progress,
        )
        self._probes = 0
        self._seen: dict[int, int] = {}

    async def run(self, wanted: Wanted) -> Report:
        """Ask what is due of what is *wanted*; raises `Stop` errors, everything else is in the report."""
        before = self._client.counts
        self.report.command = wanted.command
        await self._harvest(await self._enumerate(wanted.scope), wanted)
        if not self.report.misses:  # what could not be enumerated may be what was asked for
            plan.refuse_nothing(wanted.scope, self.report.series)
        await asyncio.to_thread(publish_inventory, self._stores.lake.places, self._stores.inventory)
        return self._concluded(before)

    async def discover(self) -> Report:
        """Enumerate what there is, and nothing else; raises `Stop` errors."""
        before = self._client.counts
        self.report.command = "discover"
        self.report.plants = len(await self._enumerate(Scope()))
        await asyncio.to_thread(publish_inventory, self._stores.lake.places, self._stores.inventory)
        return self._concluded(before)

    async def go_on(self, wanted: Wanted) -> Report:
        """Do the same as `run` with the plants that were visible last: for a daemon, which discovers on its own clock.

        Called again, it goes on where it was stopped: nothing is asked twice, and all is in one report.
        """
        before = self._client.counts
        self.report.command = wanted.command
        await self._harvest(self._known(wanted.scope), wanted)
        return self._concluded(before)

    async def _harvest(self, plants: Sequence[KnownPlant], wanted: Wanted) -> None:
        self.report.plants = len(plants)
        mine = [known for known in plants if self._shard.takes(known.part)]
        floors = {known.plant.plant_id: wanted.floor(known) for known in mine}
        for part, members in in_turn(self._stores.ledger, mine, wanted):
            if self._stop.is_set():
                return
            await self._harvest_part(part, members, wanted, floors)

    def _known(self, scope: Scope) -> list[KnownPlant]:
        """Return the plants that were on the newest list and are wanted."""
        listed = (p for p in self._stores.inventory.plants() if not (p.missing_count or p.withdrawn_at or p.moved_to))
        return [p for p in listed if scope.takes_plant(p.plant.plant_id) and self._has_zone(p.plant)]

    def _concluded(self, before: Counts) -> Report:
        report, counts = self.report, self._client.counts.since(before)
        report.requests.update({kind.value: number for kind, number in counts.requests.items()})
        report.throttled += counts.throttled
        report.bytes_read += counts.bytes_read
        report.interrupted = self._stop.is_set()
        report.ended_at = self._wall()
        return report

    async def _enumerate(self, scope: Scope) -> list[KnownPlant]:
        """Return the plants that are visible and wanted, after a look at what is new of their devices and sets."""
        inventory, now = self._stores.inventory, self._wall()
        visible = await list_plants_of(self._client, inventory, self._stores.owners, self._owners, now)
        self._stores.establish()
        asked = [known for known in visible if scope.takes_plant(known.plant.plant_id)]
        unexplored = due_for_exploration(asked, now)
        trouble = await explore(self._client, inventory, unexplored, now=now, workers=self._workers, stop=self._stop)
        self.report.misses.extend(Miss(f"{t.plant_id} devices and sets", 0, str(t.error)) for t in trouble)
        left = await departures(
            self._client, inventory, self._stores.succession, self._stores.owners, self._owners, now=now
        )
        self.report.warnings.extend(told(left))
        names = {known.plant.plant_id for known in asked}
        self.report.warnings.extend(f"no visible plant has the id {name}" for name in sorted(scope.plants - names))
        return [p for p in inventory.plants() if p.plant.plant_id in names and self._has_zone(p.plant)]

    def _has_zone(self, plant: Plant) -> bool:
        try:
            clock.zone(plant.timezone)
        except clock.UnknownZone as error:
            self.report.misses.append(Miss(f"{plant.plant_id} ({plant.name})", 0, str(error)))
            return False
        return True

    async def _harvest_part(
        self, number: int, plants: Sequence[Plant], wanted: Wanted, floors: Mapping[str, date]
    ) -> None:
        """Ask what is due of one part until nothing is: spoiled answers and days a Week left out come again."""
        due = DueNow(self._stores.inventory, self._stores.ledger, number, plants, wanted, floors)
        self._seen[number] = due.series
        self.report.series = sum(self._seen.values())
        part = Part(
            zones={plant.plant_id: plant.timezone for plant in plants},
            series=due.known,
            # What the ledger says is enough where it is asked; a repair asks over its head, and each day once.
            asked=Asked() if wanted.again is Again.DUE else self._asked,
        )
        leave, now = self._intake.gave_up, self._wall()
        pieces = due.pieces(self._intake.rule, now)
        while pieces and not self._stop.is_set():
            within, rule = pieces.pop(0), self._intake.rule
            while rule == self._intake.rule and not self._stop.is_set():
                batches = due.batches(rule, now, leave=leave, asked=part.asked, within=within)
                if not batches:
                    break
                await self._intake.stream(self._probe(batches, rule) or batches, part)
                now = self._wall()
            due.remember()
            if rule != self._intake.rule:  # weeks begin elsewhere than was thought: cut between them
                pieces = due.pieces(self._intake.rule, now)
        while not self._stop.is_set():
            sums = due.sums(self._stores.periods, now, leave=leave, asked=part.asked)
            if not sums:
                break
            await self._intake.stream(sums, part)
            now = self._wall()

    def _probe(self, batches: Sequence[Batch], rule: WeekRule) -> list[Batch]:
        """Return the first Week of *batches* alone: its answer tells which days a Week covers.

        None once that is known, or not to be learned.
        """
        if rule.known or self._probes == PROBES:
            return []
        self._probes += 1
        weeks = ((b, piece) for b in batches for piece in b.slices if piece.period is Period.WEEK)
        return [Batch(batch.part, batch.week, (piece,)) for batch, piece in islice(weeks, 1)]
