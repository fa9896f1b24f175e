"""What is due of the plants of one part, and the fewest requests that cover it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from harvester import plan
from harvester.model import Device, Plant, Series, Slice
from harvester.plan import Batch, Scope, Span, SpanOf
from harvester.state.inventory import Inventory, KnownSeries
from harvester.state.ledger import Ledger
from harvester.week import WeekRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one run is asked for."""

    command: str
    scope: Scope
    span_of: SpanOf
    newest_first: bool = False
    resume: bool = False
    """Whether a series whose history ended before its span is asked from where it ended."""


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
        self._ended = ledger.last_days(ids) if wanted.resume else {}

    def batches(self, rule: WeekRule, now: datetime, *, leave: Callable[[Series], bool]) -> list[Batch]:
        """Return the fewest requests that cover what is due *now*, but for the series to *leave* alone."""
        due = self._days({known: self._span(known, now) for known in self.offered if not leave(known.series)}, now)
        if not due:
            return []
        grid = rule.grid(min(days[0] for days in due.values()))
        slices: list[Slice] = [s for series, days in due.items() for s in plan.slices(series, days, rule, grid)]
        return plan.batches(self._part, slices, grid, newest_first=self._wanted.newest_first)

    def _span(self, known: KnownSeries, now: datetime) -> Span:
        series = known.series
        plant = self._plants[series.plant_id]
        device = self._devices.get(series.device_id) if series.device_id else None
        span = self._wanted.span_of(plant, series.set)
        if (ended := self._ended.get(known.series_id)) is not None:
            span = Span(min(span.first, ended), span.last)
        return plan.applicable(span, plant, device, now)

    def _days(self, spans: Mapping[KnownSeries, Span], now: datetime) -> dict[Series, tuple[date, ...]]:
        spans = {known: span for known, span in spans.items() if span}
        if not spans:
            return {}
        first, last = min(span.first for span in spans.values()), max(span.last for span in spans.values())
        answered = self._ledger.answered(self._part, first, last, now)
        due = {known.series: plan.due(span, answered.get(known.series_id, ())) for known, span in spans.items()}
        return {series: days for series, days in due.items() if days}
