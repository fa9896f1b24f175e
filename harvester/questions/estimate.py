"""What a plan would cost, before a request is spent. Asks inventory and ledger only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from harvester import clock, plan
from harvester.due import DueNow, Wanted
from harvester.intake import remembered_rule
from harvester.model import Plant, Slice
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
    slices: list[Slice] = []
    offered = 0
    for part, members in sorted(plants.items()):
        due = DueNow(inventory, ledger, part, members, wanted)
        offered += due.series
        batches = due.batches(rule, now, leave=lambda _: False)
        batches += due.sums(sums, now, leave=lambda _: False) if sums else []
        slices.extend(s for batch in batches for s in batch.slices)
    if known_plants:
        plan.refuse_nothing(wanted.scope, offered)
    return _summed(slices, sum(len(members) for members in plants.values()))


def _has_zone(plant: Plant) -> bool:
    try:
        return clock.zone(plant.timezone) is not None
    except clock.UnknownZone:
        return False


def _summed(slices: Iterable[Slice], plants: int) -> Estimate:
    requests: Counter[str] = Counter()
    days: Counter[str] = Counter()
    series: dict[str, set[object]] = {}
    rows = 0
    for piece in slices:
        name = f"{piece.series.level.value} {piece.series.set}"
        requests[name] += 1
        days[name] += len(piece.days)
        series.setdefault(name, set()).add(piece.series)
        rows += len(piece.days) * rows_of_a_day(piece.series.plant_id)
    by_set = tuple(SetCost(n, len(series[n]), days[n], requests[n]) for n in sorted(requests))
    return Estimate(plants, _total(series), days.total(), requests.total(), rows, by_set)


def _total(series: Mapping[str, set[object]]) -> int:
    return sum(len(members) for members in series.values())


def rows_of_a_day(plant_id: str) -> int:
    """Return the rows of a full day: the shape of the id is the only public sign of the backend."""
    return _ROWS_CLASSIC if _GUID.fullmatch(plant_id) else _ROWS_ENNEXOS
