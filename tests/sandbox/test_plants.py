"""Master data and lists."""

import re
from typing import Any

from harvester.sandbox import Faults, Plant


async def test_list_has_three_fields_without_flags(opening: Any) -> None:
    """Only id, name and zone are listed; ids are strings of digits, or GUIDs for Classic."""
    async with opening() as client:
        _, body = await client.get("plants")

    assert all(row.keys() == {"plantId", "name", "timezone"} for row in body["plants"])
    shapes = [bool(re.fullmatch(r"\d+", row["plantId"])) for row in body["plants"]]
    assert shapes.count(True) == 5
    guid = next(row["plantId"] for row in body["plants"] if "-" in row["plantId"])
    assert [len(part) for part in guid.split("-")] == [8, 4, 4, 4, 12]


async def test_flags_and_filter(opening: Any) -> None:
    """Flags add status, installation and location; a filter keeps the names that contain it."""
    async with opening() as client:
        _, body = await client.get(
            "PLANTS", withstatus="True", WithInstallation="true", WITHLOCATION="true", Filter="barn"
        )
        wrong, _ = await client.get("plants", WithStatus="maybe")

    [row] = body["plants"]
    assert row["name"].startswith("Barn South")
    assert row["status"] == "Ok"
    assert row["installation"]["startUpUtc"] == "2023-12-31T23:00:00"
    assert 45 < row["location"]["address"]["latitude"] < 56
    assert wrong == 400


async def test_plant_parts_are_flat(opening: Any) -> None:
    """Detail, location, installation, status and capabilities repeat the plant's id and name."""
    async with opening() as client:
        plant = client.cloud.truth.plants()[0]
        parts = ["", "/location", "/installation", "/status", "/capabilities"]
        answers = [await client.get(f"plants/{plant.plant_id}{part}") for part in parts]

    assert [status for status, _ in answers] == [200] * 5
    assert all((body["plantId"], body["name"]) == (plant.plant_id, plant.name) for _, body in answers)
    assert answers[1][1]["address"]["country"] == "DE"
    assert answers[2][1]["peakPower"] == plant.peak_watts


async def test_device_lists(opening: Any) -> None:
    """The full list has the plant and zones, the lean one has neither; virtual devices have no serial."""
    async with opening() as client:
        plant = next(plant for plant in client.cloud.truth.plants() if len(plant.devices) == 7)
        _, full = await client.get(f"plants/{plant.plant_id}/devices")
        _, lean = await client.get(f"plants/{plant.plant_id}/devices/lean")
        devices = client.cloud.truth.devices()

    assert full["plant"]["plantId"] == plant.plant_id
    assert lean.keys() == {"devices"}
    assert [row["deviceId"] for row in full["devices"]] == [row["deviceId"] for row in lean["devices"]]
    assert all("timezone" in row for row in full["devices"])
    assert not any("timezone" in row for row in lean["devices"])
    assert all((row.get("generatorPower") is not None) == ("Pv" in str(_sets(plant, row))) for row in full["devices"])
    assert {device.product.kind for device in devices if device.serial is None} == {"satellite"}


def _sets(plant: Plant, row: dict[str, Any]) -> tuple[str, ...]:
    return next(device.sets for device in plant.devices if device.device_id == row["deviceId"])


async def test_deactivated_devices_are_shown_on_demand(opening: Any) -> None:
    """Without the flag a deactivated device is hidden; with it, it tells when, in local time."""
    async with opening(faults=Faults(deactivated=1.0)) as client:
        plant = client.cloud.truth.plants()[0]
        _, hidden = await client.get(f"plants/{plant.plant_id}/devices/lean")
        _, shown = await client.get(f"plants/{plant.plant_id}/devices/lean", withdeactivateddevices="TRUE")

    assert (len(hidden["devices"]), len(shown["devices"])) == (6, 7)
    assert shown["devices"][-1]["isActive"] is False
    assert shown["devices"][-1]["deactivatedAt"] == "2024-01-21T00:00:00"


async def test_device_detail(opening: Any) -> None:
    """A device answers with plant and details; batteries tell their capacity; lean has no plant."""
    async with opening() as client:
        battery = next(device for device in client.cloud.truth.devices() if device.product.kind == "battery")
        _, body = await client.get(f"devices/{battery.device_id}")
        _, lean = await client.get(f"devices/{battery.device_id}/lean")

    assert body["plant"]["plantId"] == battery.plant_id
    assert body["details"]["batteryCapacity"] > 0
    assert lean.keys() == {"details"}


async def test_lists_of_sets(opening: Any) -> None:
    """Plants name two sets, devices those of their kind, managers and satellites none."""
    async with opening() as client:
        offered = {}
        for device in client.cloud.truth.devices():
            _, body = await client.get(f"devices/{device.device_id}/measurements/sets")
            assert body["device"]["deviceId"] == device.device_id
            offered.setdefault(device.product.kind, set()).add(tuple(body["sets"]))
        plant = client.cloud.truth.plants()[0].plant_id
        _, body = await client.get(f"plants/{plant}/measurements/sets")

    assert body["sets"] == ["EnergyBalance", "GridSettings"]
    assert "device" not in body
    assert offered["manager"] == offered["satellite"] == {()}
    assert offered["battery"] == {("EnergyAndPowerBattery", "PowerAc")}
    assert offered["meter"] == {("EnergyAndPowerInOut", "EnergyAndPowerConsumption")}
    assert offered["charger"] == {("EnergyAndPowerConsumption", "EnergyMix")}
    assert ("EnergyAndPowerPv", "PowerAc", "PowerDc") in offered["inverter"]


async def test_who_may_see_what(opening: Any) -> None:
    """Unconsented plants are 403, unknown ones 404, wrong paths 404, other methods 405."""
    async with opening(consent=False) as client:
        plant = client.cloud.truth.plants()[0]
        device = plant.devices[0].device_id
        answers = [
            await client.get(f"plants/{plant.plant_id}"),
            await client.get(f"devices/{device}/measurements/sets"),
            await client.get("plants/1"),
            await client.get("devices/1"),
            await client.get("plant"),
            await client.ask("/nothing"),
            await client.ask("/v1/plants", "POST"),
        ]

    assert [status for status, _ in answers] == [403, 403, 404, 404, 404, 404, 405]
    assert answers[0][1] == {"message": "Forbidden", "code": "403"}


async def test_unconsented_can_be_hidden(opening: Any) -> None:
    """A switch answers 404 for a plant without consent."""
    async with opening(consent=False, hide_unconsented=True) as client:
        status, _ = await client.get(f"plants/{client.cloud.truth.plants()[0].plant_id}")

    assert status == 404


async def test_plants_vary(opening: Any) -> None:
    """With seven devices no two neighbours are built alike."""
    async with opening(plants=6, devices=7) as client:
        mixes = [tuple(d.product.product for d in plant.devices) for plant in client.cloud.truth.plants()]

    assert all(len(mix) == 7 for mix in mixes)
    assert len(set(mixes)) == 6


async def test_logs(opening: Any) -> None:
    """A log is a list under `logs`, within its days, at its level or above; days are required."""
    async with opening() as client:
        plant = client.cloud.truth.plants()[0]
        span = {"From": "2024-06-01", "To": "2024-06-30"}
        _, everything = await client.get(f"plants/{plant.plant_id}/logs", **span)
        _, errors = await client.get(f"devices/{plant.devices[0].device_id}/logs", **span, Level="Error")
        missing, _ = await client.get(f"plants/{plant.plant_id}/logs")

    stamps = [entry["timestamp"] for entry in everything["logs"]]
    assert stamps == sorted(stamps)
    assert "2024-06-01" <= stamps[0] <= stamps[-1] < "2024-07-01"
    assert {entry["level"] for entry in errors["logs"]} <= {"Error"}
    assert missing == 400
