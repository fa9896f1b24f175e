"""What is due of the plants of one part, and the fewest requests that cover it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from harvester import periods, plan
from harvester.catalog import ENERGY_AND_POWER_PV
from harvester.daylight import sun_is_up
from harvester.model import Device, Plant, Series, Slice, Stretch
from harvester.plan import Batch, Scope, Span, SpanOf
from harvester.state.inventory import Inventory, KnownSeries
from harvester.state.ledger import Ledger
from harvester.state.period_ledger import PeriodLedger
from harvester.week import WeekRule

_NEVER = datetime.max.replace(tzinfo=UTC)
"""Later than any day waits."""


class Again(Enum):
    """Which days a run asks of those that were asked before."""

    DUE = "due"
    """Not the settled ones, nor those that wait for a later moment."""
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

    def add(self, series: Series, days: Iterable[date]) -> None:
        """Note that *days* of *series* are not to be asked again in this run."""
        for day in days:
            key = (series, day.year)
            self._bits[key] = self._bits.get(key, 0) | _bit(day)

    def without(self, series: Series, days: Iterable[date]) -> tuple[date, ...]:
        """Return those of *days* that this run has not asked of *series* to an end."""
        return tuple(day for day in days if not self._bits.get((series, day.year), 0) & _bit(day))


def _bit(day: date) -> int:
    return 1 << 32 * day.month + day.day


_DUSK = timedelta(hours=1)
"""How long after sunset an inverter's last rows may still come in."""


def _asleep(plant: Plant, series: Series, now: datetime) -> bool:
    """Tell whether *series* is of a PV inverter whose plant has lain in the dark for a while: no new row can exist."""
    if series.set != ENERGY_AND_POWER_PV.name or plant.latitude is None or plant.longitude is None:
        return False
    return not any(sun_is_up(plant.latitude, plant.longitude, moment) for moment in (now - _DUSK, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one run is asked for."""

    command: str
    scope: Scope
    span_of: SpanOf
    newest_first: bool = False
    resume: bool = False
    """Whether series are also asked for what lies before their span: from where their history ended, and for days
    that were asked and are not settled."""
    again: Again = Again.DUE


class DueNow:
    """What is due of the plants of one part, asked of the ledger again and again."""

    def __init__(
        self, inventory: Inventory, ledger: Ledger, part: int, plants: Sequence[Plant], wanted: Wanted
    ) -> None:
        self._ledger = ledger
        self._part = part
        self._plants = {plant.plant_id: plant for plant in plants}
        self._devices: Mapping[str, Device] = {d.device.device_id: d.device for d in inventory.devices(part)}
        self._wanted = wanted
        self.offered = [
            known
            for known in inventory.offered_series(part)
            if known.series.plant_id in self._plants and wanted.scope.takes(known.series)
        ]
        """The series that the plants offer and the run wants."""
        ids = [known.series_id for known in self.offered]
        self._ended = ledger.agenda.last_days(ids) if wanted.resume else {}

    def batches(
        self, rule: WeekRule, now: datetime, *, leave: Callable[[Series], bool], asked: Asked | None = None
    ) -> list[Batch]:
        """Return the fewest requests that cover what is due *now*, but for series to *leave* and days *asked*."""
        spans = {known: self._span(known, now) for known in self.offered if not leave(known.series)}
        due = self._days(spans, now, asked or Asked())
        if not due:
            return []
        grid = rule.grid(min(days[0] for days in due.values()))
        slices: list[Slice] = [s for series, days in due.items() for s in plan.slices(series, days, rule, grid)]
        return plan.batches(self._part, slices, grid, newest_first=self._wanted.newest_first)

    def sums(self, ledger: PeriodLedger, now: datetime, *, leave: Callable[[Series], bool]) -> list[Batch]:
        """Return the Month, Year and Total requests that are due *now*, but for the series to *leave* alone."""
        asked = (known for known in self.offered if periods.sums_up(known.series) and not leave(known.series))
        spans = {known: span for known in asked if (span := self._span(known, now))}
        first = min((span.first for span in spans.values()), default=now.date())
        read = ledger.known([known.series_id for known in spans], since=first.replace(month=1, day=1))
        wanted: list[tuple[Series, Stretch]] = []
        for known, span in spans.items():
            again = {stretch: state.next_at for stretch, state in read[known.series_id].items()}
            due = periods.due(span, again, now, resume=self._wanted.resume)
            wanted.extend((known.series, stretch) for stretch in due)
        return periods.batches(self._part, wanted)

    def _span(self, known: KnownSeries, now: datetime) -> Span:
        series = known.series
        plant = self._plants[series.plant_id]
        device = self._devices.get(series.device_id) if series.device_id else None
        span = self._wanted.span_of(plant, series.set)
        if (ended := self._ended.get(known.series_id)) is not None:
            span = Span(min(span.first, ended), span.last)
        span = plan.applicable(span, plant, device, now)
        return span.until_yesterday(plan.today(plant, now)) if _asleep(plant, series, now) else span

    def _days(self, spans: Mapping[KnownSeries, Span], now: datetime, asked: Asked) -> dict[Series, tuple[date, ...]]:
        spans = {known: span for known, span in spans.items() if span}
        if not spans:
            return {}
        first, last = min(span.first for span in spans.values()), max(span.last for span in spans.values())
        answered = self._answered(first, last, now)
        overdue = self._ledger.agenda.overdue(self._part, now) if self._wanted.resume else {}
        found: dict[Series, tuple[date, ...]] = {}
        for known, span in spans.items():
            earlier = sorted(day for day in overdue.get(known.series_id, ()) if day < span.first)
            days = (*earlier, *plan.due(span, answered.get(known.series_id, ())))
            if left := asked.without(known.series, days):
                found[known.series] = left
        return found

    def _answered(self, first: date, last: date, now: datetime) -> Mapping[int, Collection[date]]:
        """Return, by series, the days that are not to be asked again."""
        match self._wanted.again:
            case Again.DUE:
                return self._ledger.agenda.answered(self._part, first, last, now)
            case Again.UNSETTLED:
                return self._ledger.agenda.answered(self._part, first, last, _NEVER)
            case Again.ALL:
                return {}
