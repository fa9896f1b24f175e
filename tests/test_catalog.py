"""The catalogue: exactly the measurement sets and channels that SMA documents."""

import pytest

from harvester.catalog import RESOLUTION_MINUTES, SETS
from harvester.model import Level

DOCUMENTED = {
    "EnergyBalance": {
        "pvGeneration": "W",
        "directConsumption": "W",
        "totalConsumption": "W",
        "batteryCharging": "W",
        "batteryDischarging": "W",
        "batteryStateOfCharge": "%",
        "dieselGeneration": "W",
        "combinedHeatAndPowerGeneration": "W",
        "hydroGeneration": "W",
        "gridFeedIn": "W",
        "gridConsumption": "W",
        "totalGeneration": "W",
        "selfConsumption": "W",
        "selfSupply": "W",
        "autarkyRate": "1",
        "selfConsumptionRate": "1",
    },
    "GridSettings": {"setPointFeedInPower": "W", "setPointReactivePower": "var"},
    "EnergyAndPowerPv": {"pvGeneration": "W"},
    "EnergyAndPowerBattery": {
        "batteryCharging": "W",
        "batteryDischarging": "W",
        "batteryStateOfCharge": "%",
        "batteryStateOfHealth": "%",
        "batteryStateOfChargeArray": "%",
        "batteryStateOfHealthArray": "%",
        "batteryVoltage": "V",
        "batteryCurrent": "A",
        "batteryTemperature": "°C",
        "currentBatteryChargingSetVoltage": "V",
    },
    "EnergyAndPowerConsumption": {"consumption": "W"},
    "EnergyAndPowerInOut": {"gridFeedIn": "W", "gridConsumption": "W"},
    "EnergyDc": {"dcEnergyInput": "Wh"},
    "EnergyMix": {
        "pvConsumptionRate": "1",
        "batteryConsumptionRate": "1",
        "gridConsumptionRate": "1",
        "totalConsumption": "W",
    },
    "PowerAc": {
        "voltagePhaseA": "V",
        "voltagePhaseB": "V",
        "voltagePhaseC": "V",
        "voltagePhaseA2B": "V",
        "voltagePhaseB2C": "V",
        "voltagePhaseC2A": "V",
        "currentPhaseA": "A",
        "currentPhaseB": "A",
        "currentPhaseC": "A",
        "activePowerPhaseA": "W",
        "activePowerPhaseB": "W",
        "activePowerPhaseC": "W",
        "activePower": "W",
        "reactivePowerPhaseA": "var",
        "reactivePowerPhaseB": "var",
        "reactivePowerPhaseC": "var",
        "reactivePower": "var",
        "apparentPowerPhaseA": "VA",
        "apparentPowerPhaseB": "VA",
        "apparentPowerPhaseC": "VA",
        "apparentPower": "VA",
        "gridFrequency": "Hz",
        "displacementPowerFactor": "1",
    },
    "PowerDc": {
        "dcPowerInput": "W",
        "dcVoltageInput": "V",
        "dcCurrentInput": "A",
        "isolationResistance": "Ohm",
    },
    "Sensor": {
        "externalInsolation": "W/m²",
        "ambientTemperature": "°C",
        "moduleTemperature": "°C",
        "windSpeed": "m/s",
    },
}
"""SMA's spelling, in the order of the columns, with the unit of the intraday value."""

ARRAYS = {
    "EnergyAndPowerBattery": {
        "batteryStateOfChargeArray",
        "batteryStateOfHealthArray",
        "batteryVoltage",
        "batteryCurrent",
        "batteryTemperature",
        "currentBatteryChargingSetVoltage",
    },
    "EnergyDc": {"dcEnergyInput"},
    "PowerDc": {"dcPowerInput", "dcVoltageInput", "dcCurrentInput"},
}


def test_sets() -> None:
    """The catalogue has SMA's eleven sets and no other."""
    assert list(SETS) == list(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_channels_and_units(name: str) -> None:
    """Each set has exactly the documented channels, in order, with their units."""
    channels = SETS[name].channels

    assert [(channel.name, channel.unit) for channel in channels] == list(DOCUMENTED[name].items())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arrays(name: str) -> None:
    """Exactly the channels per string, tracker or stack are arrays."""
    assert {channel.name for channel in SETS[name].channels if channel.array} == ARRAYS.get(name, set())


def test_levels() -> None:
    """Energy balance and grid settings are asked of plants, all else of devices."""
    plant = {name for name, found in SETS.items() if Level.PLANT in found.levels}

    assert plant == {"EnergyBalance", "GridSettings"}
    assert all(found.levels == (Level.DEVICE,) for name, found in SETS.items() if name not in plant)


def test_every_channel_is_described() -> None:
    """Every set and every channel says in a sentence what it is."""
    texts = [s.description for s in SETS.values()] + [c.description for s in SETS.values() for c in s.channels]

    assert all(text and text.endswith(".") for text in texts)


def test_resolutions() -> None:
    """The intraday resolutions have their minutes; those of the period views are none."""
    assert dict(RESOLUTION_MINUTES) == {"OneMinute": 1, "FiveMinutes": 5, "FifteenMinutes": 15, "OneHour": 60}
