"""Which plants are an owner's, under which ids they ever went, and which devices belong to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from harvester.state.tables import ALIAS, DEVICE, OWNER_PLANT, PLANT, SERIES, portions


@dataclass(frozen=True, slots=True)
class Kin:
    """Ids that go together: plants under all ids they ever had, and their devices."""

    plants: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Owned:
    """A plant that came with an owner, or may have."""

    plant_id: str
    certain: bool
    others: tuple[str, ...]
    """The other owners that it may have come with."""


def attributed(db: Connection, owner: str) -> list[Owned]:
    """Return the plants that came with *owner*, or may have, by id; an address is the same in capitals."""
    rows: dict[str, list[tuple[str, bool]]] = {}
    for plant_id, name, certain in db.execute(
        sa.select(OWNER_PLANT.c.plant_id, OWNER_PLANT.c.owner, OWNER_PLANT.c.certain)
    ):
        rows.setdefault(plant_id, []).append((name, certain))
    found = []
    for plant_id, owners in sorted(rows.items()):
        mine = [certain for name, certain in owners if _same(name, owner)]
        if mine:
            others = tuple(sorted(name for name, _ in owners if not _same(name, owner)))
            found.append(Owned(plant_id, any(mine), others))
    return found


def kin_of(db: Connection, owner: str, plants: Iterable[str]) -> Kin:
    """Return *plants* under all the ids that redirections lead from or to, and their devices.

    An id that is certain to be another owner's is left where it is, and so is a device that went to another plant.
    """
    of_others = {
        plant_id
        for plant_id, name, certain in db.execute(
            sa.select(OWNER_PLANT.c.plant_id, OWNER_PLANT.c.owner, OWNER_PLANT.c.certain)
        )
        if certain and not _same(name, owner)
    }
    moved = sa.select(PLANT.c.plant_id, PLANT.c.moved_to).where(PLANT.c.moved_to.is_not(None))
    pairs = [(old, new) for old, new in db.execute(moved)]
    found = _closed(set(plants), [*pairs, *_aliases(db, "plant")], of_others if owner else set())
    devices, elsewhere = _devices(db, found)
    return Kin(frozenset(found), frozenset(_closed(devices, _aliases(db, "device"), elsewhere)))


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _aliases(db: Connection, level: str) -> list[tuple[str, str]]:
    rows = db.execute(sa.select(ALIAS.c.old_id, ALIAS.c.new_id).where(ALIAS.c.level == level))
    return [(old, new) for old, new in rows]


def _closed(ids: set[str], pairs: Collection[tuple[str, str]], never: set[str]) -> set[str]:
    """Return *ids* and what *pairs* lead to from them, in either direction, but for those that are *never* meant."""
    beside: dict[str, set[str]] = {}
    for old, new in pairs:
        beside.setdefault(old, set()).add(new)
        beside.setdefault(new, set()).add(old)
    found, left = set(ids), list(ids)
    while left:
        new_ones = beside.get(left.pop(), set()) - found - never
        found |= new_ones
        left.extend(new_ones)
    return found


def _devices(db: Connection, plants: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the devices of *plants*, and those of all other plants."""
    mine: set[str] = set()
    for some in portions(plants):
        mine.update(db.scalars(sa.select(DEVICE.c.device_id).where(DEVICE.c.plant_id.in_(some))))
        mine.update(db.scalars(sa.select(SERIES.c.device_id).where(SERIES.c.plant_id.in_(some))))
    elsewhere = {
        d for d, plant_id in db.execute(sa.select(DEVICE.c.device_id, DEVICE.c.plant_id)) if plant_id not in plants
    }
    return mine - elsewhere - {""}, elsewhere
