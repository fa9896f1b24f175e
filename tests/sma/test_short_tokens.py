"""Tokens that live for two seconds, under sixteen workers, against the local cloud's identity server."""

from __future__ import annotations

import asyncio
import time

import pytest

from harvester.sandbox import Settings, serving
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.sma.tokens import LEEWAY
from harvester.sma.wire import Kind

LIFE = 2
WORKERS = 16


@pytest.mark.parametrize("latency", [0.0, 0.1])
async def test_short_tokens_cause_no_stampede(latency: float) -> None:
    """Each renewal is one token call for all workers, and hardly any request comes with a token that has ended."""
    settings = Settings(plants=1, devices=1, token_seconds=LIFE, latency_seconds=latency)
    async with serving(settings) as running:
        running.cloud.accept(settings.owners[0])
        hosts = Hosts(auth_url=running.url, consent_url=running.url, monitoring_url=f"{running.url}/monitoring/v1")
        credentials = Credentials(client_id=settings.client_id, client_secret=settings.client_secret)
        async with Client(hosts, credentials, Limits(concurrency=WORKERS)) as client:
            began = time.monotonic()

            async def work() -> None:
                while running.cloud.counts.tokens < 4:  # the first one and three renewals
                    await client.plants()
                    await asyncio.sleep(0.01)

            await asyncio.gather(*(work() for _ in range(WORKERS)))
            lasted = time.monotonic() - began
            asked = client.counts

    counts = running.cloud.counts
    assert counts.tokens <= 1 + lasted / (LEEWAY * LIFE)  # none is fetched before its time, for whatever reason
    assert counts.requests["token"] == asked.requests[Kind.TOKEN] == counts.tokens
    assert counts.requests["plants"] > 50 * counts.tokens / (1 + 10 * latency)
    assert counts.statuses[401] < 0.02 * counts.requests["plants"]
