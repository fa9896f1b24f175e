"""What becomes of plants that are not listed any more: withdrawn, or gone to a new id, their history carried over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from harvester.state import packed
from harvester.state.tables import MONTH, OPEN_DAY, PERIOD_READ, PLANT, SERIES, to_seconds


class Succession:
    """Fates of plants in the ledger's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def traced(self, plant_id: str, now: datetime) -> None:
        """Record that it was asked where the plant went, and nobody knew."""
        self._mark(plant_id, traced_at=to_seconds(now))

    def withdrawn(self, plant_id: str, now: datetime) -> None:
        """Record that the owner's consent has ended; what was measured stays."""
        self._mark(plant_id, withdrawn_at=to_seconds(now))

    def moved(self, old: str, new: str, devices: Mapping[str, str], now: datetime) -> int:
        """Record that a plant goes by a *new* id and its *devices* by others; carry over what is known of its days.

        Returns how many series were carried over. What the new series know already stays.
        """
        with self._engine.begin() as db:
            pairs = _pairs(db, old, new, devices)
            for before, after in pairs:
                _carry_months(db, before, after)
                _carry_rows(db, OPEN_DAY, before, after)
                _into_its_part(db, after)
                _carry_rows(db, PERIOD_READ, before, after)
                _carry_learned(db, before, after)
                # its open days have gone to the other series
                forgotten = sa.update(SERIES).where(SERIES.c.series_id == before)
                db.execute(forgotten.values(known_from=None, known_until=None))
        self._mark(old, moved_to=new, traced_at=to_seconds(now))
        return len(pairs)

    def _mark(self, plant_id: str, **facts: object) -> None:
        with self._engine.begin() as db:
            db.execute(sa.update(PLANT).where(PLANT.c.plant_id == plant_id).values(facts))


def _pairs(db: Connection, old: str, new: str, devices: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return the series of the *old* plant with those that continue them."""
    names = {"": "", **devices}
    columns = (SERIES.c.series_id, SERIES.c.device_id, SERIES.c["set"])
    after = {(d, s): i for i, d, s in db.execute(sa.select(*columns).where(SERIES.c.plant_id == new))}
    before = db.execute(sa.select(*columns).where(SERIES.c.plant_id == old)).all()
    return [(i, after[names[d], s]) for i, d, s in before if d in names and (names[d], s) in after]


def _carry_months(db: Connection, before: int, after: int) -> None:
    known = dict(db.execute(sa.select(MONTH.c.month, MONTH.c.days).where(MONTH.c.series_id == after)).all())
    for month, days in db.execute(sa.select(MONTH.c.month, MONTH.c.days).where(MONTH.c.series_id == before)).all():
        merged = packed.settle(known.get(month, b""), packed.unpack(month, days))
        db.execute(sa.delete(MONTH).where(MONTH.c.series_id == after, MONTH.c.month == month))
        db.execute(sa.insert(MONTH).values(series_id=after, month=month, days=merged))


def _carry_rows(db: Connection, table: sa.Table, before: int, after: int) -> None:
    """Hand the rows of one series over to another; rows that it has of the same key already stay."""
    key = [column.name for column in table.primary_key if column.name != "series_id"]
    known = {
        tuple(row[name] for name in key)
        for row in db.execute(sa.select(table).where(table.c.series_id == after)).mappings()
    }
    for row in db.execute(sa.select(table).where(table.c.series_id == before)).mappings().all():
        if tuple(row[name] for name in key) not in known:
            db.execute(sa.insert(table).values({**row, "series_id": after}))
    db.execute(sa.delete(table).where(table.c.series_id == before))


def _into_its_part(db: Connection, series_id: int) -> None:
    """Let the open days of a series be found in the part that it is in."""
    part = sa.select(SERIES.c.part).where(SERIES.c.series_id == series_id).scalar_subquery()
    db.execute(sa.update(OPEN_DAY).where(OPEN_DAY.c.series_id == series_id).values(part=part))


def _carry_learned(db: Connection, before: int, after: int) -> None:
    learned = (SERIES.c.minutes, SERIES.c.newest, SERIES.c.lag)
    row = db.execute(sa.select(*learned).where(SERIES.c.series_id == before)).one()
    known = {column.name: sa.func.coalesce(column, value) for column, value in zip(learned, row, strict=True)}
    db.execute(sa.update(SERIES).where(SERIES.c.series_id == after).values(known))
