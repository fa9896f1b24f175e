"""The plant owners' listener over real HTTP: states, cookies, names, limits, headers, and what is shown when."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
import structlog
from connecting import carried, code_configured, free_port, signed_in
from present import Present

from harvester.compose import code_client_of, keyring_of
from harvester.errors import ConfigError, LedgerError
from harvester.ops.connect import serving_connect
from harvester.ops.connect_limit import MOST_ADDRESSES, PER_MINUTE, RateLimit, visitor
from harvester.ops.connect_link import connect_link
from harvester.ops.connect_visits import MOST_VISITS, Visits, Wrong
from harvester.sandbox import Running, Settings, serving
from harvester.sma.code_client import CodeClient
from harvester.sma.code_grant import Visit
from harvester.state.owners import Owners
from harvester.state.vault import Keyring

ANN, BOB = "ann@example.org", "bob@example.org"


@dataclass
class Site:
    """The pages, the cloud behind them, and who has connected."""

    url: str
    running: Running
    client: CodeClient
    clock: Present
    keyring: Keyring
    connected: list[str] = field(default_factory=list)


class Browser:
    """What a browser does with cookies and redirects, one step at a time."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, url: str, **headers: str) -> tuple[int, str, aiohttp.ClientResponse]:
        """Open an address."""
        answer = await self.session.get(url, allow_redirects=False, headers=headers)
        return answer.status, await answer.text(), answer

    async def post(self, url: str, **headers: str) -> tuple[int, str, aiohttp.ClientResponse]:
        """Press the button of a page."""
        answer = await self.session.post(url, allow_redirects=False, headers=headers)
        return answer.status, await answer.text(), answer


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Open a browser without a past."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(session)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve the pages before a cloud of two owners."""
    settings = Settings(plants=2, devices=2, owners=(ANN, BOB), start=date(2026, 5, 1), grant="code")
    clock = Present(2026, 5, 4, 12)
    async with serving(settings) as running:
        config = code_configured(running, tmp_path)
        async with code_client_of(config) as client:
            made = Site("", running, client, clock, keyring_of(config))
            port = free_port()
            async with serving_connect(
                f"127.0.0.1:{port}",
                client,
                public_url=f"http://127.0.0.1:{port}",
                keyring=made.keyring,
                wall=clock,
                on_connected=made.connected.append,
            ) as made.url:
                yield made


async def set_out(browser: Browser, url: str) -> str:
    """Press the button of the page at *url*; return where SMA is asked."""
    status, text, _ = await browser.get(url)
    assert status == 200
    action = re.search(r'action="([^"]+)"', text)
    assert action is not None
    parts = urlsplit(url)
    status, _, answer = await browser.post(f"{parts.scheme}://{parts.netloc}{action[1].replace('&amp;', '&')}")
    assert status == 303
    return answer.headers["Location"]


async def returning(
    browser: Browser, site: Site, owner: str = ANN, *, accept: bool = True, path: str = "/connect"
) -> str:
    """Go to SMA and decide; return the address that the browser comes back to."""
    return await signed_in(site.running, await set_out(browser, site.url + path), owner, accept=accept)


async def test_the_whole_way(site: Site) -> None:
    """Button, SMA, thanks; the token is kept, the owner is known, the daemon is told, the cookie is gone."""
    async with browsing() as browser:
        back = await returning(browser, site)
        cookies = [c.key for c in browser.session.cookie_jar]
        status, text, answer = await browser.get(back)
        left = [c.key for c in browser.session.cookie_jar]

    assert (status, "Thank you" in text) == (200, True)
    assert site.client._store.owners() == site.connected
    assert site.connected[0].startswith("owner-")
    assert [known.state for known in Owners(site.client._store._engine).known()] == ["Accepted"]
    assert len(cookies) == 1
    assert left == []
    assert "code=" in back
    assert carried(back)["code"] not in text + str(answer.headers)


async def test_the_cookie_is_for_this_site_and_no_script(site: Site) -> None:
    """HttpOnly, SameSite=Lax, ten minutes; Secure and bound to the host where the address is https."""
    async with browsing() as browser:
        _, _, answer = await browser.post(f"{site.url}/connect")
    async with (
        serving_connect(
            "127.0.0.1:0",
            site.client,
            public_url="https://connect.example.org/",
            keyring=site.keyring,
            wall=site.clock,
            on_connected=site.connected.append,
        ) as secure,
        browsing() as browser,
    ):
        _, _, safe = await browser.post(f"{secure}/connect")

    plain, strict = answer.headers["Set-Cookie"], safe.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Max-Age=600", "Path=/"):
        assert part in plain
        assert part in strict
    assert "Secure" not in plain
    assert "Secure" in strict
    assert strict.startswith("__Host-connect-")
    assert carried(safe.headers["Location"])["redirect_uri"] == "https://connect.example.org/callback"
    assert carried(answer.headers["Location"])["state"] not in plain


async def test_a_return_counts_once(site: Site) -> None:
    """The same address a second time changes nothing and asks SMA nothing."""
    async with browsing() as browser:
        back = await returning(browser, site)
        state = [(c.key, c.value) for c in browser.session.cookie_jar]
        await browser.get(back)
        asked = site.client.counts.requests
        status, text, _ = await browser.get(back, Cookie="; ".join(f"{k}={v}" for k, v in state))

    assert (status, "done already" in text) == (400, True)
    assert site.client.counts.requests == asked
    assert len(site.connected) == 1


async def test_another_browser_can_neither_finish_nor_end_a_visit(site: Site) -> None:
    """A stolen return address is worthless elsewhere, and its owner still gets through."""
    async with browsing() as browser, browsing() as thief:
        back = await returning(browser, site)
        await set_out(thief, site.url)
        stolen, text, _ = await thief.get(back)
        status, _, _ = await browser.get(back)

    assert (stolen, "another browser" in text) == (400, True)
    assert status == 200
    assert len(site.connected) == 1


async def test_a_code_slipped_into_anothers_visit_is_not_taken(site: Site) -> None:
    """Bob's code under Ann's state fails at SMA, whose challenge it does not answer."""
    async with browsing() as ann, browsing() as bob:
        hers, his = await returning(ann, site), await returning(bob, site, BOB)
        mixed = dict(parse_qsl(urlsplit(hers).query)) | {"code": carried(his)["code"]}
        status, text, _ = await ann.get(f"{site.url}/callback?{urlencode(mixed)}")

    assert (status, "did not confirm" in text) == (400, True)
    assert site.connected == []


@pytest.mark.parametrize("query", ["", "state=x", "state=x&code=y", "code=y", "error=access_denied", "state=%ff%00"])
async def test_a_return_that_never_set_out(site: Site, query: str) -> None:
    """An invented state is refused before anything is asked."""
    async with browsing() as browser:
        status, text, _ = await browser.get(f"{site.url}/callback?{query}")

    assert (status, "no beginning" in text) == (400, True)
    assert site.client.counts.requests == {}


async def test_a_visit_lasts_ten_minutes(site: Site) -> None:
    """Later it is refused, with a way to begin again."""
    async with browsing() as browser:
        back = await returning(browser, site)
        site.clock.advance(minutes=10)
        cookies = "; ".join(f"{c.key}={c.value}" for c in browser.session.cookie_jar)
        status, text, _ = await browser.get(back, Cookie=cookies)

    assert (status, "too long" in text, 'href="/connect"' in text) == (400, True, True)
    assert site.connected == []


async def test_an_owner_who_says_no(site: Site) -> None:
    """A refusal is no error of anybody's, and leaves nothing behind."""
    async with browsing() as browser:
        status, text, _ = await browser.get(await returning(browser, site, accept=False))

    assert (status, "did not give permission" in text) == (403, True)
    assert site.client._store.owners() == []


async def test_what_sma_says_is_not_shown(site: Site) -> None:
    """An error of SMA's, or of whoever made the address, is told in our words: nothing is echoed."""
    evil = "<script>alert(1)</script>"
    async with browsing() as browser:
        state = carried(await set_out(browser, site.url))["state"]
        query = urlencode({"state": state, "error": evil, "error_description": evil})
        status, text, _ = await browser.get(f"{site.url}/callback?{query}")
        _, nothing, _ = await browser.get(f"{site.url}/{evil}")
        _, link, _ = await browser.get(f"{site.url}/connect?{urlencode({'owner': evil, 'mark': evil})}")

    assert status == 400
    assert "<script" not in text + nothing + link


async def test_sma_out_of_reach(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is told to come back; a new visit then works."""
    async with browsing() as browser:
        back = await returning(browser, site)
        answer = site.running.cloud.answer
        site.client._exchange._draw = lambda: 0.0
        monkeypatch.setattr(
            site.running.cloud,
            "answer",
            lambda call: type(answer(call))(status=503) if call.raw_path == "/oauth2/token" else answer(call),
        )
        status, text, _ = await browser.get(back)
        monkeypatch.undo()
        later, _, _ = await browser.get(await returning(browser, site))

    assert (status, "cannot be reached" in text) == (503, True)
    assert later == 200


async def test_a_fault_of_ours_is_told_as_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full is logged, and neither shown nor blamed on the owner."""

    def full(owner: str, refresh: str) -> None:
        raise LedgerError(f"no space is left for {owner}: {refresh[:0]}")

    monkeypatch.setattr(site.client._store, "connected", full)
    with structlog.testing.capture_logs() as events:
        async with browsing() as browser:
            status, text, _ = await browser.get(await returning(browser, site))

    assert (status, "on our side" in text, "no space" in text) == (500, True, False)
    assert "connect.broken" in [event["event"] for event in events]


async def test_a_link_gives_its_owner_a_name(site: Site) -> None:
    """The operator's mark makes the name count, through the whole way; a changed one is refused at every step."""
    link = connect_link(site.url, site.keyring, "Ann@Example.org ")
    forged = link.replace("ann", "eve")
    async with browsing() as browser:
        status, text, _ = await browser.get(await returning(browser, site, path=link.removeprefix(site.url)))
        bad = [(await browser.get(forged))[0], (await browser.post(forged))[0]]
        bare = (await browser.get(f"{site.url}/connect?owner=eve"))[0]

    assert (status, "Thank you" in text) == (200, True)
    assert site.connected == [ANN]
    assert [*bad, bare] == [400, 400, 400]


async def test_two_tabs_do_not_disturb_each_other(site: Site) -> None:
    """Each visit has its own cookie."""
    async with browsing() as browser:
        first, second = await returning(browser, site), await returning(browser, site)
        found = [(await browser.get(back))[0] for back in (first, second)]

    assert found == [200, 200]
    assert len(set(site.connected)) == 1


async def test_a_button_pressed_from_another_site_leads_nowhere(site: Site) -> None:
    """Browsers say where a form came from."""
    async with browsing() as browser:
        status, _, answer = await browser.post(f"{site.url}/connect", **{"Sec-Fetch-Site": "cross-site"})

    assert status == 403
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/connect", 200),
        ("POST", "/", 404),
        ("POST", "/callback", 404),
        ("HEAD", "/callback", 404),
        ("DELETE", "/connect", 404),
        ("GET", "/metrics", 404),
        ("GET", "/status.json", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "/connect/", 404),
    ],
)
async def test_everything_else_is_not_there(site: Site, method: str, path: str, status: int) -> None:
    """Only connect and callback; each answer carries the headers that keep browsers strict."""
    async with aiohttp.ClientSession() as session:
        answer = await session.request(method, site.url + path)

    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == status
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_page_needs_nothing_from_elsewhere(site: Site) -> None:
    """No script, no address but its own, a width for phones."""
    async with browsing() as browser:
        _, text, _ = await browser.get(site.url)

    assert "<script" not in text
    assert "http" not in text
    assert "src=" not in text
    assert "width=device-width" in text


async def test_too_many_requests_wait(site: Site) -> None:
    """The next one is refused with the seconds to wait, after which it is answered."""
    async with browsing() as browser:
        found = [(await browser.get(site.url))[0] for _ in range(PER_MINUTE)]
        status, _, answer = await browser.get(site.url)
        site.clock.advance(seconds=int(answer.headers["Retry-After"]))
        after = (await browser.get(site.url))[0]

    assert set(found) == {200}
    assert (status, after) == (429, 200)


async def test_the_log_holds_neither_code_nor_state(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Everything said on the whole way, at the lowest level."""
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as events:
        async with browsing() as browser:
            back = await returning(browser, site)
            await browser.get(back)
            await browser.get(back)
            await asyncio.sleep(0)
    said = repr(events) + caplog.text
    secrets = [carried(back)["code"], carried(back)["state"], site.client._store.refresh_of(site.connected[0]) or "?"]

    assert "connect.done" in said
    assert [secret for secret in secrets if secret in said] == []


async def test_an_address_in_use_is_told(site: Site) -> None:
    """The setting is named."""
    with pytest.raises(ConfigError, match=r"web\.public: nothing can listen on 127"):
        async with serving_connect(
            site.url.removeprefix("http://"),
            site.client,
            public_url=site.url,
            keyring=site.keyring,
            wall=site.clock,
            on_connected=site.connected.append,
        ):
            pass


class TestVisits:
    """What is under way, without a socket."""

    clock = Present(2026, 5, 4)

    @staticmethod
    def visit(number: int) -> Visit:
        """Build one."""
        return Visit(redirect_uri="https://x/callback", state=f"state-{number}")

    def test_their_number_is_bounded(self) -> None:
        """The oldest goes; what is left works."""
        visits = Visits(self.clock, secure=True)
        cookies = dict(visits.begin(self.visit(number), None) for number in range(MOST_VISITS + 1))

        assert visits.finish("state-0", cookies) is Wrong.UNKNOWN
        assert not isinstance(visits.finish(f"state-{MOST_VISITS}", cookies), Wrong)
        assert len(visits._under_way) == MOST_VISITS

    def test_old_ones_are_forgotten(self) -> None:
        """A visit is told as expired for as long again, and then takes no room."""
        clock = Present(2026, 5, 4)
        visits = Visits(clock, secure=False)
        cookies = dict([visits.begin(self.visit(1), None)])
        clock.advance(minutes=11)
        assert visits.finish("state-1", cookies) is Wrong.EXPIRED
        clock.advance(minutes=11)
        visits.begin(self.visit(2), None)

        assert len(visits._under_way) == 1

    def test_nothing_secret_is_held_or_shown(self) -> None:
        """State and cookie are kept as hashes; the verifier is in no repr."""
        visits = Visits(self.clock, secure=True)
        visit = Visit(redirect_uri="https://x/callback", state="state-1", verifier="hush-hush")
        _, browser = visits.begin(visit, None)

        assert browser not in repr(visits._under_way)
        assert "hush" not in repr(visits._under_way)
        assert "state-1" not in repr(visits._under_way)


class TestRateLimit:
    """The buckets, without a socket."""

    def test_memory_is_bounded_and_addresses_are_apart(self) -> None:
        """One who floods waits alone; a network of IPv6 is one visitor."""
        limit = RateLimit(Present(2026, 5, 4))
        waits: Callable[[str], int] = limit.wait
        for _ in range(PER_MINUTE):
            assert waits("2001:db8::1") == 0
        assert waits("2001:db8::2") > 0
        assert waits("192.0.2.1") == 0
        for number in range(MOST_ADDRESSES + 5):
            waits(f"name-{number}")

        assert len(limit._buckets) == MOST_ADDRESSES

    @pytest.mark.parametrize(
        ("peer", "forwarded", "counted"),
        [
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
            ("127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
            ("::1", "2001:db8::7", "2001:db8::7"),
            ("127.0.0.1", "nonsense", "127.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
            (None, "", ""),
        ],
    )
    def test_only_a_proxy_on_this_machine_is_believed(self, peer: str | None, forwarded: str, counted: str) -> None:
        """Anybody can write the header; only a local process comes from loopback."""
        assert visitor(peer, forwarded) == counted
