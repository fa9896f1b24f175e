"""The token endpoint."""

from typing import Any

import aiohttp


async def test_answer_has_the_captured_fields(opening: Any) -> None:
    """A client-credentials answer carries a 300 s token, an 1800 s refresh token and the scope."""
    async with opening() as client:
        status, body = await client.token()

    assert status == 200
    assert body["expires_in"] == 300
    assert body["refresh_expires_in"] == 1800
    assert body["token_type"] == "Bearer"
    assert body["scope"] == "monitoringApi:read"
    assert body["access_token"].count(".") == body["refresh_token"].count(".") == 2
    assert {"not-before-policy", "session_state"} <= body.keys()


async def test_basic_authentication_is_as_good_as_the_form(opening: Any) -> None:
    """Client id and secret may come as HTTP Basic."""
    async with (
        opening() as client,
        client.session.post(
            f"{client.url}/oauth2/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": aiohttp.encode_basic_auth("local-sandbox", "local-sandbox")},
        ) as response,
    ):
        assert response.status == 200


async def test_errors_are_worded_as_keycloak_words_them(opening: Any) -> None:
    """Each refusal has its status, error and description."""
    async with opening() as client:
        answers = {
            "secret": await client.token(client_secret="wrong"),
            "client": await client.token(client_id="nobody"),
            "missing": await client.token(grant_type=""),
            "unsupported": await client.token(grant_type="password"),
            "refresh": await client.token(grant_type="refresh_token", refresh_token="made-up"),
            "code": await client.token(client_id="local-code", client_secret="local-code"),
        }

    assert {name: (status, body["error"]) for name, (status, body) in answers.items()} == {
        "secret": (401, "unauthorized_client"),
        "client": (401, "unauthorized_client"),
        "missing": (400, "invalid_request"),
        "unsupported": (400, "unsupported_grant_type"),
        "refresh": (400, "invalid_grant"),
        "code": (401, "unauthorized_client"),
    }
    assert answers["code"][1]["error_description"] == "Client not enabled to retrieve service account"


async def test_refresh_tokens_rotate_and_work_once(opening: Any) -> None:
    """The new answer carries another refresh token; the old one is refused from then on."""
    async with opening() as client:
        _, first = await client.token()
        refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        status, second = await client.token(**refresh)
        again, error = await client.token(**refresh)
        third, _ = await client.token(**(refresh | {"refresh_token": second["refresh_token"]}))

    assert (status, again, third) == (200, 400, 200)
    assert error["error"] == "invalid_grant"
    assert second["session_state"] == first["session_state"]
    assert second["access_token"] != first["access_token"]


async def test_refresh_token_ages(opening: Any, clock: Any) -> None:
    """After its life a refresh token is not active."""
    async with opening(refresh_seconds=60) as client:
        _, body = await client.token()
        clock.move(seconds=61)
        status, error = await client.token(grant_type="refresh_token", refresh_token=body["refresh_token"])

    assert (status, error["error_description"]) == (400, "Token is not active")


async def test_offline_tokens_do_not_age(opening: Any, clock: Any) -> None:
    """With offline_access the refresh token says 0 and works months later."""
    async with opening() as client:
        _, body = await client.token(scope="monitoringApi:read offline_access")
        clock.move(days=100)
        status, _ = await client.token(grant_type="refresh_token", refresh_token=body["refresh_token"])

    assert (body["refresh_expires_in"], status) == (0, 200)


async def test_access_token_ages_in_mid_run(opening: Any, clock: Any) -> None:
    """A token is good for its life and refused after it, with a Bearer challenge."""
    async with opening(token_seconds=300) as client:
        clock.move(seconds=298)
        before, _ = await client.get("plants")
        clock.move(seconds=3)
        response, body = await client.raw("/monitoring/v1/plants")

    assert (before, response.status) == (200, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert body == b'{"message":"Unauthorized","code":"401"}'


async def test_refusal_can_come_without_a_body(opening: Any) -> None:
    """A switch sends the 401 of a resource bare."""
    async with opening(empty_401=True) as client:
        response, body = await client.raw("/v1/plants", headers={})

    assert (response.status, body, response.headers["WWW-Authenticate"]) == (401, b"", "Bearer")


async def test_logout_ends_the_refresh_token(opening: Any) -> None:
    """Logout answers 204, and its refresh token is dead."""
    async with opening() as client:
        _, body = await client.token()
        form = {
            "client_id": "local-sandbox",
            "client_secret": "local-sandbox",
            "refresh_token": body["refresh_token"],
        }
        status, _ = await client.ask("/oauth2/logout", "POST", data=form)
        again, error = await client.token(grant_type="refresh_token", refresh_token=body["refresh_token"])

    assert (status, again, error["error"]) == (204, 400, "invalid_grant")


async def test_json_is_not_a_form(opening: Any) -> None:
    """The token endpoint takes forms only."""
    async with opening() as client:
        status, _ = await client.ask("/oauth2/token", "POST", json={"grant_type": "client_credentials"})

    assert status == 415
