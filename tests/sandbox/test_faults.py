"""Every switch shows its effect."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from itertools import pairwise
from typing import Any

import aiohttp
import orjson
import pytest

from harvester.sandbox import Cloud, Faults, Reading, Settings

DAY = "2024-07-18"


def path(client: Any, name: str = "EnergyBalance", plant: int = 0) -> str:
    """Return where the values of a plant's set are."""
    plant_id = client.cloud.truth.plants()[plant].plant_id
    return f"/monitoring/v1/plants/{plant_id}/measurements/sets/{name}/Day?Date={DAY}"


def sheets(faults: Faults, name: str, *, plants: int = 6, days: Iterable[int] = range(1, 11)) -> list[list[Reading]]:
    """Return the days of July 2024 of all series of that set."""
    cloud = Cloud(Settings(plants=plants, faults=faults))
    series = [s for s in cloud.truth.series() if s.set == name]
    return [cloud.truth.rows(one, date(2024, 7, day)) for one in series for day in days]


def test_a_command_line_spells_all_of_them() -> None:
    """Rates, switches, numbers and repeated lists are read; unknown names and wild values are named."""
    faults = Faults.parse(
        [
            "http-500=0.1",
            "two_owners",
            "night_rows=false",
            "fraction_digits=7",
            "failing=PowerAc:500",
            "failing=12/PowerDc:404",
        ]
    )

    assert faults == Faults(
        http_500=0.1,
        two_owners=True,
        night_rows=False,
        fraction_digits=7,
        failing=("PowerAc:500", "12/PowerDc:404"),
    )
    assert Faults.parse([]) == Faults()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("http_600=0.1", "unknown fault 'http_600'; known are missing_rows"),
        ("cut_json=often", "fault cut_json=often: wanted a rate from 0 to 1"),
        ("cut_json=2", "fault cut_json=2: a rate lies between 0 and 1"),
        ("two_owners=perhaps", "wanted true or false"),
        ("fraction_digits=9", "between 0 and 7"),
        ("failing=PowerAc", "wanted KEY:STATUS"),
    ],
)
def test_wrong_entries_are_explained(entry: str, message: str) -> None:
    """The error says which entry is wrong and what would be right."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Faults.parse([entry])


@pytest.mark.parametrize("status", [401, 500, 502, 503, 504])
async def test_statuses_instead_of_answers(opening: Any, status: int) -> None:
    """A rate of one refuses every request with that status."""
    async with opening(faults=Faults(**{f"http_{status}": 1.0})) as client:
        found, body = await client.get("plants")

    assert (found, body["code"]) == (status, str(status))


async def test_429_with_and_without_header(opening: Any) -> None:
    """One switch sends Retry-After, the other does not."""
    async with opening(faults=Faults(http_429=1.0)) as client:
        told, _ = await client.raw("/v1/plants")
        client.cloud.faults = Faults(http_429_bare=1.0)
        bare, body = await client.raw("/v1/plants")

        assert (told.status, told.headers["Retry-After"]) == (429, "1")
        assert (bare.status, bare.headers.get("Retry-After")) == (429, None)
        assert orjson.loads(body)["message"] == "Too Many Requests"
        assert client.cloud.counts.limited == 2


async def test_a_hanging_answer_never_comes(opening: Any) -> None:
    """The client's read time-out strikes, and the cloud still closes at once."""
    async with opening(faults=Faults(hang=1.0)) as client:
        with pytest.raises(TimeoutError):
            await client.raw("/v1/plants", timeout=aiohttp.ClientTimeout(sock_read=0.1))
        host, _, port = client.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        token = client.headers["Authorization"]
        writer.write(f"GET /v1/plants HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode())
        await asyncio.sleep(0.05)
        begun = asyncio.get_running_loop().time()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()

    assert asyncio.get_running_loop().time() - begun < 1


async def test_redirection_between_the_spellings(opening: Any) -> None:
    """A request below /monitoring/v1 is sent to /v1, query and all."""
    async with opening(faults=Faults(http_308=1.0)) as client:
        response, body = await client.raw(path(client))
        followed, _ = await client.raw(path(client), allow_redirects=True)

    assert (response.status, body) == (308, b"")
    assert response.headers["Location"] == client.url + path(client).removeprefix("/monitoring")
    assert followed.status == 200


async def test_plants_disappear(opening: Any) -> None:
    """The list can come back empty, or name plants that every other address denies."""
    async with opening(faults=Faults(empty_plants=1.0)) as client:
        _, empty = await client.get("plants")
        client.cloud.faults = Faults(vanishing_plants=1.0)
        _, listed = await client.get("plants")
        status, _ = await client.get(f"plants/{listed['plants'][0]['plantId']}")

    assert empty == {"plants": []}
    assert (len(listed["plants"]), status) == (6, 404)


async def test_spoiled_bodies(opening: Any) -> None:
    """Cut JSON, a page, nothing, a wrong type: all with status 200."""
    async with opening() as client:
        _, good = await client.raw(path(client))
        found = {}
        for name in ("cut_json", "html", "empty_body", "wrong_type"):
            client.cloud.faults = Faults(**{name: 1.0})
            found[name] = await client.raw(path(client))

    assert {response.status for response, _ in found.values()} == {200}
    assert found["cut_json"][1] == good[: len(good) * 2 // 3]
    assert found["html"][1].startswith(b"<!DOCTYPE html>")
    assert found["html"][0].content_type == "text/html"
    assert found["empty_body"][1] == b""
    assert (found["wrong_type"][0].content_type, found["wrong_type"][1]) == ("text/plain", good)


async def test_a_connection_is_reset_in_the_body(opening: Any) -> None:
    """The client learns that the body is not whole."""
    async with opening(faults=Faults(reset=1.0)) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.raw(path(client))
        client.cloud.faults = Faults()
        status, _ = await client.get("plants")

    assert status == 200


async def test_a_repetition_gets_another_chance(opening: Any) -> None:
    """Whether an answer is spoiled depends on seed, URL and attempt: the same run gives the same sequence."""
    sequences = []
    for seed in (7, 7, 8):
        async with opening(seed=seed, plants=1, faults=Faults(http_503=0.5)) as client:
            sequences.append([(await client.get("plants"))[0] for _ in range(30)])

    assert sequences[0] == sequences[1] != sequences[2]
    assert 5 < sequences[0].count(503) < 25


async def test_only_some_urls_are_spoiled(opening: Any) -> None:
    """`only` confines the rates to URLs that contain a text, in any case."""
    async with opening(faults=Faults(http_500=1.0, only=("energybalance",))) as client:
        spared, _ = await client.get("plants")
        response, _ = await client.raw(path(client))

    assert (spared, response.status) == (200, 500)


async def test_a_series_can_fail_for_ever(opening: Any) -> None:
    """Named by set, device, or id and set, its values answer the chosen status; nothing else does."""
    async with opening() as client:
        plant, other = client.cloud.truth.plants()[:2]
        device = plant.devices[0].device_id
        client.cloud.faults = Faults(
            failing=("GridSettings:503", f"{plant.plant_id}/EnergyBalance:404", f"{device}:500")
        )
        stem = "measurements/sets/"
        found = [
            (await client.get(f"plants/{plant.plant_id}/{stem}GridSettings/Day?Date={DAY}"))[0],
            (await client.get(f"plants/{plant.plant_id}/{stem}EnergyBalance/Day?Date={DAY}"))[0],
            (await client.get(f"plants/{other.plant_id}/{stem}EnergyBalance/Day?Date={DAY}"))[0],
            (await client.get(f"devices/{device}/{stem}PowerAc/Day?Date={DAY}"))[0],
            (await client.get(f"devices/{device}/{stem}".rstrip("/")))[0],
        ]

    assert found == [503, 404, 200, 500, 200]


async def test_envelope_fields_can_lack(opening: Any) -> None:
    """`resolution` and `setType` may be missing, and stamps may have up to seven fractional digits."""
    async with opening(faults=Faults(no_resolution=1.0, no_set_type=1.0, fraction_digits=7)) as client:
        _, body = await client.ask(path(client))

    assert body.keys() == {"plant", "set"}
    assert body["set"][0]["time"] == f"{DAY}T00:05:00.0000000"


def test_single_rows_are_missing() -> None:
    """A share of device rows never exists; plant rows have a switch of their own."""
    whole = sheets(Faults(missing_rows=0), "EnergyAndPowerInOut")
    holed = sheets(Faults(missing_rows=0.1), "EnergyAndPowerInOut")
    plant = sheets(Faults(missing_plant_rows=0.1), "EnergyBalance")

    assert 0.06 < 1 - sum(map(len, holed)) / sum(map(len, whole)) < 0.14
    assert sum(map(len, plant)) < sum(map(len, sheets(Faults(), "EnergyBalance")))
    assert {len(rows) for rows in sheets(Faults(), "EnergyBalance")} == {288, 96}


def test_first_rows_run_wild() -> None:
    """The first PV row of a day is a counter-like or hugely negative value; all others are plausible."""
    high = sheets(Faults(spikes=1.0), "EnergyAndPowerPv")
    low = sheets(Faults(negative_first=1.0), "EnergyAndPowerPv")

    assert all(rows[0].scalars["pvGeneration"] >= 4e5 for rows in high if rows)
    assert all(rows[0].scalars["pvGeneration"] <= -4e5 for rows in low if rows)
    assert all(0 < row.scalars["pvGeneration"] < 3e4 for rows in high for row in rows[1:])


def test_nights_of_direct_current() -> None:
    """PowerDc reports zeros at night 5 to 15 minutes apart, or not at all."""
    awake, asleep = (sheets(Faults(night_rows=on), "PowerDc", plants=1) for on in (True, False))
    steps = {(b.start_utc - a.start_utc).seconds // 60 for rows in awake for a, b in pairwise(rows[:20])}

    assert {5, 10, 15} <= steps
    assert all(row.arrays["dcPowerInput"]["A"] for rows in asleep for row in rows if row.arrays)
    assert sum(map(len, asleep)) < sum(map(len, awake))


def test_arrays_are_empty_now_and_then() -> None:
    """A share of rows has only empty arrays and no isolationResistance."""
    rows = [row for day in sheets(Faults(empty_arrays=0.1), "PowerDc") for row in day]
    hollow = [row for row in rows if not any(row.arrays.values())]

    assert 0.05 < len(hollow) / len(rows) < 0.15
    assert all(row.arrays == {"dcPowerInput": {}, "dcVoltageInput": {}, "dcCurrentInput": {}} for row in hollow)
    assert not any(row.scalars for row in hollow)


def test_channels_nobody_asked_for() -> None:
    """Surplus channels appear in every row of a spoiled day."""
    days = sheets(Faults(surplus=0.5), "EnergyAndPowerConsumption")
    odd = ["setPointFeedInPower" in day[0].scalars for day in days]

    assert {True, False} == set(odd)
    assert all(
        ("setPointFeedInPower" in row.scalars) == is_odd for day, is_odd in zip(days, odd, strict=True) for row in day
    )


async def test_odd_plants(opening: Any) -> None:
    """A device may share its plant's id, two plants a serial, one list two owners."""
    faults = Faults(device_equals_plant=1.0, shared_serials=1.0, two_owners=True)
    async with opening(consent=False, faults=faults) as client:
        truth = client.cloud.truth
        twins = [device for device in truth.devices() if device.device_id == device.plant_id]
        serials = [device.serial for device in truth.devices() if device.serial]
        client.cloud.accept("second.owner@example.org")
        _, listed = await client.get("plants")
        plant = listed["plants"][0]["plantId"]
        _, as_plant = await client.get(f"plants/{plant}")
        _, as_device = await client.get(f"devices/{plant}")

    assert len(twins) == 6
    assert len(serials) - len(set(serials)) >= 4
    assert len(listed["plants"]) == 3
    assert as_plant["plantId"] == as_device["details"]["deviceId"] == plant
