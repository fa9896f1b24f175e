"""A cloud on loopback, a clock to set, and a client that speaks HTTP to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from harvester.sandbox import Cloud, Settings, TruthSeries, serving

OWNER = "owner@example.org"
CLIENT = {"client_id": "local-sandbox", "client_secret": "local-sandbox"}


@dataclass
class Clock:
    """A present that moves only when told."""

    at: datetime = datetime(2024, 7, 20, 12, 3, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the present."""
        return self.at

    def move(self, **duration: float) -> None:
        """Let time pass."""
        self.at += timedelta(**duration)


@dataclass
class Client:
    """One HTTP client with a token."""

    url: str
    cloud: Cloud
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def token(self, **form: str) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint."""
        form = {**CLIENT, "grant_type": "client_credentials", **form}
        async with self.session.post(f"{self.url}/oauth2/token", data=form) as response:
            return response.status, await response.json()

    async def log_in(self) -> None:
        """Take a new token for all further requests."""
        _, body = await self.token()
        self.headers = {"Authorization": f"Bearer {body['access_token']}"}

    async def ask(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        """Return status and JSON (None without a body)."""
        response, body = await self.raw(path, method, **options)
        return response.status, (await response.json() if body else None)

    async def raw(self, path: str, method: str = "GET", **options: Any) -> tuple[aiohttp.ClientResponse, bytes]:
        """Return the response and its whole body."""
        options = {"headers": self.headers, "allow_redirects": False, **options}
        async with self.session.request(method, self.url + path, **options) as response:
            return response, await response.read()

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        """Ask the monitoring API."""
        return await self.ask(f"/monitoring/v1/{path}", params=query)

    async def values(self, series: TruthSeries, period: str, **query: str) -> dict[str, Any]:
        """Return the body of a value answer that must be 200."""
        stem = f"devices/{series.device_id}" if series.device_id else f"plants/{series.plant_id}"
        status, body = await self.get(f"{stem}/measurements/sets/{series.set}/{period}", **query)
        assert status == 200, body
        return dict(body)


Opening = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def clock() -> Clock:
    """Noon and three minutes, 20 July 2024, UTC."""
    return Clock()


@pytest.fixture
def opening(clock: Clock) -> Opening:
    """Open a cloud of these settings with a client that has a token; owners accept unless told otherwise."""

    @asynccontextmanager
    async def opened(*, consent: bool = True, **settings: Any) -> AsyncIterator[Client]:
        chosen = Settings(**settings)
        async with serving(chosen, now=clock) as running, aiohttp.ClientSession() as session:
            client = Client(running.url, running.cloud, session)
            if chosen.grant == "custom":
                await client.log_in()
            for plant in running.cloud.truth.plants() if consent else ():
                running.cloud.accept(plant.owner)
            running.cloud.reset_counts()
            yield client

    return opened
