"""Below HTTP: sockets that lie, bodies without end, another's certificate. A client gives up and holds little."""

import asyncio
import contextlib
import gzip
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from certified import Authority
from impatient import client_at, one_slice
from rogue import rogue
from running import accept_all, command, environment

from harvester.errors import AnswerError, Moved
from harvester.sandbox import Cloud, Faults, Running, Settings, serving
from harvester.sandbox.server import application

TOKEN = b'{"access_token":"secret-token","expires_in":300}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = b'{"plant":{"plantId":"7"},"set":[]}'
HOSTILE = {
    "length too large": HEAD + b"Content-Length: 5000\r\n\r\n" + BODY,
    "length negative": HEAD + b"Content-Length: -5\r\n\r\n" + BODY,
    "length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 34\r\n\r\n" + BODY,
    "length and chunks": HEAD + b"Content-Length: 34\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
    "length astronomic": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "chunk of no length": HEAD + b"Transfer-Encoding: chunked\r\n\r\n;;;\r\n",
    "chunk of a negative length": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + BODY,
    "chunk astronomic": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 64 + b"\r\n" + BODY,
    "chunk extension without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 500_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n" + BODY,
    "header with NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 34\r\n\r\n" + BODY,
    "header of no form": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n" + BODY,
    "status of letters": b"HTTP/1.1 OK fine\r\n\r\n" + BODY,
    "status 999": b"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n",
    "only continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + BODY,
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 9,
    "deflate that is none": HEAD + b"Content-Encoding: deflate\r\nContent-Length: 34\r\n\r\n" + BODY,
    "encoding unknown": HEAD + b"Content-Encoding: zstd\r\nContent-Length: 34\r\n\r\n" + BODY,
    "nothing": b"",
}
"""What is no answer."""


def encoded(name: bytes, body: bytes) -> bytes:
    """Return an answer whose body is declared as encoded like this."""
    return HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (name, len(body)) + body


FAIR = HEAD + b"Content-Length: 34\r\n\r\n" + BODY
ODD = {
    "no length at all": HEAD + b"\r\n" + BODY,
    "an old version": HEAD.replace(b"1.1", b"1.0") + b"\r\n" + BODY,
    "a status without a reason": FAIR.replace(b" OK", b""),
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + FAIR,
    "header in two lines": FAIR.replace(b"Content-L", b"X: a\r\n b\r\nContent-L"),
    "header of another alphabet": FAIR.replace(b"Content-L", b"X: \xff\xfe\r\nContent-L"),
    "chunks with an extension and a trailer": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n"
    + BODY[:5]
    + b"\r\n1D\r\n"
    + BODY[5:]
    + b"\r\n0\r\nX-Trailer: y\r\n\r\n",
    "more than the length says": FAIR + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "encoded as itself": encoded(b"identity", BODY),
    "gzip in two members": encoded(b"gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
    "gzip with padding": encoded(b"x-gzip", gzip.compress(BODY) + bytes(9)),
    "deflate": encoded(b"deflate", zlib.compress(BODY)),
    "deflate without its wrapping": encoded(b"deflate", zlib.compress(BODY)[2:-4]),
}
"""What is an answer all the same, however few servers speak like that."""


@asynccontextmanager
async def speaking(octets: bytes, *, drip: float = 0.0) -> AsyncIterator[str]:
    """Give out a good token, and answer everything else with *octets*, then hang up or trickle on."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await reader.readuntil(b"\r\n\r\n")
            if b"/oauth2/token" in request:
                writer.write(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN)
            else:
                writer.write(octets)
                while drip:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(drip)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE)
async def test_whatever_a_socket_says_the_error_is_ours(octets: bytes) -> None:
    """It says what was asked; nothing of the library, no token, and an end."""
    async with speaking(octets) as url, client_at(url) as client:
        with pytest.raises(AnswerError) as raised:
            await client.measurements(one_slice())

    assert str(raised.value).startswith("GET /v1/plants/7/measurements/sets/EnergyBalance/Day: ")
    assert "secret-token" not in repr(raised.value)


@pytest.mark.parametrize("octets", ODD.values(), ids=ODD)
async def test_an_odd_answer_is_read_to_the_last_byte(octets: bytes) -> None:
    """The body as it was meant, and nothing of what came with it."""
    async with speaking(octets) as url, client_at(url) as client:
        answer = await client.measurements(one_slice())

    assert answer.body == BODY


@pytest.mark.parametrize("begun", [HEAD, HEAD + b"Content-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b""])
async def test_a_trickle_ends_wherever_it_begins(begun: bytes) -> None:
    """A byte now and then keeps no request alive: not in the body, not in the headers."""
    async with speaking(begun, drip=0.1) as url, client_at(url, timeout_seconds=0.3) as client:
        with pytest.raises(AnswerError):
            await client.measurements(one_slice())


async def test_a_token_goes_to_no_other_host() -> None:
    """A second cloud that is named by the first hears nothing at all, whatever the redirect looks like."""
    async with rogue() as other:
        host = other.url.removeprefix("http://")
        places = [f"{other.url}/v1/plants", f"//{host}/v1/plants", f"https://{host}/x", f"http://u:p@{host}/"]
        for place in places:
            location = f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
            async with speaking(location) as url, client_at(url) as client:
                with pytest.raises(Moved):
                    await client.measurements(one_slice())

    assert other.seen == []


CHILD = """
import asyncio, json, resource, sys
from datetime import date
if sys.argv[4] == "standard":
    sys.modules["isal"] = None
from harvester.errors import AnswerError
from harvester.model import Period, Series, Slice
from harvester.sma import encoding
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts, Limits

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main(url, plant, name):
    hosts = Hosts(auth_url=url, consent_url=url, monitoring_url=url + "/monitoring/v1")
    series = Series(plant_id=plant, set=name)
    day = date(2026, 5, 12)
    async with Client(hosts, Credentials(client_id="local-sandbox", client_secret="local-sandbox"),
                      Limits(attempts=1, timeout_seconds=30)) as client:
        await client.verify()
        before, errors = peak(), []
        for _ in range(3):
            try:
                await client.measurements(Slice(series=series, period=Period.DAY, date=day, days=(day,)))
            except AnswerError as error:
                errors.append(str(error))
    library = encoding._library.__name__
    print(json.dumps({"grown": peak() - before, "errors": errors, "library": library}))

asyncio.run(main(*sys.argv[1:4]))
"""


async def met(url: str, plant: str = "7", *, library: str = "fast") -> dict[str, Any]:
    """Return what came of a child that asks three times: its errors, how it grew, MiB, and what it unpacks with."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, url, plant, "EnergyBalance", library), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.parametrize(("fault", "library"), [("bomb", "fast"), ("bomb", "standard"), ("endless", "fast")])
async def test_a_body_of_half_a_gigabyte_is_not_held(fault: str, library: str) -> None:
    """A child that meets three of them grows by a few bodies of the allowed size at most, with ISA-L and without."""
    async with serving(Settings(plants=1, devices=1, classic_every=0, faults=Faults(**{fault: 1.0}))) as running:
        accept_all(running)
        found = await met(running.url, running.cloud.truth.plants()[0].plant_id, library=library)

    assert found["library"] == ("zlib" if library == "standard" else "isal.isal_zlib")
    assert len(found["errors"]) == 3
    assert all("more than 33554432 bytes" in error for error in found["errors"])
    assert found["grown"] < 100  # a body may have 32


def bomb(wrapping: int) -> bytes:
    """Return what unpacks to half a gigabyte of blanks; *wrapping* is the one of zlib."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wrapping)
    first, again = (packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 499 + packer.flush()


BOMBS = {
    "deflate": (encoded(b"deflate", bomb(15)), "more than 33554432 bytes"),
    "deflate without its wrapping": (encoded(b"deflate", bomb(-15)), "more than 33554432 bytes"),
    "gzip in gzip": (encoded(b"gzip, gzip", gzip.compress(bomb(31))), "gzip, gzip, which was not asked for"),
    "gzip that says so once": (encoded(b"gzip", gzip.compress(bomb(31))), "something else instead of a JSON object"),
    "gzip in 500 members": (
        encoded(b"gzip", gzip.compress(b" " * (1 << 20)) * 500),
        "cannot be used: more than 33554432 bytes",
    ),
}
"""What unpacks to half a gigabyte, and what a person is told."""


@pytest.mark.parametrize(("octets", "words"), BOMBS.values(), ids=BOMBS)
async def test_no_encoding_hides_a_bomb(octets: bytes, words: str) -> None:
    """However it is wrapped, it is not unpacked beyond what is allowed, or not at all."""
    async with speaking(octets) as url:
        found = await met(url)

    assert len(found["errors"]) == 3
    assert all(words in error for error in found["errors"]), found["errors"]
    assert found["grown"] < 100


TLS_CHILD = """
import asyncio, sys
from harvester.errors import HarvestError
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts, Limits

async def main(url):
    hosts = Hosts(auth_url=url, consent_url=url, monitoring_url=url + "/monitoring/v1")
    credentials = Credentials(client_id="local-sandbox", client_secret="local-sandbox")
    async with Client(hosts, credentials, Limits(attempts=1, timeout_seconds=10)) as client:
        try:
            print("plants", len(await client.plants()))
        except HarvestError as error:
            print(type(error).__name__, error)

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def over_tls(authority: Authority, host: str) -> AsyncIterator[Running]:
    """Serve a cloud at ``https://localhost`` whose certificate is for *host*."""
    cloud = Cloud(Settings(plants=1, devices=1, classic_every=0))
    accept_all(Running(url="", cloud=cloud))
    runner = web.AppRunner(application(cloud), access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.context(host)).start()
        yield Running(url=f"https://localhost:{runner.addresses[0][1]}", cloud=cloud)
    finally:
        await runner.cleanup()


def reached(cloud: Cloud) -> int:
    """Return how many requests reached a cloud."""
    return sum(cloud.counts.requests.values())


async def asked_over_tls(authority: Authority, host: str, trusted: Path) -> tuple[str, int]:
    """Ask a cloud whose certificate is for *host*; return what came of it and how much reached the cloud."""
    async with over_tls(authority, host) as running:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TLS_CHILD, running.url),
            env=os.environ | {"SSL_CERT_FILE": os.fspath(trusted)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await child.communicate()
        return out.decode().splitlines()[-1], reached(running.cloud)


async def test_a_certificate_of_another_host_or_authority_is_refused(tmp_path: Path) -> None:
    """No request reaches such a server, so no secret does; one with the right certificate is asked."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    good, wrong, unknown = await asyncio.gather(
        asked_over_tls(ours, "localhost", ours.file),
        asked_over_tls(ours, "elsewhere.example.org", ours.file),
        asked_over_tls(theirs, "localhost", ours.file),
    )

    assert good[0] == "plants 1"
    assert good[1] > 0
    for said, requests in (wrong, unknown):
        assert said.startswith("Untrusted")
        assert "certificate is not trusted, so nothing was sent" in said
        assert requests == 0


async def test_a_command_says_that_it_is_the_certificate(tmp_path: Path) -> None:
    """4, since nothing could be asked: the address and what is wrong with it; `doctor` tells the rest."""
    ours = Authority(tmp_path / "ours")
    async with over_tls(ours, "elsewhere.example.org") as running:
        env = environment(running, tmp_path, SSL_CERT_FILE=str(ours.file))
        ran, doctor = await asyncio.gather(command(env, "run"), command(env, "doctor", "--check"))

    assert (ran.code, doctor.code) == (4, 3)
    assert "Error: POST /oauth2/token: " in ran.err
    assert "certificate is not trusted" in ran.err
    assert "`harvester doctor`" in ran.err
    assert running.url in ran.err
    assert "its certificate is not trusted" in doctor.out
    assert "Hostname mismatch" in doctor.out
    assert "Traceback" not in ran.err + doctor.err
    assert reached(running.cloud) == 0
