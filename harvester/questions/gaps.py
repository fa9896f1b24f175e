"""What is not settled and past due, and days with implausibly few rows, joined into ranges of days. Pure.

Of the Month, Year and Total only those are listed that failed: that the others are asked follows from the days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from harvester import clock, plan
from harvester.model import EVER, Period, Plant, Series, Stretch
from harvester.questions.plausibility import Plausibility
from harvester.questions.survey import SeriesDays, Settlement, Subject, zone_is_known, zone_of

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Consecutive days of one series that lack the same for the same cause."""

    series: Series
    first: date
    last: date
    """Plant-local days, both inclusive."""
    settlement: Settlement
    cause: str
    """In words; equal for days that belong together."""
    received: int = 0
    plausible: int = 0
    """Rows over all days; 0 where it is not rows that are missing."""
    period: Period = Period.DAY
    """What was asked in vain: the days one by one, or a sum over them."""

    @property
    def days(self) -> int:
        """How many days it spans."""
        return (self.last - self.first).days + 1

    @property
    def reason(self) -> str:
        """Return for a person why it is listed."""
        if not self.plausible:
            return self.cause
        return f"{self.received:,} rows where about {self.plausible:,} are plausible: {self.cause}"

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, as ``--json`` prints it."""
        return {
            "level": self.series.level.value,
            "plant_id": self.series.plant_id,
            "device_id": self.series.device_id,
            "set": self.series.set,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "settlement": self.settlement.value,
            "reason": self.reason,
            "period": self.period.value,
        }


def not_asked(piece: Iterable[SeriesDays]) -> Iterator[Gap]:
    """Yield the days of *piece* that were never asked, and those of suspended plants that are not settled."""
    for each in piece:
        if not each.subject.wanted:
            continue
        for day in each.span:
            settlement = each.settlement(day)
            if settlement in {Settlement.UNASKED, Settlement.SUSPENDED}:
                yield _gap(each.subject, day, settlement, _why(each.subject, settlement))


def asked_in_vain(subject: Subject, day: date, reason: str) -> Gap:
    """Return the gap of a *day* that failed for *reason*."""
    return _gap(subject, day, Settlement.FAILED, reason)


def sum_asked_in_vain(subject: Subject, stretch: Stretch, reason: str, now: datetime) -> Gap:
    """Return the gap of a Month, Year or Total that failed for *reason*: over its days, of a Total up to today."""
    plant = subject.plant.plant
    match stretch.period:
        case Period.MONTH:
            last = clock.month_after(stretch.start) - _DAY
        case Period.YEAR:
            last = clock.year_after(stretch.start) - _DAY
        case _:
            last = clock.local_day(now, zone_of(plant))
    first = stretch.start if stretch.period is not Period.TOTAL else min(_began(plant) or EVER, last)
    return Gap(
        series=subject.known.series,
        first=first,
        last=last,
        settlement=Settlement.FAILED,
        cause=reason,
        period=stretch.period,
    )


def _began(plant: Plant) -> date | None:
    return plan.start_day(plant) if zone_is_known(plant) else None


def holes(piece: Sequence[SeriesDays]) -> Iterator[Gap]:
    """Yield the days of *piece* that were read and have implausibly few rows."""
    plausibility = Plausibility(piece)
    for each in piece:
        if not each.subject.wanted:
            continue
        for day in each.span:
            settlement = each.settlement(day)
            if settlement not in {Settlement.SETTLED, Settlement.OPEN}:
                continue
            if (content := plausibility.hole(each, day)) is not None:
                gap = _gap(each.subject, day, settlement, content.plausible.basis)
                yield replace(gap, received=content.received, plausible=content.plausible.rows)


def joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Join consecutive days of one series and cause; ordered by series, then by day."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=_order):
        before = found[-1] if found else None
        if before is not None and _continues(before, gap):
            found[-1] = replace(
                before,
                last=max(before.last, gap.last),
                received=before.received + gap.received,
                plausible=before.plausible + gap.plausible,
            )
        else:
            found.append(gap)
    return found


def _order(gap: Gap) -> tuple[object, ...]:
    series = gap.series
    return (series.plant_id, series.device_id or "", series.set, gap.period, gap.first, gap.settlement, gap.cause)


def _continues(before: Gap, gap: Gap) -> bool:
    same = (before.series, before.period, before.settlement) == (gap.series, gap.period, gap.settlement)
    return same and before.cause == gap.cause and before.last < gap.first <= before.last + _DAY


def _gap(subject: Subject, day: date, settlement: Settlement, cause: str) -> Gap:
    return Gap(series=subject.known.series, first=day, last=day, settlement=settlement, cause=cause)


def _why(subject: Subject, settlement: Settlement) -> str:
    if settlement is Settlement.SUSPENDED:
        since = subject.plant.missing_since or subject.plant.last_seen
        return f"the plant is not listed since {since:%Y-%m-%d %H:%MZ}: its owner's consent may have ended"
    if not subject.zone_is_known:
        return f"not asked: {subject.plant.plant.timezone!r} is not a time zone that is known"
    return "not asked yet"
