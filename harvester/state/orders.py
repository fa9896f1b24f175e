"""Work that a command hands to a running daemon, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state.tables import ORDER_SHARE, WORK_ORDER, to_seconds

INTERRUPTED = 130
"""Exit code of an order that was taken back."""
KEEP = timedelta(days=30)
"""How long a finished order is remembered."""


class Stage(StrEnum):
    """How far a daemon has come with an order."""

    PLACED = "placed"
    TAKEN = "taken"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a command asked for."""

    order_id: int
    command: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one daemon made of an order."""

    shard: str
    stage: Stage
    planned: int
    advanced: int
    """Requests planned, and those that have an outcome."""
    exit_code: int | None
    result: Mapping[str, Any] | None
    """What the command would have printed; None until it is done."""


class Orders:
    """The orders in the ledger's database; placed by commands, taken by daemons."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place(
        self, command: str, arguments: Mapping[str, Any], shards: Iterable[str], *, placed_by: str, now: datetime
    ) -> int:
        """Record an order for the daemons of *shards* and return its number."""
        at = to_seconds(now)
        with self._engine.begin() as db:
            words = {"command": command, "arguments": json.dumps(arguments), "placed_at": at, "placed_by": placed_by}
            number: int = db.execute(sa.insert(WORK_ORDER).values(words)).inserted_primary_key[0]  # type: ignore[index]
            share = {"order_id": number, "state": Stage.PLACED, "changed_at": at}
            db.execute(sa.insert(ORDER_SHARE), [{**share, "shard": shard} for shard in shards])
        return number

    def take(self, shard: str, now: datetime) -> Order | None:
        """Return the oldest order that waits for *shard*, and record that it is taken; None where there is none.

        One that was taken and not done is returned again: its daemon ended meanwhile.
        """
        columns = (WORK_ORDER.c.order_id, WORK_ORDER.c.command, WORK_ORDER.c.arguments)
        waiting = sa.select(*columns).join(ORDER_SHARE, ORDER_SHARE.c.order_id == WORK_ORDER.c.order_id)
        waiting = waiting.where(ORDER_SHARE.c.shard == shard, ORDER_SHARE.c.state != Stage.DONE)
        with self._engine.begin() as db:
            row = db.execute(waiting.order_by(WORK_ORDER.c.order_id).limit(1)).one_or_none()
            if row is None:
                return None
            db.execute(_share(row.order_id, shard).values(state=Stage.TAKEN, changed_at=to_seconds(now)))
        return Order(order_id=row.order_id, command=row.command, arguments=json.loads(row.arguments))

    def progress(self, order: Order, shard: str, *, planned: int, advanced: int, now: datetime) -> bool:
        """Record how far *shard* has come, and tell whether the order still stands: its command may have ended."""
        facts = {"planned": planned, "advanced": advanced, "changed_at": to_seconds(now)}
        with self._engine.begin() as db:
            db.execute(_share(order.order_id, shard).values(facts))
            withdrawn = sa.select(WORK_ORDER.c.withdrawn).where(WORK_ORDER.c.order_id == order.order_id)
            return db.scalar(withdrawn) is False

    def done(
        self, order: Order, shard: str, *, exit_code: int, result: Mapping[str, Any] | None, now: datetime
    ) -> None:
        """Record what became of *order* in *shard*."""
        told = None if result is None else json.dumps(result)
        facts = {"state": Stage.DONE, "exit_code": exit_code, "result": told, "changed_at": to_seconds(now)}
        with self._engine.begin() as db:
            db.execute(_share(order.order_id, shard).values(facts))
            if order.command == "purge":  # it names whom nothing is to name any more
                own = WORK_ORDER.c.order_id == order.order_id
                db.execute(sa.update(WORK_ORDER).where(own).values(arguments="{}"))

    def shares(self, order_id: int) -> list[Share]:
        """Return what has become of an order, by shard."""
        query = sa.select(ORDER_SHARE).where(ORDER_SHARE.c.order_id == order_id).order_by(ORDER_SHARE.c.shard)
        with self._engine.connect() as db:
            return [
                Share(
                    shard=row.shard,
                    stage=Stage(row.state),
                    planned=row.planned,
                    advanced=row.advanced,
                    exit_code=row.exit_code,
                    result=json.loads(row.result) if row.result else None,
                )
                for row in db.execute(query)
            ]

    def withdraw(self, order_id: int) -> None:
        """Take an order back; a daemon that is at it gives it up, one that is not leaves it alone."""
        untouched = sa.update(ORDER_SHARE).where(ORDER_SHARE.c.order_id == order_id)
        untouched = untouched.where(ORDER_SHARE.c.state == Stage.PLACED)
        with self._engine.begin() as db:
            db.execute(sa.update(WORK_ORDER).where(WORK_ORDER.c.order_id == order_id).values(withdrawn=True))
            db.execute(untouched.values(state=Stage.DONE, exit_code=INTERRUPTED))

    def waiting(self) -> int:
        """Return how many orders are not done."""
        query = sa.select(sa.func.count(sa.distinct(ORDER_SHARE.c.order_id))).where(ORDER_SHARE.c.state != Stage.DONE)
        with self._engine.connect() as db:
            return db.scalar(query) or 0

    def forget(self, now: datetime) -> None:
        """Delete the orders that were finished long ago."""
        ended = sa.select(ORDER_SHARE.c.order_id).group_by(ORDER_SHARE.c.order_id)
        ended = ended.having(
            sa.func.max(ORDER_SHARE.c.changed_at) < to_seconds(now - KEEP),
            sa.func.min(ORDER_SHARE.c.state == Stage.DONE) == 1,
        )
        with self._engine.begin() as db:
            gone = list(db.scalars(ended))
            db.execute(sa.delete(ORDER_SHARE).where(ORDER_SHARE.c.order_id.in_(gone)))
            db.execute(sa.delete(WORK_ORDER).where(WORK_ORDER.c.order_id.in_(gone)))


def _share(order_id: int, shard: str) -> sa.Update:
    return sa.update(ORDER_SHARE).where(ORDER_SHARE.c.order_id == order_id, ORDER_SHARE.c.shard == shard)
