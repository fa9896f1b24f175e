"""Texts of the ledger that may name a plant: reports of runs, orders. And rows, deleted in portions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from harvester.state.kinship import Kin
from harvester.state.tables import DEVICE, META, ORDER_SHARE, PLANT, WORK_ORDER, portions
from harvester.state.tombstones import LASTING

_AT_WORK = sa.and_(WORK_ORDER.c.command.contains("purge"), ORDER_SHARE.c.state != "done")
"""An order to purge that is being carried out: whoever placed it waits for what it says."""


def delete_rows(db: Connection, column: sa.Column[Any], values: Collection[Any]) -> int:
    """Delete the rows whose *column* has one of *values*, and return how many there were."""
    return sum(db.execute(sa.delete(column.table).where(column.in_(some))).rowcount for some in portions(values))


def terms_of(db: Connection, kin: Kin) -> list[str]:
    """Return the ids, names and serials that texts may hold of the plants."""
    found = {*kin.plants, *kin.devices}
    for table, columns in ((PLANT, ("name",)), (DEVICE, ("name", "serial"))):
        for some in portions(kin.plants):
            query = sa.select(*(table.c[name] for name in columns)).where(table.c.plant_id.in_(some))
            found.update(text for row in db.execute(query) for text in row if text)
    return sorted(found)


def forget_texts(db: Connection, terms: Collection[str]) -> int:
    """Delete facts and orders that name any of *terms* as a whole word: reports of runs, work that was asked for."""
    if not terms:
        return 0
    named = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, terms))})(?![\w-])", re.IGNORECASE)
    facts = [key for key, value in db.execute(sa.select(META)) if key not in LASTING and named.search(value)]
    told = sa.select(WORK_ORDER.c.order_id, WORK_ORDER.c.arguments, ORDER_SHARE.c.result)
    joined = told.join(ORDER_SHARE, ORDER_SHARE.c.order_id == WORK_ORDER.c.order_id, isouter=True)
    _unname_orders(db)
    rows = db.execute(joined.where(sa.not_(sa.func.coalesce(_AT_WORK, False)))).all()
    orders = {order_id for order_id, *texts in rows if any(text and named.search(text) for text in texts)}
    gone = delete_rows(db, META.c.key, facts)
    return gone + delete_rows(db, ORDER_SHARE.c.order_id, orders) + delete_rows(db, WORK_ORDER.c.order_id, orders)


def _unname_orders(db: Connection) -> None:
    """Take the plants out of the orders to purge that are being carried out: what is begun needs none named."""
    at_work = sa.select(ORDER_SHARE.c.order_id).join(WORK_ORDER, ORDER_SHARE.c.order_id == WORK_ORDER.c.order_id)
    query = sa.select(WORK_ORDER.c.order_id, WORK_ORDER.c.arguments).where(
        WORK_ORDER.c.order_id.in_(at_work.where(_AT_WORK))
    )
    for order_id, text in db.execute(query).all():
        arguments: dict[str, Any] = json.loads(text)
        arguments["scope"] = {**arguments.get("scope", {}), "plants": []}
        changed = sa.update(WORK_ORDER).where(WORK_ORDER.c.order_id == order_id)
        db.execute(changed.values(arguments=json.dumps(arguments)))
