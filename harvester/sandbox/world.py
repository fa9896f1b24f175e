"""The plants and devices that exist now, and every change that can happen to them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from harvester.sandbox import founding
from harvester.sandbox.chance import digest
from harvester.sandbox.plants import Device, Plant, sets_of
from harvester.sandbox.products import CHARGER, METER, SBS60, SENSOR, STP5000, Kind, Product
from harvester.sandbox.readings import Source
from harvester.sandbox.settings import Settings
from harvester.sandbox.sma_profile import sma_plants

BUILT: dict[Kind, Product] = {
    "inverter": STP5000,
    "battery": SBS60,
    "meter": METER,
    "sensor": SENSOR,
    "charger": CHARGER,
}
"""What a device that is added later is, by kind."""


class World:
    """All plants by id; ids are those of today, `moved` leads from former ones."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._plants: dict[str, Plant] = {}
        self._plant_of: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        """Former plant and device ids to their present ones."""
        self.version = 0
        """Grows with every change."""
        sma = settings.profile == "sma"
        for plant in sma_plants(settings) if sma else founding.found_plants(settings):
            self._put(plant)
        for plant in [plant for plant in self.plants() if plant.classic][: settings.migrated]:
            self.migrate(plant.plant_id)

    def plants(self) -> list[Plant]:
        """Return all plants, ordered by id."""
        return sorted(self._plants.values(), key=lambda plant: (len(plant.plant_id), plant.plant_id))

    def plant(self, plant_id: str) -> Plant | None:
        """Return the plant of that id."""
        return self._plants.get(plant_id)

    def device(self, device_id: str) -> tuple[Plant, Device] | None:
        """Return a device with its plant."""
        plant = self._plants.get(self._plant_of.get(device_id, ""))
        return next(((plant, d) for d in plant.devices if d.device_id == device_id), None) if plant else None

    def sources(self) -> Iterator[Source]:
        """Return every series of every plant."""
        for plant in self.plants():
            for device in (None, *plant.devices):
                for name in sets_of(device):
                    yield Source(plant, device, name)

    def deactivate(self, device_id: str, day: date) -> Device:
        """Take a device out of service from a plant-local day on."""
        plant, device = self._find(device_id)
        return self._change(plant, founding.switched_off(device, day))

    def add_device(self, plant_id: str, kind: Kind, *, since: date | None = None) -> Device:
        """Build one more device; of the plant's flows only a charging station changes any."""
        plant = self._plants[plant_id]
        device = founding.build_device(self._settings, plant, BUILT[kind], len(plant.devices))
        device = replace(device, since=since)
        if kind == "battery" and not plant.battery_wh:
            raise ValueError(f"plant {plant_id} has no battery to be divided")
        self._put(replace(plant, devices=(*plant.devices, device)))
        return device

    def add_plant(self, owner: str, *, start: date | None = None, released: bool = True) -> Plant:
        """Build one more plant; unreleased it shows up only once its owner is asked again."""
        plant = founding.found_plant(self._settings, self._next_number(), owner=owner, start=start)
        plant = replace(plant, released=released)
        self._put(plant)
        return plant

    def release(self, owner: str) -> None:
        """Release what the owner built since the consent was given."""
        for plant in self.plants():
            if plant.owner == owner.casefold() and not plant.released:
                self._put(replace(plant, released=True))

    def migrate(self, plant_id: str) -> dict[str, str]:
        """Give a plant and its devices new decimal ids; return former to new."""
        plant = self._plants.pop(plant_id)
        base = 9_000_000 + digest(self._settings.seed, "migrated", plant.key) % 9000 * 1000
        names = {plant_id: str(base)}
        for position, device in enumerate(plant.devices):
            names.setdefault(device.device_id, str(base + position + 1))
        devices = tuple(
            replace(device, device_id=names[device.device_id], plant_id=str(base)) for device in plant.devices
        )
        self._put(replace(plant, plant_id=str(base), classic=False, devices=devices))
        self.moved.update(names)
        return names

    def _next_number(self) -> int:
        numbers = [int(plant.key.removeprefix("plant-")) for plant in self._plants.values()]
        return max(numbers, default=-1) + 1

    def _find(self, device_id: str) -> tuple[Plant, Device]:
        found = self.device(device_id)
        if found is None:
            raise KeyError(f"no device {device_id}")
        return found

    def _change(self, plant: Plant, device: Device) -> Device:
        devices = tuple(device if old.key == device.key else old for old in plant.devices)
        self._put(replace(plant, devices=devices))
        return device

    def _put(self, plant: Plant) -> None:
        self._plants[plant.plant_id] = plant
        self._plant_of.update({device.device_id: plant.plant_id for device in plant.devices})
        self.version += 1
