"""Ids before a migration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harvester.model import Series
from harvester.state.inventory import KnownAlias


@dataclass(frozen=True, slots=True)
class Aliases:
    """Which id each plant and device had before the one it goes by now."""

    old_ids: Mapping[tuple[str, str], str]
    """Level and new id to old id."""

    @classmethod
    def of(cls, known: Iterable[KnownAlias]) -> Aliases:
        """Take the redirections that were met."""
        return cls({(alias.level, alias.new_id): alias.old_id for alias in known})

    def before(self, series: Series) -> Series:
        """Return *series* under its old ids; itself where it has none."""
        plant = self.old_ids.get(("plant", series.plant_id), series.plant_id)
        device = series.device_id and self.old_ids.get(("device", series.device_id), series.device_id)
        return Series(plant_id=plant, device_id=device, set=series.set)
