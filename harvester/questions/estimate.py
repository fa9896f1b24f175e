"""What a plan would cost, before a request is spent. Asks inventory and ledger only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from harvester import clock, plan
from harvester.due import DueNow, Wanted
from harvester.intake import remembered_rule
from harvester.model import Plant, Series, Slice
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger
from harvester.state.period_ledger import PeriodLedger
from harvester.week import Convention, WeekRule

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ROWS_ENNEXOS = 288
"""Rows of a full day at five minutes."""
_ROWS_CLASSIC = 96
"""Rows of a full day at fifteen minutes, which plants with GUIDs for ids have."""


@dataclass(frozen=True, slots=True)
class SetCost:
    """The cost of one measurement set at one level."""

    set: str
    series: int
    series_days: int
    requests: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a plan."""

    plants: int
    series: int
    """That have something due."""
    series_days: int
    requests: int
    """For values; one for the plant list, and a few a day for each plant's devices and sets, come on top."""
    rows: int
    """At the most: nights without sun and gaps make them fewer."""
    by_set: tuple[SetCost, ...]

    def minutes(self, requests: int | None, window_seconds: float) -> float | None:
        """Return how long it takes under a budget of *requests* per window; None where none is known."""
        return None if requests is None else round(self.requests / requests * window_seconds / 60, 1)

    def facts(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def estimate(
    inventory: Inventory, ledger: Ledger, wanted: Wanted, now: datetime, sums: PeriodLedger | None = None
) -> Estimate:
    """Return what it costs to ask what is due *now* of what is *wanted*, Month, Year and Total by *sums*.

    Spends no request; raises `ConfigError` where nothing that is known is wanted. Where it is not known yet which days
    a Week covers, seven from its date are assumed.
    """
    rule = remembered_rule(ledger)
    rule = rule if rule.known else WeekRule((Convention.DATE,))
    plants: dict[int, list[Plant]] = {}
    known_plants = inventory.plants()
    for known in known_plants:
        if wanted.scope.takes_plant(known.plant.plant_id) and _has_zone(known.plant):
            plants.setdefault(known.part, []).append(known.plant)
    found = _Tally()
    offered = 0
    for part, members in sorted(plants.items()):
        due = DueNow(inventory, ledger, part, members, wanted)
        offered += due.series
        found.add(_slices(due, rule, now, sums))
    if known_plants:
        plan.refuse_nothing(wanted.scope, offered)
    return found.estimate(sum(len(members) for members in plants.values()))


def _slices(due: DueNow, rule: WeekRule, now: datetime, sums: PeriodLedger | None) -> Iterator[Slice]:
    """Yield what is due of one part, piece by piece of the period: memory does not grow with it."""
    for within in due.pieces(rule, now):
        for batch in due.batches(rule, now, leave=lambda _: False, within=within):
            yield from batch.slices
    for batch in due.sums(sums, now, leave=lambda _: False) if sums else ():
        yield from batch.slices


def _has_zone(plant: Plant) -> bool:
    try:
        return clock.zone(plant.timezone) is not None
    except clock.UnknownZone:
        return False


class _Tally:
    """Slices counted, part by part."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._days: Counter[str] = Counter()
        self._series: Counter[str] = Counter()
        self._rows = 0

    def add(self, slices: Iterable[Slice]) -> None:
        """Count those of one part, of which no series is in another."""
        seen: set[Series] = set()
        for piece in slices:
            series = piece.series
            name = f"{series.level.value} {series.set}"
            self._requests[name] += 1
            self._days[name] += len(piece.days)
            self._rows += len(piece.days) * rows_of_a_day(series.plant_id)
            if series not in seen:
                seen.add(series)
                self._series[name] += 1

    def estimate(self, plants: int) -> Estimate:
        """Return what was counted."""
        names = sorted(self._requests)
        by_set = tuple(SetCost(n, self._series[n], self._days[n], self._requests[n]) for n in names)
        totals = (self._series.total(), self._days.total(), self._requests.total())
        return Estimate(plants, *totals, self._rows, by_set)


def rows_of_a_day(plant_id: str) -> int:
    """Return the rows of a full day: the shape of the id is the only public sign of the backend."""
    return _ROWS_CLASSIC if _GUID.fullmatch(plant_id) else _ROWS_ENNEXOS
