"""How many of the series-days of every plant are settled, counted by the database in one statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from harvester.state import packed
from harvester.state.tables import DEVICE, MONTH, PLANT, SERIES, from_number, to_number

_SECONDS = 86_400
_DAY = timedelta(days=1)
_NEVER = "9999-12-31T00:00:00"
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
    began = _began(db, first, reached)
    months = {packed.month_of(first): first, packed.month_of(last): last}
    held = {number: MONTH.alias(f"month_{number}") for number in months}
    due: sa.ColumnElement[int] = sa.literal(0)
    settled: sa.ColumnElement[int] = sa.literal(0)
    for number in range((last - first).days + 1):
        day = first + _DAY * number
        applies = sa.and_(began <= to_number(day), _until() > f"{day.isoformat()}T00:00:00")
        word = sa.func.substr(held[packed.month_of(day)].c.days, 2 * day.day - 1, 2)
        there = sa.and_(applies, sa.func.coalesce(word, b"").not_in(_NOT_SETTLED))
        due = due + sa.case((applies, 1), else_=0)
        settled = settled + sa.case((there, 1), else_=0)
    source = _series_of(chosen)
    for number, month in held.items():
        same = sa.and_(month.c.series_id == SERIES.c.series_id, month.c.month == number)
        source = source.outerjoin(month, same)
    zero = sa.func.coalesce
    query = sa.select(PLANT.c.plant_id, zero(sa.func.sum(due), 0), zero(sa.func.sum(settled), 0))
    visible = sa.and_(PLANT.c.withdrawn_at.is_(None), PLANT.c.moved_to.is_(None), *_plants(chosen))
    query = query.select_from(source).where(visible).group_by(PLANT.c.plant_id)
    return [(plant_id, int(all_), int(some)) for plant_id, all_, some in db.execute(query)]


def _series_of(chosen: Chosen) -> sa.Join:
    """Return plants with those of their offered series that are harvested, if any, and their devices."""
    wanted = [SERIES.c.plant_id == PLANT.c.plant_id, SERIES.c.gone_at.is_(None)]
    if chosen.sets:
        wanted.append(SERIES.c["set"].in_(sorted(chosen.sets)))
    if chosen.exclude_sets:
        wanted.append(SERIES.c["set"].not_in(sorted(chosen.exclude_sets)))
    joined = PLANT.outerjoin(SERIES, sa.and_(*wanted))
    return joined.outerjoin(DEVICE, DEVICE.c.device_id == SERIES.c.device_id)


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


def _until() -> sa.ColumnElement[str]:
    """Return, as an expression, the plant-local moment of the device's deactivation, a far one if there is none."""
    return sa.func.coalesce(DEVICE.c.deactivated_at, _NEVER)
