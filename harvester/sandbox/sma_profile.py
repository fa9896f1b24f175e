"""The content of SMA's own sandbox: nine plants of ten devices, few values and canned ones.

Ids, names, products and the stub are captured answers; that the plant-level sets are filled is what SMA's
sandbox page says. Nobody but apiTestUser@apiSandbox.com owns anything.
"""

from dataclasses import replace

from harvester.sandbox.founding import build_device, found_plant
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.products import (
    CHARGER,
    MANAGER,
    METER,
    SATELLITE,
    SB36,
    SBS60,
    SOCKET,
    STP5000,
    STP6000,
    Product,
)
from harvester.sandbox.settings import Settings

OWNER = "apiTestUser@apiSandbox.com"
IDS = (13, 24, 35, 46, 57, 68, 79, 90, 101)

DEVICES: tuple[tuple[str, Product], ...] = (
    ("My Satellite Sensor", SATELLITE),
    ("My Data Manager", MANAGER),
    ("My Inverter 1", STP6000),
    ("My Inverter 2", STP5000),
    ("My Inverter 3", SB36),
    ("My Battery Inverter", SBS60),
    ("My Energy Meter", METER),
    ("My Gas Meter", METER),
    ("My Remote Socket", SOCKET),
    ("My Charging Station", CHARGER),
)
"""In the order of their ids, plantId+1 to plantId+10."""


def sma_plants(settings: Settings) -> list[Plant]:
    """Return the nine plants, all in Europe/Berlin."""
    settings = replace(settings, classic_every=0, zones=("Europe/Berlin",), devices=7)
    return [_plant(settings, number, plant_id) for number, plant_id in enumerate(IDS)]


def _plant(settings: Settings, number: int, plant_id: int) -> Plant:
    watts = float(sum(product.watts for _, product in DEVICES if product.kind == "inverter"))
    plant = replace(
        found_plant(settings, number, owner=OWNER, start=settings.start),
        plant_id=str(plant_id),
        name="Testplant 1" if number == 0 else f"TestPlant{number + 1}",
        peak_watts=watts,
        ac_watts=watts,
        base_watts=300.0,
        trade=False,
        other_source=None,
        battery_wh=10_000,
        battery_watts=SBS60.watts,
    )
    devices = (_device(settings, plant, name, product, position) for position, (name, product) in enumerate(DEVICES))
    return replace(plant, devices=tuple(devices))


def _device(settings: Settings, plant: Plant, name: str, product: Product, position: int) -> Device:
    device = replace(build_device(settings, plant, product, position), name=name)
    if product.kind == "inverter":
        # offered is not filled: the sandbox offers Sensor for an inverter, and its PV set comes back empty
        return replace(device, starved=True, sets=("Sensor", *device.sets))
    return replace(device, stub=True)
