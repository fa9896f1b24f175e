"""The client where the server names another address, or says no."""

import pytest

from harvester.errors import (
    AnswerError,
    BadBody,
    Forbidden,
    Moved,
    NotFound,
    Rejected,
)
from harvester.model import Slice
from tests.sma.conftest import Connect, Fake

BODY = '{"plant":{"plantId":"7"},"set":[]}'


async def test_a_migrated_plant_is_followed(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """308 to the same host is followed with the token, and tells the new id."""
    new = fake.VALUES.replace("/7/", "/70/")
    fake.on(fake.VALUES, fake.reply("", 308, Location=f"{fake.url}{new}?Date=2026-03-28&ReturnEnergyValues=false"))
    fake.on(new, fake.reply(BODY))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.moved == {"7": "70"}
    assert fake.calls(new)[0].query == {"Date": "2026-03-28", "ReturnEnergyValues": "false"}
    assert fake.calls(new)[0].headers["authorization"] == "Bearer secret-token-1"


async def test_the_old_address_within_the_new_one_hides_nothing(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """What follows the path of the new address, or lies deeper in it, is not what tells the id."""
    new = fake.VALUES.replace("/7/", "/70/")
    fake.on(fake.VALUES, fake.reply("", 308, Location=f"{fake.url}{new}?from={fake.VALUES}"))
    fake.on(new, fake.reply(BODY))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.moved == {"7": "70"}


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.example/v1/plants",
        "//elsewhere.example/x",
        "https://127.0.0.1/x",
        "http://[",
        "ftp://x/y",
        "",
    ],
)
async def test_a_redirect_to_another_host_is_not_followed(
    fake: Fake, connect: Connect, wanted: Slice, location: str
) -> None:
    """No request, and so no token, goes to a host that nobody configured."""
    fake.on(fake.VALUES, fake.reply("", 308, Location=location))
    async with connect() as client:
        with pytest.raises(Moved):
            await client.measurements(wanted)

    assert len(fake.calls(fake.VALUES)) == 1


async def test_a_redirect_in_a_circle_ends(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A circle is noticed when it closes."""
    fake.on(fake.VALUES, fake.reply("", 302, Location="/a?Date=1"))
    fake.on("/a", fake.reply("", 302, Location="/a?Date=1"))
    async with connect() as client:
        with pytest.raises(Moved, match="circle"):
            await client.measurements(wanted)

    assert len(fake.calls("/a")) == 1


async def test_a_long_way_ends(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """More than five redirects are too many."""
    fake.on(fake.VALUES, fake.reply("", 307, Location="/0"))
    for number in range(9):
        fake.on(f"/{number}", fake.reply("", 307, Location=f"/{number + 1}"))
    async with connect() as client:
        with pytest.raises(Moved, match="more than 5"):
            await client.measurements(wanted)

    assert client.counts.outcomes["redirect"] == 6


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, Forbidden), (404, NotFound), (400, Rejected), (415, Rejected), (304, Moved), (204, BadBody)],
)
async def test_statuses_become_errors(
    fake: Fake, connect: Connect, wanted: Slice, status: int, error: type[AnswerError]
) -> None:
    """Each status has its error."""
    fake.on(fake.VALUES, fake.reply("", status))
    async with connect(attempts=1) as client:
        with pytest.raises(error) as caught:
            await client.measurements(wanted)

    assert caught.value.status == status


async def test_ids_cannot_leave_their_segment(fake: Fake, connect: Connect) -> None:
    """An id from the network is one encoded segment, and dots are not asked at all."""
    async with connect() as client:
        with pytest.raises(NotFound):
            await client.device_sets("a/../b?c#d é")
        with pytest.raises(Rejected):
            await client.device_sets("..")

    assert fake.seen[-1].path == "/v1/devices/a%2F..%2Fb%3Fc%23d%20%C3%A9/measurements/sets"
