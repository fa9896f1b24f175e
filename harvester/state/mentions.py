"""Texts of the ledger that may name a plant: reports of runs, orders. And rows, deleted in portions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
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
    """Delete what names any of *terms* as a whole word: parts of facts, and orders; return how many there were."""
    if not terms:
        return 0
    named = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, terms))})(?![\w-])", re.IGNORECASE)
    told = sa.select(WORK_ORDER.c.order_id, WORK_ORDER.c.arguments, ORDER_SHARE.c.result)
    joined = told.join(ORDER_SHARE, ORDER_SHARE.c.order_id == WORK_ORDER.c.order_id, isouter=True)
    _unname_orders(db)
    rows = db.execute(joined.where(sa.not_(sa.func.coalesce(_AT_WORK, False)))).all()
    orders = {order_id for order_id, *texts in rows if any(text and named.search(_words(text)) for text in texts)}
    return (
        _forget_facts(db, named)
        + delete_rows(db, ORDER_SHARE.c.order_id, orders)
        + delete_rows(db, WORK_ORDER.c.order_id, orders)
    )


def _forget_facts(db: Connection, named: re.Pattern[str]) -> int:
    """Take out of facts what names them: a list's entry, a value; a text that is not JSON goes as a whole."""
    gone = 0
    for key, text in db.execute(sa.select(META)).all():
        if key in LASTING or not named.search(_words(text)):
            continue
        left = _pruned(_read(text), named)
        same = META.c.key == key
        if isinstance(left, str) or named.search(_words(json.dumps(left))):
            db.execute(sa.delete(META).where(same))
        else:
            db.execute(sa.update(META).where(same).values(value=json.dumps(left)))
        gone += 1
    return gone


def _read(text: str) -> Any:
    """Return what *text* says as JSON; itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _words(text: str) -> str:
    """Return all that *text* says in words, one to a line: JSON spells names in ways of its own."""
    return "\n".join(_spoken(_read(text)))


def _spoken(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _spoken(each)
    elif isinstance(value, list):
        for each in value:
            yield from _spoken(each)
    else:
        yield str(value)


def _pruned(value: Any, named: re.Pattern[str]) -> Any:
    """Return *value* without the entries of lists, and the values and keys of objects, that name them."""
    if isinstance(value, list):
        return [each for each in value if not named.search("\n".join(_spoken(each)))]
    if isinstance(value, dict):
        said = {key: [key, *([each] if isinstance(each, str) else [])] for key, each in value.items()}
        return {k: _pruned(v, named) for k, v in value.items() if not named.search("\n".join(said[k]))}
    return value


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
