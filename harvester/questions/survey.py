"""What the ledger says of every series and day that a question is about: part by part, some weeks at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum

from harvester import clock, plan
from harvester.model import Device, Plant
from harvester.plan import Scope, Span, SpanOf
from harvester.state.history import FailedDay, History
from harvester.state.inventory import Inventory, KnownPlant, KnownSeries
from harvester.state.ledger import Days, Ledger

AROUND = timedelta(days=14)
"""How far on either side a day is compared with others."""
_PIECE = timedelta(days=56)
"""How much of a period is looked at in one go: memory depends on the part, not on the period."""
_DAY = timedelta(days=1)


class Settlement(StrEnum):
    """What became of asking for one series and day."""

    SETTLED = "settled"
    OPEN = "open"
    FAILED = "failed"
    UNASKED = "unasked"
    SUSPENDED = "suspended"
    """Not settled, of a plant that is not listed any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One offered series with its plant and its device, and the days that a question asks of it."""

    known: KnownSeries
    plant: KnownPlant
    device: Device | None
    span: Span
    """Days that are over, asked about, and on which the series can have rows."""
    wanted: bool
    """Whether the question is about it; if not, it is a sibling to compare with."""

    @property
    def zone_is_known(self) -> bool:
        """Tell whether the plant's days can be told; those of UTC stand in for them if not."""
        return zone_is_known(self.plant.plant)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesDays:
    """What the ledger knows of one series over a piece of the period."""

    subject: Subject
    span: Span
    """The days of the piece that the question asks about."""
    days: Days
    """Those, and the ones around them."""
    born: date | None = None
    """The first day with a row, as far as the series' history was looked at; None without any."""

    def settlement(self, day: date) -> Settlement:
        """Return what became of *day*."""
        asked = self.asked(day)
        gone = asked is not Settlement.SETTLED and suspended(self.subject.plant)
        return Settlement.SUSPENDED if gone else asked

    def asked(self, day: date) -> Settlement:
        """Return what became of asking for *day*, whether its plant is still listed or not."""
        if day in self.days.settled:
            return Settlement.SETTLED
        known = self.days.open.get(day)
        if known is None:
            return Settlement.UNASKED
        return Settlement.FAILED if known.failed else Settlement.OPEN

    def rows(self, day: date) -> int | None:
        """Return the rows that came of *day*; None while it was not read since it was over."""
        if (rows := self.days.settled.get(day)) is not None:
            return rows
        known = self.days.open.get(day)
        if known is None or (known.failed and not known.rows):
            return None
        return known.rows if known.asked_at >= clock.day_end(day, zone_of(self.subject.plant.plant)) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The series of one part of the plants."""

    number: int
    subjects: Sequence[Subject]

    @property
    def plants(self) -> dict[str, KnownPlant]:
        """Return the plants whose series are wanted, in the order of the inventory."""
        return {s.plant.plant.plant_id: s.plant for s in self.subjects if s.wanted}


class Survey:
    """A look at the days of all series of a *scope*; with *siblings* also at what they are to be compared with."""

    def __init__(
        self,
        inventory: Inventory,
        ledger: Ledger,
        history: History,
        *,
        scope: Scope,
        span_of: SpanOf,
        now: datetime,
        siblings: bool = True,
    ) -> None:
        self._inventory = inventory
        self._ledger = ledger
        self._history = history
        self._scope = scope
        self._span_of = span_of
        self._now = now
        self._siblings = siblings

    def parts(self) -> Iterator[Part]:
        """Yield the parts that hold a wanted series, ascending; plants that are withdrawn or moved are left out."""
        members: dict[int, dict[str, KnownPlant]] = {}
        for known in self._inventory.plants():
            if known.withdrawn_at is None and known.moved_to is None:
                members.setdefault(known.part, {})[known.plant.plant_id] = known
        for number, plants in sorted(members.items()):
            part = self.part(number, plants)
            if part.plants:
                yield part

    def part(self, number: int, plants: Mapping[str, KnownPlant], *, gone: bool = False) -> Part:
        """Return the series that the given *plants* of one part offer; with *gone* also those offered once."""
        devices = {each.device.device_id: each.device for each in self._inventory.devices(number)}
        subjects = []
        for known in (self._inventory.every_series if gone else self._inventory.offered_series)(number):
            plant = plants.get(known.series.plant_id)
            wanted = self._scope.takes(known.series)
            if plant is None or not (wanted or self._siblings):
                continue
            device = devices.get(known.series.device_id) if known.series.device_id else None
            span = self._span(known, plant.plant, device)
            subjects.append(Subject(known=known, plant=plant, device=device, span=span, wanted=wanted))
        return Part(number=number, subjects=subjects)

    def _span(self, known: KnownSeries, plant: Plant, device: Device | None) -> Span:
        placed = _placed(plant)
        return plan.applicable(self._span_of(placed, known.series.set), placed, device, self._now)

    def failed(self, part: Part, first: date, last: date) -> Iterator[tuple[Subject, FailedDay]]:
        """Yield the failed days of *part* from *first* to *last*, both inclusive, that are still to be asked."""
        wanted = {subject.known.series_id: subject for subject in part.subjects if subject.wanted}
        for failed in self._history.failed(part.number, first, last):
            subject = wanted.get(failed.series_id)
            if subject is None or suspended(subject.plant):
                continue
            if plan.applicable(Span(failed.day, failed.day), _placed(subject.plant.plant), subject.device, self._now):
                yield subject, failed

    def pieces(self, part: Part) -> Iterator[list[SeriesDays]]:
        """Yield what the ledger knows of the series of *part*, piece by piece of the period, ascending."""
        spans = [subject.span for subject in part.subjects if subject.wanted and subject.span]
        if not spans:
            return
        first, last = min(span.first for span in spans), max(span.last for span in spans)
        while first <= last:
            until = min(first + _PIECE - _DAY, last)
            yield self.piece(part, first, until)
            first = until + _DAY

    def piece(self, part: Part, first: date, last: date) -> list[SeriesDays]:
        """Return what the ledger knows of the series of *part* from *first* to *last*, both inclusive."""
        margin = AROUND if self._siblings else timedelta()
        ids = [subject.known.series_id for subject in part.subjects]
        days = self._ledger.days(ids, first - margin, last + margin)
        born = self._born(part, days) if self._siblings else {}
        return [
            SeriesDays(
                subject=subject,
                span=Span(max(subject.span.first, first), min(subject.span.last, last)),
                days=days[subject.known.series_id],
                born=born.get(subject.known.series_id),
            )
            for subject in part.subjects
        ]

    def _born(self, part: Part, days: dict[int, Days]) -> dict[int, date]:
        """Return a day with rows before which nothing is known to be missing, of each series that ever had one.

        Only where a piece begins with empty days the whole history tells whether the series is older than they are.
        """
        found: dict[int, date] = {}
        unclear: list[int] = []
        for subject in part.subjects:
            series_id = subject.known.series_id
            known = {**{day: each.rows for day, each in days[series_id].open.items()}, **days[series_id].settled}
            if not known or subject.known.newest is None:
                continue
            if known[min(known)]:
                found[series_id] = min(known)
            else:
                unclear.append(series_id)
        return {**found, **self._history.first_rows(unclear)}


def suspended(known: KnownPlant) -> bool:
    """Tell whether the newest plant list lacks a plant of which nobody knows that it is withdrawn or moved."""
    return known.missing_count > 0 and known.withdrawn_at is None and known.moved_to is None


def _placed(plant: Plant) -> Plant:
    return plant if zone_is_known(plant) else replace(plant, timezone="UTC")


def zone_is_known(plant: Plant) -> bool:
    """Tell whether *plant* names a time zone that there is."""
    try:
        return clock.zone(plant.timezone) is not None
    except clock.UnknownZone:
        return False


def zone_of(plant: Plant) -> tzinfo:
    """Return the zone of *plant*; UTC where it names none that there is."""
    return clock.zone(plant.timezone if zone_is_known(plant) else "UTC")


def days_over(first: date | None, last: date | None, usual: SpanOf) -> SpanOf:
    """Ask about the days from *first* to *last*, both inclusive, that are over; what is not given is as *usual*.

    *usual* ends with the day before the plant's local today.
    """

    def span(plant: Plant, name: str) -> Span:
        known = usual(plant, name)
        return Span(first or known.first, min(last or known.last, known.last))

    return SpanOf(span, usual.apart)
