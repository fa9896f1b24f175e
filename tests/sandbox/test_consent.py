"""The owner's consent."""

from typing import Any

PATH = "/oauth2/v2/bc-authorize"
OWNER = "owner@example.org"


async def request(client: Any, owner: str = OWNER) -> tuple[int, Any]:
    """Ask an owner."""
    return await client.ask(PATH, "POST", json={"loginHint": owner})


async def decide(client: Any, state: str, owner: str = OWNER) -> tuple[int, Any]:
    """Play an owner."""
    return await client.ask(f"{PATH}/{owner}/status", "PUT", json={"state": state})


async def test_first_request_is_pending(opening: Any) -> None:
    """The first request answers 201, capitalised, with an expiry of seven digits a week ahead."""
    async with opening(consent=False) as client:
        status, body = await request(client)

    assert status == 201
    assert body == {
        "loginHint": OWNER,
        "state": "Pending",
        "expirationDate": "2024-07-27T12:03:00.0000000Z",
        "interval": 1800,
    }


async def test_the_state_machine(opening: Any) -> None:
    """Pending, accepted, revoked, and asked anew."""
    async with opening(consent=False) as client:
        await request(client)
        again = await request(client)
        accepted = await decide(client, "Accepted")
        after = await request(client)
        revoked = await decide(client, "Revoked")
        anew = await request(client)
        rejected = await decide(client, "Rejected")
        read = await client.ask(f"{PATH}/{OWNER}")

    steps = [(status, body["state"]) for status, body in (again, accepted, after, revoked, anew, rejected, read)]
    assert steps == [
        (200, "Pending"),
        (200, "Accepted"),
        (200, "Accepted"),
        (200, "Revoked"),
        (201, "Pending"),
        (200, "Rejected"),
        (200, "Rejected"),
    ]


async def test_a_request_expires_but_a_consent_does_not(opening: Any, clock: Any) -> None:
    """A week later a pending request reads Expired; an accepted consent keeps its old expiry and stays."""
    async with opening(consent=False) as client:
        await request(client)
        _, accepted = await request(client, "second@example.org")
        await decide(client, "Accepted", "second@example.org")
        clock.move(days=8)
        await client.log_in()
        _, expired = await client.ask(f"{PATH}/{OWNER}")
        _, still = await client.ask(f"{PATH}/second@example.org")
        status, _ = await decide(client, "Accepted")

    assert expired["state"] == "Expired"
    assert (still["state"], still["expirationDate"]) == ("Accepted", accepted["expirationDate"])
    assert status == 404


async def test_what_is_not_found(opening: Any) -> None:
    """Reading an address never asked, and deciding without a pending request, answer 404."""
    async with opening(consent=False) as client:
        read, body = await client.ask(f"{PATH}/{OWNER}")
        played, _ = await decide(client, "Accepted")
        elsewhere, _ = await client.ask(f"{PATH}/{OWNER}/other")

    assert (read, played, elsewhere) == (404, 404, 404)
    assert body == {"message": "Not Found", "code": "404"}


async def test_bodies_that_are_refused(opening: Any) -> None:
    """Forms are 415; no hint, broken JSON and a bare string are 400; no token is 401."""
    async with opening(consent=False) as client:
        json = {**client.headers, "Content-Type": "application/json"}
        form, _ = await client.ask(PATH, "POST", data={"loginHint": OWNER})
        empty, _ = await client.ask(PATH, "POST", json={})
        broken, _ = await client.ask(PATH, "POST", data=b"{", headers=json)
        await request(client)
        bare, error = await client.ask(f"{PATH}/{OWNER}/status", "PUT", json="accepted")
        nonsense, _ = await decide(client, "perhaps")
        naked, _ = await client.ask(PATH, "POST", json={"loginHint": OWNER}, headers={})
        deleted, _ = await client.ask(f"{PATH}/{OWNER}", "DELETE")

    assert (form, empty, broken, bare, nonsense, naked, deleted) == (415, 400, 400, 400, 400, 401, 405)
    assert "AuthorizationFlowStatusChangeRequest" in error["message"]


async def test_lenient_mode_takes_the_bare_word(opening: Any) -> None:
    """A switch accepts the body that SMA's page shows."""
    async with opening(consent=False, lenient_status=True) as client:
        await request(client)
        header = {**client.headers, "Content-Type": "text/plain"}
        status, body = await client.ask(f"{PATH}/{OWNER}/status", "PUT", data=b"accepted", headers=header)

    assert (status, body["state"]) == (200, "Accepted")


async def test_an_address_is_read_without_regard_to_case(opening: Any) -> None:
    """An encoded address in capitals is the same owner; one without a plant is asked all the same."""
    async with opening(consent=False) as client:
        await request(client)
        status, body = await client.ask(f"{PATH}/OWNER%40EXAMPLE.ORG")
        stranger, answer = await request(client, "nobody@example.org")

    assert (status, body["loginHint"]) == (200, OWNER)
    assert (stranger, answer["state"]) == (201, "Pending")


async def test_consents_open_and_close_plants(opening: Any) -> None:
    """Without consent the list is empty; it grows by each owner's plants and shrinks on revocation."""
    owners = ("a@example.org", "b@example.org")
    async with opening(consent=False, owners=owners, plants=4) as client:
        seen = [len((await client.get("plants"))[1]["plants"])]
        for owner in owners:
            await request(client, owner)
            await decide(client, "Accepted", owner)
            seen.append(len((await client.get("plants"))[1]["plants"]))
        await decide(client, "Revoked", owners[0])
        seen.append(len((await client.get("plants"))[1]["plants"]))

    assert seen == [0, 2, 4, 2]


async def test_quick_mode_accepts_at_once(opening: Any) -> None:
    """A switch answers the first request with Accepted."""
    async with opening(consent=False, accept=True) as client:
        status, body = await request(client)
        _, listed = await client.get("plants")

    assert (status, body["state"], len(listed["plants"])) == (201, "Accepted", 6)
