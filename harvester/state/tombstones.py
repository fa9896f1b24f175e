"""What is left of owners whose data was deleted: digests by which they and their plants are known again.

A tombstone must keep what was deleted from coming back without telling what it was: no id, no name, no serial. The
digests are keyed with the lake's id, so that the audit trail alone does not let anybody test a guess. The address alone
stays, in the table `owner`: whoever reads consents must know whom not to ask any more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from harvester.state.tables import META, OWNER, PLANT, PURGE

_LAKE_ID = "lake_id"
"""Key of the fact that `harvester.state.ledger` records: the lake that a ledger belongs to."""
_HIGHEST = "highest_ordinal"
"""Key of the fact which place a plant that is gone had: it is given to no other."""
LASTING = frozenset({_LAKE_ID, _HIGHEST})
"""Facts that outlast every purge: they tell nothing of any plant, whatever a plant is called."""


def owner_digest(key: str, owner: str) -> str:
    """Return what an owner is known again by; an address is the same in capitals."""
    return _digest(key, f"owner {owner.strip().casefold()}")


def plant_digest(key: str, plant_id: str) -> str:
    """Return what a plant is known again by."""
    return _digest(key, f"plant {plant_id}")


def _digest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def key_of(db: Connection) -> str:
    """Return the key of all digests; empty for a ledger that belongs to no lake yet, which holds no tombstone."""
    return str(db.scalar(sa.select(META.c.value).where(META.c.key == _LAKE_ID)) or "")


def purged(db: Connection) -> Callable[[str], bool]:
    """Return a function that tells whether a plant was deleted, or is being, and may not be harvested again.

    It may be once its owner, after the deletion was done, was asked for consent again.
    """
    key = key_of(db)
    asked = sa.select(OWNER.c.owner, OWNER.c.requested_at).where(
        OWNER.c.purged_at.is_(None), OWNER.c.requested_at.is_not(None)
    )
    again = {owner_digest(key, owner): at for owner, at in db.execute(asked)}
    digests: set[str] = set()
    for owner, text, done_at in db.execute(sa.select(PURGE.c.owner, PURGE.c.plants, PURGE.c.done_at)):
        if done_at is None or again.get(owner, -1) < done_at:
            held: dict[str, Any] = json.loads(text)
            digests.update(held["digests"])
    return lambda plant_id: bool(digests) and plant_digest(key, plant_id) in digests


def highest_ordinal(db: Connection) -> int:
    """Return the highest place that any plant has or had; -1 where there was none."""
    had = db.scalar(sa.select(META.c.value).where(META.c.key == _HIGHEST))
    has = db.scalar(sa.select(sa.func.max(PLANT.c.ordinal)))
    return max(-1 if had is None else int(had), -1 if has is None else has)


def remember_ordinal(db: Connection, ordinal: int) -> None:
    """Record that places up to *ordinal* are taken for ever."""
    new = insert(META).values(key=_HIGHEST, value=str(max(ordinal, highest_ordinal(db))))
    db.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": new.excluded.value}))
