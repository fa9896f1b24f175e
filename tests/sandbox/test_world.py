"""Changes of the world while somebody is looking."""

from datetime import date
from typing import Any

import pytest

from harvester.sandbox import Cloud, Settings

DAY = date(2024, 7, 10)


async def test_a_migrated_plant_answers_308(opening: Any) -> None:
    """Old plant and device ids redirect, empty and absolute, query kept; the list shows the new ids only."""
    async with opening(plants=4) as client:
        old = next(plant for plant in client.cloud.truth.plants() if plant.classic)
        names = client.cloud.migrate(old.plant_id)
        device = old.devices[0].device_id
        query = "measurements/sets/EnergyAndPowerPv/Day?Date=2024-07-10&WithTotal=true"
        response, body = await client.raw(f"/monitoring/v1/devices/{device}/{query}")
        followed, values = await client.ask(f"/monitoring/v1/devices/{device}/{query}", allow_redirects=True)
        plant, _ = await client.raw(f"/v1/plants/{old.plant_id}/devices")
        _, listed = await client.get("plants")

    assert (response.status, body) == (308, b"")
    assert response.headers["Location"] == f"{client.url}/monitoring/v1/devices/{names[device]}/{query}"
    assert plant.headers["Location"] == f"{client.url}/v1/plants/{names[old.plant_id]}/devices"
    assert (followed, values["device"]["deviceId"]) == (200, names[device])
    assert names[old.plant_id] in {row["plantId"] for row in listed["plants"]}
    assert old.plant_id not in {row["plantId"] for row in listed["plants"]}
    assert all(name.isdecimal() for name in names.values())


def test_migration_keeps_the_readings(clock: Any) -> None:
    """The same rows are found under the new ids."""
    cloud = Cloud(Settings(plants=4), now=clock)
    old = next(plant for plant in cloud.truth.plants() if plant.classic)
    before = [cloud.truth.rows(s, DAY) for s in cloud.truth.series() if s.plant_id == old.plant_id]
    new = cloud.migrate(old.plant_id)[old.plant_id]

    assert before == [cloud.truth.rows(s, DAY) for s in cloud.truth.series() if s.plant_id == new]


def test_plants_can_be_migrated_from_the_beginning() -> None:
    """A setting begins with migrated Classic plants."""
    cloud = Cloud(Settings(plants=8, migrated=1))

    assert [plant.classic for plant in cloud.truth.plants()].count(True) == 1
    assert sum("-" in old for old in cloud.world.moved) == 8


async def test_a_deactivated_device_falls_silent(opening: Any) -> None:
    """From its last day on a device has no rows; the days before stay as they were."""
    async with opening(plants=1) as client:
        series = next(s for s in client.cloud.truth.series() if s.set == "EnergyAndPowerPv")
        before = await client.values(series, "Day", Date="2024-07-09")
        client.cloud.deactivate(series.device_id, DAY)
        same = await client.values(series, "Day", Date="2024-07-09")
        after = await client.values(series, "Day", Date="2024-07-10")
        _, listed = await client.get(f"plants/{series.plant_id}/devices")

    assert before == same
    assert after["set"] == []
    assert series.device_id not in {row["deviceId"] for row in listed["devices"]}


async def test_a_new_device_has_rows_since_it_was_built(opening: Any) -> None:
    """An added device is listed, offers its sets, and has nothing before its first day."""
    async with opening(plants=1) as client:
        plant = client.cloud.truth.plants()[0].plant_id
        device = client.cloud.add_device(plant, "inverter", since=DAY)
        _, listed = await client.get(f"plants/{plant}/devices/lean")
        path = f"devices/{device.device_id}/measurements/sets/EnergyAndPowerPv/Day"
        _, before = await client.get(path, Date="2024-07-09")
        _, after = await client.get(path, Date="2024-07-10")

    assert listed["devices"][-1]["deviceId"] == device.device_id
    assert (len(before["set"]), len(after["set"]) > 100) == (0, True)


async def test_a_new_plant_may_wait_for_another_request(opening: Any) -> None:
    """A plant built after the consent shows up at once, or once its owner is asked again."""
    async with opening(plants=2) as client:
        sizes = []
        client.cloud.add_plant("owner@example.org", start=DAY)
        sizes.append(len((await client.get("plants"))[1]["plants"]))
        client.cloud.add_plant("owner@example.org", released=False)
        sizes.append(len((await client.get("plants"))[1]["plants"]))
        await client.ask("/oauth2/v2/bc-authorize", "POST", json={"loginHint": "owner@example.org"})
        sizes.append(len((await client.get("plants"))[1]["plants"]))

    assert sizes == [3, 3, 4]


async def test_owners_come_and_go_directly(opening: Any) -> None:
    """Accepting and revoking need no request; the next answer knows."""
    async with opening(consent=False, plants=1) as client:
        plant = client.cloud.truth.plants()[0].plant_id
        found = [(await client.get(f"plants/{plant}"))[0]]
        client.cloud.accept("Owner@Example.org")
        found.append((await client.get(f"plants/{plant}"))[0])
        client.cloud.revoke("owner@example.org")
        found.append((await client.get(f"plants/{plant}"))[0])

    assert found == [403, 200, 403]


def test_what_does_not_exist_cannot_change() -> None:
    """Unknown ids are refused by name, and a plant without batteries gets none."""
    cloud = Cloud(Settings(plants=1, devices=1))

    with pytest.raises(KeyError, match="no device 1"):
        cloud.deactivate("1", DAY)
    with pytest.raises(ValueError, match="no battery"):
        cloud.add_device(cloud.truth.plants()[0].plant_id, "battery")


def test_plants_can_start_one_after_the_other() -> None:
    """With a stagger each plant starts later and has no rows before."""
    cloud = Cloud(Settings(plants=3, stagger_days=10, start=date(2024, 7, 1)))
    days = {plant.plant_id: plant.start for plant in cloud.truth.plants()}
    balances = [series for series in cloud.truth.series() if series.set == "EnergyBalance"]

    assert sorted(days.values()) == [date(2024, 7, 1), date(2024, 7, 11), date(2024, 7, 21)]
    assert all(bool(cloud.truth.rows(s, DAY)) == (days[s.plant_id] <= DAY) for s in balances)
