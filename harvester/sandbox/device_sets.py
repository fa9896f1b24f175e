"""Sets that only a device has: its AC side, its DC side, its battery, the weather around it."""

from random import Random

from harvester.sandbox.scene import Row, Scene, cut
from harvester.sandbox.sky import ambient

PHASES = "ABC"
AWAKE = 0.62
"""Share of night intervals that have a PowerDc row."""


def power_ac(scene: Scene) -> list[Row]:
    """Write PowerAc: the captured eight channels, fewer on one phase, all of them for large inverters."""
    product, chance, watts = scene.own.product, scene.dice("mains").random, scene.watts
    day = scene.day
    if product.kind == "battery":
        share = product.watts / scene.plant.battery_watts
        flows = [share * (out - into) for out, into in zip(day.discharging, day.charging, strict=True)]
    else:
        flows = [float(mwh) for mwh in scene.pv()]
    rows = []
    for slot, flow in enumerate(flows):
        if not flow and product.kind != "battery":
            continue
        power = flow * watts
        values = {}
        current = abs(power) / product.phases / 230
        volts = [cut(229 + 3 * chance() + current / 40) for _ in PHASES[: product.phases]]
        for phase, voltage in zip(PHASES, volts, strict=False):
            values[f"voltagePhase{phase}"] = voltage
            values[f"currentPhase{phase}"] = int(abs(power) / product.phases / voltage * 1000 + 0.5) / 1000
        values["activePower"] = cut(power)
        values["gridFrequency"] = int(50_000 + 40 * (chance() - 0.5)) / 1000
        if product.every_phase:
            values.update(_every_phase(power, volts, chance()))
        rows.append(Row(slot, values, {}))
    return rows


def _every_phase(power: float, volts: list[float], luck: float) -> dict[str, float]:
    """Return the channels that only few inverters report."""
    a, b, c = volts
    factor = 0.985 + 0.015 * luck
    apparent = abs(power) / factor
    reactive = (apparent * apparent - power * power) ** 0.5
    values = {
        "voltagePhaseA2B": cut(0.866 * (a + b)),
        "voltagePhaseB2C": cut(0.866 * (b + c)),
        "voltagePhaseC2A": cut(0.866 * (c + a)),
        "activePowerPhaseA": cut(power / 3),
        "activePowerPhaseB": cut(power / 3),
        "activePowerPhaseC": cut(power / 3),
        "reactivePower": cut(reactive),
        "apparentPower": cut(apparent),
        "displacementPowerFactor": cut(factor),
    }
    for phase in PHASES:
        values[f"reactivePowerPhase{phase}"] = cut(reactive / 3)
        values[f"apparentPowerPhase{phase}"] = cut(apparent / 3)
    return values


def power_dc(scene: Scene) -> list[Row]:
    """Write PowerDc: by day every interval, by night irregular zeros (captured: 5 to 15 minutes apart)."""
    rng = scene.dice("modules")
    letters = PHASES[: scene.own.product.trackers]
    watts, full = scene.watts / 0.97 / len(letters), scene.own.product.watts / len(letters)
    rows = []
    for slot, mwh in enumerate(scene.pv()):
        if not mwh:
            if scene.night_rows and rng.random() < AWAKE:
                rows.append(_asleep(slot, letters, rng))
            continue
        power, voltage, current = {}, {}, {}
        for letter in letters:
            power[letter] = cut(mwh * watts * (0.985 + 0.03 * rng.random()))
            voltage[letter] = cut(430 + 90 * (power[letter] / full) ** 0.15 + 8 * rng.random())
            current[letter] = int(power[letter] / voltage[letter] * 1000 + 0.5) / 1000
        arrays = {"dcPowerInput": power, "dcVoltageInput": voltage, "dcCurrentInput": current}
        rows.append(Row(slot, {"isolationResistance": float(2_900_000 + int(200_000 * rng.random()))}, arrays))
    return rows


def _asleep(slot: int, letters: str, rng: Random) -> Row:
    zeros = dict.fromkeys(letters, 0.0)
    arrays = {"dcPowerInput": zeros, "dcVoltageInput": dict(zeros), "dcCurrentInput": dict(zeros)}
    return Row(slot, {"isolationResistance": float(2_900_000 + int(200_000 * rng.random()))}, arrays)


def energy_dc(scene: Scene) -> list[Row]:
    """Write EnergyDc, which exists in Wh alone (assumption: asked for power it is empty)."""
    if not scene.energy:
        return []
    letters = PHASES[: scene.own.product.trackers]
    return [
        Row(slot, {}, {"dcEnergyInput": dict.fromkeys(letters, int(mwh / 0.97 / len(letters)) / 1000)})
        for slot, mwh in enumerate(scene.pv())
        if mwh
    ]


def battery(scene: Scene) -> list[Row]:
    """Write EnergyAndPowerBattery: charge beside power, health beside energy (quoting SMA)."""
    day, scale, product = scene.day, scene.scale, scene.own.product
    # the plant's batteries share the flows by their rating
    numerator, denominator = product.watts, scene.plant.battery_watts
    letters, rng = PHASES[: product.trackers], scene.dice("battery")
    health = cut(97.5 - 0.8 * max(0, (day.grid.day - scene.plant.start).days) / 365)
    warmth = rng.uniform(17, 26)
    rows = []
    for slot, stored in enumerate(day.stored):
        into = day.charging[slot] * numerator // denominator
        out = day.discharging[slot] * numerator // denominator
        values = {"batteryCharging": into * scale / 1000, "batteryDischarging": out * scale / 1000}
        if scene.energy:
            values["batteryStateOfHealth"] = health
            rows.append(Row(slot, values, {"batteryStateOfHealthArray": dict.fromkeys(letters, health)}))
            continue
        values["batteryStateOfCharge"] = cut(stored)
        power = (into - out) * scene.watts / len(letters)
        volts = 46.5 + 0.06 * stored
        arrays = {
            "batteryStateOfChargeArray": dict.fromkeys(letters, values["batteryStateOfCharge"]),
            "batteryVoltage": {letter: cut(volts + 0.1 * rng.random()) for letter in letters},
            "batteryCurrent": dict.fromkeys(letters, cut(power / volts)),
            "batteryTemperature": dict.fromkeys(letters, cut(warmth + abs(power) / 900)),
            "currentBatteryChargingSetVoltage": dict.fromkeys(letters, 53.5),
        }
        rows.append(Row(slot, values, arrays))
    return rows


def sensor(scene: Scene) -> list[Row]:
    """Write Sensor: insolation W/m², temperatures °C, wind m/s."""
    grid, light = scene.day.grid, scene.day.weather.light
    chance = scene.dice("wind").random
    wind = 1 + 5 * chance()
    rows = []
    warmth = ambient(scene.seed, scene.plant.key, grid, scene.plant.latitude, light)
    for slot, (watts, degrees) in enumerate(zip(light, warmth, strict=True)):
        wind = max(0.0, wind + 0.6 * (chance() - 0.5))
        values = {
            "externalInsolation": cut(watts),
            "ambientTemperature": cut(degrees),
            "moduleTemperature": cut(degrees + 0.027 * watts),
            "windSpeed": cut(wind),
        }
        rows.append(Row(slot, values, {}))
    return rows
