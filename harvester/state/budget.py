"""What each credential has spent of its present window, and what its limit was learned to be, over restarts.

One row for each process (shard) of a credential. Its ages are seconds before the moment at which it was saved, so a
row stays true while nothing is asked, and only the wall clock lies between two processes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Engine

from harvester.model import WHOLE, Shard
from harvester.state.tables import BUDGET

UNEVEN = 1.25
"""Shards whose learned limits differ by more than this factor are made even."""
GRAIN = 100
"""Ages are kept to so many parts of a window, rounded down: a request then counts too long, never too short."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What refusals have taught, in requests per window."""

    limit: int
    """Used from then on."""
    granted: int
    """Granted in the window of the last refusal."""
    at: datetime
    """When *limit* became what it is; aware UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one process, or all of a credential, did within the window before some moment."""

    ages: tuple[float, ...] = ()
    """Seconds since each request that counts, oldest first."""
    learned: Learned | None = None
    ahead: int = 0
    """Requests that may leave before the next saving: what a process that is killed may have spent unseen."""
    ahead_seconds: float = 0.0
    """How long it is until then, and until the server has counted the last of them."""
    pause: float = 0.0
    """Seconds for which the server asked to be left alone."""
    each: Learned | None = None
    """What the first shard has told all of them to take for their limits, and when."""
    known: bool = False
    """Whether there is any record of this credential."""


_Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
_Part = Annotated[int, msgspec.Meta(ge=0, le=GRAIN)]
_Limit = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class _Spent(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=False):
    """The JSON of one row."""

    window: Annotated[float, msgspec.Meta(gt=0, le=1e7)]
    """Seconds."""
    ages: list[tuple[_Part, _Count]]
    """Each age in parts of the window, with the number of requests that have it; youngest first."""
    ahead: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    ahead_seconds: _Seconds = 0.0
    pause: _Seconds = 0.0
    granted: Annotated[int, msgspec.Meta(ge=0)] = 0
    learned_at: _Seconds = 0.0
    """Seconds since 1970."""
    each: tuple[_Limit, _Limit, _Seconds] | None = None
    """Limit, granted, and when that was told."""


@dataclass(frozen=True, slots=True)
class _Row:
    shard: Shard
    saved_at: float
    learned: Learned | None
    spent: _Spent | None

    def ages(self, now: float, window: float, *, ahead: bool) -> Iterator[float]:
        """Yield what still counts; *ahead* adds what may have left after the row was saved."""
        if self.spent is None:
            return
        passed = max(0.0, now - self.saved_at)  # a row of the future, after the clock stepped back, is one of now
        least = max(0.0, passed - self.spent.ahead_seconds)
        for part, count in self.spent.ages:
            # the youngest may have been on their way, and were counted by the server at any moment until they came
            age = least if ahead and not part else passed + part * self.spent.window / GRAIN
            if age < window:
                yield from itertools.repeat(age, count)
        if ahead and least < window:
            yield from itertools.repeat(least, self.spent.ahead)

    def pause(self, now: float) -> float:
        """Return the seconds for which nobody should ask yet."""
        return max(0.0, self.spent.pause - max(0.0, now - self.saved_at)) if self.spent else 0.0


def digest(client_id: str) -> str:
    """Return the name under which a credential is recorded; it does not tell the client id."""
    return hashlib.sha256(f"sma client {client_id}".encode()).hexdigest()[:32]


class BudgetBook:
    """The record of one credential's budget in the ledger's database; raises `LedgerError` where that fails.

    `now` is aware UTC; windows and ages are seconds.
    """

    def __init__(self, engine: Engine, client_id: str, window_seconds: float) -> None:
        self._engine = engine
        self._credential = digest(client_id)
        self._window = window_seconds

    def resumed(self, shard: Shard, now: datetime) -> Spending:
        """Return what the process that takes *shard* starts with.

        It is what its predecessor spent and, of what processes with another number of shards did, its own share:
        they have ended, but their requests count until their window has passed. A row of the future is put down as
        one of *now*, so that it counts for one window and not for as long as the clock was wrong.
        """
        rows, moment = self._rows(), now.timestamp()
        if any(row.saved_at > moment for row in rows):
            later = (BUDGET.c.credential == self._credential) & (BUDGET.c.saved_at > moment)
            with self._engine.begin() as db:
                db.execute(sa.update(BUDGET).where(later).values(saved_at=moment))
        own = [age for row in rows if row.shard == shard for age in row.ages(moment, self._window, ahead=True)]
        others = sorted(
            age for row in rows if row.shard.of != shard.of for age in row.ages(moment, self._window, ahead=True)
        )
        ages = sorted([*own, *others[shard.index - 1 :: shard.of]], reverse=True)
        pause = max((row.pause(moment) for row in rows), default=0.0)
        return Spending(ages=tuple(ages), learned=_share(rows, shard), pause=pause, known=bool(rows))

    def present(self, now: datetime) -> Spending:
        """Return what all processes of the credential have spent within the window before *now*, and learned.

        Only reads. What they learned is summed up, as each of them learns its own share.
        """
        rows, moment = self._rows(), now.timestamp()
        ages = sorted((age for row in rows for age in row.ages(moment, self._window, ahead=False)), reverse=True)
        return Spending(ages=tuple(ages), learned=_share(rows, WHOLE), known=bool(rows))

    def save(self, shard: Shard, spending: Spending, now: datetime) -> None:
        """Record what the process that takes *shard* did until *now*; replaces what was recorded of it."""
        learned, each = spending.learned, spending.each
        spent = _Spent(
            window=self._window,
            ages=_histogram(spending.ages, self._window),
            ahead=spending.ahead,
            ahead_seconds=spending.ahead_seconds,
            pause=spending.pause,
            granted=learned.granted if learned else 0,
            learned_at=learned.at.timestamp() if learned else 0.0,
            each=(each.limit, each.granted, each.at.timestamp()) if each else None,
        )
        facts = {
            "learned": learned.limit if learned else None,
            "spent": msgspec.json.encode(spent).decode(),
            "saved_at": now.timestamp(),
        }
        row = {"credential": self._credential, "shard": str(shard), **facts}
        with self._engine.begin() as db:
            db.execute(sqlite.insert(BUDGET).values(row).on_conflict_do_update(set_=facts))

    def told(self, shard: Shard) -> Learned | None:
        """Return what the first of the shards has told each of them to take for its limit; None where it has not."""
        first = next((row.spent for row in self._rows() if row.shard == Shard(1, shard.of)), None)
        if first is None or first.each is None:
            return None
        limit, granted, at = first.each
        return Learned(limit=limit, granted=granted, at=datetime.fromtimestamp(at, UTC))

    def even(self, shard: Shard, now: datetime) -> Learned | None:
        """Return an equal part for each shard where all are at work and what they learned is far from equal.

        Who comes to a bucket that another one uses up is refused early, and would take its share to be tiny.
        """
        since = now.timestamp() - 3 * self._window
        taught = [
            row.learned
            for row in self._rows()
            if row.shard.of == shard.of and row.saved_at >= since and row.learned is not None
        ]
        limits = [learned.limit for learned in taught]
        if len(taught) < shard.of or max(limits) <= UNEVEN * min(limits) + 1:
            return None
        granted = sum(learned.granted for learned in taught)
        return Learned(limit=sum(limits) // shard.of, granted=granted // shard.of, at=now)

    def _rows(self) -> list[_Row]:
        with self._engine.connect() as db:
            found = db.execute(sa.select(BUDGET).where(BUDGET.c.credential == self._credential)).all()
        rows = []
        for _, name, limit, text, saved_at in found:
            try:
                rows.append(_row(Shard.parse(name), limit, text, saved_at))
            except (ValueError, TypeError) as error:
                log.warning("budget.forgotten", shard=str(name), reason=str(error))
        return rows


def _row(shard: Shard, limit: int | None, text: str, saved_at: float) -> _Row:
    """Read one row; a text that is no record is forgotten, and what was learned beside it stays."""
    if not math.isfinite(saved_at):
        raise ValueError(f"saved_at is {saved_at}")
    spent: _Spent | None = None
    try:
        spent = msgspec.json.decode(text, type=_Spent)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        log.warning("budget.forgotten", shard=str(shard), reason=str(error))
    learned = None
    if limit is not None and limit > 0:
        at = spent.learned_at if spent and spent.learned_at else saved_at
        granted = max(limit, spent.granted) if spent else limit
        learned = Learned(limit=limit, granted=granted, at=datetime.fromtimestamp(at, UTC))
    return _Row(shard, saved_at, learned, spent)


def _share(rows: Iterable[_Row], shard: Shard) -> Learned | None:
    """Return what *shard* may take to be its limit, by what the processes that saved last have learned.

    Its own lesson where it is one of them; otherwise its part of what all of them together learned, in which a
    shard that has learned nothing is like the others.
    """
    taught = [(row, row.learned) for row in rows if row.learned is not None]
    if not taught:
        return None
    newest, _ = max(taught, key=lambda pair: pair[0].saved_at)
    same = [(row, learned) for row, learned in taught if row.shard.of == newest.shard.of]
    own = next((learned for row, learned in same if row.shard == shard), None)
    if own is not None:
        return own
    ratio = newest.shard.of / len(same) / shard.of
    return Learned(
        limit=max(1, math.floor(ratio * sum(learned.limit for _, learned in same))),
        granted=max(1, math.floor(ratio * sum(learned.granted for _, learned in same))),
        at=max(learned.at for _, learned in same),
    )


def _histogram(ages: Sequence[float], window: float) -> list[tuple[int, int]]:
    return sorted(Counter(min(GRAIN, max(0, math.floor(age * GRAIN / window))) for age in ages).items())
