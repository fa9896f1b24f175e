"""A real browser shows the operator's pages: nothing is blocked, nothing runs that should not, nothing sticks out."""

import pytest
from playwright.async_api import Browser, expect
from shown import EVIL, Shown

from harvester.ops.web import serving_operator


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_overview_fits_the_window_and_runs_nothing(browser: Browser, width: int) -> None:
    """On a phone and on a desk; a plant named `<script>` is a text."""
    said: list[str] = []
    async with serving_operator("127.0.0.1:0", Shown(), password=None) as url:
        page = await browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        await page.goto(url)
        await expect(page.locator("tbody th", has_text=EVIL)).to_have_count(1)
        await expect(page.locator(".badge")).to_have_text("1 needs a person")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        colours = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
        ink, ground = await page.locator(".badge").evaluate(colours)
        await page.close()

    assert ink != ground
    assert said == []


async def test_the_coverage_page_works_under_its_policy(browser: Browser) -> None:
    """Its own script may run, so that a cell that is pointed at says what it stands for."""
    said: list[str] = []
    async with serving_operator("127.0.0.1:0", Shown(), password=None) as url:
        page = await browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        await page.goto(url)
        await page.click("text=Coverage")
        await page.hover("tbody td")
        await expect(page.locator("output")).to_contain_text("1 of 1 series-days covered")
        await expect(page.locator("tbody th")).to_contain_text(EVIL)
        await page.close()

    assert said == []
