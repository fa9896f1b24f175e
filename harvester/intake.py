"""From slices to rows in the lake and days in the ledger: ask, decode, publish, archive, commit; in that order.

Data first, ledger second, merge idempotent: whatever ends a run between the two, the next one repeats the work and
neither loses nor doubles a row.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

import structlog

from harvester import clock, periods
from harvester.due import Asked
from harvester.errors import AnswerError, BadBody, NotFound, Rejected
from harvester.fetch import Failed, Outcome, fetching
from harvester.gather import DECODE_BYTES, PUBLISH_ROWS, Gathering, Published
from harvester.lake.answers import Bad
from harvester.lake.decode import DayCount
from harvester.lake.lake import Lake, establish
from harvester.lake.quarantine import Quarantine
from harvester.lake.raw import Archive, answer_of
from harvester.lake.registry import Registry
from harvester.lake.runs import ROWS_OF_A_DAY
from harvester.model import WHOLE, Payload, Period, Series, Shard, Slice
from harvester.plan import Batch
from harvester.report import Report
from harvester.sma.client import Client
from harvester.state.budget import BudgetBook
from harvester.state.inventory import Inventory, KnownSeries
from harvester.state.ledger import LAKE_ID, Failure, Ledger, Read
from harvester.state.orders import Orders
from harvester.state.owners import Owners
from harvester.state.period_ledger import PeriodLedger, StretchFailure
from harvester.state.succession import Succession
from harvester.taken import Taken
from harvester.week import Convention, WeekRule

TRIES = 6
"""How often a slice is asked in one run whose answers cannot be decoded."""
STRIKES = 2
"""Failed slices of one series in a run after which its others wait for the next run."""
WEEK_RULE = "week_rule"
"""The ledger's fact about which days a Week covers."""

log = structlog.get_logger()


class Progress(Protocol):
    """Whoever shows how far a run has come."""

    def planned(self, slices: int) -> None:
        """*slices* more are to be asked."""

    def advanced(self) -> None:
        """One slice is answered or has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where a run keeps what it finds."""

    lake: Lake
    registry: Registry
    quarantine: Quarantine
    inventory: Inventory
    succession: Succession
    ledger: Ledger
    periods: PeriodLedger
    owners: Owners
    orders: Orders
    budget: BudgetBook
    raw: Archive | None = None
    """None where answers are not to be kept."""

    def establish(self) -> None:
        """Tie lake and ledger to each other and to the cloud, now that it has answered."""
        establish(self.lake)
        self.ledger.record(LAKE_ID, self.lake.identity.lake_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a harvest works, whatever it is asked for."""

    workers: int
    """Requests in flight."""
    settle_after: timedelta
    """How long after its local end a read settles a day."""
    owners: Sequence[str] = ()
    """E-mail addresses of those who were asked for consent by the configuration."""
    shard: Shard = WHOLE
    """Which of the lake's parts are its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What must be known of the plants of one part to take their answers in."""

    zones: Mapping[str, str]
    """Plant id to IANA name."""
    series: Mapping[Series, KnownSeries]
    """What the inventory knows of the series that may be asked."""
    asked: Asked = field(default_factory=Asked)
    """What this run has asked of them."""

    def where(self, series: Series) -> tzinfo:
        """Return the zone of the plant of *series*."""
        return clock.zone(self.zones[series.plant_id])


class Intake:
    """Takes answers in for one run. Blocking work happens in a worker thread, one piece at a time."""

    def __init__(
        self,
        client: Client,
        stores: Stores,
        report: Report,
        terms: Terms,
        *,
        wall: Callable[[], datetime],
        stop: asyncio.Event,
        progress: Progress,
    ) -> None:
        self._client = client
        self._stores = stores
        self._report = report
        self._workers = terms.workers
        self._settle_after = terms.settle_after
        self._wall = wall
        self._stop = stop
        self._progress = progress
        self._strikes: Counter[Series] = Counter()
        self._tries: Counter[Slice] = Counter()
        self.rule = remembered_rule(stores.ledger)

    def gave_up(self, series: Series) -> bool:
        """Tell whether *series* has failed so often that its other days wait for the next run."""
        return self._strikes[series] >= STRIKES

    async def stream(self, batches: Sequence[Batch], part: Part) -> None:
        """Ask the slices of *batches* in order; each batch is in lake and ledger as soon as its last answer is in.

        Raises `Stop` errors; what fails on the way is in the report, and stays due.
        """
        slices = sum(len(batch.slices) for batch in batches)
        self._report.slices += slices
        self._progress.planned(slices)
        open_now: list[Gathering] = []
        async with fetching(
            self._todo(batches, open_now), self._pull, workers=self._workers, stop=self._stop
        ) as outcomes:
            async for outcome in outcomes:
                await self._take(outcome, part)
                for ready in [g for g in open_now if g.left == 0 or g.rows > PUBLISH_ROWS]:
                    await self._keep(ready, part)
                open_now[:] = [g for g in open_now if g.left]
            for rest in open_now:  # within the block, whose end tells of what has ended the run early
                await self._keep(rest, part)

    def _todo(self, batches: Sequence[Batch], open_now: list[Gathering]) -> Iterator[tuple[Gathering, Slice]]:
        for batch in batches:
            gathering = Gathering.of(batch, bodies=self._stores.raw is not None)
            open_now.append(gathering)
            for piece in batch.slices:
                if not self.gave_up(piece.series):
                    yield gathering, piece
                    continue
                gathering.left -= 1
                self._report.not_asked[str(piece.series)] += 1
                self._progress.advanced()

    async def _pull(self, item: tuple[Gathering, Slice]) -> Payload:
        answer = await self._client.measurements(item[1])
        moved = next(iter(answer.moved.items())) if answer.moved else None
        return Payload(slice=item[1], body=answer.body, asked_at=answer.asked_at, gzip=answer.gzip, moved=moved)

    async def _take(self, outcome: Outcome[tuple[Gathering, Slice], Payload], part: Part) -> None:
        gathering, piece = outcome.item
        gathering.left -= 1
        self._progress.advanced()
        if isinstance(outcome, Failed):
            self._miss(piece, outcome.error, part)
            return
        self._report.answered += 1
        gathering.take(outcome.answer)
        if gathering.bytes >= DECODE_BYTES:
            await asyncio.to_thread(gathering.decode, self._stores.registry, part.zones)

    async def _keep(self, gathering: Gathering, part: Part) -> None:
        """Put what has come of a batch into the lake, and then into the ledger."""
        await asyncio.to_thread(gathering.decode, self._stores.registry, part.zones)
        published = await asyncio.to_thread(gathering.publish, self._stores.lake.places)
        for bad in published.bad:
            await asyncio.to_thread(self._stores.quarantine.keep, bad)
            self._again_or_miss(bad, part)
        spoiled = {bad.payload.slice for bad in published.bad}
        held = published.by_slice()
        self._learn_weeks(published.answered, held)
        good = [payload for payload in published.answered if payload.slice not in spoiled]
        packed, known = published.packed, part.series
        taken = [Taken(p, held.get(p.slice, ()), known[p.slice.series], packed.get(p.slice)) for p in good]
        commit = self._commit_sums if gathering.batch.summed else self._commit_days
        reads = await asyncio.to_thread(commit, gathering.batch.part, taken, part)
        for payload in good:
            if payload.moved:
                level = payload.slice.series.level.value
                self._stores.inventory.add_alias(level, *payload.moved, payload.asked_at)
        self._count(published, sum(1 for each in taken if not each.held), reads)

    def _commit_days(self, number: int, taken: Sequence[Taken], part: Part) -> Sequence[Read]:
        """Archive what settles days and tell the ledger which days were covered; return them."""
        covered = [(each, tuple(self._reads(each, part))) for each in taken]
        reads = [read for _, days in covered for read in days]
        learned = [fact for each in taken if (fact := each.learned(part.where(each.payload.slice.series)))]
        self._archive(number, covered, part)
        self._stores.ledger.commit(reads, (), learned)
        for each, days in covered:
            part.asked.add(each.payload.slice.series, (read.day for read in days))
        return reads

    def _commit_sums(self, _number: int, taken: Sequence[Taken], part: Part) -> Sequence[Read]:
        """Tell the ledger which Month, Year and Total were answered; no day is settled by them."""
        zones = (part.where(each.payload.slice.series) for each in taken)
        self._stores.periods.commit(
            [
                periods.read_of(each.payload, each.known.series_id, where, self._settle_after)
                for each, where in zip(taken, zones, strict=True)
            ]
        )
        return ()

    def _reads(self, taken: Taken, part: Part) -> Iterator[Read]:
        """Tell which due days the answer is sure to have covered."""
        piece = taken.payload.slice
        sure = self.rule.covers(piece.date) if piece.period is Period.WEEK else frozenset({piece.date})
        return taken.reads((day for day in piece.days if day in sure), part.where(piece.series), self._settle_after)

    def _archive(self, number: int, covered: Sequence[tuple[Taken, Sequence[Read]]], part: Part) -> None:
        """Keep the answers that settle a day as they came: after the data, before the ledger says so."""
        if self._stores.raw is None:
            return
        found = []
        for each, reads in covered:
            payload, settled = each.payload, [read.day for read in reads if read.next_at is None]
            if settled and each.packed:
                held, zone = [count.day for count in each.held], part.zones[payload.slice.series.plant_id]
                found.append((answer_of(payload, settled, held, zone, each.packed), each.packed))
        if found:
            series = found[0][0].slice.series
            self._stores.raw.keep(number, self._stores.registry.table(series.level, series.set).table, found)

    def _again_or_miss(self, bad: Bad, part: Part) -> None:
        """Leave the days of an answer that could not be read due in this run, a few times.

        One that could be read in part is not asked again: it would come the same.
        """
        piece = bad.payload.slice
        self._tries[piece] += 1
        self._report.quarantined += 1
        if bad.partial or self._tries[piece] >= TRIES:
            self._miss(piece, BadBody(f"the answer cannot be decoded: {bad.reason}", status=200), part)

    def _miss(self, piece: Slice, error: AnswerError, part: Part) -> None:
        """Tell a person and the ledger that a slice failed; its days stay due."""
        log.warning("slice.failed", slice=str(piece), days=len(piece.days), reason=str(error))
        series_id, now = part.series[piece.series].series_id, self._wall()
        if piece.period.summed and isinstance(error, NotFound | Rejected):
            # a cloud without these views, which nothing else depends on, is no reason to call a harvest incomplete
            self._report.warnings.append(f"{piece} is not served: {error}")
            self._stores.periods.commit([periods.not_served(piece.stretch, series_id, now)])
            return
        self._strikes[piece.series] += 1
        self._report.miss(piece, str(error))
        if piece.period.summed:
            failed = StretchFailure(series_id=series_id, stretch=piece.stretch, failed_at=now, reason=str(error))
            self._stores.periods.commit((), [failed])
            return
        part.asked.add(piece.series, piece.days)
        settled = self._stores.ledger.days([series_id], piece.days[0], piece.days[-1])[series_id].settled
        left = [day for day in piece.days if day not in settled]  # a settled day that is asked again stays settled
        failures = [Failure(series_id=series_id, day=day, failed_at=now, reason=str(error)) for day in left]
        self._stores.ledger.commit((), failures)

    def _learn_weeks(self, answered: Sequence[Payload], held: Mapping[Slice, Sequence[DayCount]]) -> None:
        """Learn from the days that answers filled what a Week covers, and remember it."""
        rule = self.rule
        for payload in answered:
            if payload.slice.period is Period.WEEK:
                counts = held.get(payload.slice, ())
                rule = rule.learn(payload.slice.date, (c.day for c in counts if c.rows >= ROWS_OF_A_DAY))
        if rule != self.rule:
            self.rule = rule
            self._stores.ledger.record(WEEK_RULE, ",".join(rule.possible))

    def _count(self, published: Published, empty: int, reads: Sequence[Read]) -> None:
        report, written = self._report, published.written
        report.rows.update(written.rows)
        report.files += written.files
        report.bytes_written += written.bytes
        report.revisions += written.revisions
        report.empty += empty
        report.days_settled += sum(1 for read in reads if read.next_at is None)
        report.days_open += sum(1 for read in reads if read.next_at is not None)


def remembered_rule(ledger: Ledger) -> WeekRule:
    """Return what is known of the days that a Week covers."""
    recorded = ledger.fact(WEEK_RULE)
    return WeekRule(tuple(Convention(name) for name in recorded.split(","))) if recorded else WeekRule()
