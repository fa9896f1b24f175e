"""What SMA would serve, straight from the generator: no request, no JSON, no consent."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from harvester.sandbox.aggregates import Aggregates, Period
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.readings import Readings, Source
from harvester.sandbox.world import World
from harvester.sandbox.zones import wall_clock

FAR = 4_102_444_800
"""2100-01-01T00:00Z, when everything before it has come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthSeries:
    """One measurement set of one plant or device."""

    level: Literal["plant", "device"]
    plant_id: str
    device_id: str | None
    set: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One row; scalars and arrays in the units of the set's default view (W)."""

    start_utc: datetime
    """Start of the interval, aware."""
    start_local: datetime
    """The plant's wall clock at that start, naive."""
    minutes: int
    """Length of the interval."""
    scalars: dict[str, float]
    """Channel to value."""
    arrays: dict[str, dict[str, float]]
    """Channel to index to value; empty where the API sends `[]`."""


class Truth:
    """Rows and master data to compare a copy with."""

    def __init__(self, world: World, readings: Readings, aggregates: Aggregates) -> None:
        self._world = world
        self._readings = readings
        self._aggregates = aggregates

    def plants(self) -> list[Plant]:
        """Return all plants, whoever owns them."""
        return self._world.plants()

    def devices(self) -> list[Device]:
        """Return all devices, the deactivated ones included."""
        return [device for plant in self.plants() for device in plant.devices]

    def series(self) -> list[TruthSeries]:
        """Return every series that the lists of sets name."""
        return [
            TruthSeries(
                level="device" if source.device else "plant",
                plant_id=source.plant.plant_id,
                device_id=source.device.device_id if source.device else None,
                set=source.set,
            )
            for source in self._world.sources()
        ]

    def rows(
        self, series: TruthSeries, day: date, *, at: datetime | None = None, energy: bool = False
    ) -> list[Reading]:
        """Return the rows of a plant-local day by interval start; `at`: those visible then, else all ever."""
        source = self._source(series)
        sheet = self._readings.sheet(source, day, energy=energy)
        zone, minutes = source.plant.timezone, source.plant.minutes
        return [
            Reading(
                start_utc=datetime.fromtimestamp(start := sheet.grid.starts[row.slot], UTC),
                start_local=wall_clock(zone, start),
                minutes=minutes,
                scalars=dict(row.scalars),
                arrays={channel: dict(values) for channel, values in row.arrays.items()},
            )
            for row in sheet.at(at.timestamp() if at else None)
        ]

    def month(self, series: TruthSeries, year: int, month: int, *, at: datetime | None = None) -> list[Period]:
        """Return the rows of a Month answer, Wh per day."""
        return self._aggregates.month(self._source(series), year, month, at=at.timestamp() if at else FAR)

    def year(self, series: TruthSeries, year: int, *, at: datetime | None = None) -> list[Period]:
        """Return the rows of a Year answer, Wh per month."""
        return self._aggregates.year(self._source(series), year, at=at.timestamp() if at else FAR)

    def total(self, series: TruthSeries, *, at: datetime) -> list[Period]:
        """Return the rows of a Total answer, Wh per year."""
        return self._aggregates.total(self._source(series), at=at.timestamp())

    def _source(self, series: TruthSeries) -> Source:
        plant = self._world.plant(series.plant_id)
        if plant is None:
            raise KeyError(f"no plant {series.plant_id}")
        if series.device_id is None:
            return Source(plant, None, series.set)
        device = next(device for device in plant.devices if device.device_id == series.device_id)
        return Source(plant, device, series.set)
