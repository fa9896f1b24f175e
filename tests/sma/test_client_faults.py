"""The client against a server in trouble."""

import asyncio
import gzip
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from harvester.errors import (
    AnswerError,
    BadBody,
    ServerTrouble,
    Throttled,
    TimedOut,
    Unreachable,
)
from harvester.model import Slice
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts
from tests.sma.conftest import Connect, Fake

BODY = '{"plant":{"plantId":"7"},"set":[]}'


@pytest.mark.parametrize("form", ["seconds", "date", "absent"])
async def test_429_is_waited_for(fake: Fake, connect: Connect, wanted: Slice, form: str) -> None:
    """A refused request comes again when the wait is over, however it is told, or after a whole window."""
    now = datetime.now(UTC).replace(microsecond=0)
    wait = {
        "seconds": {"Retry_After": "1"},
        "date": {"Retry_After": format_datetime(now + timedelta(seconds=1), usegmt=True)},
        "absent": {},
    }[form]
    if form == "date":
        wait["Date"] = format_datetime(now, usegmt=True)
    fake.on(fake.VALUES, fake.reply("", 429, **wait), fake.reply(BODY))
    loop = asyncio.get_running_loop()
    async with connect(window_seconds=1.0) as client:
        started = loop.time()
        await client.measurements(wanted)
        took = loop.time() - started

    assert 0.95 <= took < 1.5
    assert (client.counts.throttled, client.counts.retries) == (1, 1)


async def test_429_ends_in_throttled(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A server that never stops refusing is left alone after a dozen tries."""
    fake.on(fake.VALUES, fake.reply("", 429, Retry_After="0"))
    async with connect(window_seconds=0.3) as client:
        with pytest.raises(Throttled) as caught:
            await client.measurements(wanted)

    assert caught.value.retry_after == 0.0
    assert len(fake.calls(fake.VALUES)) == 12


async def test_trouble_passes(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """500 and then 200 is a success."""
    fake.on(fake.VALUES, fake.reply("", 500), fake.reply(BODY))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()
    assert client.counts.outcomes == {"ok": 2, "ServerTrouble": 1}


async def test_trouble_that_stays_is_raised(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """After so many attempts the last error is raised, with method, path and the server's words."""
    fake.on(fake.VALUES, fake.reply('{"message":"down for owner@example.org","code":"503"}', 503))
    async with connect(attempts=3) as client:
        with pytest.raises(ServerTrouble, match=r"GET /v1/plants/7/\S+: 503 .*down for o\*\*\*@example.org"):
            await client.measurements(wanted)

    assert len(fake.calls(fake.VALUES)) == 3


async def test_a_server_that_hangs_times_out(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """Silence ends a try."""

    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    fake.on(fake.VALUES, hang, fake.reply(BODY))
    async with connect(timeout_seconds=0.2) as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()
    assert client.counts.outcomes["TimedOut"] == 1


async def test_a_slow_drip_ends(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A body that trickles without ever pausing long enough ends a try as well."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    fake.on(fake.VALUES, drip)
    loop = asyncio.get_running_loop()
    async with connect(timeout_seconds=0.2, attempts=1) as client:
        started = loop.time()
        with pytest.raises(TimedOut):
            await client.measurements(wanted)

    assert loop.time() - started < 1.5


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY.encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n22\r\n" + BODY.encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + BODY.encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 34\r\n\r\n" + BODY.encode(),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(BODY.encode())[:20],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 9\r\n\r\n" + zlib.compress(b"{}")[:9],
    ],
    ids=["cut", "cut-chunk", "length-too-small", "html", "empty", "not-gzip", "cut-gzip", "cut-deflate"],
)
async def test_a_body_that_is_not_what_was_promised_is_asked_again(
    fake: Fake, connect: Connect, wanted: Slice, octets: bytes
) -> None:
    """Whatever is wrong with the body of a 200, the next try is served."""
    fake.on(fake.VALUES, fake.raw(octets), fake.reply(BODY))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()
    assert client.counts.outcomes["BadBody"] == 1


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"", Unreachable),
        (b"SSH-2.0-OpenSSH\r\n", BadBody),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999, BadBody),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", BadBody),
    ],
    ids=["nothing", "ssh", "endless-header", "brotli"],
)
async def test_what_is_not_http_leaks_no_foreign_exception(
    fake: Fake, connect: Connect, wanted: Slice, octets: bytes, error: type[AnswerError]
) -> None:
    """Neither silence nor another protocol nor endless headers leak an exception of the library."""
    fake.on(fake.VALUES, fake.raw(octets))
    async with connect(attempts=2) as client:
        with pytest.raises(error):
            await client.measurements(wanted)

    assert len(fake.calls(fake.VALUES)) >= 2


async def test_a_reset_in_the_body_is_asked_again(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A connection that breaks while the body comes is a reason to try again."""

    async def reset(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    fake.on(fake.VALUES, reset, fake.reply(BODY))
    async with connect() as client:
        answer = await client.measurements(wanted)

    assert answer.body == BODY.encode()


async def test_a_refused_connection_is_unreachable(connect: Connect, wanted: Slice) -> None:
    """Nobody listens: the texts name neither host nor secret."""
    hosts = Hosts(auth_url="http://127.0.0.1:1", consent_url="http://127.0.0.1:1", monitoring_url="http://127.0.0.1:1")
    async with Client(hosts, Credentials(client_id="local", client_secret="very-secret")) as client:
        client._exchange._draw = lambda: 0.0
        with pytest.raises(Unreachable) as caught:
            await client.measurements(wanted)

    assert "127.0.0.1" not in str(caught.value)


async def test_a_gzip_bomb_is_not_held(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """A small body that grows beyond the bound is given up."""
    bomb = gzip.compress(b"{" + b" " * 20_000_000 + b"}")
    fake.on(fake.VALUES, fake.reply(bomb, Content_Encoding="gzip"))
    async with connect(max_body=1_000_000, attempts=1) as client:
        with pytest.raises(BadBody, match="more than 1000000 bytes"):
            await client.measurements(wanted)

    assert len(bomb) < 100_000


async def test_lists_are_asked_again_when_they_are_broken(fake: Fake, connect: Connect) -> None:
    """HTML and a bare array are no plant list; the next answer is."""
    good = fake.reply('{"plants":[{"plantId":7,"name":"Barn","timezone":"Europe/Berlin"}]}')
    fake.on("/v1/plants", fake.reply("<html>"), fake.reply("[]"), good)
    async with connect() as client:
        plants = await client.plants()

    assert [plant.plant_id for plant in plants] == ["7"]
    assert fake.seen[-1].query == {"WithInstallation": "true", "WithLocation": "true"}
