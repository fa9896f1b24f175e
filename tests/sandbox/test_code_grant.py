"""The code grant: an owner's way through the pages, and what the tokens open."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

OWNER = "owner@example.org"
OTHER = "other@example.org"
BACK = "http://127.0.0.1:8650/callback"
CLIENT = {"client_id": "local-code", "client_secret": "local-code"}
VERIFIER = "correct-horse-battery-staple-correct-horse-battery-staple"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


class Browser:
    """Keeps cookies, sends forms, and stops where it is sent away from the cloud."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session
        self.page = ""
        self.status = 0
        self.headers: Any = {}

    async def visit(self, method: str, path: str, **options: Any) -> dict[str, str]:
        """Ask for a page; return the parameters of the redirect, if it is one."""
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as response:
            self.page, self.status, self.headers = await response.text(), response.status, response.headers
        return dict(parse_qsl(urlsplit(self.headers.get("Location", "")).query))

    async def authorize(self, **query: str) -> dict[str, str]:
        """Follow the client's link."""
        asked = {"response_type": "code", "client_id": "local-code", "redirect_uri": BACK, "state": "s t&1"}
        wanted = {name: value for name, value in (asked | query).items() if value}
        return await self.visit("GET", "/oauth2/auth", params=wanted)

    async def send(self, **fields: str) -> dict[str, str]:
        """Send the form of the page."""
        found = re.search(r'action="([^"]+)"', self.page)
        assert found, self.page
        return await self.visit("POST", unescape(found[1]), data=fields)

    async def consent(self, owner: str = OWNER, **query: str) -> dict[str, str]:
        """Go the whole way as an owner who accepts."""
        await self.authorize(**query)
        await self.send(username=owner, password="sandbox")
        return await self.send(accept="yes")


@asynccontextmanager
async def browsing(client: Any) -> AsyncIterator[Browser]:
    """Open a browser of its own; the cloud is an IP address, so its cookies count as unsafe."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(client.url, session)


async def exchanged(client: Any, code: str, /, **more: str) -> tuple[int, dict[str, Any]]:
    """Exchange a code."""
    form = CLIENT | {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK} | more
    return await client.token(**form)


async def refreshed(client: Any, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Exchange the refresh token of an answer."""
    return await client.token(**CLIENT, grant_type="refresh_token", refresh_token=body["refresh_token"])


async def granted(client: Any, owner: str = OWNER, **query: str) -> dict[str, Any]:
    """Return the first token answer of an owner who accepts."""
    async with browsing(client) as browser:
        back = await browser.consent(owner, **query)
    status, body = await exchanged(client, back["code"])
    assert status == 200, body
    return body


def speak_for(client: Any, body: dict[str, Any]) -> None:
    """Let all further requests carry that token."""
    client.headers = {"Authorization": f"Bearer {body['access_token']}"}


async def test_the_whole_way(opening: Any) -> None:
    """Sign in, read what is wanted and by whom, accept, come back with code and state, exchange."""
    async with opening(consent=False, plants=2) as client, browsing(client) as browser:
        await browser.authorize(scope="offline_access", **PKCE)
        login = browser.page
        await browser.send(username="Owner@Example.org ", password="sandbox")
        page = browser.page
        back = await browser.send(accept="yes")
        status, body = await exchanged(client, back["code"], code_verifier=VERIFIER)
        plants = [plant.name for plant in client.cloud.truth.plants()]
        counts = client.cloud.counts

    assert all(part in login for part in ('name="username"', 'name="password"', 'id="kc-login"'))
    assert all(part in page for part in ('id="kc-accept"', 'id="kc-cancel"', "local-code", OWNER, *plants, "revoke it"))
    assert browser.status == 302
    assert browser.headers["Location"].startswith(f"{BACK}?")
    assert back["state"] == "s t&1"
    assert back["iss"] == f"{client.url}/auth/realms/SMA"
    assert status == 200
    assert body["session_state"] == back["session_state"]
    assert (body["expires_in"], body["refresh_expires_in"]) == (300, 0)
    assert body["scope"] == "profile monitoringApi:read email offline_access"
    assert (counts.codes, counts.owner_tokens) == ({OWNER: 1}, {OWNER: 1})


async def test_a_wrong_password_asks_again(opening: Any) -> None:
    """The page comes back with 200, the error and the escaped name; the next try may be right."""
    async with opening() as client, browsing(client) as browser:
        await browser.authorize()
        await browser.send(username='"><b>x', password="wrong")
        failed, status = browser.page, browser.status
        await browser.send(username=OWNER, password="sandbox")

    assert status == 200
    assert "Invalid username or password." in failed
    assert 'role="alert"' in failed
    assert "<b>x" not in failed
    assert "&quot;&gt;&lt;b&gt;x" in failed
    assert "kc-accept" in browser.page


async def test_the_test_user_of_the_sandbox_page(opening: Any) -> None:
    """With SMA's content the test user signs in and owns the nine plants."""
    async with opening(profile="sma", consent=False) as client:
        speak_for(client, await granted(client, "apiTestUser@apiSandbox.com"))
        _, body = await client.get("plants")

    assert len(body["plants"]) == 9


async def test_cancel_is_told_to_the_client(opening: Any) -> None:
    """The browser goes back with access_denied and the state, and no code was made."""
    async with opening() as client, browsing(client) as browser:
        await browser.authorize(redirect_uri=f"{BACK}?tab=1")
        await browser.send(username=OWNER, password="sandbox")
        back = await browser.send(cancel="no")

        assert not client.cloud.counts.codes
    assert (back["error"], back["state"], back["tab"]) == ("access_denied", "s t&1", "1")


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": "nobody"},
        {"client_id": ""},
        {"redirect_uri": ""},
        {"redirect_uri": "https://elsewhere.example/callback"},
        {"redirect_uri": "http://127.0.0.1.elsewhere.example/"},
        {"redirect_uri": "http://127.0.0.1@elsewhere.example/"},
        {"redirect_uri": "http://[::1/callback"},
        {"redirect_uri": "javascript:alert(1)//127.0.0.1"},
        {"redirect_uri": f"{BACK}#here"},
    ],
)
async def test_no_redirect_to_a_stranger(opening: Any, query: dict[str, str]) -> None:
    """An unknown client or address is answered with a page, whatever else is wrong."""
    async with opening() as client, browsing(client) as browser:
        await browser.authorize(**query, response_type="token")

    assert browser.status == 400
    assert "Location" not in browser.headers
    assert "kc-error-message" in browser.page


async def test_registered_addresses(opening: Any) -> None:
    """Those registered are the only ones, loopback or not; a trailing star is any ending."""
    registered = ("https://sma.example.org/callback", "https://other.example.org/*")
    seen = {}
    async with opening(redirect_uris=registered) as client, browsing(client) as browser:
        for address in (BACK, registered[0], f"{registered[0]}/more", "https://other.example.org/any"):
            await browser.authorize(redirect_uri=address)
            seen[address] = browser.status

    assert list(seen.values()) == [400, 200, 400, 200]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"client_id": "local-sandbox"}, "unauthorized_client"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S512"}, "invalid_request"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
    ],
)
async def test_errors_that_the_client_is_told(opening: Any, query: dict[str, str], error: str) -> None:
    """A registered address learns what is wrong with the request."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.authorize(**query)

    assert (browser.status, back["error"], back["state"]) == (302, error, "s t&1")


async def test_a_form_works_once_and_in_its_own_browser(opening: Any) -> None:
    """Another browser, a second use, a skipped step and a stale page end on an error page, without a redirect."""
    pages = []
    async with opening() as client, browsing(client) as browser, browsing(client) as thief:
        await browser.authorize()
        login = thief.page = browser.page
        await thief.authorize()
        thief.page = login
        await thief.send(username=OWNER, password="sandbox")
        pages.append(thief.status)
        thief.page = login.replace("login-actions/authenticate", "login-actions/consent")
        await thief.send(accept="yes")
        pages.append(thief.status)
        await browser.send(username=OWNER, password="sandbox")
        consent, browser.page = browser.page, login
        await browser.send(username=OWNER, password="sandbox")
        pages.append(browser.status)
        browser.page = consent
        await browser.send(accept="yes")
        pages.append(browser.status)

    assert pages == [400, 400, 400, 302]


async def test_a_page_expires(opening: Any, clock: Any) -> None:
    """Half an hour later the form is not good any more."""
    async with opening() as client, browsing(client) as browser:
        await browser.authorize()
        clock.move(seconds=1801)
        await browser.send(username=OWNER, password="sandbox")

    assert browser.status == 400
    assert "expired" in browser.page


async def test_pages_cannot_be_framed_or_kept(opening: Any) -> None:
    """Their style is the only thing they load; the cookie is not for scripts."""
    async with opening() as client, browsing(client) as browser:
        await browser.authorize()
        style = re.search(r"<style>(.*)</style>", browser.page, re.DOTALL)

    policy = browser.headers["Content-Security-Policy"]
    assert style
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert "frame-ancestors 'none'" in policy
    assert browser.headers["Cache-Control"] == "no-store"
    assert "HttpOnly" in browser.headers["Set-Cookie"]
    assert not re.search(r"<script|https?://", browser.page)


async def test_a_second_use_of_a_code_takes_the_tokens_back(opening: Any) -> None:
    """Codes work once; whoever comes second ends what the first one got."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent()
        _, body = await exchanged(client, back["code"])
        again, error = await exchanged(client, back["code"])
        speak_for(client, body)
        status, _ = await client.get("plants")
        refresh, _ = await refreshed(client, body)

        assert client.cloud.counts.reused_codes == 1
    assert (again, error) == (400, {"error": "invalid_grant", "error_description": "Code not valid"})
    assert (status, refresh) == (401, 400)


async def test_a_code_lives_for_a_minute(opening: Any, clock: Any) -> None:
    """A second later it is not valid."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent()
        clock.move(seconds=61)
        status, error = await exchanged(client, back["code"])

    assert (status, error["error_description"]) == (400, "Code not valid")


@pytest.mark.parametrize(
    ("more", "status", "error", "description"),
    [
        ({"code": ""}, 400, "invalid_request", "Missing parameter: code"),
        ({"code": "made-up"}, 400, "invalid_grant", "Code not valid"),
        ({"redirect_uri": f"{BACK}/other"}, 400, "invalid_grant", "Incorrect redirect_uri"),
        ({"code_verifier": ""}, 400, "invalid_grant", "PKCE code verifier not specified"),
        ({"code_verifier": VERIFIER[::-1]}, 400, "invalid_grant", "PKCE verification failed"),
        ({"client_secret": "wrong"}, 401, "unauthorized_client", "Invalid client or Invalid client credentials"),
        (
            {"client_id": "local-sandbox", "client_secret": "local-sandbox"},
            400,
            "invalid_grant",
            "Client not allowed to exchange code",
        ),
    ],
)
async def test_an_exchange_is_refused(
    opening: Any, more: dict[str, str], status: int, error: str, description: str
) -> None:
    """Each refusal has Keycloak's status, error and description."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent(**PKCE)
        answer = await exchanged(client, back["code"], **({"code_verifier": VERIFIER} | more))

    assert answer == (status, {"error": error, "error_description": description})


async def test_a_code_belongs_to_its_client(opening: Any) -> None:
    """Another client of the code grant cannot use it."""
    async with opening(grant="code") as client, browsing(client) as browser:
        back = await browser.consent()
        status, error = await exchanged(client, back["code"], client_id="local-sandbox", client_secret="local-sandbox")

    assert (status, error["error_description"]) == (400, "Auth error")


async def test_plain_challenges(opening: Any) -> None:
    """Without a method the challenge is the verifier itself (RFC 7636)."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent(code_challenge=VERIFIER)
        status, _ = await exchanged(client, back["code"], code_verifier=VERIFIER)

    assert status == 200


async def test_the_exchange_may_come_in_the_query_string(opening: Any) -> None:
    """Everything in the address, the secret as HTTP Basic, no body: as one client sends it."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent()
        asked = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": BACK}
        headers = {"Authorization": aiohttp.encode_basic_auth("local-code", "local-code")}
        status, body = await client.ask("/oauth2/token", "POST", params=asked, headers=headers)

    assert (status, body["scope"]) == (200, "profile monitoringApi:read email")


async def test_a_client_has_one_grant(opening: Any) -> None:
    """Settings say which one the client has; with the code grant its own credentials are refused."""
    async with opening() as client:
        custom, _ = await client.token()
    async with opening(grant="code") as client:
        code, error = await client.token()

    assert (custom, code) == (200, 401)
    assert error["error_description"] == "Client not enabled to retrieve service account"


async def test_a_token_opens_its_owners_plants_alone(opening: Any) -> None:
    """Others answer 403, consent by back channel or not, and nobody else is asked for consent."""
    async with opening(owners=(OWNER, OTHER), plants=4) as client:
        speak_for(client, await granted(client))
        _, body = await client.get("plants")
        plants = client.cloud.truth.plants()
        own, strange = (next(plant for plant in plants if plant.owner == name) for name in (OWNER, OTHER))
        statuses = [
            (await client.get(path))[0]
            for path in (
                f"plants/{own.plant_id}/devices",
                f"devices/{own.devices[0].device_id}/measurements/sets",
                f"plants/{strange.plant_id}",
                f"devices/{strange.devices[0].device_id}/measurements/sets",
            )
        ]
        asked, _ = await client.ask("/oauth2/v2/bc-authorize", "POST", json={"loginHint": OTHER})

    assert {row["plantId"] for row in body["plants"]} == {plant.plant_id for plant in plants if plant.owner == OWNER}
    assert statuses == [200, 200, 403, 403]
    assert asked == 403


async def test_a_later_consent_covers_later_plants(opening: Any) -> None:
    """A plant that was built after the consent shows up once the owner has accepted again."""
    async with opening(plants=1) as client:
        speak_for(client, await granted(client))
        client.cloud.add_plant(OWNER, released=False)
        _, before = await client.get("plants")
        await granted(client)
        _, after = await client.get("plants")

    assert (len(before["plants"]), len(after["plants"])) == (1, 2)


async def test_a_stale_refresh_token_ends_the_session(opening: Any) -> None:
    """Refresh tokens rotate; the old one is refused, and the new one is gone with it."""
    async with opening() as client:
        first = await granted(client)
        status, second = await refreshed(client, first)
        again, error = await refreshed(client, first)
        gone, _ = await refreshed(client, second)
        speak_for(client, second)
        access, _ = await client.get("plants")

        assert client.cloud.counts.stale_refreshes == 1
        assert client.cloud.counts.owner_tokens == {OWNER: 2}
    assert (status, again, gone, access) == (200, 400, 400, 401)
    assert error["error"] == "invalid_grant"


async def test_a_stale_refresh_token_can_be_harmless(opening: Any) -> None:
    """A switch refuses the old one and lets the session live."""
    async with opening(reuse_ends_session=False) as client:
        first = await granted(client)
        _, second = await refreshed(client, first)
        again, _ = await refreshed(client, first)
        status, _ = await refreshed(client, second)

    assert (again, status) == (400, 200)


async def test_an_owners_session_ends(opening: Any, clock: Any) -> None:
    """A refresh prolongs it, but not beyond the session's end; with offline_access there is none."""
    lives = {"owner_refresh_seconds": 100, "session_seconds": 150}
    async with opening(**lives) as client:
        first = await granted(client)
        offline = await granted(client, scope="offline_access")
        clock.move(seconds=90)
        _, second = await refreshed(client, first)
        clock.move(seconds=62)
        late, _ = await refreshed(client, second)
        clock.move(days=90)
        status, third = await refreshed(client, offline)

    assert (first["refresh_expires_in"], late, status, third["refresh_expires_in"]) == (100, 400, 200, 0)
    assert 55 <= second["refresh_expires_in"] <= 60


async def test_an_owner_revokes(opening: Any) -> None:
    """Access tokens are refused at once, and refreshing is no way back; other owners notice nothing."""
    async with opening(owners=(OWNER, OTHER)) as client:
        body, other = await granted(client, scope="offline_access"), await granted(client, OTHER)
        client.cloud.revoke("Owner@Example.org")
        speak_for(client, body)
        access, _ = await client.get("plants")
        status, error = await refreshed(client, body)
        speak_for(client, other)
        others, _ = await client.get("plants")

    assert (access, status, error["error"], others) == (401, 400, "invalid_grant", 200)


async def test_a_code_dies_with_the_consent(opening: Any) -> None:
    """Revoked between the pages and the exchange, there is nothing left to exchange."""
    async with opening() as client, browsing(client) as browser:
        back = await browser.consent()
        client.cloud.revoke(OWNER)
        status, error = await exchanged(client, back["code"])

    assert (status, error["error_description"]) == (400, "Code not valid")


async def test_logout_ends_the_session(opening: Any) -> None:
    """Both tokens are dead afterwards."""
    async with opening() as client:
        body = await granted(client)
        form = CLIENT | {"refresh_token": body["refresh_token"]}
        status, _ = await client.ask("/oauth2/logout", "POST", data=form)
        refresh, _ = await refreshed(client, body)
        speak_for(client, body)
        access, _ = await client.get("plants")

    assert (status, refresh, access) == (204, 400, 401)


async def test_discovery_announces_challenges(opening: Any) -> None:
    """The well-known document names the addresses and S256."""
    async with opening() as client:
        _, body = await client.ask("/.well-known/openid-configuration", headers={})

    assert body["authorization_endpoint"] == f"{client.url}/oauth2/auth"
    assert body["token_endpoint"] == f"{client.url}/oauth2/token"
    assert "S256" in body["code_challenge_methods_supported"]


async def test_a_server_without_challenges(opening: Any) -> None:
    """Switched off, they are not announced, and one that is sent is ignored; the document can be missing, too."""
    async with opening(pkce=False) as client, browsing(client) as browser:
        _, body = await client.ask("/.well-known/openid-configuration")
        back = await browser.consent(**PKCE)
        status, _ = await exchanged(client, back["code"])
    async with opening(discovery=False) as client:
        missing, _ = await client.ask("/.well-known/openid-configuration")

    assert "code_challenge_methods_supported" not in body
    assert (status, missing) == (200, 404)


async def test_pages_and_tokens_cost_nothing(opening: Any) -> None:
    """Nothing of the way counts as a monitoring request; the wrong method is refused."""
    async with opening() as client:
        await granted(client)
        status, _ = await client.ask("/oauth2/login-actions/consent")
        _, served = await client.ask("/_sandbox/counts")

    assert status == 405
    assert served["requests"] == {"auth": 3, "token": 1, "other": 1}
    assert (served["spent"], served["owner_tokens"]) == (0, {OWNER: 1})
