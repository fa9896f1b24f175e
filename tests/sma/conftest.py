"""What the tests of the SMA room share: a virtual clock, and a small server that can misbehave."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

import pytest
from aiohttp import web

from harvester.model import Period, Series, Slice
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts, Limits

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]
Clock = Callable[[], float]
Scene = Callable[[Clock], Awaitable[Any]]
Virtually = Callable[[Scene], Any]
Connect = Callable[..., Client]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of passing."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def virtually(scene: Scene) -> Any:
    """Run *scene*, which gets the clock, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()

        async def play() -> Any:
            return await scene(loop.time)

        return runner.run(play())


@pytest.fixture(name="virtually", scope="session")
def _virtually() -> Virtually:
    """Hand out virtual time; for the whole session, as property tests want it."""
    return virtually


def reply(body: str | bytes = "{}", status: int = 200, **headers: str) -> Step:
    """Answer with *body*; underscores in header names stand for hyphens."""
    raw = body.encode() if isinstance(body, str) else body
    named = {"Content-Type": "application/json"}
    named.update({name.replace("_", "-"): value for name, value in headers.items()})

    async def step(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=raw, headers=named)

    return step


def raw(octets: bytes) -> Step:
    """Write *octets* to the socket as they are, then hang up."""

    async def step(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(octets)
        request.transport.close()
        return web.Response()

    return step


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass(slots=True)
class Fake:
    """An SMA cloud that does what a test tells it to, path by path; the last step of a path is repeated."""

    VALUES: ClassVar[str] = "/v1/plants/7/measurements/sets/EnergyBalance/Day"
    """Where the slice ``wanted`` is asked."""
    reply = staticmethod(reply)
    raw = staticmethod(raw)

    url: str = ""
    token_seconds: float = 300.0
    seen: list[Seen] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def on(self, path: str, *steps: Step) -> None:
        """Let *path* answer with these steps in turn."""
        self.steps[path] = list(steps)

    def calls(self, path: str) -> list[Seen]:
        """Return the requests that *path* got."""
        return [seen for seen in self.seen if seen.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.seen.append(
            Seen(
                method=request.method,
                path=request.rel_url.raw_path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.text(),
            )
        )
        steps = self.steps[request.rel_url.raw_path]
        if steps:
            return await (steps.pop(0) if len(steps) > 1 else steps[0])(request)
        if request.path == "/oauth2/token":
            return await self._token()
        return web.json_response({"message": "Not Found", "code": "404"}, status=404)

    async def _token(self) -> web.Response:
        await asyncio.sleep(0.02)  # long enough for others to want a token as well
        number = next(self._numbers)
        return web.json_response(
            {
                "access_token": f"secret-token-{number}",
                "expires_in": self.token_seconds,
                "refresh_token": f"secret-refresh-{number}",
            }
        )


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """Serve a cloud on loopback."""
    cloud = Fake()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cloud.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cloud.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield cloud
    await runner.cleanup()


@pytest.fixture
def connect(fake: Fake) -> Connect:
    """Build clients of the cloud that try again without waiting."""

    def build(*, client: dict[str, Any] | None = None, **limits: Any) -> Client:
        hosts = Hosts(auth_url=fake.url, consent_url=fake.url, monitoring_url=f"{fake.url}/v1")
        credentials = Credentials(client_id="local", client_secret="very-secret")
        built = Client(hosts, credentials, Limits(**{"timeout_seconds": 1.0, **limits}), **(client or {}))
        built._exchange._draw = lambda: 0.0
        return built

    return build


@pytest.fixture
def wanted() -> Slice:
    """Build one slice, whose values are asked at ``Fake.VALUES``."""
    day = date(2026, 3, 28)
    series = Series(plant_id="7", set="EnergyBalance")
    return Slice(series=series, period=Period.DAY, date=day, days=(day,))
