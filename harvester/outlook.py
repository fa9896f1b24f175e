"""The quick look: which series of a part may have something due. It misses none, and reads few that have nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from harvester import plan
from harvester.catalog import ENERGY_AND_POWER_PV, ENERGY_SETS
from harvester.daylight import sun_is_up
from harvester.model import Device, Level, Plant
from harvester.plan import Scope, Span, SpanOf
from harvester.state.agenda import REST, Agenda, Bound, Look, Opened
from harvester.state.inventory import KnownSeries
from harvester.state.period_ledger import PeriodLedger

_DUSK = timedelta(hours=1)
"""How long after sunset an inverter's last rows may still come in."""

Wish = tuple[Plant, str, Span, date]
"""A plant, a set or the rest, the days that are wanted of it, and the plant's first day."""


class Outlook:
    """What a run wants of the plants of one part, and the ledger's quick answers to it."""

    def __init__(
        self,
        agenda: Agenda,
        part: int,
        plants: Sequence[Plant],
        *,
        scope: Scope,
        span_of: SpanOf,
        resume: bool,
        floors: Mapping[str, date],
    ) -> None:
        """*floors* tells of plants before which day no history is taken up again."""
        self._agenda = agenda
        self._plants = {plant.plant_id: plant for plant in plants if scope.takes_plant(plant.plant_id)}
        self._scope = scope
        self._span_of = span_of
        self._resume = resume
        self._floors = floors
        self._apart = span_of.apart | {ENERGY_AND_POWER_PV.name}
        self._wishes: tuple[datetime | None, list[Wish]] = (None, [])
        self._look = Look(
            part=part,
            plants=tuple(self._plants),
            sets=scope.sets,
            exclude_sets=scope.exclude_sets,
            devices=scope.devices,
            level=scope.level,
        )

    def count(self) -> int:
        """Return how many series the plants offer and the run wants."""
        return self._agenda.count(self._look)

    def members(self) -> list[int]:
        """Return all of them."""
        return self._agenda.members(self._look)

    def whole(self, now: datetime) -> Span | None:
        """Return the days from the first to the last that is wanted; None where nothing is."""
        found = [bound for bound in self._bounds(now, plan.EVER) if bound.first <= bound.last]
        if not found:
            return None
        return Span(min(bound.first for bound in found), max(bound.last for bound in found))

    def due(self, now: datetime, within: Span) -> tuple[dict[int, set[date]], list[int]]:
        """Return, by series, open days that are due, and the series that may have a day due *within* some days."""
        bounds = list(self._bounds(now, within))
        opened = self._inside(self._agenda.open_due(self._look, now), bounds, within)
        unsure = self._agenda.unsure(self._look, bounds, resume=self._resume)
        return opened, list({*opened, *unsure})

    def failed(self, now: datetime, within: Span) -> dict[int, set[date]]:
        """Return, by series, the days *within* some days that were last asked in vain."""
        return self._inside(self._agenda.failed(self._look), list(self._bounds(now, within)), within)

    def opened(self, now: datetime, moment: datetime, within: Span) -> dict[int, set[date]]:
        """Return, by series, the open days *within* some days that are due at a *moment*."""
        return self._inside(self._agenda.open_due(self._look, moment), list(self._bounds(now, within)), within)

    def sums(self, ledger: PeriodLedger, now: datetime, ended: Mapping[str, date], *, wait: bool) -> list[int]:
        """Return the series whose Month, Year or Total may be due; all that have any where a run does not *wait*.

        *ended* tells of plants whose history ended earlier when.
        """
        scope = self._scope
        names = (ENERGY_SETS & scope.sets if scope.sets else ENERGY_SETS) - scope.exclude_sets
        if not names or scope.devices or scope.level == Level.DEVICE.value:
            return []
        if not wait:
            return self._agenda.members(replace(self._look, sets=names, level=Level.PLANT.value))
        found: list[int] = []
        for name in names:
            told = {(plant.plant_id, each): wish for plant, each, wish, _ in self._wishes_of(now)}
            wanted: dict[str, tuple[date, date]] = {}
            for plant_id, plant in self._plants.items():
                span = told.get((plant_id, name), told.get((plant_id, REST)))
                if plant_id in ended or span is None:
                    span = self._of_plant(plant, name, now, ended.get(plant_id))
                if span:
                    wanted[plant_id] = (span.first, span.last)
            found.extend(ledger.unsure(wanted, name, now, resume=self._resume))
        return found

    def span(self, known: KnownSeries, device: Device | None, now: datetime, ended: date | None) -> Span:
        """Return the days that are wanted of a series of a *device*, and on which it can have rows.

        With *ended*, the last day of its history, they begin there at the latest.
        """
        plant = self._plants[known.series.plant_id]
        return self._of_plant(plant, known.series.set, now, ended, device)

    def _of_plant(
        self, plant: Plant, name: str, now: datetime, ended: date | None = None, device: Device | None = None
    ) -> Span:
        span = self._span_of(plant, name)
        if ended is not None:
            span = Span(min(span.first, max(ended, self._floors.get(plant.plant_id, date.min))), span.last)
        span = plan.applicable(span, plant, device, now)
        today = plan.today(plant, now)
        sleeps = name == ENERGY_AND_POWER_PV.name and span.last >= today and _asleep(plant, now)
        return span.until_yesterday(today) if sleeps else span

    def _bounds(self, now: datetime, within: Span) -> Iterator[Bound]:
        """Yield what is wanted *within* some days of each plant, by sets that have days of their own."""
        for plant, name, wish, began in self._wishes_of(now):
            span, floor = wish.within(within), max(began, within.first)
            if span or (self._resume and floor <= span.last):
                yield Bound(plant.plant_id, name, span.first, span.last, floor)

    def _wishes_of(self, now: datetime) -> list[Wish]:
        """Return what is wanted of each plant, by sets that have days of their own."""
        if self._wishes[0] != now:  # mostly the same is asked about several spans of days
            self._wishes = (now, _with_less(list(self._wished(now)), self._span_of.apart))
        return self._wishes[1]

    def _wished(self, now: datetime) -> Iterator[Wish]:
        scope = self._scope
        names = [n for n in self._apart if (not scope.sets or n in scope.sets) and n not in scope.exclude_sets]
        if not scope.sets or scope.sets - self._apart:
            names.append(REST)
        for plant in self._plants.values():
            began = max(plan.start_day(plant) or date.min, self._floors.get(plant.plant_id, date.min))
            for name in names:
                yield plant, name, self._of_plant(plant, name, now), began

    def _inside(self, opened: Iterable[Opened], bounds: Sequence[Bound], within: Span) -> dict[int, set[date]]:
        """Return, by series, those of the *opened* days that may be asked by a run with *bounds* for what it wants."""
        lasts = {(bound.plant_id, bound.set): bound.last for bound in bounds}
        otherwise = within.last if self._resume else date.min
        found: dict[int, set[date]] = {}
        for each in opened:
            rest = lasts.get((each.plant_id, REST), otherwise)
            last = lasts.get((each.plant_id, each.set), rest)
            if within.first <= each.day <= last:
                found.setdefault(each.series_id, set()).add(each.day)
        return found


def _with_less(wishes: list[Wish], apart: Collection[str]) -> list[Wish]:
    """Return *wishes* without those of PV inverters where, as by day, they are those of all sets not *apart*."""
    rest = {plant.plant_id: wish for plant, name, wish, _ in wishes if name == REST}
    own = [each for each in wishes if each[1] == ENERGY_AND_POWER_PV.name]
    if ENERGY_AND_POWER_PV.name in apart or any(rest.get(plant.plant_id) != wish for plant, _, wish, _ in own):
        return wishes
    return [each for each in wishes if each[1] != ENERGY_AND_POWER_PV.name]


def _asleep(plant: Plant, now: datetime) -> bool:
    """Tell whether *plant* has lain in the dark for a while: no new row of its PV inverters can exist."""
    if plant.latitude is None or plant.longitude is None:
        return False
    return not any(sun_is_up(plant.latitude, plant.longitude, moment) for moment in (now - _DUSK, now))
