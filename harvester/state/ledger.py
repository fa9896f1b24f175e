"""Per series and plant-local day: is it settled, when is it due again, how many rows came, why it failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine

from harvester.state import packed
from harvester.state.agenda import Agenda
from harvester.state.settlement import next_try
from harvester.state.tables import (
    META,
    MONTH,
    OPEN_DAY,
    SERIES,
    from_number,
    from_seconds,
    portions,
    to_number,
    to_seconds,
)

LAKE_ID = "lake_id"
"""The fact about the lake that a ledger belongs to."""
LAST_RUN = "last_run"
"""The fact about what the last run did that asked for anything."""

_NEW_MONTH = insert(MONTH)
_SETTLE = _NEW_MONTH.on_conflict_do_update(
    index_elements=["series_id", "month"], set_={"days": _NEW_MONTH.excluded.days}
)
_NEW_OPEN = insert(OPEN_DAY)
_KEEP_OPEN = _NEW_OPEN.on_conflict_do_update(
    index_elements=["series_id", "day"],
    set_={
        "rows": sa.func.max(OPEN_DAY.c.rows, _NEW_OPEN.excluded.rows),
        **{name: _NEW_OPEN.excluded[name] for name in ("failed", "attempts", "asked_at", "next_at", "reason")},
    },
)
_LEARN = (
    sa.update(SERIES)
    .where(SERIES.c.series_id == sa.bindparam("s"))
    .values(
        minutes=sa.func.coalesce(sa.bindparam("m"), SERIES.c.minutes),
        newest=sa.func.max(sa.func.coalesce(SERIES.c.newest, 0), sa.bindparam("n")),
        lag=sa.func.coalesce(sa.bindparam("l"), SERIES.c.lag),
    )
)


@dataclass(frozen=True, slots=True)
class OpenDay:
    """A day that was asked and is not settled."""

    failed: bool
    attempts: int
    """Failures in a row."""
    rows: int
    asked_at: datetime
    next_at: datetime
    reason: str | None


@dataclass(slots=True)
class Days:
    """What is known of the days of one series."""

    settled: dict[date, int] = field(default_factory=dict)
    """With the rows received."""
    open: dict[date, OpenDay] = field(default_factory=dict)

    @property
    def waiting(self) -> dict[date, datetime]:
        """Return when each open day is due again."""
        return {day: known.next_at for day, known in self.open.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One day of one series that an answer covered."""

    series_id: int
    day: date
    rows: int
    asked_at: datetime
    next_at: datetime | None
    """When to look again; None settles the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One day of one series that was asked in vain."""

    series_id: int
    day: date
    failed_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What answers told of a series as a whole."""

    series_id: int
    minutes: int | None
    """Length of its intervals."""
    newest: datetime
    """End of its newest row's interval."""
    lag: int | None
    """Seconds from the end of an interval until its row is served; None where nothing new was learned."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How much the ledger knows, over all series."""

    series: int
    settled: int
    open: int
    failed: int


class Ledger:
    """The ledger of one lake; written by the process that holds the lake's lock, read by any."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.agenda = Agenda(engine)

    def days(self, series_ids: Sequence[int], first: date, last: date) -> dict[int, Days]:
        """Return what is known of every given series from *first* to *last*, both inclusive."""
        known = {series_id: Days() for series_id in series_ids}
        low, high = packed.month_of(first), packed.month_of(last)
        with self._engine.connect() as db:
            for some in portions(series_ids):
                months = sa.select(MONTH).where(MONTH.c.series_id.in_(some), MONTH.c.month.between(low, high))
                for series_id, month, days in db.execute(months):
                    settled = packed.unpack(month, days)
                    known[series_id].settled.update({d: n for d, n in settled.items() if first <= d <= last})
                between = OPEN_DAY.c.day.between(to_number(first), to_number(last))
                for row in db.execute(sa.select(OPEN_DAY).where(OPEN_DAY.c.series_id.in_(some), between)):
                    known[row.series_id].open[from_number(row.day)] = _open_day(row)
        return known

    def failures(self) -> list[tuple[int, date, OpenDay]]:
        """Return every failed day with its series, by series and day."""
        query = sa.select(OPEN_DAY).where(OPEN_DAY.c.failed).order_by(OPEN_DAY.c.series_id, OPEN_DAY.c.day)
        with self._engine.connect() as db:
            return [(row.series_id, from_number(row.day), _open_day(row)) for row in db.execute(query)]

    def commit(self, reads: Sequence[Read], failures: Sequence[Failure] = (), learned: Sequence[Learned] = ()) -> None:
        """Record, in one transaction, what answers covered, what failed, and what they told of the series."""
        settled = [read for read in reads if read.next_at is None]
        with self._engine.begin() as db:
            _settle(db, settled)
            _keep_open(db, [read for read in reads if read.next_at is not None])
            _fail(db, failures)
            _learn(db, learned)

    def know(self, spans: Mapping[int, tuple[date, date]]) -> None:
        """Record of series that they lack no day from the first to the last of a span: each is settled or open.

        Spans that touch become one. Of two that do not, the later one is kept.
        """
        if not spans:
            return
        first, last = sa.bindparam("first", type_=sa.Integer), sa.bindparam("last", type_=sa.Integer)
        known_from, known_until = SERIES.c.known_from, SERIES.c.known_until
        touch = sa.and_(first <= known_until + 1, last >= known_from - 1)
        later = sa.or_(known_until.is_(None), last > known_until)
        update = sa.update(SERIES).where(SERIES.c.series_id == sa.bindparam("s"))
        update = update.values(
            known_from=sa.case((touch, sa.func.min(known_from, first)), (later, first), else_=known_from),
            known_until=sa.case((touch, sa.func.max(known_until, last)), (later, last), else_=known_until),
        )
        rows = [{"s": i, "first": to_number(a), "last": to_number(b)} for i, (a, b) in spans.items()]
        with self._engine.begin() as db:
            db.execute(update, rows)

    def summary(self) -> Summary:
        """Count series and days over the whole ledger."""
        with self._engine.connect() as db:
            series = db.scalar(sa.text("SELECT count(*) FROM series WHERE gone_at IS NULL")) or 0
            months = db.execute(sa.select(MONTH.c.month, MONTH.c.days))
            settled = sum(len(packed.unpack(month, days)) for month, days in months)
            counted = sa.select(OPEN_DAY.c.failed, sa.func.count()).group_by(OPEN_DAY.c.failed)
            by_failed = {bool(failed): count for failed, count in db.execute(counted)}
        return Summary(series, settled, by_failed.get(False, 0), by_failed.get(True, 0))

    def fact(self, key: str) -> str | None:
        """Return a fact about the ledger as a whole, None if it was never recorded."""
        with self._engine.connect() as db:
            return db.scalar(sa.select(META.c.value).where(META.c.key == key))

    def record(self, key: str, value: str) -> None:
        """Record a fact about the ledger as a whole."""
        row = insert(META).values(key=key, value=value)
        with self._engine.begin() as db:
            db.execute(row.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def _open_day(row: sa.Row[tuple[object, ...]]) -> OpenDay:
    at = (from_seconds(row.asked_at), from_seconds(row.next_at))
    return OpenDay(bool(row.failed), row.attempts, row.rows, *at, row.reason)


def _settle(db: Connection, reads: Sequence[Read]) -> None:
    if not reads:
        return
    grouped: dict[tuple[int, int], dict[date, int]] = {}
    seen = _rows_while_open(db, reads)
    for read in reads:
        days = grouped.setdefault((read.series_id, packed.month_of(read.day)), {})
        before = seen.get((read.series_id, to_number(read.day)), 0) if seen else 0
        days[read.day] = max(read.rows, before, days.get(read.day, 0))
    known: dict[tuple[int, int], bytes] = {}
    for some in portions(sorted({series_id for series_id, _ in grouped})):
        months = sorted({month for _, month in grouped})
        query = sa.select(MONTH).where(MONTH.c.series_id.in_(some), MONTH.c.month.in_(months))
        known.update({(series_id, month): days for series_id, month, days in db.execute(query)})
    rows = [
        {"series_id": key[0], "month": key[1], "days": packed.settle(known.get(key, b""), days)}
        for key, days in grouped.items()
    ]
    db.execute(_SETTLE, rows)
    if seen:
        _close(db, seen.keys() & {(read.series_id, to_number(read.day)) for read in reads})


def _close(db: Connection, settled: Iterable[tuple[int, int]]) -> None:
    """Delete open days that are settled now, by series: many share the same days, so few statements do."""
    by_series: dict[int, set[int]] = {}
    for series_id, day in settled:
        by_series.setdefault(series_id, set()).add(day)
    by_days: dict[frozenset[int], list[int]] = {}
    for series_id, days in by_series.items():
        by_days.setdefault(frozenset(days), []).append(series_id)
    for shared, series_ids in by_days.items():
        for some in portions(series_ids):
            gone = sa.delete(OPEN_DAY).where(OPEN_DAY.c.series_id.in_(some), OPEN_DAY.c.day.in_(sorted(shared)))
            db.execute(gone)


def _rows_while_open(db: Connection, reads: Sequence[Read]) -> dict[tuple[int, int], int]:
    """Return the rows that days about to be settled had before: an answer that lacks a row deletes none."""
    days = [to_number(read.day) for read in reads]
    between = OPEN_DAY.c.day.between(min(days), max(days))
    found: dict[tuple[int, int], int] = {}
    for some in portions({read.series_id for read in reads}):
        query = sa.select(OPEN_DAY.c.series_id, OPEN_DAY.c.day, OPEN_DAY.c.rows)
        rows = db.execute(query.where(OPEN_DAY.c.series_id.in_(some), between))
        found.update({(series_id, day): count for series_id, day, count in rows})
    return found


def _keep_open(db: Connection, reads: Sequence[Read]) -> None:
    if not reads:
        return
    parts = _parts(db, (read.series_id for read in reads))
    rows = [
        {
            "series_id": read.series_id,
            "part": parts.get(read.series_id, 0),
            "day": to_number(read.day),
            "failed": False,
            "attempts": 0,
            "rows": read.rows,
            "asked_at": to_seconds(read.asked_at),
            "next_at": to_seconds(read.next_at) if read.next_at else 0,
            "reason": None,
        }
        for read in reads
    ]
    db.execute(_KEEP_OPEN, rows)


def _parts(db: Connection, series_ids: Iterable[int]) -> dict[int, int]:
    """Return the parts of the given series."""
    found: dict[int, int] = {}
    for some in portions(set(series_ids)):
        query = sa.select(SERIES.c.series_id, SERIES.c.part).where(SERIES.c.series_id.in_(some))
        found.update({row[0]: row[1] for row in db.execute(query)})
    return found


def _fail(db: Connection, failures: Sequence[Failure]) -> None:
    parts = _parts(db, (failure.series_id for failure in failures))
    for failure in failures:
        key = (OPEN_DAY.c.series_id == failure.series_id, OPEN_DAY.c.day == to_number(failure.day))
        attempts = (db.scalar(sa.select(OPEN_DAY.c.attempts).where(*key)) or 0) + 1
        facts = {
            "failed": True,
            "attempts": attempts,
            "asked_at": to_seconds(failure.failed_at),
            "next_at": to_seconds(next_try(failed_at=failure.failed_at, attempts=attempts)),
            "reason": failure.reason,
        }
        key_facts = {"series_id": failure.series_id, "day": to_number(failure.day)}
        new = insert(OPEN_DAY).values(**key_facts, part=parts.get(failure.series_id, 0), rows=0, **facts)
        db.execute(new.on_conflict_do_update(index_elements=["series_id", "day"], set_=facts))


def _learn(db: Connection, learned: Sequence[Learned]) -> None:
    if not learned:
        return
    rows = [{"s": each.series_id, "m": each.minutes, "n": to_seconds(each.newest), "l": each.lag} for each in learned]
    db.execute(_LEARN, rows)
