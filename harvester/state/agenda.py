"""What the ledger says of the work ahead: few and large questions, for a whole part at once.

The quick ones (`Agenda.open_due`, `Agenda.unsure`) are answered from indexes, in milliseconds for thousands of series:
a day is due again when its row says so, and a day that was never asked can only be one outside of the days between
which a series is known to lack none (`known_from`, `known_until`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state import packed
from harvester.state.tables import DEVICE, MONTH, OPEN_DAY, SERIES, from_number, portions, to_number, to_seconds

REST = ""
"""Stands in a `Bound` for all sets that have none of their own."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The days that are wanted of a set of a plant, as far as the plant can have rows."""

    plant_id: str
    set: str
    first: date
    last: date
    floor: date
    """Before it nothing is wanted, even of a series whose history ended earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Which series of a part a question is about; empty selections mean all of them."""

    part: int
    plants: Sequence[str]
    sets: Collection[str] = ()
    exclude_sets: Collection[str] = ()
    devices: Collection[str] = ()
    level: str | None = None

    @property
    def narrow(self) -> bool:
        """Tell whether it is about a small share of the plants' series."""
        return bool(self.sets or self.devices)


class Opened(NamedTuple):
    """A day of a series that was asked and is not settled."""

    series_id: int
    plant_id: str
    set: str
    day: date


_OPENED = sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day, SERIES.c.plant_id, SERIES.c.set).join(
    SERIES, SERIES.c.series_id == OPEN_DAY.c.series_id
)


class Agenda:
    """Questions about the days of many series."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def members(self, look: Look) -> list[int]:
        """Return the ids of the series that *look* is about and that are offered."""
        with self._engine.connect() as db:
            return list(db.scalars(sa.select(SERIES.c.series_id).where(*_about(look), SERIES.c.part == look.part)))

    def count(self, look: Look) -> int:
        """Return how many series *look* is about."""
        with self._engine.connect() as db:
            return db.scalar(sa.select(sa.func.count()).select_from(SERIES).where(*_about(look))) or 0

    def open_due(self, look: Look, now: datetime) -> list[Opened]:
        """Return the days that were asked, are not settled, and are due *now*; the longest due first.

        Days that are settled nevertheless (they were asked again) may be among them.
        """
        query = _OPENED
        if look.narrow:  # from few series to their days
            next_at: sa.ColumnElement[int] = sa.literal_column("+open_day.next_at", sa.Integer)
            query = query.where(*_about(look), next_at <= to_seconds(now))
        else:  # from the days that are due to their series
            next_at = OPEN_DAY.c.next_at
            query = query.where(OPEN_DAY.c.part == look.part, next_at <= to_seconds(now), *_about(look, known=True))
        return self._opened(query.order_by(next_at))

    def failed(self, look: Look) -> list[Opened]:
        """Return the days that were last asked in vain, whenever they are due again."""
        return self._opened(_OPENED.where(OPEN_DAY.c.part == look.part, OPEN_DAY.c.failed, *_about(look, known=True)))

    def unsure(self, look: Look, bounds: Iterable[Bound], *, resume: bool) -> list[int]:
        """Return the series of which a day within *bounds* may never have been asked; none is missing.

        With *resume* days before the bounds count as well, from where a history ended.
        """
        found = []
        whole = list(bounds)
        for apart in (True, False):
            some = [bound for bound in whole if (bound.set != REST) == apart]
            if some:
                query = _outside(look, some, {bound.set for bound in whole} if not apart else set())
                with self._engine.connect() as db:
                    rows = db.execute(query).all()
                found.extend(row[0] for row in rows if row.off is None or not _over(row, resume=resume))
        return found

    def answered(self, series_ids: Sequence[int], first: date, last: date, now: datetime) -> dict[int, set[date]]:
        """Return the days of the given series from *first* to *last* that need not be asked *now*.

        They are settled, or wait for a later moment. Series of which nothing is known are not in it.
        """
        found: dict[int, set[date]] = {}
        between = MONTH.c.month.between(packed.month_of(first), packed.month_of(last))
        days_between = OPEN_DAY.c.day.between(to_number(first), to_number(last))
        waiting = sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day).where(days_between)
        waiting = waiting.where(OPEN_DAY.c.next_at > to_seconds(now))
        ids = _listed(series_ids)
        with self._engine.connect() as db:
            for series_id, month, days in db.execute(sa.select(MONTH).where(MONTH.c.series_id.in_(ids), between)):
                found.setdefault(series_id, set()).update(packed.settled(month, days, first, last))
            for series_id, number in db.execute(waiting.where(OPEN_DAY.c.series_id.in_(ids))):
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

    def _opened(self, query: sa.Select[tuple[int, int, str, str]]) -> list[Opened]:
        with self._engine.connect() as db:
            return [Opened(i, plant_id, name, from_number(day)) for i, day, plant_id, name in db.execute(query)]


def _listed(values: Collection[object]) -> sa.Select[tuple[object]]:
    """Return *values* as a table: one parameter, however many they are."""
    return sa.select(sa.func.json_each(json.dumps(list(values))).table_valued("value").c.value)


def _about(look: Look, *, known: bool = False) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on a series of *look*; where it is *known* already, they are not to find it by plant."""
    plant_id = sa.literal_column("+series.plant_id", sa.String) if known else SERIES.c.plant_id
    return [plant_id.in_(_listed(look.plants)), *_in_scope(look)]


def _in_scope(look: Look) -> list[sa.ColumnElement[bool]]:
    found = [SERIES.c.gone_at.is_(None)]
    if look.sets:
        found.append(SERIES.c.set.in_(look.sets))
    if look.exclude_sets:
        found.append(SERIES.c.set.not_in(look.exclude_sets))
    if look.devices:
        found.append(SERIES.c.device_id.in_(look.devices))
    if look.level:
        found.append((SERIES.c.device_id == "") == (look.level == "plant"))
    return found


def _outside(look: Look, bounds: Sequence[Bound], apart: Collection[str]) -> sa.Select[tuple[int, ...]]:
    """Select the series with a wanted day outside of the days between which they lack none."""
    told = [(b.plant_id, b.set, to_number(b.first), to_number(b.last), to_number(b.floor)) for b in bounds]
    each = sa.func.json_each(json.dumps(told)).table_valued("value").c.value
    plant_id, name, first, last, floor = (sa.func.json_extract(each, f"$[{n}]") for n in range(5))
    known_from, known_until = SERIES.c.known_from, SERIES.c.known_until
    same_set = SERIES.c.set.not_in(apart) if apart else SERIES.c.set == name
    query = sa.select(
        SERIES.c.series_id,
        known_from,
        known_until,
        DEVICE.c.deactivated_at.label("off"),
        first.label("first"),
        last.label("last"),
        floor.label("floor"),
    ).outerjoin(DEVICE, DEVICE.c.device_id == SERIES.c.device_id)
    return query.where(
        SERIES.c.plant_id == plant_id,
        same_set,
        *_in_scope(look),
        sa.or_(known_until.is_(None), known_until < last, sa.and_(first <= last, known_from > first)),
    )


def _over(row: sa.Row[tuple[int, ...]], *, resume: bool) -> bool:
    """Tell whether a series lacks no day nevertheless, its device having been switched off."""
    # less a moment: a device switched off at midnight measures nothing on the day that begins there
    last = min(row.last, to_number((datetime.fromisoformat(str(row.off)) - datetime.resolution).date()))
    if row.first <= last:
        return row.known_until is not None and row.known_from <= row.first and last <= row.known_until
    # a history that reaches the last day there is has nothing after it to resume
    return not resume or last < row.floor or (row.known_until is not None and last <= row.known_until)
