"""The plants a cloud begins with, dealt from the seed."""

import uuid
from dataclasses import replace
from datetime import date, timedelta

from harvester.sandbox.chance import dice, digest, roll
from harvester.sandbox.plants import Device, Plant, sets_offered
from harvester.sandbox.products import Product, mix
from harvester.sandbox.settings import Settings
from harvester.sandbox.zones import place

ROOFS = (
    "Barn South",
    "School Roof",
    "Mill House",
    "Vicarage",
    "Cider Press",
    "Fire Station",
    "Old Dairy",
    "Sawmill",
)
OTHER_SOURCES = ("combinedHeatAndPowerGeneration", "hydroGeneration", "dieselGeneration")
CURRENCIES = {
    "US": "USD",
    "CA": "CAD",
    "AU": "AUD",
    "IN": "INR",
    "GB": "GBP",
    "JP": "JPY",
    "CH": "CHF",
    "BR": "BRL",
}
OTHER_SOURCE_AT = 4
"""Of five plants the one with a generator that is not PV."""
TRADE_WATTS = 30_000
"""Above that rating a plant stands on a workshop."""
SECOND_OWNER = "second.owner@example.org"


def found_plants(settings: Settings) -> list[Plant]:
    """Return the plants of the settings, oldest first."""
    owners = settings.owners
    plants: list[Plant] = []
    for number in range(settings.plants):
        owner = owners[number % len(owners)]
        if settings.faults.two_owners and number % 2:
            owner = SECOND_OWNER
        plant = found_plant(settings, number, owner=owner)
        plants.append(_with_oddities(settings, plant, plants[-1] if plants else None))
    return plants


def found_plant(settings: Settings, number: int, *, owner: str, start: date | None = None) -> Plant:
    """Return the n-th plant of a cloud with all its devices."""
    key = f"plant-{number}"
    classic = settings.classic_every > 0 and number % settings.classic_every == settings.classic_every - 1
    zone = settings.zones[number % len(settings.zones)]
    country, latitude, longitude = place(zone)
    rng = dice(settings.seed, "founding", key)
    products = mix(settings.devices, number)
    batteries = [product for product in products if product.kind == "battery"]
    ac_watts = float(sum(product.watts for product in products if product.kind == "inverter"))
    trade = ac_watts > TRADE_WATTS
    latitude, longitude = latitude + rng.uniform(-0.4, 0.4), longitude + rng.uniform(-0.4, 0.4)
    plant = Plant(
        key=key,
        plant_id=plant_identity(settings.seed, number, classic=classic),
        name=f"{ROOFS[number % len(ROOFS)]} {number + 1}",
        timezone=zone,
        owner=owner.casefold(),
        classic=classic,
        minutes=15 if classic else 5,
        start=start or settings.start + timedelta(days=number * settings.stagger_days),
        latitude=round(latitude, 4),
        longitude=round(longitude, 4),
        elevation=round(rng.uniform(5, 600), 1),
        country=country,
        city=zone.rpartition("/")[2].replace("_", " "),
        currency=CURRENCIES.get(country, "EUR"),
        peak_watts=round(ac_watts * rng.uniform(1.05, 1.3), -1),
        ac_watts=ac_watts,
        azimuth=round((180 if latitude >= 0 else 0) + rng.uniform(-40, 40)) % 360,
        slope=round(rng.uniform(12, 42)),
        base_watts=round((1400 if trade else 260) * rng.uniform(0.7, 1.5)),
        trade=trade,
        other_source=OTHER_SOURCES[number // 5 % 3] if number % 5 == OTHER_SOURCE_AT else None,
        battery_wh=sum(5_200 * product.trackers for product in batteries) * (3 if trade else 2),
        battery_watts=sum(product.watts for product in batteries),
        delay=plant_delay(settings, key, classic=classic),
        devices=(),
    )
    return replace(plant, devices=_devices(settings, plant, products))


def plant_identity(seed: int, number: int, *, classic: bool) -> str:
    """Return a plant id: decimal digits (ennexOS) or a GUID (Classic)."""
    if classic:
        return _guid(seed, "plant", number)
    return str(5_000_000 + digest(seed, "ids") % 4000 * 1000 + 100 * number)


def device_identity(seed: int, plant: Plant, position: int) -> str:
    """Return a device id in the manner of its plant's: plantId+1 and on, or a GUID."""
    return _guid(seed, plant.key, position) if plant.classic else str(int(plant.plant_id) + position + 1)


def _guid(*parts: object) -> str:
    number = digest(*parts, "high") << 64 | digest(*parts, "low")
    return str(uuid.UUID(int=number, version=4))


def build_device(settings: Settings, plant: Plant, product: Product, position: int) -> Device:
    """Return a device of that product at that position of the plant."""
    key = f"{plant.key}/{position}"
    shortest, longest = settings.classic_delay_seconds if plant.classic else settings.delay_seconds
    virtual = product.kind == "satellite"
    return Device(
        key=key,
        device_id=device_identity(settings.seed, plant, position),
        plant_id=plant.plant_id,
        name=f"{product.product} {position + 1}",
        product=product,
        serial=None if virtual else str(1_900_000_000 + digest(settings.seed, "serial", key) % 1_100_000_000),
        share=product.watts / plant.ac_watts if product.kind == "inverter" else 0.0,
        # squared: most devices are quick, a few are slow
        delay=round(shortest + (longest - shortest) * roll(settings.seed, "delay", key) ** 2),
        sets=sets_offered(product),
    )


def plant_delay(settings: Settings, key: str, *, classic: bool) -> int:
    """Return the delay of plant-level rows, s: up to 15 minutes, Classic as slow as its devices."""
    shortest, longest = settings.classic_delay_seconds if classic else settings.delay_seconds
    longest = longest if classic else min(longest, 900)
    return round(shortest + max(0, longest - shortest) * roll(settings.seed, "delay", key))


def _devices(settings: Settings, plant: Plant, products: tuple[Product, ...]) -> tuple[Device, ...]:
    return tuple(build_device(settings, plant, product, position) for position, product in enumerate(products))


def _with_oddities(settings: Settings, plant: Plant, before: Plant | None) -> Plant:
    """Return the plant with what the faults ask for: equal ids, shared serials, deactivated devices."""
    faults, seed, devices = settings.faults, settings.seed, list(plant.devices)
    if roll(seed, "equal id", plant.key) < faults.device_equals_plant:
        gateway = next((n for n, d in enumerate(devices) if d.product.kind == "manager"), len(devices) - 1)
        devices[gateway] = replace(devices[gateway], device_id=plant.plant_id)
    if before and roll(seed, "serial", plant.key) < faults.shared_serials:
        devices[0] = replace(devices[0], serial=before.devices[0].serial)
    if roll(seed, "deactivated", plant.key) < faults.deactivated:
        devices[-1] = switched_off(devices[-1], plant.start + timedelta(days=20))
    return replace(plant, devices=tuple(devices))


def switched_off(device: Device, day: date) -> Device:
    """Return the device deactivated in the first hours of a plant-local day."""
    return replace(device, deactivated=day, deactivated_at=f"{day.isoformat()}T00:00:00")
