"""A real browser goes the whole way: button, login, consent, thanks; and then the data of that owner come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import polars as pl
from connecting import code_configured, free_port
from playwright.async_api import Browser, Page, expect
from running import backfilled
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import client_of, code_client_of, keyring_of, utc_now
from harvester.config import Config
from harvester.ops.connect import serving_connect
from harvester.sandbox import Running, Settings, serving

ANN, BOB = "ann@example.org", "bob@example.org"
FIRST, LAST = date(2026, 5, 4), date(2026, 5, 6)


@asynccontextmanager
async def served(running: Running, config: Config, connected: list[str]) -> AsyncIterator[str]:
    """Serve the pages of *config*, as a daemon does."""
    port = free_port()
    async with (
        code_client_of(config) as client,
        serving_connect(
            f"127.0.0.1:{port}",
            client,
            public_url=f"http://127.0.0.1:{port}",
            keyring=keyring_of(config),
            wall=utc_now,
            on_connected=connected.append,
        ) as url,
    ):
        yield url


async def sign_in(page: Page, owner: str, password: str) -> None:
    """Fill the login form in and send it."""
    await page.fill("#username", owner)
    await page.fill("#password", password)
    await page.click("#kc-login")


async def test_an_owner_connects_and_the_plants_are_harvested(browser: Browser, tmp_path: Path) -> None:
    """On a phone, with a wrong password first; the lake then equals the truth about this owner's plants."""
    settings = Settings(plants=3, devices=3, owners=(ANN, BOB), start=date(2026, 5, 1), grant="code")
    connected: list[str] = []
    async with serving(settings) as running:
        config = code_configured(running, tmp_path)
        async with served(running, config, connected) as url:
            page = await browser.new_page(viewport={"width": 360, "height": 740})
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            await page.goto(f"{url}/connect")
            wide = await page.evaluate("document.documentElement.scrollWidth")
            await page.click("#connect")
            await sign_in(page, ANN, "wrong")
            await expect(page.locator("#input-error")).to_be_visible()
            await sign_in(page, ANN, settings.password)
            await page.click("#kc-accept")
            await expect(page.locator("#thanks")).to_be_visible()
            cookies = [c for c in await page.context.cookies() if c["name"].startswith("connect-")]
            await page.reload()
            await expect(page.locator("#trouble")).to_contain_text("counts once")
        async with client_of(config) as client:
            mine = {plant.plant_id for plant in await client.plants()}
        report = await backfilled(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST), plants=mine)
        owned = {plant.plant_id for plant in running.cloud.truth.plants() if plant.owner == ANN}

    assert wide <= 360
    assert cookies == []
    assert [text for text in said if "Content Security Policy" in text] == []
    assert len(connected) == 1
    assert mine == owned
    assert report.exit_code == 0
    for table, want in truth.items():
        have = lake[table].filter(pl.col("local_time").dt.date().is_between(FIRST, LAST))
        assert differences({table: have}, {table: want}) == []


async def test_an_owner_thinks_better_of_it(browser: Browser, tmp_path: Path) -> None:
    """Cancelled at the consent page: told so, nothing kept; the way to try again works."""
    settings = Settings(plants=1, devices=2, owners=(ANN,), start=date(2026, 5, 1), grant="code")
    connected: list[str] = []
    async with serving(settings) as running:
        config = code_configured(running, tmp_path)
        async with served(running, config, connected) as url:
            page = await browser.new_page()
            await page.goto(url)
            await page.click("#connect")
            await sign_in(page, ANN, settings.password)
            await page.click("#kc-cancel")
            await expect(page.locator("#trouble")).to_contain_text("Nothing was connected")
            kept = list(connected)
            await page.click("#again")
            await page.click("#connect")
            await sign_in(page, ANN, settings.password)
            await page.click("#kc-accept")
            await expect(page.locator("#thanks")).to_be_visible()

    assert kept == []
    assert len(connected) == 1
