"""Puts back into a ledger what a lake tells of: plants in their parts, devices, series. What is known already stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Engine

from harvester.model import Device, Plant, Series
from harvester.state.tables import DEVICE, PLANT, SERIES, to_seconds
from harvester.state.tombstones import highest_ordinal


class Restoration:
    """The inventory of a ledger that is being rebuilt."""

    def __init__(self, engine: Engine, *, plants_per_file: int) -> None:
        self._engine = engine
        self._plants_per_file = plants_per_file

    def plant(
        self,
        plant: Plant,
        part: int | None,
        *,
        first_seen: datetime,
        last_seen: datetime,
        withdrawn_at: datetime | None = None,
    ) -> bool:
        """Record a plant in the *part* that holds its rows, if any does, and tell whether it is new.

        One without rows gets the next free place. Its devices and sets are enumerated again at the next occasion.
        """
        with self._engine.begin() as db:
            if db.scalar(sa.select(PLANT.c.plant_id).where(PLANT.c.plant_id == plant.plant_id)):
                return False
            ordinal = self._free_ordinal({*db.scalars(sa.select(PLANT.c.ordinal)), highest_ordinal(db)}, part)
            facts = {
                **asdict(plant),
                "start_up": to_seconds(plant.start_up) if plant.start_up else None,
                "ordinal": ordinal,
                "part": ordinal // self._plants_per_file if part is None else part,
                "first_seen": to_seconds(first_seen),
                "last_seen": to_seconds(last_seen),
                "withdrawn_at": to_seconds(withdrawn_at) if withdrawn_at else None,
            }
            db.execute(sa.insert(PLANT).values(facts))
        return True

    def device(self, device: Device, *, first_seen: datetime, last_seen: datetime) -> None:
        """Record a device."""
        facts = {
            **asdict(device),
            "deactivated_at": device.deactivated_at.isoformat() if device.deactivated_at else None,
            "first_seen": to_seconds(first_seen),
            "last_seen": to_seconds(last_seen),
        }
        with self._engine.begin() as db:
            db.execute(insert(DEVICE).values(facts).on_conflict_do_nothing())

    def series(self, wanted: Iterable[Series], part: int, now: datetime) -> dict[Series, int]:
        """Return the ids of the *wanted* series of one part; those that are not known are recorded."""
        found: dict[Series, int] = {}
        with self._engine.begin() as db:
            for series in wanted:
                key = {"plant_id": series.plant_id, "device_id": series.device_id or "", "set": series.set}
                new = insert(SERIES).values(**key, part=part, first_seen=to_seconds(now))
                db.execute(new.on_conflict_do_nothing())
                same = (SERIES.c[name] == value for name, value in key.items())
                found[series] = db.execute(sa.select(SERIES.c.series_id).where(*same)).scalar_one()
        return found

    def _free_ordinal(self, taken: set[int], part: int | None) -> int:
        after = max(taken, default=-1) + 1
        if part is None:
            return after
        first = part * self._plants_per_file
        places = range(first, first + self._plants_per_file)
        return next((ordinal for ordinal in places if ordinal not in taken), max(after, places.stop))
