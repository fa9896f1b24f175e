"""Every row of every series, and from when on the API shows it."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from harvester.sandbox.chance import dice
from harvester.sandbox.defects import Defects
from harvester.sandbox.faults import Faults
from harvester.sandbox.lru import Recent
from harvester.sandbox.plant_day import Simulation
from harvester.sandbox.plant_sets import balance_flows, balanced
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.scene import Row, Scene
from harvester.sandbox.sets import SETS
from harvester.sandbox.settings import Settings
from harvester.sandbox.zones import Grid, grid, midnight

DAY_SECONDS = 86_400


class Source(NamedTuple):
    """One measurement set of one plant or device."""

    plant: Plant
    device: Device | None
    set: str

    @property
    def key(self) -> str:
        """Return what its chance is seeded with: `plant-0/Set` or `plant-0/1/Set`."""
        return f"{(self.device or self.plant).key}/{self.set}"

    @property
    def delay(self) -> int:
        """Return the seconds between the end of an interval and its row."""
        return (self.device or self.plant).delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The rows of one series and plant-local day, once all of them are in."""

    grid: Grid
    rows: list[Row]
    shown: list[int]
    """When each row becomes visible, seconds since 1970 UTC."""

    def at(self, instant: float | None) -> list[Row]:
        """Return the rows visible at an instant (seconds since 1970 UTC); None: all."""
        if instant is None or not self.shown or max(self.shown) <= instant:
            return self.rows
        return [row for row, shown in zip(self.rows, self.shown, strict=True) if shown <= instant]


class Readings:
    """The rows of all plants for one value of settings and faults."""

    def __init__(self, settings: Settings, faults: Faults, simulation: Simulation) -> None:
        self._settings = settings
        self._faults = faults
        self._defects = Defects(faults, settings.seed)
        self._simulation = simulation
        self._sheets: Recent[tuple[str, date, bool], Sheet] = Recent(32)

    def sheet(self, source: Source, day: date, *, energy: bool = False) -> Sheet:
        """Return a day of a series; energy asks for Wh per interval where the set has both views."""
        energy = energy and SETS[source.set].two_views
        key = (source.key, day, energy)
        return self._sheets.get(key) or self._sheets.put(key, self._write(source, day, energy=energy))

    def flawless(self, source: Source, day: date, *, energy: bool) -> list[Row]:
        """Return the rows before gaps and spikes, which the aggregates do not know."""
        if not reports(source, day):
            return []
        scene = Scene(
            plant=source.plant,
            device=source.device,
            day=self._simulation.day(source.plant, day),
            energy=energy,
            seed=self._settings.seed,
            night_rows=self._faults.night_rows,
        )
        return SETS[source.set].write(scene)

    def balance(self, plant: Plant, day: date) -> dict[str, int]:
        """Return the energy channels of a whole day's EnergyBalance, mWh."""
        flows = balanced(self._simulation.day(plant, day))
        return balance_flows(plant, [sum(flow) for flow in flows])

    def settled_at(self, source: Source, day: date) -> int:
        """Return from when on a day cannot change any more, seconds since 1970 UTC."""
        late = self._settings.late_days * DAY_SECONDS if self._settings.late_rows else 0
        end = midnight(source.plant.timezone, day) + DAY_SECONDS + 2 * 3600
        return end + source.delay + late

    def _write(self, source: Source, day: date, *, energy: bool) -> Sheet:
        settings = self._settings
        days = grid(source.plant.timezone, day, source.plant.minutes)
        rows = self.flawless(source, day, energy=energy)
        if settings.autumn == "merged" and days.second_pass:
            rows = [row for row in rows if row.slot not in days.second_pass]
        scale = 1 if energy else 60 // source.plant.minutes
        series = source.key, day.isoformat()
        rows = self._defects.applied(rows, series, plant_level=source.device is None, scale=scale)
        after = source.plant.minutes * 60 + source.delay
        shown = [days.starts[row.slot] + after for row in rows]
        if settings.late_rows:
            rng = dice(settings.seed, "late", source.key, day)
            luck = [rng.random() < settings.late_rows for _ in days.starts]
            late = settings.late_days * DAY_SECONDS
            shown = [when + late if luck[row.slot] else when for row, when in zip(rows, shown, strict=True)]
        return Sheet(grid=days, rows=rows, shown=shown)


def reports(source: Source, day: date) -> bool:
    """Say whether the series has a life on that plant-local day."""
    device = source.device
    if day < source.plant.start:
        return False
    return device is None or (device.serves(day) and not device.stub and not device.starved)
