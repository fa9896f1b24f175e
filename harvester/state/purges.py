"""Deletions on an owner's wish, in the ledger: whose plants they are, how far one has come, and the rows themselves.

A purge is found again by the digest of its owner, so that it can be finished when the address is gone already. While
it runs it holds the ids that are to go; once they are gone, only their digests.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine, RowMapping

from harvester.errors import LedgerError
from harvester.state import packed
from harvester.state.kinship import Kin, Owned, attributed, kin_of
from harvester.state.mentions import delete_rows, forget_texts, terms_of
from harvester.state.snapshot import copy_ledger
from harvester.state.tables import (
    METADATA,
    MONTH,
    OPEN_DAY,
    OWNER,
    OWNER_PLANT,
    PLANT,
    PURGE,
    SECRET,
    SERIES,
    from_seconds,
    portions,
    to_seconds,
)
from harvester.state.tombstones import highest_ordinal, key_of, owner_digest, plant_digest, remember_ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One deletion, begun or done."""

    purge_id: int
    owner: str
    """Digest of the owner."""
    kin: Kin
    """What is to go; empty once it is gone."""
    digests: tuple[str, ...]
    """Of its plants."""
    begun_at: datetime
    done_at: datetime | None
    done: str
    """The last of the steps that are behind; empty before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the ledger holds of some plants."""

    series: int
    settled: int
    """Series-days."""
    open: int
    """Series-days."""


class Purges:
    """The deletions in the ledger's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def owners(self) -> list[str]:
        """Return every owner that the ledger names, ascending."""
        with self._engine.connect() as db:
            named = [db.scalars(sa.select(table.c.owner)) for table in (OWNER, OWNER_PLANT, SECRET)]
            return sorted({owner for owners in named for owner in owners})

    def attributed(self, owner: str) -> list[Owned]:
        """Return the plants that came with *owner*, or may have, by id."""
        with self._engine.connect() as db:
            return attributed(db, owner)

    def unattributed(self) -> list[str]:
        """Return the plants of which no owner is known at all, by id."""
        query = sa.select(PLANT.c.plant_id).where(PLANT.c.plant_id.not_in(sa.select(OWNER_PLANT.c.plant_id)))
        with self._engine.connect() as db:
            return sorted(db.scalars(query))

    def kin(self, owner: str, plants: Iterable[str]) -> Kin:
        """Return *plants* of *owner* under all their ids, and their devices."""
        with self._engine.connect() as db:
            return kin_of(db, owner, plants)

    def names(self, plants: Collection[str]) -> dict[str, str]:
        """Return the names of those *plants* that are known."""
        with self._engine.connect() as db:
            rows = db.execute(sa.select(PLANT.c.plant_id, PLANT.c.name))
            return {plant_id: name for plant_id, name in rows if plant_id in plants}

    def held(self, plants: Collection[str]) -> Held:
        """Count what the ledger holds of *plants*."""
        with self._engine.connect() as db:
            series = _series_of(db, plants)
            settled = opened = 0
            for some in portions(series):
                months = db.execute(sa.select(MONTH.c.month, MONTH.c.days).where(MONTH.c.series_id.in_(some)))
                settled += sum(len(packed.unpack(month, days)) for month, days in months)
                count = sa.select(sa.func.count()).select_from(OPEN_DAY).where(OPEN_DAY.c.series_id.in_(some))
                opened += db.scalar(count) or 0
        return Held(series=len(series), settled=settled, open=opened)

    def of(self, owner: str) -> Purge | None:
        """Return the latest purge of *owner*, None where there is none that still counts."""
        with self._engine.connect() as db:
            same = PURGE.c.owner == owner_digest(key_of(db), owner)
            row = db.execute(sa.select(PURGE).where(same).order_by(PURGE.c.purge_id.desc())).mappings().first()
        return None if row is None else _purge(row)

    def begin(self, owner: str, kin: Kin, now: datetime) -> Purge:
        """Record that a purge is begun; from now on its plants are not harvested, whoever lists them."""
        with self._engine.begin() as db:
            key = key_of(db)
            content = _content(kin, [plant_digest(key, plant_id) for plant_id in sorted(kin.plants)])
            digest = owner_digest(key, owner)
            db.execute(sa.insert(PURGE).values(owner=digest, plants=content, begun_at=to_seconds(now), done=""))
            for some in portions(kin.plants):
                gone = {"withdrawn_at": to_seconds(now), "missing_since": to_seconds(now), "missing_count": 1}
                db.execute(sa.update(PLANT).where(PLANT.c.plant_id.in_(some)).values(gone))
        begun = self.of(owner)
        assert begun is not None  # noqa: S101 - recorded above
        return begun

    def record(self, purge: Purge, step: str) -> None:
        """Record that *step* is behind."""
        self._mark(purge, done=step)

    def finish(self, purge: Purge, now: datetime) -> None:
        """Record that all is done: what is left is a tombstone."""
        self._mark(purge, done_at=to_seconds(now))

    def entomb(
        self, owner: str, digests: Collection[str], *, begun_at: datetime, done_at: datetime | None, now: datetime
    ) -> None:
        """Record a purge that the lake's audit trail tells of, of the *owner* and plants with these digests.

        One that was done takes its plants from this ledger, should it hold them still; one that was not is to be
        finished by the command that began it. What this ledger knows of it already stays.
        """
        with self._engine.begin() as db:
            key = key_of(db)
            same = (PURGE.c.owner == owner, PURGE.c.begun_at == to_seconds(begun_at))
            if db.scalar(sa.select(PURGE.c.done_at).where(*same)) is not None:
                return
            known = [p for p in db.scalars(sa.select(PLANT.c.plant_id)) if plant_digest(key, p) in digests]
            facts = {"owner": owner, "plants": _content(kin_of(db, "", known), digests), "done": ""}
            db.execute(sa.delete(PURGE).where(*same))
            db.execute(sa.insert(PURGE).values(**facts, begun_at=to_seconds(begun_at)))
            row = db.execute(sa.select(PURGE).where(*same)).mappings().one()
        if done_at is not None:
            self.forget(_purge(row), None, now)
            self.shred(_purge(row))
            self.finish(_purge(row), done_at)

    def forget(self, purge: Purge, owner: str | None, now: datetime) -> int:
        """Delete every row of the plants and of the *owner*, in one transaction; return how many there were.

        Of the owner the name stays, and when all was deleted; None where only the digest is known.
        """
        with self._engine.begin() as db:
            db.exec_driver_sql("PRAGMA secure_delete=ON")
            terms = terms_of(db, purge.kin)
            owners = _owners(db, purge.owner) or ([owner] if owner else [])
            remember_ordinal(db, highest_ordinal(db))
            gone = 0
            series = _series_of(db, purge.kin.plants)
            for table in METADATA.sorted_tables:
                if "series_id" in table.c:
                    gone += delete_rows(db, table.c["series_id"], series)
                if "plant_id" in table.c:
                    gone += delete_rows(db, table.c["plant_id"], purge.kin.plants)
                if "owner" in table.c and table not in (OWNER, PURGE):
                    gone += delete_rows(db, table.c["owner"], owners)
            _bury(db, owners, now)
            gone += _forget_aliases(db, purge.kin)
            return gone + forget_texts(db, [*terms, *owners])

    def shred(self, purge: Purge) -> None:
        """Leave nothing but digests of *purge*, and nothing of what was deleted in the pages of the files.

        Raises `LedgerError` where another program reads the ledger for so long that its log cannot be cut off.
        """
        self._mark(purge, plants=_content(Kin(), purge.digests))
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.exec_driver_sql("VACUUM")
            busy = db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if busy:
            raise LedgerError(
                f"{self._engine.url.database}: another program reads the ledger, so that its log still holds what was "
                "deleted. End that program and run the same command again."
            )

    def copy_to(self, file: Path) -> None:
        """Write a copy of the ledger to the empty or missing *file*; raises `LedgerError`."""
        copy_ledger(self._engine, file)

    def _mark(self, purge: Purge, **facts: object) -> None:
        with self._engine.begin() as db:
            db.exec_driver_sql("PRAGMA secure_delete=ON")
            db.execute(sa.update(PURGE).where(PURGE.c.purge_id == purge.purge_id).values(facts))


def _content(kin: Kin, digests: Iterable[str]) -> str:
    return json.dumps({"plants": sorted(kin.plants), "devices": sorted(kin.devices), "digests": sorted(digests)})


def _purge(row: RowMapping) -> Purge:
    held: dict[str, Any] = json.loads(row["plants"])
    return Purge(
        purge_id=row["purge_id"],
        owner=row["owner"],
        kin=Kin(frozenset(held["plants"]), frozenset(held["devices"])),
        digests=tuple(held["digests"]),
        begun_at=from_seconds(row["begun_at"]),
        done_at=None if row["done_at"] is None else from_seconds(row["done_at"]),
        done=row["done"],
    )


def _series_of(db: Connection, plants: Collection[str]) -> list[int]:
    found: list[int] = []
    for some in portions(plants):
        found.extend(db.scalars(sa.select(SERIES.c.series_id).where(SERIES.c.plant_id.in_(some))))
    return found


def _forget_aliases(db: Connection, kin: Kin) -> int:
    alias, gone = METADATA.tables["alias"], 0
    for level, ids in (("plant", kin.plants), ("device", kin.devices)):
        for some in portions(ids):
            named = alias.c.old_id.in_(some) | alias.c.new_id.in_(some)
            gone += db.execute(sa.delete(alias).where(alias.c.level == level, named)).rowcount
    return gone


def _owners(db: Connection, digest: str) -> list[str]:
    """Return the owner with this digest as the ledger spells it, once for each spelling."""
    key = key_of(db)
    named = [db.scalars(sa.select(table.c.owner)) for table in (OWNER, OWNER_PLANT, SECRET)]
    return sorted({owner for owners in named for owner in owners if owner_digest(key, owner) == digest})


def _bury(db: Connection, owners: Collection[str], now: datetime) -> None:
    """Leave of *owners* nothing but their names, and since when they are not to be asked any more."""
    nothing = {column.name: None for column in OWNER.c if column.nullable}
    left = {**nothing, "since": to_seconds(now), "purged_at": to_seconds(now)}
    for owner in owners:
        new = insert(OWNER).values(owner=owner, grant="custom" if "@" in owner else "code", state="Unknown", **left)
        db.execute(new.on_conflict_do_update(index_elements=["owner"], set_=left))
