"""The client against the local sandbox, which shares no code with it."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from harvester.errors import CredentialsRefused
from harvester.model import Period, Series, Slice
from harvester.sandbox import Settings, serving
from harvester.sma.client import Client
from harvester.sma.consent import ConsentState
from harvester.sma.settings import Credentials, Hosts, Limits

OWNER = "owner@example.org"
DAY = date(2026, 6, 10)
SETTINGS = Settings(plants=2, devices=4, classic_every=0)


def noon() -> datetime:
    """Read a clock that stands still, two days after ``DAY``."""
    return datetime(2026, 6, 12, 12, tzinfo=UTC)


def client_of(url: str, *, secret: str = SETTINGS.client_secret, **limits: Any) -> Client:
    """Build a client of the sandbox at *url*."""
    hosts = Hosts(auth_url=url, consent_url=url, monitoring_url=f"{url}/monitoring/v1")
    return Client(hosts, Credentials(client_id=SETTINGS.client_id, client_secret=secret), Limits(**limits))


def day_of(series: Series) -> Slice:
    """Build the slice of *series* on ``DAY``."""
    return Slice(series=series, period=Period.DAY, date=DAY, days=(DAY,))


async def test_the_whole_way_to_values() -> None:
    """Token, consent, plants, devices, sets and a day of values."""
    async with serving(SETTINGS, now=noon) as cloud, client_of(cloud.url) as client:
        before = await client.plants()
        states = [
            (await client.consent_state(OWNER)).state,
            (await client.consent_request(OWNER)).state,
            (await client.consent_simulate(OWNER, ConsentState.ACCEPTED)).state,
            (await client.consent_request(OWNER)).state,
        ]
        plants = await client.plants()
        plant = await client.plant(plants[0].plant_id)
        devices = await client.devices(plant.plant_id)
        sets = {device.device_id: await client.device_sets(device.device_id) for device in devices}
        balance = Series(plant_id=plant.plant_id, set="EnergyBalance")
        bodies = [json.loads((await client.measurements(day_of(balance))).body)]
        for device_id, names in sets.items():
            for name in names:
                series = Series(plant_id=plant.plant_id, device_id=device_id, set=name)
                bodies.append(json.loads((await client.measurements(day_of(series))).body))
        plant_sets = await client.plant_sets(plant.plant_id)
        await client.logout()

    assert before == []
    assert states == ["NotAsked", "Pending", "Accepted", "Accepted"]
    assert len(plants) == 2
    assert plant == plants[0]
    assert plant.peak_power is not None
    assert {device.plant_id for device in devices} == {plant.plant_id}
    assert "EnergyBalance" in plant_sets
    assert len(bodies) == 1 + sum(map(len, sets.values()))
    assert len(bodies[0]["set"]) == 288


async def test_wrong_credentials_are_refused() -> None:
    """The sandbox refuses a wrong secret, and the text names it."""
    async with serving(SETTINGS, now=noon) as cloud, client_of(cloud.url, secret="wrong") as client:
        with pytest.raises(CredentialsRefused, match="client_secret") as caught:
            await client.verify()

    assert caught.value.exit_code == 4


@pytest.mark.parametrize("mode", ["sliding", "fixed"])
async def test_a_known_budget_is_never_exceeded(mode: str) -> None:
    """Three budgets of requests by sixteen workers, and not one 429."""
    settings = Settings(plants=1, requests=20, window_seconds=0.3, window_mode=mode, accept=True)
    async with (
        serving(settings, now=noon) as cloud,
        client_of(cloud.url, requests=20, window_seconds=0.3) as client,
    ):
        await client.consent_request(OWNER)
        (plant,) = await client.plants()
        await asyncio.gather(*(client.plant_sets(plant.plant_id) for _ in range(60)))

    assert client.counts.throttled == 0
    assert client.counts.outcomes["ok"] == 63


async def test_a_migrated_plant_names_its_new_id() -> None:
    """An old id is followed and answered under the new one."""
    settings = Settings(plants=1, classic_every=1, accept=True)
    async with serving(settings, now=noon) as cloud, client_of(cloud.url) as client:
        await client.consent_request(OWNER)
        old = (await client.plants())[0].plant_id
        cloud.cloud.migrate(old)
        new = (await client.plants())[0].plant_id
        answer = await client.measurements(day_of(Series(plant_id=old, set="EnergyBalance")))

    assert old != new
    assert answer.moved == {old: new}
