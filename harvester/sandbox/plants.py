"""Plants and devices as values: what the master data tell, and what the simulation needs to know."""

from dataclasses import dataclass
from datetime import date

from harvester.sandbox.products import AGGREGATED, PLANT_SETS, Product, offered


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a plant."""

    key: str
    """What its readings are seeded with; survives a change of id."""
    device_id: str
    plant_id: str
    name: str
    product: Product
    serial: str | None
    """None for a virtual device; not unique."""
    share: float = 0.0
    """Share of the plant's PV that an inverter makes, 0-1."""
    delay: int
    """Seconds between the end of an interval and its row."""
    since: date | None = None
    """First plant-local day with rows; None: as old as the plant."""
    deactivated: date | None = None
    """First plant-local day without rows."""
    deactivated_at: str | None = None
    """The same as the API tells it: local time without zone."""
    stub: bool = False
    """Answers with the canned rows of SMA's own sandbox."""
    starved: bool = False
    """Offers sets that stay empty, as in SMA's own sandbox."""
    sets: tuple[str, ...] = ()
    """Names of the sets it offers."""

    def serves(self, day: date) -> bool:
        """Say whether it is in service on that plant-local day."""
        return (self.since is None or day >= self.since) and (self.deactivated is None or day < self.deactivated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One plant, its place, its generator and its people."""

    key: str
    """What its readings are seeded with; survives a change of id."""
    plant_id: str
    name: str
    timezone: str
    """IANA name."""
    owner: str
    """E-mail address of the owner, lower case."""
    classic: bool
    minutes: int
    """Interval of its rows: 5, or 15 for Classic."""
    start: date
    """Plant-local day of start-up."""
    latitude: float
    longitude: float
    elevation: float
    """Metres above the sea."""
    country: str
    """ISO 3166 code."""
    city: str
    currency: str
    """ISO 4217 code."""
    peak_watts: float
    """DC power of the modules, W."""
    ac_watts: float
    """Rated power of the inverters, W."""
    azimuth: float
    """Compass degrees; 180 is south."""
    slope: float
    """Degrees from the horizontal."""
    base_watts: float
    """Base load of the household, W."""
    trade: bool
    """People work here rather than live here."""
    other_source: str | None
    """Channel of a generator that is not PV."""
    battery_wh: int
    """Capacity of all batteries, Wh; 0: none."""
    battery_watts: int
    """Rated power of all battery inverters, W."""
    delay: int
    """Seconds between the end of an interval and the row of a plant-level set."""
    released: bool = True
    """False until the owner is asked again: built after the consent was given."""
    devices: tuple[Device, ...]

    def chargers(self, day: date) -> tuple[Device, ...]:
        """Return the charging stations in service on that plant-local day."""
        return tuple(device for device in self.devices if device.product.kind == "charger" and device.serves(day))


def sets_of(device: Device | None) -> tuple[str, ...]:
    """Return the sets that the list of a device names, or of a plant (None)."""
    return PLANT_SETS if device is None else device.sets


def answers_set(device: Device | None, name: str) -> bool:
    """Say whether values of this set may be asked for."""
    return name in sets_of(device) or (device is None and name in AGGREGATED)


def sets_offered(product: Product) -> tuple[str, ...]:
    """Return the sets that a freshly built device offers."""
    return offered(product)
