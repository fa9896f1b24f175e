"""What is due of the plants of one part, and the fewest requests that cover it.

Most looks find nothing due, so they go from the ledger's indexes to the few series that may have something due, and
only of these is everything read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from types import MappingProxyType

from harvester import clock, periods, plan
from harvester.model import Device, Plant, Series, Slice, Stretch
from harvester.outlook import Outlook
from harvester.plan import Batch, Scope, Span, SpanOf
from harvester.state.inventory import Inventory, KnownPlant, KnownSeries
from harvester.state.ledger import Ledger
from harvester.state.period_ledger import KnownStretch, PeriodLedger
from harvester.week import WeekRule

PIECE_WEEKS = 8
"""How much of a period is looked at in one go: memory depends on the part, not on the period."""
_NEVER = datetime.max.replace(tzinfo=UTC)
"""Later than any day waits."""


class Again(Enum):
    """Which days a run asks of those that were asked before."""

    DUE = "due"
    """Not the settled ones, nor those that wait for a later moment."""
    FAILED = "failed"
    """Only those that were last asked in vain, without waiting."""
    UNSETTLED = "unsettled"
    """All but the settled ones, without waiting."""
    ALL = "all"
    """The settled ones, too."""


class Asked:
    """The days of each series that this run has asked to an end: read, or given up on for now.

    A bit for each day, so that a run over many years stays small.
    """

    def __init__(self) -> None:
        self._bits: dict[Series, dict[int, int]] = {}
        self._sums: set[tuple[Series, Stretch]] = set()

    def add(self, series: Series, days: Iterable[date]) -> None:
        """Note that *days* of *series* are not to be asked again in this run."""
        years = self._bits.setdefault(series, {})
        for day in days:
            years[day.year] = years.get(day.year, 0) | _bit(day)

    def without(self, series: Series, days: Iterable[date]) -> tuple[date, ...]:
        """Return those of *days* that this run has not asked of *series* to an end."""
        years = self._bits.get(series)
        return tuple(day for day in days if not years.get(day.year, 0) & _bit(day)) if years else tuple(days)

    def handed(self, wanted: Iterable[tuple[Series, Stretch]]) -> list[tuple[Series, Stretch]]:
        """Return those of the *wanted* sums that this run was not handed before."""
        new = [each for each in wanted if each not in self._sums]
        self._sums.update(new)
        return new


def _bit(day: date) -> int:
    return 1 << 32 * day.month + day.day


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one run is asked for."""

    command: str
    scope: Scope
    span_of: SpanOf
    newest_first: bool = False
    stalest_first: bool = False
    """Whether parts come in the order of their stalest plants; within a part they always do."""
    resume: bool = False
    """Whether series are also asked for what lies before their span: from where their history ended, and for days
    that were asked and are not settled."""
    reach: Callable[[date, date | None], date] | None = None
    """From a plant-local day and the day of start-up, how far back it goes by itself. What ended before a plant's first
    such day, a span that somebody asked for once, is not taken up again."""
    again: Again = Again.DUE

    def floor(self, known: KnownPlant) -> date:
        """Return the plant-local day before which no history is taken up again."""
        if self.reach is None:
            return date.min
        seen = clock.local_day(known.first_seen, clock.zone(known.plant.timezone))
        return self.reach(seen, plan.start_day(known.plant))


class DueNow:
    """What is due of the plants of one part, asked of the ledger again and again."""

    def __init__(
        self,
        inventory: Inventory,
        ledger: Ledger,
        part: int,
        plants: Sequence[Plant],
        wanted: Wanted,
        floors: Mapping[str, date] = MappingProxyType({}),
    ) -> None:
        """*floors* are the days of `Wanted.floor`, by plant id."""
        self._inventory = inventory
        self._ledger = ledger
        self._part = part
        self._wanted = wanted
        self._outlook = Outlook(
            ledger.agenda,
            part,
            plants,
            scope=wanted.scope,
            span_of=wanted.span_of,
            resume=wanted.resume,
            floors=floors,
        )
        self._ended: dict[int, date | None] = {}
        self._whole: dict[int, tuple[date, date]] = {}
        self.known: dict[Series, KnownSeries] = {}
        """What the inventory knows of the series that may have had something due."""

    @property
    def series(self) -> int:
        """How many series the plants offer and the run wants."""
        return self._outlook.count()

    def pieces(self, rule: WeekRule, now: datetime) -> list[Span]:
        """Return all days in pieces that are looked at one after the other, in the order in which they are asked."""
        whole = self._outlook.whole(now)
        pieces = plan.pieces(whole, PIECE_WEEKS, rule) if whole else [plan.EVER]
        return pieces[::-1] if self._wanted.newest_first else pieces

    def batches(
        self,
        rule: WeekRule,
        now: datetime,
        *,
        leave: Callable[[Series], bool],
        asked: Asked | None = None,
        within: Span = plan.EVER,
    ) -> list[Batch]:
        """Return the fewest requests that cover what is due *now* of the days *within*; the stalest series come first.

        Left out are series to *leave* and days *asked*.
        """
        opened, ids = self._concerned(now, within)
        concerned = [known for known in self._inventory.series_with(ids) if not leave(known.series)] if ids else []
        due = self._days(concerned, opened, now, asked or Asked(), within) if concerned else {}
        if not due:
            return []
        grid = rule.grid(min(days[0] for days in due.values()))
        slices: list[Slice] = [s for series, days in due.items() for s in plan.slices(series, days, rule, grid)]
        return plan.batches(self._part, slices, grid, newest_first=self._wanted.newest_first)

    def remember(self) -> None:
        """Record of the series in which `batches` found no day left unasked that it is so: the next look is quick."""
        self._ledger.know(self._whole)
        self._whole = {}

    def sums(
        self, ledger: PeriodLedger, now: datetime, *, leave: Callable[[Series], bool], asked: Asked | None = None
    ) -> list[Batch]:
        """Return the Month, Year and Total requests that are due *now*, but for the series to *leave* alone.

        A run that does not wait for them is given each once: *asked* takes note.
        """
        wait = self._wanted.again is Again.DUE
        ended = {s.plant_id: day for s, known in self.known.items() if (day := self._ended.get(known.series_id))}
        concerned = self._keep(self._inventory.series_with(self._outlook.sums(ledger, now, ended, wait=wait)))
        spans = {known: self._span(known, None, now) for known in concerned if not leave(known.series)}
        first = min((span.first for span in spans.values() if span), default=now.date())
        read = ledger.known([known.series_id for known in spans], since=first.replace(month=1, day=1))
        wanted: list[tuple[Series, Stretch]] = []
        for known, span in spans.items():
            due = self._stretches(span, read[known.series_id], now)
            wanted.extend((known.series, stretch) for stretch in due)
        if asked and not wait:  # what fails again would be asked for ever
            wanted = asked.handed(wanted)
        return periods.batches(self._part, wanted)

    def _stretches(self, span: Span, read: Mapping[Stretch, KnownStretch], now: datetime) -> list[Stretch]:
        again, resume = self._wanted.again, self._wanted.resume
        known = {stretch: state.next_at for stretch, state in read.items()}
        match again:
            case Again.FAILED:
                touched = set(periods.touched(span))
                return [stretch for stretch, state in read.items() if state.failed and (resume or stretch in touched)]
            case Again.UNSETTLED | Again.ALL:  # what still grows comes on its own clock: asked at once, it is the same
                known = {stretch: now if state.failed else state.next_at for stretch, state in read.items()}
        return periods.due(span, known, now, resume=resume)

    def _concerned(self, now: datetime, within: Span) -> tuple[Mapping[int, Collection[date]], list[int]]:
        """Return open days to be asked by series, and the series that may have something to be asked *within*."""
        match self._wanted.again:
            case Again.DUE:
                return self._outlook.due(now, within)
            case Again.FAILED:
                failed = self._outlook.failed(now, within)
                return failed, list(failed)
            case _:
                opened = self._outlook.opened(now, _NEVER, within) if self._wanted.resume else {}
                return opened, self._outlook.members()

    def _span(self, known: KnownSeries, device: Device | None, now: datetime) -> Span:
        return self._outlook.span(known, device, now, self._ended.get(known.series_id))

    def _keep(self, concerned: Sequence[KnownSeries]) -> Sequence[KnownSeries]:
        """Note what is known of series, and where their history ended when they were first looked at."""
        self.known.update((known.series, known) for known in concerned)
        if self._wanted.resume:
            new = [known.series_id for known in concerned if known.series_id not in self._ended]
            ended = self._ledger.agenda.last_days(new)
            self._ended.update((series_id, ended.get(series_id)) for series_id in new)
        return concerned

    def _days(
        self,
        concerned: Sequence[KnownSeries],
        opened: Mapping[int, Collection[date]],
        now: datetime,
        asked: Asked,
        within: Span,
    ) -> dict[Series, tuple[date, ...]]:
        """Return the days to be asked of the series *concerned*, the stalest series first."""
        self._keep(concerned)
        devices = self._inventory.devices_with({k.series.device_id for k in concerned if k.series.device_id})
        spans = {known: self._span(known, devices.get(known.series.device_id or ""), now) for known in concerned}
        inner = {known: span.within(within) for known, span in spans.items()}
        answered = self._answered([span for span in inner.values() if span], [k.series_id for k in concerned], now)
        found: dict[Series, tuple[date, ...]] = {}
        for known in sorted(concerned, key=_staleness):
            mine, span = opened.get(known.series_id, ()), inner[known]
            days = self._within(known, span, mine, answered)
            if self._wanted.resume:
                days = (*sorted(day for day in mine if day < spans[known].first), *days)
            if left := asked.without(known.series, days):
                found[known.series] = left
        return found

    def _within(
        self, known: KnownSeries, span: Span, opened: Collection[date], answered: Mapping[int, Collection[date]]
    ) -> tuple[date, ...]:
        """Return the days of *span* to be asked, and note it where none of them was never asked."""
        if self._wanted.again is Again.FAILED:
            return tuple(sorted(day for day in opened if span.first <= day <= span.last))
        days = plan.due(span, answered.get(known.series_id, ()))
        if span and self._wanted.again is Again.DUE and all(day in opened for day in days):
            self._whole[known.series_id] = (span.first, span.last)
        return days

    def _answered(self, spans: Sequence[Span], ids: Sequence[int], now: datetime) -> Mapping[int, Collection[date]]:
        """Return, by series, the days that are not to be asked again."""
        if not spans or self._wanted.again in {Again.ALL, Again.FAILED}:
            return {}
        first, last = min(span.first for span in spans), max(span.last for span in spans)
        return self._ledger.agenda.answered(ids, first, last, now if self._wanted.again is Again.DUE else _NEVER)


def in_turn(ledger: Ledger, plants: Sequence[KnownPlant], wanted: Wanted) -> list[tuple[int, list[Plant]]]:
    """Return the parts of *plants* with those of them that each has, in the order in which they are asked."""
    parts: dict[int, list[Plant]] = {}
    for known in sorted(plants, key=lambda known: known.part):
        parts.setdefault(known.part, []).append(known.plant)
    if not wanted.stalest_first:
        return list(parts.items())
    first = ledger.agenda.stalest([known.plant.plant_id for known in plants], wanted.scope.sets)
    return [(part, parts[part]) for part in dict.fromkeys([*first, *parts])]


def _staleness(known: KnownSeries) -> tuple[bool, datetime]:
    """Return what sorts series by their newest rows: those without any first, then the oldest."""
    return known.newest is not None, known.newest or _NEVER
