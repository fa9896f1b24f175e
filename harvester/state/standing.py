"""How many of the series-days of every plant are settled, counted by the database in one statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from harvester.state import packed
from harvester.state.tables import DEVICE, MONTH, PLANT, SERIES, from_number, to_number

_SECONDS = 86_400
_DAY = timedelta(days=1)
_EPOCH, _MOMENT = 2_440_587.5, 1e-6
"""1970-01-01 as SQLite counts days, and a tenth of a second as part of one."""
_FIRST_YEAR, _LAST_YEAR = date(1980, 1, 1), date(9998, 12, 31)
"""Between which a start-up is one; SMA also sends the year 1 for none."""
_NOT_SETTLED = (b"", b"\0\0")
"""The two bytes of a day that is not settled: left out, or zero; see `harvester.state.packed`."""


class Chosen(Protocol):
    """Which plants and measurement sets are harvested; an empty selection means all."""

    @property
    def plants(self) -> frozenset[str]:
        """Ids of the only plants."""

    @property
    def exclude_plants(self) -> frozenset[str]:
        """Ids of plants that are left out."""

    @property
    def sets(self) -> frozenset[str]:
        """Names of the only sets."""

    @property
    def exclude_sets(self) -> frozenset[str]:
        """Names of sets that are left out."""


def counted(
    db: Connection, first: date, last: date, chosen: Chosen, reached: Callable[[date], date]
) -> list[tuple[str, int, int]]:
    """Return id, series-days and settled series-days from *first* to *last*, both inclusive, of every visible plant.

    A series-day counts from the plant's start-up on, from what *reached* says of the day on which the series was first
    seen, and until the device was deactivated.
    """
    # materialised: what is worked out once for a series is not worked out again for each of its days
    each = _series(db, first, last, chosen, reached).cte("each").prefix_with("MATERIALIZED")
    numbers = [to_number(first + _DAY * n) for n in range((last - first).days + 1)]
    due = sa.func.max(each.c.until - each.c.began + 1, 0)
    settled: sa.ColumnElement[int] = sa.literal(0)
    for number in numbers:
        day = from_number(number)
        word = sa.func.substr(each.c[_days(day)], 2 * day.day - 1, 2)
        there = sa.and_(word.not_in(_NOT_SETTLED), each.c.began <= number, each.c.until >= number)
        settled = settled + sa.case((there, 1), else_=0)
    query = sa.select(each.c.plant_id, sa.func.sum(due), sa.func.sum(settled)).group_by(each.c.plant_id)
    return [(plant_id, int(all_ or 0), int(some or 0)) for plant_id, all_, some in db.execute(query)]


def _days(day: date) -> str:
    return f"days_{packed.month_of(day)}"


def _series(
    db: Connection, first: date, last: date, chosen: Chosen, reached: Callable[[date], date]
) -> sa.Select[tuple[Any, ...]]:
    """Select the harvested series of visible plants: the days that count, and what is settled in their months.

    A plant without any series has one row, on which nothing counts.
    """
    wanted = [SERIES.c.plant_id == PLANT.c.plant_id, SERIES.c.gone_at.is_(None)]
    if chosen.sets:
        wanted.append(SERIES.c["set"].in_(sorted(chosen.sets)))
    if chosen.exclude_sets:
        wanted.append(SERIES.c["set"].not_in(sorted(chosen.exclude_sets)))
    source = PLANT.outerjoin(SERIES, sa.and_(*wanted)).outerjoin(DEVICE, DEVICE.c.device_id == SERIES.c.device_id)
    held = []
    for day in {packed.month_of(day): day for day in (first, last)}.values():
        month = MONTH.alias(f"of_{_days(day)}")
        same = sa.and_(month.c.series_id == SERIES.c.series_id, month.c.month == packed.month_of(day))
        source = source.outerjoin(month, same)
        held.append(sa.func.coalesce(month.c.days, b"").label(_days(day)))
    columns = [PLANT.c.plant_id, _began(db, first, reached).label("began"), _until(last).label("until"), *held]
    visible = [PLANT.c.withdrawn_at.is_(None), PLANT.c.moved_to.is_(None), *_plants(chosen)]
    return sa.select(*columns).select_from(source).where(*visible)


def _plants(chosen: Chosen) -> list[sa.ColumnElement[bool]]:
    only = [PLANT.c.plant_id.in_(sorted(chosen.plants))] if chosen.plants else []
    but = [PLANT.c.plant_id.not_in(sorted(chosen.exclude_plants))] if chosen.exclude_plants else []
    return [*only, *but]


def _began(db: Connection, first: date, reached: Callable[[date], date]) -> sa.ColumnElement[int]:
    """Return, as an expression, the first day on which a series counts; null where there is no series."""
    seen = SERIES.c.first_seen.op("/")(_SECONDS)
    late = {
        number: to_number(begin)
        for number in db.scalars(sa.select(seen).where(SERIES.c.gone_at.is_(None)).distinct())
        if (begin := reached(from_number(number))) > first
    }
    asked = sa.case(late, value=seen, else_=to_number(first)) if late else sa.literal(to_number(first))
    start = PLANT.c.start_up.op("/")(_SECONDS)
    plausible = start.between(to_number(_FIRST_YEAR), to_number(_LAST_YEAR))
    # the day after: on the first one the plant's own zone decides whether it has begun
    older = sa.case((plausible, start + 1), else_=to_number(first))
    return sa.case((SERIES.c.series_id.is_(None), None), else_=sa.func.max(asked, older))


def _until(last: date) -> sa.ColumnElement[int]:
    """Return, as an expression, the last day on which a series counts: a device measures until its deactivation.

    One that was deactivated at midnight measured nothing on the day that begins there.
    """
    begun = sa.func.julianday(DEVICE.c.deactivated_at) - _EPOCH
    return sa.func.min(sa.func.coalesce(sa.cast(begun - _MOMENT, sa.Integer), to_number(last)), to_number(last))
