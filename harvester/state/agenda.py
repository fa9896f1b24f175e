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
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state import packed
from harvester.state.tables import from_number, to_number, to_seconds

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


class Opened(NamedTuple):
    """A day of a series that was asked and is not settled."""

    series_id: int
    plant_id: str
    set: str
    day: date


# Spelled out, for to put such a statement together anew costs as much as to answer it. Lists are JSON: one parameter,
# however many they are; null selects everything. A plus keeps SQLite from going the other way round.
# ruff: noqa: S608 - nothing but constants is put together
_IN_SCOPE = """s.gone_at IS NULL
    AND (:sets IS NULL OR s."set" IN (SELECT value FROM json_each(:sets)))
    AND (:exclude_sets IS NULL OR s."set" NOT IN (SELECT value FROM json_each(:exclude_sets)))
    AND (:devices IS NULL OR s.device_id IN (SELECT value FROM json_each(:devices)))
    AND (:level IS NULL OR (s.device_id = '') = (:level = 'plant'))"""
_MEMBERS = f"""FROM series s WHERE s.plant_id IN (SELECT value FROM json_each(:plants)) AND {_IN_SCOPE}"""
_COUNT = sa.text(f"SELECT count(*) {_MEMBERS}")
_IDS = sa.text(f"SELECT s.series_id {_MEMBERS}")
_STALEST = sa.text(f"SELECT s.part {_MEMBERS} GROUP BY s.part ORDER BY min(coalesce(s.newest, 0)), s.part")
_OPENED = (
    """SELECT o.series_id, s.plant_id, s."set", o.day FROM open_day o JOIN series s ON s.series_id = o.series_id"""
)
_OPEN_FROM_SERIES = sa.text(
    f"""{_OPENED} WHERE s.plant_id IN (SELECT value FROM json_each(:plants)) AND {_IN_SCOPE}
    AND +o.part = :part AND +o.next_at <= :now ORDER BY o.next_at"""
)
_OPEN_FROM_DAYS = sa.text(
    f"""{_OPENED} WHERE o.part = :part AND o.next_at <= :now
    AND +s.plant_id IN (SELECT value FROM json_each(:plants)) AND {_IN_SCOPE} ORDER BY o.next_at"""
)
_FAILED = sa.text(
    f"""{_OPENED} WHERE o.part = :part AND o.failed
    AND +s.plant_id IN (SELECT value FROM json_each(:plants)) AND {_IN_SCOPE}"""
)
_UNSURE = f"""SELECT s.series_id, s.known_from, s.known_until, d.deactivated_at AS off, b.first, b.last, b.floor
    FROM bound b CROSS JOIN series s LEFT JOIN device d ON d.device_id = s.device_id
    WHERE s.plant_id = b.plant_id AND {_IN_SCOPE}
    AND (s.known_until IS NULL OR s.known_until < b.last OR (b.first <= b.last AND s.known_from > b.first))"""
_OUTSIDE = sa.text(
    f"""WITH bound AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS plant_id, json_extract(value, '$[1]') AS "set",
            json_extract(value, '$[2]') AS first, json_extract(value, '$[3]') AS last,
            json_extract(value, '$[4]') AS floor
        FROM json_each(:bounds))
    {_UNSURE} AND b."set" <> '' AND s."set" = b."set" UNION ALL
    {_UNSURE} AND b."set" = '' AND s."set" NOT IN (SELECT value FROM json_each(:apart))"""
)


_LISTED = "(SELECT value FROM json_each(:ids))"
_SETTLED = sa.text(
    f"""SELECT series_id, month, days FROM month WHERE series_id IN {_LISTED} AND month BETWEEN :low AND :high"""
)
_WAITING = sa.text(
    f"""SELECT series_id, day FROM open_day WHERE series_id IN {_LISTED} AND day BETWEEN :low AND :high
    AND +next_at > :now"""
)
_LAST_MONTHS = sa.text(
    f"""SELECT series_id, month, days FROM month m WHERE series_id IN {_LISTED}
    AND month = (SELECT max(month) FROM month WHERE series_id = m.series_id)"""
)
_LAST_OPEN = sa.text(f"SELECT series_id, max(day) FROM open_day WHERE series_id IN {_LISTED} GROUP BY series_id")


class Agenda:
    """Questions about the days of many series."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def members(self, look: Look) -> list[int]:
        """Return the ids of the series that *look* is about."""
        with self._engine.connect() as db:
            return list(db.scalars(_IDS, _told(look)))

    def count(self, look: Look) -> int:
        """Return how many series *look* is about."""
        with self._engine.connect() as db:
            return db.scalar(_COUNT, _told(look)) or 0

    def open_due(self, look: Look, now: datetime) -> list[Opened]:
        """Return the days that were asked, are not settled, and are due *now*; the longest due first.

        Days that are settled nevertheless (they were asked again) may be among them.
        """
        narrow = look.sets or look.devices  # from few series to their days; else from the days that are due
        return self._opened(_OPEN_FROM_SERIES if narrow else _OPEN_FROM_DAYS, look, now=to_seconds(now))

    def failed(self, look: Look) -> list[Opened]:
        """Return the days that were last asked in vain, whenever they are due again."""
        return self._opened(_FAILED, look)

    def _opened(self, query: sa.TextClause, look: Look, **more: int) -> list[Opened]:
        with self._engine.connect() as db:
            rows = db.execute(query, {**_told(look), "part": look.part, **more})
            return [Opened(i, plant_id, name, from_number(day)) for i, plant_id, name, day in rows]

    def stalest(self, plants: Collection[str], sets: Collection[str]) -> list[int]:
        """Return the parts of *plants* in the order of their stalest series of *sets* (none: of all sets).

        One that never had a row comes first of all.
        """
        look = Look(part=0, plants=list(plants), sets=sets)
        with self._engine.connect() as db:
            return list(db.scalars(_STALEST, _told(look)))

    def unsure(self, look: Look, bounds: Iterable[Bound], *, resume: bool) -> list[int]:
        """Return the series of which a day within *bounds* may never have been asked; none is missing.

        With *resume* days before the bounds count as well, from where a history ended.
        """
        told = [(b.plant_id, b.set, to_number(b.first), to_number(b.last), to_number(b.floor)) for b in bounds]
        if not told:
            return []
        apart = {name for _, name, *_ in told} - {REST}
        with self._engine.connect() as db:
            rows = db.execute(_OUTSIDE, {**_told(look), "bounds": json.dumps(told), "apart": json.dumps(list(apart))})
            return [row.series_id for row in rows if row.off is None or not _over(row, resume=resume)]

    def answered(self, series_ids: Sequence[int], first: date, last: date, now: datetime) -> dict[int, set[date]]:
        """Return the days of the given series from *first* to *last* that need not be asked *now*.

        They are settled, or wait for a later moment. Series of which nothing is known are not in it.
        """
        found: dict[int, set[date]] = {}
        ids = {"ids": json.dumps(list(series_ids))}
        months = {"low": packed.month_of(first), "high": packed.month_of(last), **ids}
        waiting = {"low": to_number(first), "high": to_number(last), "now": to_seconds(now), **ids}
        with self._engine.connect() as db:
            for series_id, month, days in db.execute(_SETTLED, months):
                found.setdefault(series_id, set()).update(packed.settled(month, days, first, last))
            for series_id, number in db.execute(_WAITING, waiting):
                found.setdefault(series_id, set()).add(from_number(number))
        return found

    def last_days(self, series_ids: Sequence[int]) -> dict[int, date]:
        """Return the last day that is known of each given series, settled or not; none where nothing is known."""
        found: dict[int, date] = {}
        ids = {"ids": json.dumps(list(series_ids))}
        with self._engine.connect() as db:
            for series_id, month, days in db.execute(_LAST_MONTHS, ids):
                found[series_id] = max(packed.unpack(month, days), default=date.min)
            for series_id, number in db.execute(_LAST_OPEN, ids):
                found[series_id] = max(found.get(series_id, date.min), from_number(number))
        return found


def _told(look: Look) -> dict[str, str | None]:
    """Return *look* as parameters."""
    lists = {"sets": look.sets, "exclude_sets": look.exclude_sets, "devices": look.devices}
    told = {name: json.dumps(list(values)) if values else None for name, values in lists.items()}
    return {**told, "plants": json.dumps(look.plants), "level": look.level}


def _over(row: sa.Row[Any], *, resume: bool) -> bool:
    """Tell whether a series lacks no day nevertheless, its device having been switched off."""
    # less a moment: a device switched off at midnight measures nothing on the day that begins there
    last = min(row.last, to_number((datetime.fromisoformat(str(row.off)) - datetime.resolution).date()))
    if row.first <= last:
        return row.known_until is not None and row.known_from <= row.first and last <= row.known_until
    # a history that reaches the last day there is has nothing after it to resume
    return not resume or last < row.floor or (row.known_until is not None and last <= row.known_until)
