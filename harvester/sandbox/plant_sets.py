"""Sets about energy as such: the balance of a plant, PV, the grid connection, consumption, set points."""

from collections.abc import Mapping

from harvester.sandbox.scene import Row, Scene

SET_DAYS = 0.4
"""Share of days on which the grid operator sets points."""


def energy_balance(scene: Scene) -> list[Row]:
    """Write EnergyBalance; without a battery selfConsumption equals selfSupply (SMA's OpenAPI example).

    Assumption for plants with one, not documented: what is charged is consumed (selfConsumption), what is
    discharged is supplied (selfSupply), so both equal directConsumption plus the battery's part.
    """
    day, scale, battery = scene.day, scene.scale, scene.plant.battery_wh > 0
    other_source = scene.plant.other_source
    rows = []
    flows = zip(
        day.weather.pv,
        day.weather.other,
        day.charging,
        day.discharging,
        day.feed_in,
        day.from_grid,
        strict=True,
    )
    for slot, (pv, other, charging, discharging, feed_in, from_grid) in enumerate(flows):
        generation = pv + other
        own = generation - feed_in
        supply = own - charging + discharging
        used = supply + from_grid
        values = {
            "pvGeneration": pv * scale / 1000,
            "directConsumption": (own - charging) * scale / 1000,
            "totalConsumption": used * scale / 1000,
            "gridFeedIn": feed_in * scale / 1000,
            "gridConsumption": from_grid * scale / 1000,
            "totalGeneration": generation * scale / 1000,
            "selfConsumption": own * scale / 1000,
            "selfSupply": supply * scale / 1000,
        }
        if battery:
            values["batteryCharging"] = charging * scale / 1000
            values["batteryDischarging"] = discharging * scale / 1000
            if not scene.energy:
                values["batteryStateOfCharge"] = int(day.stored[slot] * 1000 + 0.5) / 1000
        if other_source:
            values[other_source] = other * scale / 1000
        if used:
            values["autarkyRate"] = int(supply / used * 1000 + 0.5) / 1000
        if generation:
            values["selfConsumptionRate"] = int(own / generation * 1000 + 0.5) / 1000
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
