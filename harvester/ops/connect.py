"""The plant owners' listener: a button that leads to SMA, and the way back. Nothing else is answered here.

It is reached from the internet, so it believes nothing: a return counts only in the browser that set out, once, within
ten minutes; a name for an owner only with the operator's mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

import structlog
from aiohttp import web

from harvester.errors import AnswerError, ConfigError, HarvestError, Retry
from harvester.ops import connect_pages as pages
from harvester.ops.connect_limit import RateLimit, visitor
from harvester.ops.connect_link import PURPOSE, connect_link
from harvester.ops.connect_visits import GOOD_FOR, UnderWay, Visits, Wrong
from harvester.sma.code_grant import Visit
from harvester.state.vault import Keyring

CALLBACK = "/callback"
"""Below web.public_url; SMA must know it as the client's redirect URI."""
LONGEST_ADMISSION = 60.0
"""Seconds that an owner waits for SMA."""
LONGEST_CODE = 4096

log = structlog.get_logger()

WRONG: Mapping[Wrong, tuple[str, str]] = {
    Wrong.UNKNOWN: ("This page has no beginning", "It was not opened from here, or too long ago. Please begin again."),
    Wrong.EXPIRED: ("That took too long", "For your safety a visit to SMA counts for ten minutes. Please begin again."),
    Wrong.USED: (
        "This was done already",
        "Each visit to SMA counts once. If you saw our thanks, your plants are connected.",
    ),
    Wrong.FOREIGN: (
        "This is another browser",
        "Please begin again, and stay in one browser. It must accept cookies from this page.",
    ),
}


class Door(Protocol):
    """What lets owners in: `harvester.sma.code_client.CodeClient`."""

    async def visit(self, redirect_uri: str) -> Visit:
        """Prepare an owner's way to SMA."""
        ...

    def address_of(self, visit: Visit) -> str:
        """Return where the owner's browser is sent."""
        ...

    async def admit(self, code: str, visit: Visit, label: str | None) -> str:
        """Exchange what an owner brought back, keep it, and return the owner's name."""
        ...


@asynccontextmanager
async def serving_connect(  # the parts that meet here
    address: str,
    door: Door,
    *,
    public_url: str,
    keyring: Keyring,
    wall: Callable[[], datetime],
    on_connected: Callable[[str], None],
) -> AsyncIterator[str]:
    """Serve plant owners on *address* (HOST:PORT, port 0 takes a free one) and yield the URL.

    *public_url* is how owners and SMA reach it; *wall* answers aware UTC; *on_connected* is called on the loop with
    the name of each owner who has connected. Raises `ConfigError` where nothing can listen there.
    """
    host, _, port = address.rpartition(":")
    pages_of = _Pages(door, public_url.rstrip("/"), keyring, wall, on_connected)
    app = web.Application(client_max_size=16 * 1024)
    app.router.add_route("*", "/{path:.*}", pages_of.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)  # its lines would hold codes
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise ConfigError(f"web.public: nothing can listen on {address} ({error.strerror or error})") from error
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # a closed transport leaves its socket in the loop's next turn


class _Pages:
    """From a request to its answer."""

    def __init__(
        self,
        door: Door,
        public_url: str,
        keyring: Keyring,
        wall: Callable[[], datetime],
        on_connected: Callable[[str], None],
    ) -> None:
        self._door = door
        self._redirect_uri = public_url + CALLBACK
        self._secure = public_url.startswith("https:")
        self._keyring = keyring
        self._visits = Visits(wall, secure=self._secure)
        self._limit = RateLimit(wall)
        self._on_connected = on_connected

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, whatever it is; nothing of an error's inside leaves."""
        wait = self._limit.wait(visitor(request.remote, request.headers.get("X-Forwarded-For", "")))
        if wait:
            response = _page(pages.trouble("Too many requests", f"Please wait {wait} seconds.", None), 429)
            response.headers["Retry-After"] = str(wait)
            return response
        try:
            return await self._answered(request)
        except Exception:
            log.exception("connect.failed")
            return _ours(None)

    async def _answered(self, request: web.Request) -> web.Response:
        match (request.method, request.path):
            case ("GET" | "HEAD", "/" | "/connect"):
                return self._welcome(request)
            case ("POST", "/connect"):
                return await self._set_out(request)
            case ("GET", "/callback"):
                return await self._come_back(request)
        return _page(pages.trouble("There is nothing here", "Please check the address.", None), 404)

    def _welcome(self, request: web.Request) -> web.Response:
        label, bad = self._invited(request)
        return bad or _page(pages.welcome(self._again(label), label))

    async def _set_out(self, request: web.Request) -> web.Response:
        """Send the owner to SMA."""
        label, bad = self._invited(request)
        if bad:
            return bad
        # Browsers that say where a form was sent from are believed; Origin is "null" under no-referrer.
        if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            return _page(pages.trouble("Please begin here", "The button is on our own page.", self._again(label)), 403)
        visit = await self._door.visit(self._redirect_uri)
        cookie, browser = self._visits.begin(visit, label)
        response = web.Response(status=303, headers={**pages.HEADERS, "Location": self._door.address_of(visit)})
        seconds = int(GOOD_FOR.total_seconds())
        response.set_cookie(cookie, browser, max_age=seconds, httponly=True, samesite="Lax", secure=self._secure)
        return response

    async def _come_back(self, request: web.Request) -> web.Response:
        """Take what SMA sent the owner back with."""
        found = self._visits.finish(request.query.get("state", ""), request.cookies)
        if isinstance(found, Wrong):
            title, words = WRONG[found]
            return _page(pages.trouble(title, words, None if found is Wrong.USED else self._again(None)), 400)
        response = await self._arrived(request, found)
        response.del_cookie(found.cookie, httponly=True, samesite="Lax", secure=self._secure)
        return response

    async def _arrived(self, request: web.Request, found: UnderWay) -> web.Response:
        again, code = self._again(found.label), request.query.get("code", "")
        if "error" in request.query:
            denied = request.query["error"] == "access_denied"
            log.info("connect.refused", denied=denied)
            title = "You did not give permission" if denied else "SMA could not do it"
            words = "Nothing was connected. You may try again whenever you like."
            return _page(pages.trouble(title, words, again), 403 if denied else 400)
        if not 0 < len(code) <= LONGEST_CODE:
            return _page(pages.trouble("SMA's answer is not complete", "Please begin again.", again), 400)
        try:
            async with asyncio.timeout(LONGEST_ADMISSION):
                owner = await self._door.admit(code, found.visit, found.label)
        except (Retry, TimeoutError) as error:
            log.warning("connect.unreachable", reason=str(error) or "SMA took too long")
            words = "SMA does not answer just now. Please try again in a few minutes."
            return _page(pages.trouble("SMA cannot be reached", words, again), 503)
        except AnswerError as error:
            log.warning("connect.not_taken", reason=str(error))
            words = "SMA did not confirm your visit; perhaps it took too long. Please begin again."
            return _page(pages.trouble("That did not work", words, again), 400)
        except HarvestError as error:
            log.error("connect.broken", reason=str(error))  # noqa: TRY400  # a traceback says no more than the text
            return _ours(again)
        log.info("connect.done", owner=owner)
        self._on_connected(owner)
        return _page(pages.thanks())

    def _invited(self, request: web.Request) -> tuple[str | None, web.Response | None]:
        """Return the name that a link gives its owner, or the answer to a link that is not the operator's."""
        label = request.query.get("owner")
        if label is None or self._keyring.marked(PURPOSE, label, request.query.get("mark", "")):
            return label, None
        words = "It is incomplete or was changed. Please ask for a new one, or connect without it."
        return None, _page(pages.trouble("This link is not valid", words, "/connect"), 400)

    def _again(self, label: str | None) -> str:
        return connect_link("", self._keyring, label) if label else "/connect"


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(text=html, content_type="text/html", status=status, headers=pages.HEADERS)


def _ours(again: str | None) -> web.Response:
    words = "This is our fault, not yours, and we have been told. Please try again later."
    return _page(pages.trouble("Something is wrong on our side", words, again), 500)
