"""The operator's listener: metrics, health, and pages to look at; nothing here changes anything.

On loopback it needs no password, but then a web page of somebody else's must not reach it through a name that it makes
point here (DNS rebinding), so only names of this machine are answered. Elsewhere it needs one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from harvester.errors import ConfigError, HarvestError
from harvester.log import mask
from harvester.ops.health import Health
from harvester.ops.kept import Kept, aside
from harvester.ops.pages import status_page
from harvester.ops.standing import Status

USER = "operator"
LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
OPEN = frozenset({"/healthz", "/readyz"})
"""Asked by orchestrators, which have no password; they tell nothing about plants or owners."""
TRIES = 5
"""Wrong passwords from one address within `TRIES_SECONDS`; then it has to wait."""
TRIES_SECONDS = 60.0
COVERAGE_SECONDS, STATUS_SECONDS = 60.0, 2.0
"""How long a page is kept, however many look at it."""
_ADDRESSES = 1_000
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = structlog.get_logger()


class Pages(Protocol):
    """What there is to show; all but the two checks are called in a thread."""

    def metrics(self) -> tuple[bytes, str]:
        """Return the metrics and their content type."""

    def health(self) -> Health:
        """Tell whether the daemon turns; on the loop."""

    def ready(self) -> Health:
        """Tell whether the daemon can do its work; on the loop."""

    def coverage(self) -> str:
        """Return the page about the coverage."""

    def status(self) -> Status:
        """Return how everything stands."""


@asynccontextmanager
async def serving_operator(address: str, pages: Pages, *, password: str | None) -> AsyncIterator[str]:
    """Serve *pages* on *address* (HOST:PORT, port 0 takes a free one) and yield the URL.

    Raises `ConfigError` where nothing can listen there, or where others than this machine would need no password.
    """
    host, _, port = address.rpartition(":")
    if password is None and host not in LOCAL:
        raise ConfigError("web.operator: beyond this machine it needs HARVESTER_WEB__OPERATOR_PASSWORD")
    runner = web.AppRunner(_application(pages, password), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise ConfigError(f"web.operator: nothing can listen on {address} ({error.strerror or error})") from error
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # a closed transport leaves its socket in the loop's next turn


def _application(pages: Pages, password: str | None) -> web.Application:
    guard = _password(password) if password is not None else _this_machine
    app = web.Application(middlewares=[_hardened, guard])
    status, coverage = Kept(pages.status, STATUS_SECONDS), Kept(pages.coverage, COVERAGE_SECONDS)

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = await aside(pages.metrics)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def health(_: web.Request) -> web.Response:
        return _checked(pages.health())

    async def ready(_: web.Request) -> web.Response:
        return _checked(pages.ready())

    async def overview(_: web.Request) -> web.Response:
        return _html(status_page(await status.get()))

    async def as_json(_: web.Request) -> web.Response:
        return web.json_response((await status.get()).facts())

    async def covered(_: web.Request) -> web.Response:
        response = _html(await coverage.get())
        scripted = _HEADERS["Content-Security-Policy"].replace("script-src 'none'", "script-src 'unsafe-inline'")
        response.headers["Content-Security-Policy"] = scripted
        return response

    for path, respond in (
        ("/", overview),
        ("/status.json", as_json),
        ("/coverage", covered),
        ("/metrics", metrics),
        ("/healthz", health),
        ("/readyz", ready),
    ):
        app.router.add_get(path, respond)
    return app


def _checked(health: Health) -> web.Response:
    body: dict[str, Any] = {"status": "ok" if health.ok else "failing", "reasons": list(health.reasons)}
    return web.json_response(body, status=200 if health.ok else 503)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


@web.middleware
async def _hardened(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer GET and HEAD only, never with the inside of an error, always with headers that keep browsers strict."""
    response: web.StreamResponse
    if request.method not in {"GET", "HEAD"}:
        response = web.Response(status=405, text="GET and HEAD only\n", headers={"Allow": "GET, HEAD"})
    else:
        response = await _answered(request, handler)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.Response(status=error.status, text=f"{error.reason}\n")
    except HarvestError as error:
        return web.Response(status=503, text=f"{mask(str(error))}\n")
    except Exception:
        log.exception("web.failed", path=request.path)
        return web.Response(status=500, text="This page could not be made; the log says why.\n")


@web.middleware
async def _this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer only under a name of this machine."""
    try:
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        name = ""
    if (f"[{name}]" if ":" in name else name) in LOCAL:
        return await handler(request)
    return web.Response(status=403, text="Open this page as http://localhost or http://127.0.0.1 with its port.\n")


def _password(password: str) -> Middleware:
    """Return what lets pass who knows the *password*, and makes who guesses it wait."""
    wanted = f"{USER}:{password}".encode()
    failed: dict[str, list[float]] = {}

    def tries(remote: str, now: float) -> list[float]:
        return [at for at in failed.get(remote, []) if now - at < TRIES_SECONDS]

    @web.middleware
    async def knows(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        now, remote = asyncio.get_running_loop().time(), request.remote or ""
        given, before = _given(request), tries(remote, now)
        if given is not None and len(before) >= TRIES:
            wait = str(int(before[0] + TRIES_SECONDS - now) + 1)
            text = "Too many wrong passwords: wait a minute.\n"
            return web.Response(status=429, text=text, headers={"Retry-After": wait})
        if given is not None and hmac.compare_digest(given, wanted):
            failed.pop(remote, None)
            return await handler(request)
        if given is not None:
            failed[remote] = [*before, now]
            if len(failed) > _ADDRESSES:
                failed.pop(next(iter(failed)))
        challenge = {"WWW-Authenticate": 'Basic realm="sma-harvester", charset="UTF-8"'}
        return web.Response(status=401, text="The user is operator.\n", headers=challenge)

    return knows


def _given(request: web.Request) -> bytes | None:
    """Return user and password as the request has them, None where it has none."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    kind, _, value = header.partition(" ")
    try:
        return base64.b64decode(value.strip(), validate=True) if kind.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""
