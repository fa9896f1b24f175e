"""Owners who connected in a browser (code grant): their refresh tokens in the vault, their names in the owner book."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.state.owners import ACCEPTED, CODE, Owners, Seen
from harvester.state.tables import DEVICE, OWNER_PLANT, PLANT
from harvester.state.vault import Vault

REFRESH = "refresh token"
"""The column of the vault."""
REVOKED = "Revoked"


class Connections:
    """What must outlive the process about these owners; has an engine of its own."""

    def __init__(self, engine: Engine, vault: Vault, wall: Callable[[], datetime]) -> None:
        """*wall* answers aware UTC; *engine* is disposed of by `close`."""
        self._engine = engine
        self._vault = vault
        self._wall = wall
        self._book = Owners(engine)

    def owners(self) -> list[str]:
        """Return who has a refresh token, refused ones too, by name."""
        return self._vault.owners(REFRESH)

    def refresh_of(self, owner: str) -> str | None:
        """Return the newest refresh token of *owner*; raises `Unsealed` where no key opens it."""
        return self._vault.get(owner, REFRESH)

    def keep(self, owner: str, refresh: str, *, instead_of: str) -> bool:
        """Keep a rotated token, on the disk when this returns; False where another one was kept meanwhile."""
        return self._vault.swap(owner, REFRESH, refresh, instead_of=instead_of)

    def connected(self, owner: str, refresh: str) -> None:
        """Keep the token of an owner who has just consented, on the disk when this returns."""
        self._vault.put(owner, REFRESH, refresh)

    def renamed(self, old: str, new: str) -> None:
        """Give the token of *old*, who turned out to be *new*, to *new*, and forget *old*."""
        refresh = self._vault.get(old, REFRESH)
        if refresh is not None:
            self._vault.put(new, REFRESH, refresh)
            self._vault.forget(old)

    def welcomed(self, owner: str) -> None:
        """Remember in the owner book that *owner* has just consented, perhaps anew."""
        self._book.record(Seen(owner=owner, state=ACCEPTED, grant=CODE, requested=True), self._wall())

    def accepted(self, owner: str) -> None:
        """Remember that the token of *owner* was taken."""
        known = self._book.find(owner)
        if known is None or known.state != ACCEPTED:
            self._book.record(Seen(owner=owner, state=ACCEPTED, grant=CODE), self._wall())

    def refused(self, owner: str) -> None:
        """Remember that the consent of *owner* has ended."""
        self._book.record(Seen(owner=owner, state=REVOKED, grant=CODE), self._wall())

    def saw(self, owner: str, plant_ids: Collection[str]) -> None:
        """Remember which plants the token of *owner* lists."""
        before = self._book.came_with()
        only = frozenset({owner})
        changed = {plant_id: only for plant_id in plant_ids if before.get(plant_id) != only}
        if changed:
            self._book.attribute(changed, self._wall())

    def listed(self, owner: str) -> list[str]:
        """Return the ids of the plants that came with *owner* and were in the last list."""
        here = (PLANT.c.missing_count == 0, PLANT.c.withdrawn_at.is_(None))
        query = sa.select(PLANT.c.plant_id).join(OWNER_PLANT, OWNER_PLANT.c.plant_id == PLANT.c.plant_id)
        with self._engine.connect() as db:
            return list(db.scalars(query.where(OWNER_PLANT.c.owner == owner, *here).order_by(PLANT.c.ordinal)))

    def owner_with(self, plant_ids: Collection[str]) -> str | None:
        """Return a known owner all of whose plants are among *plant_ids*, the one with the most of them."""
        plants_of: dict[str, set[str]] = {}
        for plant_id, owners in self._book.came_with().items():
            for owner in owners:
                plants_of.setdefault(owner, set()).add(plant_id)
        connected = set(self.owners())
        found = [(len(ids), owner) for owner, ids in plants_of.items() if owner in connected and ids <= set(plant_ids)]
        return max(found)[1] if found else None

    def owner_of_plant(self, plant_id: str) -> str | None:
        """Return whose token listed the plant last."""
        return self._one(sa.select(OWNER_PLANT.c.owner).where(OWNER_PLANT.c.plant_id == plant_id))

    def owner_of_device(self, device_id: str) -> str | None:
        """Return whose token listed the device's plant last."""
        query = sa.select(OWNER_PLANT.c.owner).join(DEVICE, DEVICE.c.plant_id == OWNER_PLANT.c.plant_id)
        return self._one(query.where(DEVICE.c.device_id == device_id))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _one(self, query: sa.Select[Any]) -> str | None:
        with self._engine.connect() as db:
            found: str | None = db.scalar(query.limit(1))
        return found
