"""The profile that mimics SMA's own sandbox."""

import re
from datetime import date
from typing import Any

OWNER = "apiTestUser@apiSandbox.com"


async def test_nine_plants_of_ten_devices(opening: Any) -> None:
    """Ids, names and device ids are the captured ones; one owner releases them all."""
    async with opening(profile="sma", consent=False) as client:
        client.cloud.accept(OWNER)
        _, body = await client.get("plants")
        devices = {}
        for row in body["plants"]:
            _, found = await client.get(f"plants/{row['plantId']}/devices")
            devices[int(row["plantId"])] = [int(device["deviceId"]) for device in found["devices"]]

    assert [int(row["plantId"]) for row in body["plants"]] == [13, 24, 35, 46, 57, 68, 79, 90, 101]
    assert [row["name"] for row in body["plants"][:2]] == ["Testplant 1", "TestPlant2"]
    assert {row["timezone"] for row in body["plants"]} == {"Europe/Berlin"}
    assert all(ids == list(range(plant + 1, plant + 11)) for plant, ids in devices.items())


async def test_inverters_are_starved(opening: Any) -> None:
    """An inverter offers Sensor beside its sets and answers them empty."""
    async with opening(profile="sma") as client:
        _, sets = await client.get("devices/16/measurements/sets")
        bodies = [await client.get(f"devices/16/measurements/sets/{name}/Day?Date=2024-07-18") for name in sets["sets"]]

    assert sets["sets"] == ["Sensor", "EnergyAndPowerPv", "PowerAc", "PowerDc"]
    assert all((status, body["set"]) == (200, []) for status, body in bodies)
    assert not any("resolution" in body for _, body in bodies)


async def test_other_devices_answer_a_stub(opening: Any) -> None:
    """The stub has seven fractional digits, neither set type nor resolution, surplus channels and a total."""
    async with opening(profile="sma") as client:
        _, body = await client.get("devices/20/measurements/sets/EnergyAndPowerInOut/Day?Date=2024-07-18")

    first, second = body["set"]
    assert body.keys() == {"plant", "device", "set", "total"}
    assert re.fullmatch(r"2024-07-20T14:03:00\.\d{7}", first["time"])
    assert first.keys() > {"pvGeneration", "autarkyRate", "gridFeedIn"}
    assert second.keys() == {"time", "setPointFeedInPower", "setPointReactivePower"}
    assert isinstance(second["setPointFeedInPower"], int)
    assert "time" not in body["total"]


async def test_plant_level_is_filled(opening: Any) -> None:
    """The balance of a test plant has a whole day, and the truth knows that the devices have nothing."""
    async with opening(profile="sma") as client:
        _, body = await client.get("plants/13/measurements/sets/EnergyBalance/Day?Date=2024-07-18")
        _, sensor = await client.get("devices/14/measurements/sets")
        truth = client.cloud.truth
        device = next(series for series in truth.series() if series.device_id == "19")
        rows = truth.rows(device, date(2024, 7, 18))

    assert len(body["set"]) == 288
    assert sensor["sets"] == []
    assert rows == []
