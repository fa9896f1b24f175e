"""Which Month, Year and Total of a series was asked: when it is due again, whether it is final, why it failed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine

from harvester.model import EVER, Period, Stretch
from harvester.state.settlement import next_try
from harvester.state.tables import PERIOD_READ, SERIES, from_number, from_seconds, portions, to_number, to_seconds


@dataclass(frozen=True, slots=True)
class KnownStretch:
    """A stretch that was asked."""

    failed: bool
    attempts: int
    """Failures in a row."""
    asked_at: datetime
    next_at: datetime | None
    """When to ask again; None where what came is final."""
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchRead:
    """One stretch of one series that was answered."""

    series_id: int
    stretch: Stretch
    asked_at: datetime
    next_at: datetime | None
    """When to ask again; None makes it final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchFailure:
    """One stretch of one series that was asked in vain."""

    series_id: int
    stretch: Stretch
    failed_at: datetime
    reason: str


_NEW = insert(PERIOD_READ)
_RECORD = _NEW.on_conflict_do_update(
    index_elements=["series_id", "period", "start"],
    set_={name: _NEW.excluded[name] for name in ("failed", "attempts", "asked_at", "next_at", "reason")},
)
_MINE = "SELECT 1 FROM period_read p WHERE p.series_id = s.series_id"
_COUNTED = f"SELECT count(*) FROM ({_MINE} AND (p.next_at IS NULL OR p.next_at > :now)"
_UNSURE = sa.text(
    f"""WITH wish AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS plant_id, json_extract(value, '$[1]') AS month_first,
            json_extract(value, '$[2]') AS month_last, json_extract(value, '$[3]') AS months,
            json_extract(value, '$[4]') AS year_first, json_extract(value, '$[5]') AS year_last,
            json_extract(value, '$[6]') AS years
        FROM json_each(:told))
    SELECT s.series_id FROM wish w CROSS JOIN series s
    WHERE s.plant_id = w.plant_id AND s.device_id = '' AND s."set" = :name AND s.gone_at IS NULL
    AND (({_COUNTED} AND p.period = 'Month' AND p.start BETWEEN w.month_first AND w.month_last)) < w.months
        OR ({_COUNTED} AND p.period = 'Year' AND p.start BETWEEN w.year_first AND w.year_last)) < w.years
        OR ({_COUNTED} AND p.period = 'Total')) = 0
        OR (:resume AND EXISTS ({_MINE} AND p.next_at <= :now)))"""
)
"""Put together once, of constants: it costs less to answer than to spell."""
# ruff: noqa: S608 - nothing but constants is put together


class PeriodLedger:
    """The part of the ledger about sums; written by the process that holds the lake's lock, read by any."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self, series_ids: Collection[int], since: date = EVER) -> dict[int, dict[Stretch, KnownStretch]]:
        """Return what is known of the stretches of every given series: those from *since* on, and the unfinished."""
        found: dict[int, dict[Stretch, KnownStretch]] = {series_id: {} for series_id in series_ids}
        wanted = sa.or_(PERIOD_READ.c.start >= to_number(since), PERIOD_READ.c.next_at.is_not(None))
        with self._engine.connect() as db:
            for some in portions(series_ids):
                for row in db.execute(sa.select(PERIOD_READ).where(PERIOD_READ.c.series_id.in_(some), wanted)):
                    found[row.series_id][_stretch(row)] = _known(row)
        return found

    def unsure(self, wanted: Mapping[str, tuple[date, date]], name: str, now: datetime, *, resume: bool) -> list[int]:
        """Return the series of the set *name* whose sums may be due *now*; none is missing.

        *wanted* tells of each plant the first and the last day whose months and years are asked, and all time; with
        *resume* whatever was asked earlier and is not final counts as well.
        """
        told = [(plant_id, *_reach(*days)) for plant_id, days in wanted.items()]
        facts = {"told": json.dumps(told), "name": name, "now": to_seconds(now), "resume": resume}
        with self._engine.connect() as db:
            return list(db.scalars(_UNSURE, facts))

    def failures(self, part: int | None = None) -> list[tuple[int, Stretch, KnownStretch]]:
        """Return every stretch that failed (of the series of one *part*), by series, period and start."""
        order = (PERIOD_READ.c.series_id, PERIOD_READ.c.period, PERIOD_READ.c.start)
        query = sa.select(PERIOD_READ).where(PERIOD_READ.c.failed).order_by(*order)
        if part is not None:
            query = query.where(PERIOD_READ.c.series_id.in_(sa.select(SERIES.c.series_id).where(SERIES.c.part == part)))
        with self._engine.connect() as db:
            return [(row.series_id, _stretch(row), _known(row)) for row in db.execute(query)]

    def commit(self, reads: Sequence[StretchRead], failures: Sequence[StretchFailure] = ()) -> None:
        """Record, in one transaction, what was answered and what failed."""
        rows = [
            {
                **_key(read.series_id, read.stretch),
                "failed": False,
                "attempts": 0,
                "asked_at": to_seconds(read.asked_at),
                "next_at": None if read.next_at is None else to_seconds(read.next_at),
                "reason": None,
            }
            for read in reads
        ]
        with self._engine.begin() as db:
            if rows:
                db.execute(_RECORD, rows)
            for failure in failures:
                _fail(db, failure)


def _reach(first: date, last: date) -> tuple[int, ...]:
    """Return first, last and number of the months that some days touch, and of the years."""
    months = 12 * (last.year - first.year) + last.month - first.month + 1
    years = (to_number(date(day.year, 1, 1)) for day in (first, last))
    return (to_number(first.replace(day=1)), to_number(last.replace(day=1)), months, *years, last.year - first.year + 1)


def _stretch(row: sa.Row[tuple[object, ...]]) -> Stretch:
    return Stretch(Period(row.period), from_number(row.start))


def _known(row: sa.Row[tuple[object, ...]]) -> KnownStretch:
    next_at = None if row.next_at is None else from_seconds(row.next_at)
    return KnownStretch(bool(row.failed), row.attempts, from_seconds(row.asked_at), next_at, row.reason)


def _key(series_id: int, stretch: Stretch) -> dict[str, object]:
    return {"series_id": series_id, "period": stretch.period.value, "start": to_number(stretch.start)}


def _fail(db: Connection, failure: StretchFailure) -> None:
    stretch = failure.stretch
    known = sa.select(PERIOD_READ.c.attempts).where(
        PERIOD_READ.c.series_id == failure.series_id,
        PERIOD_READ.c.period == stretch.period.value,
        PERIOD_READ.c.start == to_number(stretch.start),
    )
    attempts = (db.scalar(known) or 0) + 1
    facts: dict[str, object] = {
        "failed": True,
        "attempts": attempts,
        "asked_at": to_seconds(failure.failed_at),
        "next_at": to_seconds(next_try(failed_at=failure.failed_at, attempts=attempts)),
        "reason": failure.reason,
    }
    db.execute(_RECORD, _key(failure.series_id, stretch) | facts)
