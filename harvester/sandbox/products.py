"""The devices that plants are built of, and the measurement sets that each kind offers."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["inverter", "battery", "meter", "sensor", "charger", "manager", "satellite", "socket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A kind of device as the API names it."""

    kind: Kind
    product: str
    product_id: int
    type: str
    """The API's own word; chargers are typed as solar inverters (captured)."""
    watts: int = 0
    """Rated AC power, W."""
    phases: int = 3
    """Phases it feeds."""
    trackers: int = 2
    """MPP trackers of an inverter, or stacks of a battery."""
    every_phase: bool = False
    """PowerAc reports all its channels, not only the captured eight."""
    direct_current: bool = False
    """Offers EnergyDc as well."""


SOLAR = "Solar Inverters"
CONTROL = "Monitoring and control"

# names and ids of the first eight: captured answers of SMA's sandbox; of the others: assumption
STP6000 = Product(kind="inverter", product="STP 6000TL-20", product_id=9099, type=SOLAR, watts=6000)
STP5000 = Product(kind="inverter", product="STP 5000TL-20", product_id=9098, type=SOLAR, watts=5000)
SB36 = Product(kind="inverter", product="SB3.6-1AV-40", product_id=9320, type=SOLAR, watts=3600, phases=1)
SBS60 = Product(
    kind="battery",
    product="SBS6.0-10",
    product_id=9359,
    type="Battery Inverter",
    watts=6000,
    phases=1,
    trackers=1,
)
METER = Product(kind="meter", product="Energy Meter", product_id=9307, type=CONTROL)
MANAGER = Product(kind="manager", product="EDMM-10", product_id=9397, type=CONTROL)
SATELLITE = Product(kind="satellite", product="Satellite Sensor", product_id=200053, type="Sensor technology")
CHARGER = Product(kind="charger", product="STP50-41", product_id=9431, type=SOLAR, watts=11_000)
SOCKET = Product(kind="socket", product="Remote socket", product_id=9111, type=CONTROL)
SENSOR = Product(kind="sensor", product="Sunny SensorBox", product_id=8051, type="Sensor technology")
STP25000 = Product(
    kind="inverter",
    product="STP 25000TL-30",
    product_id=9285,
    type=SOLAR,
    watts=25_000,
    every_phase=True,
    direct_current=True,
)
SBS_TWO = Product(
    kind="battery", product="STPS60-10", product_id=9393, type="Battery Inverter", watts=10_000, trackers=2
)

TWO_STACKS_AT = 2
"""Of four plants the one whose battery has two stacks."""
INVERTERS = (STP6000, SB36, STP25000, STP5000)

OFFERED: dict[Kind, tuple[str, ...]] = {
    "inverter": ("EnergyAndPowerPv", "PowerAc", "PowerDc"),
    "battery": ("EnergyAndPowerBattery", "PowerAc"),
    "meter": ("EnergyAndPowerInOut", "EnergyAndPowerConsumption"),
    "sensor": ("Sensor",),
    "charger": ("EnergyAndPowerConsumption", "EnergyMix"),
    "manager": (),
    "satellite": (),
    "socket": ("EnergyAndPowerConsumption",),
}

PLANT_SETS = ("EnergyBalance", "GridSettings")
"""What the plant-level list names."""

AGGREGATED = frozenset({"EnergyAndPowerPv", "EnergyAndPowerInOut", "EnergyAndPowerConsumption"})
"""Device sets that a plant answers as well, though its list does not name them (captured)."""


def offered(product: Product) -> tuple[str, ...]:
    """Return the sets that a device of this product offers."""
    return (*OFFERED[product.kind], *(("EnergyDc",) if product.direct_current else ()))


def mix(devices: int, plant: int) -> tuple[Product, ...]:
    """Return the products of a plant: first an inverter, a meter and a manager, then varied ones."""
    battery = SBS_TWO if plant % 4 == TWO_STACKS_AT else SBS60
    extras = (battery, INVERTERS[(plant + 1) % 4], CHARGER, SENSOR, INVERTERS[(plant + 2) % 4], SATELLITE)
    first = (INVERTERS[plant % 4], METER, MANAGER)
    turn = plant % len(extras)
    rest = extras[turn:] + extras[:turn]
    return tuple((*first, *(rest * (devices // len(rest) + 1)))[:devices])
