"""What the ledger says of the work ahead: few and large questions, for a whole part at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state import packed
from harvester.state.tables import MONTH, OPEN_DAY, SERIES, from_number, portions, to_number, to_seconds


class Agenda:
    """Questions about the days of many series."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answered(self, part: int, first: date, last: date, now: datetime) -> dict[int, set[date]]:
        """Return, for the series of *part*, the days from *first* to *last* that need not be asked *now*.

        They are settled, or wait for a later moment. Series of which nothing is known are not in it.
        """
        found: dict[int, set[date]] = {}
        members = sa.select(SERIES.c.series_id).where(SERIES.c.part == part).scalar_subquery()
        between = MONTH.c.month.between(packed.month_of(first), packed.month_of(last))
        days_between = OPEN_DAY.c.day.between(to_number(first), to_number(last))
        waiting = sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day).where(OPEN_DAY.c.series_id.in_(members), days_between)
        with self._engine.connect() as db:
            for series_id, month, days in db.execute(sa.select(MONTH).where(MONTH.c.series_id.in_(members), between)):
                found.setdefault(series_id, set()).update(packed.settled(month, days, first, last))
            for series_id, number in db.execute(waiting.where(OPEN_DAY.c.next_at > to_seconds(now))):
                found.setdefault(series_id, set()).add(from_number(number))
        return found

    def last_days(self, series_ids: Sequence[int]) -> dict[int, date]:
        """Return the last day that is known of each given series, settled or not; none where nothing is known."""
        found: dict[int, date] = {}
        with self._engine.connect() as db:
            for some in portions(series_ids):
                months = sa.select(MONTH.c.series_id, sa.func.max(MONTH.c.month).label("month"))
                last = months.where(MONTH.c.series_id.in_(some)).group_by(MONTH.c.series_id).subquery()
                same = (MONTH.c.series_id == last.c.series_id) & (MONTH.c.month == last.c.month)
                for series_id, month, days in db.execute(sa.select(MONTH).join(last, same)):
                    found[series_id] = max(packed.unpack(month, days), default=date.min)
                open_days = sa.select(OPEN_DAY.c.series_id, sa.func.max(OPEN_DAY.c.day))
                open_days = open_days.where(OPEN_DAY.c.series_id.in_(some)).group_by(OPEN_DAY.c.series_id)
                for series_id, number in db.execute(open_days):
                    found[series_id] = max(found.get(series_id, date.min), from_number(number))
        return found

    def overdue(self, part: int, now: datetime) -> dict[int, set[date]]:
        """Return, for the series of *part*, the days that were asked, are not settled, and are due *now*."""
        query = sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day).join(SERIES, SERIES.c.series_id == OPEN_DAY.c.series_id)
        found: dict[int, set[date]] = {}
        with self._engine.connect() as db:
            due = query.where(SERIES.c.part == part, OPEN_DAY.c.next_at <= to_seconds(now))
            for series_id, number in db.execute(due):
                found.setdefault(series_id, set()).add(from_number(number))
        return found
