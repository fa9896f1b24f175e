"""What people ask of the ledger: read only, a few statements for a whole part, never one for a series or a day."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state import packed
from harvester.state.standing import Chosen, counted
from harvester.state.tables import MONTH, OPEN_DAY, PLANT, SERIES, from_number, from_seconds, portions, to_number


@dataclass(frozen=True, slots=True)
class FailedDay:
    """A day of a series that was last asked in vain."""

    series_id: int
    day: date
    attempts: int
    reason: str


class History:
    """Questions over the ledger's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def failed(self, part: int, first: date, last: date) -> Iterator[FailedDay]:
        """Yield the failed days of the series of *part* from *first* to *last*, both inclusive, by series and day."""
        query = (
            sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day, OPEN_DAY.c.attempts, OPEN_DAY.c.reason)
            .join(SERIES, SERIES.c.series_id == OPEN_DAY.c.series_id)
            .where(SERIES.c.part == part, OPEN_DAY.c.failed)
            .where(OPEN_DAY.c.day.between(to_number(first), to_number(last)))
            .order_by(OPEN_DAY.c.series_id, OPEN_DAY.c.day)
        )
        with self._engine.connect() as db:
            for series_id, number, attempts, reason in db.execute(query):
                yield FailedDay(series_id, from_number(number), attempts, reason or "no reason is recorded")

    def first_rows(self, series_ids: Sequence[int]) -> dict[int, date]:
        """Return the first day with a row of each given series; none where no row is known."""
        found: dict[int, date] = {}
        with self._engine.connect() as db:
            for some in portions(series_ids):
                months = sa.select(MONTH).where(MONTH.c.series_id.in_(some)).order_by(MONTH.c.series_id, MONTH.c.month)
                for series_id, month, days in db.execute(months):
                    if series_id not in found and (full := _first_full(month, days)):
                        found[series_id] = full
                open_days = sa.select(OPEN_DAY.c.series_id, sa.func.min(OPEN_DAY.c.day))
                open_days = open_days.where(OPEN_DAY.c.series_id.in_(some), OPEN_DAY.c.rows > 0)
                for series_id, number in db.execute(open_days.group_by(OPEN_DAY.c.series_id)):
                    found[series_id] = min(found.get(series_id, date.max), from_number(number))
        return found

    def newest(self, sets: Collection[str]) -> dict[str, datetime]:
        """Return, by plant id, the end (aware UTC) of the newest interval among the offered series of *sets*."""
        query = sa.select(SERIES.c.plant_id, sa.func.max(SERIES.c.newest))
        query = query.where(SERIES.c["set"].in_(sets), SERIES.c.gone_at.is_(None)).group_by(SERIES.c.plant_id)
        with self._engine.connect() as db:
            return {plant_id: from_seconds(at) for plant_id, at in db.execute(query) if at is not None}

    def settled_by_plant(
        self, first: date, last: date, chosen: Chosen, reached: Callable[[date], date]
    ) -> list[tuple[str, int, int]]:
        """Return every visible plant with its series-days from *first* to *last*, both inclusive, and the settled ones.

        *reached* tells from the day (UTC) on which a series was first seen the first day that is asked of it.
        """
        with self._engine.connect() as db:
            return counted(db, first, last, chosen, reached)

    def failing_sets(self, sign: str) -> dict[str, int]:
        """Return, by measurement set, how many offered series have a failed day whose reason contains *sign*.

        Only of plants that the newest list holds: of others a refusal is no wonder.
        """
        query = sa.select(SERIES.c["set"], sa.func.count(sa.distinct(SERIES.c.series_id)))
        query = query.join(OPEN_DAY, OPEN_DAY.c.series_id == SERIES.c.series_id)
        query = query.join(PLANT, PLANT.c.plant_id == SERIES.c.plant_id).where(PLANT.c.missing_count == 0)
        query = query.where(OPEN_DAY.c.failed, SERIES.c.gone_at.is_(None), OPEN_DAY.c.reason.contains(sign))
        with self._engine.connect() as db:
            return {row[0]: row[1] for row in db.execute(query.group_by(SERIES.c["set"]))}


def _first_full(month: int, days: bytes) -> date | None:
    return min((day for day, rows in packed.unpack(month, days).items() if rows), default=None)
