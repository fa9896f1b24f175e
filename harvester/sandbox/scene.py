"""What a measurement set is written from, and the row it is written as."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from harvester.sandbox.chance import dice
from harvester.sandbox.plant_day import PlantDay
from harvester.sandbox.plants import Device, Plant


class Row(NamedTuple):
    """One row of a set; channels without a value are left out."""

    slot: int
    """Position of the interval in the plant-local day."""
    scalars: dict[str, float]
    """Channel to value."""
    arrays: dict[str, dict[str, float]]
    """Channel to index (letters from A) to value; empty where the API sends `[]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One set of one plant or device on one day, in one of its two views."""

    plant: Plant
    device: Device | None
    day: PlantDay
    energy: bool
    """Wh per interval instead of W, where the set has both views."""
    seed: int
    night_rows: bool

    @property
    def own(self) -> Device:
        """Return the device of a set that only devices have."""
        if self.device is None:
            raise LookupError("a plant has no such set")
        return self.device

    @property
    def scale(self) -> int:
        """Return what turns mWh per interval into the thousandths of the view's unit."""
        return 1 if self.energy else 60 // self.plant.minutes

    @property
    def watts(self) -> float:
        """Return what turns mWh per interval into W."""
        return 60 / self.plant.minutes / 1000

    def dice(self, name: str) -> Random:
        """Return chance that is this device's and day's own."""
        return dice(self.seed, name, (self.device or self.plant).key, self.day.grid.day)

    def pv(self) -> list[int]:
        """Return the PV energy of the plant or of the inverter, mWh per interval."""
        if self.device is None:
            return self.day.weather.pv
        share, chance = self.device.share, self.dice("inverter").random
        return [int(mwh * share * (0.98 + 0.04 * chance())) if mwh else 0 for mwh in self.day.weather.pv]


SetWriter = Callable[[Scene], list[Row]]


def cut(value: float) -> float:
    """Return the value with three decimals, as the API writes them."""
    return int(value * 1000 + (0.5 if value >= 0 else -0.5)) / 1000
