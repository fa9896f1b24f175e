"""The socket: aiohttp requests to values and values to responses, and a server that ends when told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from harvester.sandbox.cloud import Cloud
from harvester.sandbox.exchange import Answer, Call
from harvester.sandbox.settings import Settings
from harvester.sandbox.spoiling import cut, spoil
from harvester.sandbox.zones import utc_now

SMALLEST_PACKED = 500
"""Bodies below that many bytes are not compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A cloud that listens."""

    url: str
    """Scheme, host and port, no trailing slash."""
    cloud: Cloud


def application(cloud: Cloud, closing: asyncio.Event | None = None) -> web.Application:
    """Return the application; hanging requests end when `closing` is set or the client leaves."""
    stop = closing or asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = cloud.answer(await _call(request))
        if cloud.settings.latency_seconds:
            await asyncio.sleep(cloud.settings.latency_seconds)
        if answer.ending == "hang":
            await stop.wait()
            cut(request)
            return web.Response(status=503)
        if answer.ending != "whole":
            return await spoil(request, answer, stop)
        return _response(request, answer, packing=cloud.settings.gzip)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    return app


@asynccontextmanager
async def serving(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 0, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Running]:
    """Serve a cloud on loopback; port 0 takes a free one, a port in use raises OSError."""
    cloud = Cloud(settings, now=now)
    closing = asyncio.Event()
    runner = web.AppRunner(
        application(cloud, closing), access_log=None, shutdown_timeout=0.2, handler_cancellation=True
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        taken = runner.addresses[0][1]
        yield Running(url=f"http://{f'[{host}]' if ':' in host else host}:{taken}", cloud=cloud)
    finally:
        closing.set()
        await runner.cleanup()
        # a closed transport leaves its socket in the loop's next turn, which may otherwise never come
        await asyncio.sleep(0)


async def _call(request: web.Request) -> Call:
    return Call(
        method=request.method,
        origin=f"{request.scheme}://{request.host}",
        raw_path=request.rel_url.raw_path,
        raw_query=request.rel_url.raw_query_string,
        headers=request.headers,
        body=await request.read() if request.can_read_body else b"",
    )


def _response(request: web.Request, answer: Answer, *, packing: bool) -> web.Response:
    headers = dict(answer.headers)
    body = answer.body.plain
    if body:
        headers["Content-Type"] = answer.content_type
    if packing and len(body) >= SMALLEST_PACKED and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = answer.body.packed
        headers["Content-Encoding"] = "gzip"
    return web.Response(status=answer.status, body=body or None, headers=headers)
