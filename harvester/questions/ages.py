"""How fresh each plant is: the age of the newest row of its live sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harvester.state.inventory import KnownPlant


@dataclass(frozen=True, slots=True)
class PlantAge:
    """The newest interval of a plant's live sets."""

    plant_id: str
    name: str
    newest: datetime | None
    """Its end, aware UTC; None while no row has come."""
    age_seconds: int | None

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, as ``--json`` prints it."""
        newest = self.newest.isoformat() if self.newest else None
        return {"plant_id": self.plant_id, "name": self.name, "newest": newest, "age_seconds": self.age_seconds}


def ages(plants: Iterable[KnownPlant], newest: Mapping[str, datetime], now: datetime) -> list[PlantAge]:
    """Return the age of each of *plants* that is neither withdrawn nor moved; without a row first, then the stalest."""
    found = [
        PlantAge(known.plant.plant_id, known.plant.name, at, int((now - at).total_seconds()) if at else None)
        for known in plants
        if known.withdrawn_at is None and known.moved_to is None
        for at in [newest.get(known.plant.plant_id)]
    ]
    return sorted(found, key=lambda age: (age.newest is not None, age.newest or now, age.plant_id))


def words(seconds: int | None) -> str:
    """Return an age for a person: `never`, `4 min`, `3 h 05 min`, `12 days`."""
    if seconds is None:
        return "never"
    minutes = max(seconds, 0) // 60
    hours, days = minutes // 60, minutes // 1440
    if days > 1:
        return f"{days:,} days"
    return f"{hours} h {minutes % 60:02d} min" if hours else f"{minutes} min"
