"""What is due of the plants of one part, and the fewest requests that cover it.

Most looks find nothing due, so they go from the ledger's indexes to the few series that may have something due, and
only of these is everything read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from harvester import periods, plan
from harvester.catalog import ENERGY_AND_POWER_PV, ENERGY_SETS
from harvester.daylight import sun_is_up
from harvester.model import Device, Level, Plant, Series, Slice, Stretch
from harvester.plan import Batch, Scope, Span, SpanOf
from harvester.state.agenda import REST, Bound, Look, Opened
from harvester.state.inventory import Inventory, KnownSeries
from harvester.state.ledger import Ledger
from harvester.state.period_ledger import KnownStretch, PeriodLedger
from harvester.week import WeekRule

PIECE_DAYS = 56
"""How many days are looked at in one go: memory depends on the part, not on the period."""
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
        self._bits: dict[tuple[Series, int], int] = {}
        self._sums: set[tuple[Series, Stretch]] = set()

    def add(self, series: Series, days: Iterable[date]) -> None:
        """Note that *days* of *series* are not to be asked again in this run."""
        for day in days:
            key = (series, day.year)
            self._bits[key] = self._bits.get(key, 0) | _bit(day)

    def without(self, series: Series, days: Iterable[date]) -> tuple[date, ...]:
        """Return those of *days* that this run has not asked of *series* to an end."""
        return tuple(day for day in days if not self._bits.get((series, day.year), 0) & _bit(day))

    def handed(self, wanted: Iterable[tuple[Series, Stretch]]) -> list[tuple[Series, Stretch]]:
        """Return those of the *wanted* sums that this run was not handed before."""
        new = [each for each in wanted if each not in self._sums]
        self._sums.update(new)
        return new


def _bit(day: date) -> int:
    return 1 << 32 * day.month + day.day


_DUSK = timedelta(hours=1)
"""How long after sunset an inverter's last rows may still come in."""


def _asleep(plant: Plant, now: datetime) -> bool:
    """Tell whether *plant* has lain in the dark for a while: no new row of its PV inverters can exist."""
    if plant.latitude is None or plant.longitude is None:
        return False
    return not any(sun_is_up(plant.latitude, plant.longitude, moment) for moment in (now - _DUSK, now))


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
    again: Again = Again.DUE


class DueNow:
    """What is due of the plants of one part, asked of the ledger again and again."""

    def __init__(
        self, inventory: Inventory, ledger: Ledger, part: int, plants: Sequence[Plant], wanted: Wanted
    ) -> None:
        self._inventory = inventory
        self._ledger = ledger
        self._part = part
        self._plants = {plant.plant_id: plant for plant in plants if wanted.scope.takes_plant(plant.plant_id)}
        self._wanted = wanted
        scope = wanted.scope
        self._look = Look(
            part=part,
            plants=tuple(self._plants),
            sets=scope.sets,
            exclude_sets=scope.exclude_sets,
            devices=scope.devices,
            level=scope.level,
        )
        self._apart = wanted.span_of.apart | {ENERGY_AND_POWER_PV.name}
        self._ended: dict[int, date | None] = {}
        self._whole: dict[int, tuple[date, date]] = {}
        self.known: dict[Series, KnownSeries] = {}
        """What the inventory knows of the series that had something due."""

    @property
    def series(self) -> int:
        """How many series the plants offer and the run wants."""
        return self._ledger.agenda.count(self._look)

    def pieces(self, now: datetime) -> list[Span]:
        """Return all days in pieces that are looked at one after the other, in the order in which they are asked."""
        found = [bound for bound in self._bounds(now, plan.EVER) if bound.first <= bound.last]
        if not found:
            return [plan.EVER]
        whole = Span(min(bound.first for bound in found), max(bound.last for bound in found))
        pieces = plan.pieces(whole, PIECE_DAYS)
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
        if not ids:
            return []
        concerned = [known for known in self._inventory.series_with(ids) if not leave(known.series)]
        due = self._days(concerned, opened, now, asked or Asked(), within)
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
        concerned = self._inventory.series_with(self._summing(ledger, now))
        self._keep(concerned)
        spans = {known: self._span(known, None, now) for known in concerned if not leave(known.series)}
        first = min((span.first for span in spans.values() if span), default=now.date())
        read = ledger.known([known.series_id for known in spans], since=first.replace(month=1, day=1))
        wanted: list[tuple[Series, Stretch]] = []
        for known, span in spans.items():
            due = self._stretches(span, read[known.series_id], now)
            wanted.extend((known.series, stretch) for stretch in due)
        if asked and self._wanted.again is not Again.DUE:  # what still grows would be asked for ever
            wanted = asked.handed(wanted)
        return periods.batches(self._part, wanted)

    def _stretches(self, span: Span, read: Mapping[Stretch, KnownStretch], now: datetime) -> list[Stretch]:
        again, resume = self._wanted.again, self._wanted.resume
        known = {stretch: state.next_at for stretch, state in read.items()}
        match again:
            case Again.FAILED:
                failed = [stretch for stretch, state in read.items() if state.failed]
                return failed if resume else [stretch for stretch in failed if stretch in set(periods.touched(span))]
            case Again.UNSETTLED:
                known = {stretch: next_at and now for stretch, next_at in known.items()}
            case Again.ALL:
                known = dict.fromkeys(known, now)
        return periods.due(span, known, now, resume=resume)

    def _summing(self, ledger: PeriodLedger, now: datetime) -> list[int]:
        """Return the series whose sums may be due."""
        scope = self._wanted.scope
        names = (ENERGY_SETS & scope.sets if scope.sets else ENERGY_SETS) - scope.exclude_sets
        if not names or scope.devices or scope.level == Level.DEVICE.value:
            return []
        if self._wanted.again is not Again.DUE:
            return self._ledger.agenda.members(replace(self._look, sets=names, level=Level.PLANT.value))
        found: list[int] = []
        for name in names:
            spans = {plant_id: self._clipped(plant, name, now) for plant_id, plant in self._plants.items()}
            for series, known in self.known.items():
                if series.set == name and (ended := self._ended.get(known.series_id)):
                    spans[series.plant_id] = Span(min(spans[series.plant_id].first, ended), spans[series.plant_id].last)
            asked = {plant_id: (span.first, span.last) for plant_id, span in spans.items() if span}
            found.extend(ledger.unsure(asked, name, now, resume=self._wanted.resume))
        return found

    def _concerned(self, now: datetime, within: Span) -> tuple[Mapping[int, Collection[date]], list[int]]:
        """Return open days to be asked by series, and the series that may have something to be asked *within*."""
        agenda, resume = self._ledger.agenda, self._wanted.resume
        bounds = list(self._bounds(now, within))
        match self._wanted.again:
            case Again.DUE:
                opened = self._inside(agenda.open_due(self._look, now), bounds, within)
                return opened, [*{*opened, *agenda.unsure(self._look, bounds, resume=resume)}]
            case Again.FAILED:
                failed = self._inside(agenda.failed(self._look), bounds, within)
                return failed, [*failed]
            case _:
                earlier = agenda.open_due(self._look, _NEVER) if resume else ()
                return self._inside(earlier, bounds, within), agenda.members(self._look)

    def _inside(self, opened: Iterable[Opened], bounds: Sequence[Bound], within: Span) -> dict[int, set[date]]:
        """Return, by series, those of the *opened* days that may be asked by a run with *bounds* for what is wanted."""
        apart = self._apart
        lasts = {(bound.plant_id, bound.set): bound.last for bound in bounds}
        otherwise = within.last if self._wanted.resume else date.min
        found: dict[int, set[date]] = {}
        for each in opened:
            last = lasts.get((each.plant_id, each.set if each.set in apart else REST), otherwise)
            if within.first <= each.day <= last:
                found.setdefault(each.series_id, set()).add(each.day)
        return found

    def _bounds(self, now: datetime, within: Span) -> Iterator[Bound]:
        """Yield what is wanted *within* some days of each plant, by sets that have days of their own."""
        scope = self._wanted.scope
        apart = self._apart
        names = [name for name in apart if (not scope.sets or name in scope.sets) and name not in scope.exclude_sets]
        if not scope.sets or scope.sets - apart:
            names.append(REST)
        for plant_id, plant in self._plants.items():
            floor = max(plan.start_day(plant) or date.min, within.first)
            for name in names:
                span = self._clipped(plant, name, now).within(within)
                if span or (self._wanted.resume and floor <= span.last):
                    yield Bound(plant_id, name, span.first, span.last, floor)

    def _clipped(self, plant: Plant, name: str, now: datetime) -> Span:
        """Return the days on which the set *name* is wanted and any series of it can have rows."""
        return _awake(plan.applicable(self._wanted.span_of(plant, name), plant, None, now), plant, name, now)

    def _span(self, known: KnownSeries, device: Device | None, now: datetime) -> Span:
        series = known.series
        plant = self._plants[series.plant_id]
        span = self._wanted.span_of(plant, series.set)
        if (ended := self._ended.get(known.series_id)) is not None:
            span = Span(min(span.first, ended), span.last)
        return _awake(plan.applicable(span, plant, device, now), plant, series.set, now)

    def _keep(self, concerned: Sequence[KnownSeries]) -> None:
        """Note what is known of series, and where their history ended when they were first looked at."""
        self.known.update((known.series, known) for known in concerned)
        if self._wanted.resume:
            new = [known.series_id for known in concerned if known.series_id not in self._ended]
            ended = self._ledger.agenda.last_days(new)
            self._ended.update((series_id, ended.get(series_id)) for series_id in new)

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


def _awake(span: Span, plant: Plant, name: str, now: datetime) -> Span:
    """Return *span* without the running day of a set *name* of PV inverters that sleep."""
    today = plan.today(plant, now)
    asleep = name == ENERGY_AND_POWER_PV.name and span.last >= today and _asleep(plant, now)
    return span.until_yesterday(today) if asleep else span


def _staleness(known: KnownSeries) -> tuple[bool, datetime]:
    """Return what sorts series by their newest rows: those without any first, then the oldest."""
    return known.newest is not None, known.newest or _NEVER
