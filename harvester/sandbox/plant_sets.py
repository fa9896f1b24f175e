"""Sets about energy as such: the balance of a plant, PV, the grid connection, consumption, set points."""

from collections.abc import Mapping, Sequence

from harvester.sandbox.plant_day import PlantDay
from harvester.sandbox.plants import Plant
from harvester.sandbox.scene import Row, Scene

SET_DAYS = 0.4
"""Share of days on which the grid operator sets points."""


def balance_flows(plant: Plant, flows: Sequence[int]) -> dict[str, int]:
    """Return the energy channels of EnergyBalance in mWh, from the day's flows in the order of `balanced`.

    Without a battery selfConsumption equals selfSupply (SMA's OpenAPI example). Assumption for plants with one,
    not documented: what is charged is consumed (selfConsumption), what is discharged is supplied (selfSupply), so
    both equal directConsumption plus the battery's part.
    """
    pv, other, charging, discharging, feed_in, from_grid = flows
    own = pv + other - feed_in
    supply = own - charging + discharging
    channels = {
        "pvGeneration": pv,
        "directConsumption": own - charging,
        "totalConsumption": supply + from_grid,
        "gridFeedIn": feed_in,
        "gridConsumption": from_grid,
        "totalGeneration": pv + other,
        "selfConsumption": own,
        "selfSupply": supply,
    }
    if plant.battery_wh:
        channels["batteryCharging"] = charging
        channels["batteryDischarging"] = discharging
    if plant.other_source:
        channels[plant.other_source] = other
    return channels


def balanced(day: PlantDay) -> tuple[list[int], ...]:
    """Return what EnergyBalance is made of: each flow's mWh per interval."""
    return day.weather.pv, day.weather.other, day.charging, day.discharging, day.feed_in, day.from_grid


def energy_balance(scene: Scene) -> list[Row]:
    """Write EnergyBalance; rates are left out where there is nothing to divide by."""
    plant, scale = scene.plant, scene.scale
    stored = scene.day.stored if not scene.energy else []
    rows = []
    for slot, flows in enumerate(zip(*balanced(scene.day), strict=True)):
        channels = balance_flows(plant, flows)
        values = {name: mwh * scale / 1000 for name, mwh in channels.items()}
        if stored:
            values["batteryStateOfCharge"] = int(stored[slot] * 1000 + 0.5) / 1000
        if used := channels["totalConsumption"]:
            values["autarkyRate"] = int(channels["selfSupply"] / used * 1000 + 0.5) / 1000
        if made := channels["totalGeneration"]:
            values["selfConsumptionRate"] = int(channels["selfConsumption"] / made * 1000 + 0.5) / 1000
        rows.append(Row(slot, values, {}))
    return rows


def balance_rates(sums: Mapping[str, float]) -> dict[str, float]:
    """Return the rates that belong to summed channels of EnergyBalance."""
    rates = {}
    if sums.get("totalConsumption"):
        rates["autarkyRate"] = round(sums.get("selfSupply", 0) / sums["totalConsumption"], 3)
    if sums.get("totalGeneration"):
        rates["selfConsumptionRate"] = round(sums.get("selfConsumption", 0) / sums["totalGeneration"], 3)
    return rates


def photovoltaics(scene: Scene) -> list[Row]:
    """Write EnergyAndPowerPv: rows only while the inverter runs (captured)."""
    scale = scene.scale
    return [Row(slot, {"pvGeneration": mwh * scale / 1000}, {}) for slot, mwh in enumerate(scene.pv()) if mwh]


def in_out(scene: Scene) -> list[Row]:
    """Write EnergyAndPowerInOut of the meter at the grid connection."""
    scale = scene.scale
    flows = zip(scene.day.feed_in, scene.day.from_grid, strict=True)
    return [
        Row(slot, {"gridFeedIn": out * scale / 1000, "gridConsumption": into * scale / 1000}, {})
        for slot, (out, into) in enumerate(flows)
    ]


def consumption(scene: Scene) -> list[Row]:
    """Write EnergyAndPowerConsumption: the charging station's own, everyone else's the whole plant's."""
    own = scene.day.weather.cars.get(scene.device.key) if scene.device else None
    scale = scene.scale
    drawn = scene.day.weather.load if own is None else own
    return [Row(slot, {"consumption": mwh * scale / 1000}, {}) for slot, mwh in enumerate(drawn)]


def energy_mix(scene: Scene) -> list[Row]:
    """Write EnergyMix of one consumer: where its energy came from, like everybody's at that moment."""
    day, scale = scene.day, scene.scale
    drawn = day.weather.cars.get(scene.device.key, []) if scene.device else day.weather.load
    rows = []
    for slot, mwh in enumerate(drawn):
        values = {"totalConsumption": mwh * scale / 1000}
        if mwh:
            total = day.weather.load[slot]
            from_grid = round(day.from_grid[slot] / total, 3)
            battery = round(day.discharging[slot] / total, 3)
            values["pvConsumptionRate"] = round(max(0.0, 1 - from_grid - battery), 3)
            values["batteryConsumptionRate"] = battery
            values["gridConsumptionRate"] = from_grid
        rows.append(Row(slot, values, {}))
    return rows


def grid_settings(scene: Scene) -> list[Row]:
    """Write GridSettings: on some days the grid operator sets points (assumption: W and VAr, sparse)."""
    rng = scene.dice("grid settings")
    rows: dict[int, Row] = {}
    slots = len(scene.day.grid.starts)
    if rng.random() > SET_DAYS or not slots:
        return []
    for _ in range(rng.randint(1, 4)):
        first = rng.randrange(slots)
        power = float(round(scene.plant.ac_watts * rng.choice((0.3, 0.6, 0.7, 1.0))))
        reactive = float(round(scene.plant.ac_watts * rng.uniform(-0.2, 0.2)))
        for slot in range(first, min(slots, first + rng.randint(1, 9))):
            rows[slot] = Row(slot, {"setPointFeedInPower": power, "setPointReactivePower": reactive}, {})
    return [rows[slot] for slot in sorted(rows)]
