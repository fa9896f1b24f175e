"""The pages in a real browser: nothing is blocked by their own policy, and a person gets through."""

from playwright.async_api import Browser, expect

from harvester.sandbox import Settings, serving

OWNER = "owner@example.org"


async def test_a_person_gets_through(browser: Browser) -> None:
    """From the front page by keyboard alone: a wrong password, the right one, accept; then revoke."""
    async with serving(Settings(plants=2, grant="code")) as running:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(running.url)
        await page.click("#try")
        await expect(page.get_by_label("E-mail address")).to_be_focused()
        await page.keyboard.type(OWNER)
        await page.keyboard.press("Tab")
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("Invalid username or password.")
        await page.get_by_label("Password").fill("sandbox")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Grant access to local-sandbox")
        await expect(page.locator("#plants li")).to_have_count(2)
        await page.get_by_role("button", name="Accept").click()
        await page.wait_for_url(f"{running.url}/?*")
        back = page.url
        counts = running.cloud.counts.as_dict()
        running.cloud.accept(OWNER)
        await page.goto(running.url)
        await page.get_by_role("button", name=f"Revoke as {OWNER}").click()
        await expect(page.get_by_role("button")).to_have_count(0)

    assert "state=try" in back
    assert "code=" in back
    assert counts["codes"] == {OWNER: 1}
    assert running.cloud.consents.state(OWNER) == "Revoked"
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []


async def test_cancel_and_colours(browser: Browser) -> None:
    """The way out leads back with the refusal; text is legible in light and in dark (WCAG AA: 4.5 to 1)."""
    contrast = """() => {
        const light = (colour) => {
            const [r, g, b] = colour.match(/\\d+/g).map((n) => n / 255)
                .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = (node) => {
            const colour = getComputedStyle(node).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" ? paper(node.parentElement) : colour;
        };
        return Math.min(...[...document.querySelectorAll("h1, p, label, button, li, code")].map((node) => {
            const pair = [light(getComputedStyle(node).color), light(paper(node))].sort((a, b) => b - a);
            return (pair[0] + 0.05) / (pair[1] + 0.05);
        }));
    }"""
    worst = []
    async with serving(Settings(plants=1, grant="code")) as running:
        for scheme in ("light", "dark"):
            page = await browser.new_page(color_scheme=scheme)
            await page.goto(running.url)
            worst.append(await page.evaluate(contrast))
            await page.click("#try")
            await page.fill("input[name=username]", OWNER)
            await page.fill("input[name=password]", "wrong")
            await page.click("#kc-login")
            await expect(page.get_by_role("alert")).to_be_visible()
            worst.append(await page.evaluate(contrast))
            await page.fill("input[name=password]", "sandbox")
            await page.click("#kc-login")
            await expect(page.locator("#kc-accept")).to_be_visible()
            worst.append(await page.evaluate(contrast))
            await page.click("#kc-cancel")
            await page.wait_for_url("**/?*error=access_denied*")

    assert len(worst) == 6
    assert min(worst) >= 4.5
