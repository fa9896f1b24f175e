"""Which Month, Year and Total requests are due, and when each is asked again. Pure.

Sums of intraday power are not the energy SMA bills by, so its own sums are asked as well, in the fewest requests:
one Month for each plant and calendar month that a run touches, one Year for each year, one Total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo
from types import MappingProxyType

from harvester import clock
from harvester.catalog import ENERGY_SETS
from harvester.model import EVER, Level, Payload, Period, Series, Slice, Stretch
from harvester.plan import Batch, Span
from harvester.state.period_ledger import StretchRead

AGAIN = MappingProxyType(
    {Period.MONTH: timedelta(days=1), Period.YEAR: timedelta(days=7), Period.TOTAL: timedelta(days=30)}
)
"""How long after a request for what still grows another one is worth its while: by how much the news is."""
MORNING = timedelta(hours=6)
"""Before that, yesterday's sum lacks what the slowest devices have not reported: they take three hours."""


def sums_up(series: Series) -> bool:
    """Tell whether the sums of *series* are asked."""
    return series.level is Level.PLANT and series.set in ENERGY_SETS


def touched(span: Span) -> Iterator[Stretch]:
    """Yield the calendar months and years that *span* has a day in, and all time; nothing for an empty one."""
    if not span:
        return
    month = span.first.replace(day=1)
    while month <= span.last:
        yield Stretch(Period.MONTH, month)
        month = clock.month_after(month)
    for year in range(span.first.year, span.last.year + 1):
        yield Stretch(Period.YEAR, date(year, 1, 1))
    yield Stretch(Period.TOTAL, EVER)


def due(span: Span, known: Mapping[Stretch, datetime | None], now: datetime, *, resume: bool) -> list[Stretch]:
    """Return what is to be asked *now* of what *span* touches; with *resume*, of all that is not final yet as well.

    *known* tells of what was asked when it is due again: None where it is final.
    """
    earlier = [stretch for stretch, next_at in known.items() if resume and next_at is not None]
    wanted = dict.fromkeys([*touched(span), *earlier])
    return [s for s in wanted if (next_at := known.get(s, now)) is not None and next_at <= now]


def batches(part: int, wanted: Iterable[tuple[Series, Stretch]]) -> list[Batch]:
    """Group requests of one part so that each file is written once: by period and year, plants together."""
    groups: dict[tuple[str, Period, date], list[Slice]] = {}
    for series, stretch in wanted:
        key = (series.set, stretch.period, stretch.start.replace(month=1))
        piece = Slice(series=series, period=stretch.period, date=stretch.start, days=())
        groups.setdefault(key, []).append(piece)
    return [Batch(part, key[2], tuple(pieces)) for key, pieces in sorted(groups.items(), key=lambda item: item[0])]


def read_of(payload: Payload, series_id: int, where: tzinfo, settle_after: timedelta) -> StretchRead:
    """Tell the ledger of an answer of a plant in the zone *where*."""
    stretch = payload.slice.stretch
    next_at = next_look(stretch, where, asked_at=payload.asked_at, settle_after=settle_after)
    return StretchRead(series_id=series_id, stretch=stretch, asked_at=payload.asked_at, next_at=next_at)


def not_served(stretch: Stretch, series_id: int, now: datetime) -> StretchRead:
    """Tell the ledger that the cloud has no such view: nothing is missing, and it is asked again some day."""
    return StretchRead(series_id=series_id, stretch=stretch, asked_at=now, next_at=now + AGAIN[stretch.period])


def next_look(stretch: Stretch, where: tzinfo, *, asked_at: datetime, settle_after: timedelta) -> datetime | None:
    """Return when *stretch*, asked at *asked_at* (the read's begin), is due again; None where what came is final.

    What still grows is asked again in the morning after `AGAIN` has gone by, and once more when it has settled.
    """
    later = asked_at + AGAIN[stretch.period]
    later = max(later, clock.day_start(clock.local_day(later, where), where) + MORNING)
    if stretch.period is Period.TOTAL:
        return later
    after = clock.month_after if stretch.period is Period.MONTH else clock.year_after
    settled = clock.day_start(after(stretch.start), where) + settle_after
    return None if asked_at >= settled else min(later, settled)
