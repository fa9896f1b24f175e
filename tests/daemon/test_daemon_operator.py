"""What an operator sees of a running daemon: pages, metrics and messages, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from running import accept_all, command, environment, started
from truth_frames import lake_tables

from harvester.sandbox import Settings, serving

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 21)
SPAN = ("--from", str(FIRST), "--to", str(LAST))
OFTEN = {
    "HARVESTER_SCHEDULE__DISCOVER": "2s",
    "HARVESTER_SCHEDULE__CONSENT": "2s",
    "HARVESTER_HARVEST__SINCE": "1d",
    "HARVESTER_WEB__OPERATOR": "127.0.0.1:0",
}


@asynccontextmanager
async def daemon(env: dict[str, str]) -> AsyncIterator[str]:
    """Run a daemon and yield the operator's address."""
    process = await started({**env, **OFTEN}, "--log-level", "info", "daemon")
    assert process.stderr is not None
    try:
        async for line in process.stderr:
            said = json.loads(line)
            if said["event"] == "operator.listening":
                yield said["url"]
                break
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Return status and text."""
    async with session.get(url) as answer:
        return answer.status, await answer.text()


async def measured(session: aiohttp.ClientSession, url: str) -> dict[tuple[str, str], float]:
    """Return the metrics by name and by their labels' values."""
    _, text = await get(session, f"{url}/metrics")
    families = text_string_to_metric_families(text)
    return {(s.name, " ".join(s.labels.values())): s.value for family in families for s in family.samples}


async def test_pages_and_metrics_tell_what_is_durable(tmp_path: Path) -> None:
    """Rows are counted as the lake holds them, requests as the cloud got them; the daemon is healthy and ready."""
    async with (
        serving(Settings(plants=2, devices=4, start=date(2026, 10, 1))) as running,
        aiohttp.ClientSession() as web,
    ):
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_HARVEST__LIVE_SETS="[]", HARVESTER_RAW__KEEP="none")
        async with daemon(env) as url:
            ordered = await command(env, "backfill", *SPAN)
            await asyncio.sleep(6)
            rows = {name: frame.height for name, frame in lake_tables(tmp_path / "lake").items()}
            found = await measured(web, url)
            asked = running.cloud.counts.requests["values"]
            health, ready = await get(web, f"{url}/healthz"), await get(web, f"{url}/readyz")
            page, status = await get(web, f"{url}/"), await get(web, f"{url}/status.json")

    assert ordered.code == 0
    assert {name: found["sma_harvester_rows_total", name] for name in rows} == rows
    assert found["sma_harvester_requests_total", "values ok"] == asked
    assert found["sma_harvester_consents", "accepted"] == 1
    assert found["sma_harvester_plants", ""] == 2
    assert (health[0], ready[0], page[0]) == (200, 200, 200)
    assert "backfill" in page[1]
    assert json.loads(status[1])["fleet"]["plants"] == 2


async def test_a_person_is_called_when_a_consent_is_lost_and_told_when_it_is_back(tmp_path: Path) -> None:
    """One message when it begins, one when it is over, each with what to do; the address of the receiver in no log."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook/s3cret", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/s3cret"
    try:
        async with serving(Settings(plants=1, devices=2, start=date(2026, 11, 1), owners=("a@b.org",))) as running:
            running.cloud.accept("a@b.org")
            more = {"HARVESTER_ALERTS__WEBHOOK_URL": hook, "HARVESTER_SMA__OWNERS": '["a@b.org"]'}
            async with daemon(environment(running, tmp_path, **more)), asyncio.timeout(100):
                while not (tmp_path / "lake" / "plants").exists():
                    await asyncio.sleep(0.1)
                running.cloud.revoke("a@b.org")
                lost = await _about(told, "consent")
                running.cloud.accept("a@b.org")
                back = await _about(told, "consent")
    finally:
        await runner.cleanup()

    assert lost["state"] == "firing"
    assert "a@b.org" in json.dumps(lost)
    assert "harvester consent request" in lost["remedy"]
    assert back["state"] == "resolved"
    assert back["key"] == lost["key"]


async def _about(told: asyncio.Queue[dict[str, Any]], kind: str) -> dict[str, Any]:
    while True:
        message = await told.get()
        if message["key"].startswith(kind):
            return message
