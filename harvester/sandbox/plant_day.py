"""One plant on one local day: every energy flow of every interval, shared by all measurement sets.

Flows are whole milliwatt-hours per interval, so that sums, differences and the step from energy to power
(times 12 for five minutes, 4 for fifteen) are exact and the balance closes to the last digit.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from harvester.sandbox.chance import dice
from harvester.sandbox.household import car, consumption
from harvester.sandbox.lru import Recent
from harvester.sandbox.plants import Plant
from harvester.sandbox.sky import Plane, clouds, insolation
from harvester.sandbox.zones import Grid, grid

LOSSES = 0.86
"""What remains behind glass, cables and inverter."""
CHARGING_EFFICIENCY = 0.95
RESERVE = 0.05
"""State of charge that a battery keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the day offers and asks for, before the battery; mWh per interval."""

    grid: Grid
    light: list[float]
    """W/m² on the modules."""
    pv: list[int]
    other: list[int]
    """Generation that is not PV."""
    load: list[int]
    """Everything consumed, the cars included."""
    cars: dict[str, list[int]]
    """Consumption of each charging station by device key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantDay:
    """All flows of the day; mWh per interval, each of them at least zero."""

    weather: Weather
    charging: list[int]
    discharging: list[int]
    stored: list[float]
    """State of charge at the end of the interval, %."""
    feed_in: list[int]
    from_grid: list[int]

    @property
    def grid(self) -> Grid:
        """Return the intervals."""
        return self.weather.grid


class Simulation:
    """Plant-days on demand; the same for the same seed, plant and day."""

    def __init__(self, seed: int, room: int) -> None:
        self._seed = seed
        self._days: Recent[tuple[str, date], PlantDay] = Recent(room)
        self._weather: Recent[tuple[str, date], Weather] = Recent(room)

    def day(self, plant: Plant, day: date) -> PlantDay:
        """Return the flows of a plant-local day."""
        key = (plant.key, day)
        return self._days.get(key) or self._days.put(key, self._simulate(plant, day))

    def weather(self, plant: Plant, day: date) -> Weather:
        """Return the day before the battery."""
        key = (plant.key, day)
        return self._weather.get(key) or self._weather.put(key, _weather(self._seed, plant, day))

    def clear(self) -> None:
        """Forget all days, because a plant has changed."""
        self._days.clear()
        self._weather.clear()

    def _simulate(self, plant: Plant, day: date) -> PlantDay:
        weather = self.weather(plant, day)
        if not plant.battery_wh:
            idle = [0] * len(weather.load)
            return _settle(weather, idle, idle, [])
        # the day before, begun half full, decides: what it began with is forgotten once full or empty
        before = run_battery(plant, self.weather(plant, day - timedelta(days=1)), 0.5)[2]
        return _settle(weather, *run_battery(plant, weather, before[-1] / 100 if before else 0.5))


def _weather(seed: int, plant: Plant, day: date) -> Weather:
    days = grid(plant.timezone, day, plant.minutes)
    if not days.starts:
        return Weather(grid=days, light=[], pv=[], other=[], load=[], cars={})
    sky = clouds(seed, plant.timezone, days, plant.key, plant.latitude)
    plane = Plane(latitude=plant.latitude, longitude=plant.longitude, azimuth=plant.azimuth, slope=plant.slope)
    light = insolation(days, sky, plane)
    energy = plant.minutes * 1000 / 60
    yield_per_light = plant.peak_watts / 1000 * LOSSES * energy
    most = int(plant.ac_watts * energy)
    starting = plant.peak_watts * 0.002 * energy
    made = [watts * yield_per_light * (1.04 - 0.00008 * watts) for watts in light]
    pv = [0 if mwh < starting else most if mwh > most else int(mwh) for mwh in made]
    used = consumption(seed, plant.key, days, watts=plant.base_watts, trade=plant.trade)
    cars = {
        device.key: [int(watts * energy) for watts in car(seed, device.key, days, device.product.watts)]
        for device in plant.chargers(day)
    }
    load = [int(watts * energy) for watts in used]
    for drawn in cars.values():
        load = [house + one for house, one in zip(load, drawn, strict=True)]
    return Weather(grid=days, light=light, pv=pv, other=_other(seed, plant, days), load=load, cars=cars)


def _other(seed: int, plant: Plant, days: Grid) -> list[int]:
    """Return what a second generator makes: on for some hours, at a fraction of the PV's rating."""
    if plant.other_source is None:
        return [0] * len(days.starts)
    rng = dice(seed, "other", plant.key, days.day)
    watts = plant.ac_watts * rng.uniform(0.1, 0.3)
    begin, end = rng.uniform(4, 9), rng.uniform(15, 22)
    energy = plant.minutes * 1000 / 60
    return [int(watts * energy * rng.uniform(0.97, 1)) if begin <= hour < end else 0 for hour in days.hours]


def run_battery(plant: Plant, weather: Weather, charge: float) -> tuple[list[int], list[int], list[float]]:
    """Return charging, discharging (mWh) and state of charge (%); the day begins with that charge (0-1)."""
    capacity = plant.battery_wh * 1000
    most = int(plant.battery_watts * plant.minutes * 1000 / 60)
    floor = RESERVE * capacity
    held = charge * capacity
    charging, discharging, stored = [], [], []
    for pv, other, load in zip(weather.pv, weather.other, weather.load, strict=True):
        surplus = pv + other - load
        if surplus > 0:
            taken = min(surplus, most, int((capacity - held) / CHARGING_EFFICIENCY))
            held += taken * CHARGING_EFFICIENCY
            charging.append(taken)
            discharging.append(0)
        else:
            given = min(-surplus, most, max(0, int(held - floor)))
            held -= given
            charging.append(0)
            discharging.append(given)
        stored.append(100 * held / capacity)
    return charging, discharging, stored


def _settle(weather: Weather, charging: list[int], discharging: list[int], stored: list[float]) -> PlantDay:
    """Let the grid take or give the rest."""
    rest = [
        pv + other - load - taken + given
        for pv, other, load, taken, given in zip(
            weather.pv, weather.other, weather.load, charging, discharging, strict=True
        )
    ]
    return PlantDay(
        weather=weather,
        charging=charging,
        discharging=discharging,
        stored=stored,
        feed_in=[max(0, flow) for flow in rest],
        from_grid=[max(0, -flow) for flow in rest],
    )
