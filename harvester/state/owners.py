"""The book of plant owners: where their consent stands, and which plants came with whom.

SMA lists no consents and names no owner of a plant, so what was seen once must be remembered here. States are kept as
the words of the wire, with any case; an owner is found again whatever the case of the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine, RowMapping

from harvester.state.tables import OWNER, OWNER_PLANT, from_seconds, portions, to_seconds

CUSTOM, CODE = "custom", "code"
"""The two grants: the client asks by e-mail, or the owner logs in on screen."""
ACCEPTED = "Accepted"
_LATEST = sa.select(sa.func.max(OWNER.c.occasion))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOwner:
    """What is remembered of one owner; all times aware UTC."""

    owner: str = field(repr=False)
    """An e-mail address (custom grant) or a label (code grant)."""
    grant: str = CUSTOM
    state: str
    since: datetime
    """When the state was first read."""
    requested_at: datetime | None = None
    """When consent was last asked for from here."""
    seen_at: datetime | None = None
    """When the state was last read."""
    look_at: datetime | None = None
    """When the service wants to be asked again at the earliest."""
    expires_at: datetime | None = None
    """End of the request, not of the consent."""
    purged_at: datetime | None = None
    """When everything of this owner was deleted; such an owner is asked nothing any more."""
    occasion: int | None = None
    """Set where plants may have been released since the last plant list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the consent service says of one owner."""

    owner: str = field(repr=False)
    state: str
    grant: str = CUSTOM
    look_at: datetime | None = None
    expires_at: datetime | None = None
    requested: bool = False
    """Whether this is the answer to a request for consent, which may release plants that were added."""


class Owners:
    """The owners in the ledger's database. Each call is a transaction, so that a command may write beside a daemon."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self) -> list[KnownOwner]:
        """Return every owner ever seen, purged ones included, by name."""
        with self._engine.connect() as db:
            return [_known(row) for row in db.execute(sa.select(OWNER).order_by(OWNER.c.owner)).mappings()]

    def find(self, owner: str) -> KnownOwner | None:
        """Return what is remembered of *owner*, in whatever case the name is written."""
        with self._engine.connect() as db:
            return _find(db, owner)

    def record(self, seen: Seen, now: datetime) -> str | None:
        """Remember what was *seen*, and return the state before, None of an owner who is new.

        A request revives an owner who was purged. It is an occasion on which plants may have been released where it
        finds a consent that holds; and so is the first look that finds one.
        """
        with self._engine.begin() as db:
            db.exec_driver_sql("BEGIN IMMEDIATE")  # the reading must belong to the writing
            before = _find(db, seen.owner)
            facts: dict[str, object] = {
                "grant": seen.grant,
                "state": seen.state,
                "seen_at": to_seconds(now),
                "look_at": None if seen.look_at is None else to_seconds(seen.look_at),
            }
            if seen.expires_at is not None:
                facts["expires_at"] = to_seconds(seen.expires_at)
            if before is None or before.state != seen.state:
                facts["since"] = to_seconds(now)
            if seen.requested:
                facts |= {"requested_at": to_seconds(now), "purged_at": None}
            changed = before is None or before.state != ACCEPTED
            if seen.state == ACCEPTED and (changed or seen.requested):
                facts["occasion"] = 1 + (db.scalar(_LATEST) or 0)
            name = before.owner if before else seen.owner
            new = insert(OWNER).values(owner=name, **{"since": to_seconds(now), **facts})
            db.execute(new.on_conflict_do_update(index_elements=["owner"], set_=facts))
        return before.state if before else None

    def latest_occasion(self) -> int:
        """Return the newest occasion's number; 0 where there is none."""
        with self._engine.connect() as db:
            return db.scalar(_LATEST) or 0

    def account(self, until: int, proven: Iterable[str] = ()) -> None:
        """Take the occasions up to the number *until*, and those of *proven* owners, as seen in a plant list."""
        with self._engine.begin() as db:
            db.execute(sa.update(OWNER).where(OWNER.c.occasion <= until).values(occasion=None))
            for some in portions(proven):
                db.execute(sa.update(OWNER).where(OWNER.c.owner.in_(some)).values(occasion=None))

    def came_with(self) -> dict[str, frozenset[str]]:
        """Return for each plant the owners it may have come with; exactly one is certain."""
        found: dict[str, set[str]] = {}
        with self._engine.connect() as db:
            for plant_id, owner in db.execute(sa.select(OWNER_PLANT.c.plant_id, OWNER_PLANT.c.owner)):
                found.setdefault(plant_id, set()).add(owner)
        return {plant_id: frozenset(owners) for plant_id, owners in found.items()}

    def attribute(self, plants: Mapping[str, frozenset[str]], now: datetime) -> None:
        """Remember for each of *plants* the owners it may have come with, in place of those remembered so far."""
        rows = [
            {"plant_id": plant_id, "owner": owner, "certain": len(owners) == 1, "since": to_seconds(now)}
            for plant_id, owners in plants.items()
            for owner in sorted(owners)
        ]
        with self._engine.begin() as db:
            for some in portions(plants):
                db.execute(sa.delete(OWNER_PLANT).where(OWNER_PLANT.c.plant_id.in_(some)))
            if rows:
                db.execute(sa.insert(OWNER_PLANT), rows)


def all_owners(configured: Iterable[str], known: Iterable[KnownOwner]) -> list[str]:
    """Return the owners of the custom grant that may be asked: the configured ones, then the remembered ones.

    Each comes once, as it was first written down; those who were purged are left out.
    """
    book = {each.owner.casefold(): each for each in known}
    names = {
        owner.casefold(): book[owner.casefold()].owner if owner.casefold() in book else owner for owner in configured
    }
    names |= {key: each.owner for key, each in book.items() if each.grant == CUSTOM}
    return [owner for key, owner in names.items() if key not in book or book[key].purged_at is None]


def _find(db: Connection, owner: str) -> KnownOwner | None:
    same = sa.func.lower(OWNER.c.owner) == owner.lower()
    row = db.execute(sa.select(OWNER).where(sa.or_(OWNER.c.owner == owner, same))).mappings().first()
    return None if row is None else _known(row)


def _known(row: RowMapping) -> KnownOwner:
    return KnownOwner(
        owner=row["owner"],
        grant=row["grant"],
        state=row["state"],
        since=from_seconds(row["since"]),
        requested_at=_instant(row["requested_at"]),
        seen_at=_instant(row["seen_at"]),
        look_at=_instant(row["look_at"]),
        expires_at=_instant(row["expires_at"]),
        purged_at=_instant(row["purged_at"]),
        occasion=row["occasion"],
    )


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else from_seconds(seconds)
