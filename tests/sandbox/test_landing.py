"""The front page, for a person with a browser."""

import re
from html import unescape
from typing import Any

import pytest

OWNER = "owner@example.org"


async def front(client: Any) -> str:
    """Return the page."""
    response, body = await client.raw("/")
    assert response.status == 200
    return str(body.decode())


async def test_it_tells_what_to_do(opening: Any) -> None:
    """Client, addresses and owners are named; every link leads somewhere."""
    async with opening(consent=False) as client:
        text = await front(client)
        links = {unescape(link) for link in re.findall(r'href="([^"]+)"', text)}
        statuses = [(await client.raw(link))[0].status for link in links]

    assert all(part in text for part in ("local-sandbox", f"{client.url}/monitoring/v1", OWNER, "never asked"))
    assert "Revoke" not in text
    assert statuses == [200] * 2


async def test_nobody_revokes_what_was_never_given(opening: Any) -> None:
    """An owner who was never asked has nothing to revoke."""
    async with opening(consent=False) as client:
        response, _ = await client.raw("/_sandbox/revoke", "POST", data={"owner": OWNER})

        assert client.cloud.consents.state(OWNER) is None
    assert response.status == 404


async def test_it_leads_through_the_code_grant(opening: Any) -> None:
    """With the code grant there is a link to the login page."""
    async with opening(grant="code", consent=False) as client:
        text = await front(client)
        found = re.search(r'id="try" href="([^"]+)"', text)
        assert found
        _, body = await client.raw(unescape(found[1]))
    async with opening(grant="code", redirect_uris=("https://harvester.example.org/",)) as client:
        assert 'id="try"' not in await front(client)

    assert b'id="kc-login"' in body


@pytest.mark.parametrize("owners", [(OWNER,), ("<i>x</i>@example.org",)])
async def test_an_owner_can_be_made_to_revoke(opening: Any, owners: tuple[str, ...]) -> None:
    """The button of the page does it, and goes with the consent; names are escaped."""
    async with opening(owners=owners) as client:
        before = await front(client)
        _, full = await client.get("plants")
        response, _ = await client.raw("/_sandbox/revoke", "POST", data={"owner": owners[0]})
        after = await front(client)
        _, empty = await client.get("plants")

    assert "Revoke as" in before
    assert "<i>" not in before
    assert (response.status, response.headers["Location"]) == (303, "/")
    assert "Revoke as" not in after
    assert (len(full["plants"]), empty) == (6, {"plants": []})
