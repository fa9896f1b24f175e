"""What the client fetches, and what it tells about itself."""

import asyncio
import gzip
from datetime import UTC, datetime

import pytest
from aiohttp import web

from harvester.errors import (
    HarvestError,
    NotFound,
)
from harvester.model import Slice
from harvester.sma.tally import Call
from harvester.sma.wire import Kind
from tests.sma.conftest import Connect, Fake

BODY = '{"plant":{"plantId":"7"},"set":[]}'


async def test_values_come_as_they_are(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A body is handed out as delivered, with the time at which it was asked."""
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    fake.on(fake.VALUES, fake.reply(BODY))
    async with connect(client={"wall": lambda: noon}) as client:
        answer = await client.measurements(wanted)

    assert (answer.body, answer.asked_at, answer.moved) == (BODY.encode(), noon, None)
    assert fake.calls(fake.VALUES)[0].query == {"Date": "2026-03-28", "ReturnEnergyValues": "false"}
    assert fake.calls(fake.VALUES)[0].headers["user-agent"].startswith("sma-harvester/")


async def test_gzip_is_read(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A compressed body comes decompressed."""
    fake.on(fake.VALUES, fake.reply(gzip.compress(BODY.encode()), Content_Encoding="gzip"))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()
    assert "gzip" in fake.calls(fake.VALUES)[0].headers["accept-encoding"]


async def test_the_content_type_does_not_matter(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """JSON under a wrong name is JSON."""
    fake.on(fake.VALUES, fake.reply(BODY, Content_Type="text/html; charset=nonsense"))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()


async def test_a_plant_is_merged_from_its_parts(fake: Fake, connect: Connect) -> None:
    """Details, installation and location make one plant; a part that is not served is no error."""
    fake.on("/v1/plants/7", fake.reply('{"plantId":"7","name":"Barn","timezone":"Europe/Berlin"}'))
    fake.on("/v1/plants/7/installation", fake.reply('{"peakPower":9800,"startUpUtc":"2021-11-03T00:00:00"}'))
    async with connect() as client:
        plant = await client.plant("7")

    assert (plant.peak_power, plant.start_up, plant.latitude) == (
        9800.0,
        datetime(2021, 11, 3, tzinfo=UTC),
        None,
    )


async def test_the_full_device_list_stands_in_for_the_lean_one(fake: Fake, connect: Connect) -> None:
    """Where the lean form is unknown, it is tried once and not again."""
    fake.on("/v1/plants/7/devices", fake.reply('{"devices":[{"deviceId":"7"}]}'))
    async with connect() as client:
        devices = [await client.devices("7") for _ in range(2)]

    assert [device.plant_id for (device,) in devices] == ["7", "7"]
    assert len(fake.calls("/v1/plants/7/devices/lean")) == 1
    assert fake.seen[-1].query == {"WithDeactivatedDevices": "true"}


async def test_a_plant_that_left_is_asked_for_once(fake: Fake, connect: Connect) -> None:
    """Once the lean form has answered, its 404 means the plant."""
    fake.on("/v1/plants/7/devices/lean", fake.reply('{"devices":[]}'))
    async with connect() as client:
        await client.devices("7")
        with pytest.raises(NotFound):
            await client.devices("8")

    assert fake.calls("/v1/plants/8/devices") == []


async def test_cancellation_passes(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A cancelled request leaves no permit in flight."""

    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    fake.on(fake.VALUES, hang)
    async with connect() as client:
        task = asyncio.create_task(client.measurements(wanted))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert client.pace.spent == 1
        assert client.pace._in_flight == 0


async def test_progress_is_told(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """Each request that ends is told with its kind, outcome and size."""
    calls: list[Call] = []
    fake.on(fake.VALUES, fake.reply("", 500), fake.reply(BODY))
    async with connect(client={"on_request": calls.append}) as client:
        await client.measurements(wanted)

    assert [(call.kind, call.outcome, call.status) for call in calls] == [
        (Kind.TOKEN, "ok", 200),
        (Kind.VALUES, "ServerTrouble", 500),
        (Kind.VALUES, "ok", 200),
    ]
    assert calls[-1].size == len(BODY)
    assert client.counts.bytes_read == sum(call.size for call in calls)


async def test_a_client_is_used_inside_of_its_context(connect: Connect) -> None:
    """A client that is not open says so; that is a mistake of the caller and no HarvestError."""
    with pytest.raises(RuntimeError, match="outside") as caught:
        await connect().verify()

    assert not isinstance(caught.value, HarvestError)
