"""The measurement sets: who writes them, and which of their channels are energy."""

from dataclasses import dataclass

from harvester.sandbox import device_sets, plant_sets
from harvester.sandbox.scene import SetWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSet:
    """One set by the name the API gives it."""

    write: SetWriter
    two_views: bool
    """W by default, Wh per interval with ReturnEnergyValues; other sets ignore the flag (assumption)."""
    summed: bool
    """Has Month, Year and Total rows (assumption: power sets answer them with an empty set)."""
    states: frozenset[str] = frozenset()
    """Channels that are no energy: never summed."""


RATES = frozenset({"autarkyRate", "selfConsumptionRate"})
MIX = frozenset({"pvConsumptionRate", "batteryConsumptionRate", "gridConsumptionRate"})
BATTERY = frozenset(
    {
        "batteryStateOfCharge",
        "batteryStateOfHealth",
        "batteryStateOfChargeArray",
        "batteryStateOfHealthArray",
        "batteryVoltage",
        "batteryCurrent",
        "batteryTemperature",
        "currentBatteryChargingSetVoltage",
    }
)

SETS = {
    "EnergyBalance": MeasurementSet(
        write=plant_sets.energy_balance, two_views=True, summed=True, states=RATES | {"batteryStateOfCharge"}
    ),
    "GridSettings": MeasurementSet(write=plant_sets.grid_settings, two_views=False, summed=False),
    "EnergyAndPowerPv": MeasurementSet(write=plant_sets.photovoltaics, two_views=True, summed=True),
    "EnergyAndPowerInOut": MeasurementSet(write=plant_sets.in_out, two_views=True, summed=True),
    "EnergyAndPowerConsumption": MeasurementSet(write=plant_sets.consumption, two_views=True, summed=True),
    "EnergyAndPowerBattery": MeasurementSet(write=device_sets.battery, two_views=True, summed=True, states=BATTERY),
    "EnergyMix": MeasurementSet(write=plant_sets.energy_mix, two_views=True, summed=True, states=MIX),
    "EnergyDc": MeasurementSet(write=device_sets.energy_dc, two_views=True, summed=True),
    "PowerAc": MeasurementSet(write=device_sets.power_ac, two_views=False, summed=False),
    "PowerDc": MeasurementSet(write=device_sets.power_dc, two_views=False, summed=False),
    "Sensor": MeasurementSet(write=device_sets.sensor, two_views=False, summed=False),
}

NAMES = {name.casefold(): name for name in SETS}
"""Path segments are read without regard to case."""
