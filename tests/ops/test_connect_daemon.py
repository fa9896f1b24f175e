"""A running daemon lets owners in, and fetches their data at once."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from connecting import KEY, free_port, signed_in
from running import environment, started
from truth_frames import lake_tables

from harvester.sandbox import Settings, serving

ANN, BOB = "ann@example.org", "bob@example.org"


async def opened(browser: aiohttp.ClientSession, url: str) -> None:
    """Wait until the page is served."""
    while True:
        try:
            await browser.get(url)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
        else:
            return


async def test_an_owner_connects_to_a_daemon_and_is_harvested_at_once(tmp_path: Path) -> None:
    """From an empty folder: no ledger, nobody connected; then one owner, whose plants alone appear, unasked for."""
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    start = datetime.now(UTC).date() - timedelta(days=2)
    settings = Settings(plants=2, devices=2, owners=(ANN, BOB), start=start, grant="code")
    async with (
        serving(settings) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        more = {
            "HARVESTER_SMA__GRANT": "code",
            "HARVESTER_VAULT__KEY": KEY,
            "HARVESTER_HARVEST__SINCE": "1d",
            "HARVESTER_WEB__PUBLIC": f"127.0.0.1:{port}",
            "HARVESTER_WEB__PUBLIC_URL": public,
            "HARVESTER_WEB__OPERATOR": "127.0.0.1:0",
        }
        process = await started(environment(running, tmp_path, **more), "daemon")
        async with asyncio.timeout(60):
            await opened(browser, public)
            sent = await browser.post(f"{public}/connect", allow_redirects=False)
            thanks = await browser.get(await signed_in(running, sent.headers["Location"], ANN))
            while not list((tmp_path / "lake").rglob("plant_energy_balance/**/*.parquet")):
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        mine = {plant.plant_id for plant in running.cloud.truth.plants() if plant.owner == ANN}
        found = set(lake_tables(tmp_path / "lake")["plant_energy_balance"]["plant_id"].unique())

    assert thanks.status == 200
    assert process.returncode == 0
    assert found == mine
