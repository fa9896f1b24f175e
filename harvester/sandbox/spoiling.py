"""Answers whose body goes wrong on its way: begun like a good one, ended like none."""

import asyncio
import zlib
from functools import cache

from aiohttp import web

from harvester.sandbox.exchange import Answer

BOMB_MEGABYTES = 500
"""What a bomb unpacks to."""
DRIP_BYTES, DRIP_SECONDS = 10, 1.0
"""How much of a trickling body comes at once, and how long the next piece takes, s."""
BLANKS = b" " * 65_536


async def spoil(request: web.Request, answer: Answer, closing: asyncio.Event) -> web.StreamResponse:
    """Send the beginning of the answer as it should be, and then what its ending says."""
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    body = answer.body.plain
    if answer.ending == "bomb":
        response.headers["Content-Encoding"] = "gzip"
    if answer.ending in {"reset", "stall"}:
        response.content_length = len(body)
    elif answer.ending == "chunks":
        response.enable_chunked_encoding()
    await response.prepare(request)
    match answer.ending:
        case "drip":
            await _drip(response, body, closing)
        case "endless":
            await _endless(response, closing)
        case "bomb":
            await response.write(bomb())
        case _:
            await response.write(body[: len(body) // 2])
            await _leave(request, answer, closing)
    return response


async def _leave(request: web.Request, answer: Answer, closing: asyncio.Event) -> None:
    """Stop in the middle of a body."""
    if answer.ending == "stall":
        await closing.wait()
    if answer.ending == "chunks" and request.transport is not None:
        request.transport.write(b"not a length\r\n")
        await asyncio.sleep(0)
    cut(request)


async def _drip(response: web.StreamResponse, body: bytes, closing: asyncio.Event) -> None:
    """Send the body so slowly that no wait for the next byte is long."""
    for start in range(0, len(body), DRIP_BYTES):
        if closing.is_set():
            return
        await response.write(body[start : start + DRIP_BYTES])
        await asyncio.sleep(DRIP_SECONDS)


async def _endless(response: web.StreamResponse, closing: asyncio.Event) -> None:
    """Send blanks, which JSON allows, until the client leaves."""
    while not closing.is_set():
        await response.write(BLANKS)


@cache
def bomb() -> bytes:
    """Return blanks that gzip has made small: the same block over and over, each unpacking on its own."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(BLANKS * 16) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (BOMB_MEGABYTES - 1)


def cut(request: web.Request) -> None:
    """Close the connection without a farewell."""
    if request.transport is not None:
        request.transport.abort()
