"""Tokens: their life, their renewal, and who refuses them."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import BadBody, CredentialsRefused, HarvestError, ServerTrouble
from harvester.sma.settings import Credentials
from harvester.sma.tokens import Denial, Grant, Token, Tokens, explain, token_request
from harvester.sma.wire import Elsewhere, Good, Request, Response, judge
from tests.sma.conftest import Clock

NOW = datetime(2026, 7, 8, tzinfo=UTC)
CREDENTIALS = Credentials(client_id="local", client_secret="very-secret")


class Endpoint:
    """A token endpoint that gives what it is told to, and remembers what it was asked."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.grants: list[str] = []
        self.refreshed: list[str] = []

    async def ask(self, request: Request[Any]) -> Any:
        """Answer one request."""
        fields = dict(parse_qsl(request.body.decode()))
        self.grants.append(fields["grant_type"])
        if "refresh_token" in fields:
            self.refreshed.append(fields["refresh_token"])
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def grant(number: object, lifetime: float = 300.0) -> Grant:
    """Build the n-th token of an endpoint."""
    return Grant(value=f"token-{number}", lifetime=lifetime, refresh=f"refresh-{number}")


DENIED = Denial(status=400, error="invalid_grant", description="Token is not active")


def tokens(endpoint: Endpoint, clock: Clock = lambda: 0.0) -> Tokens:
    """Build what is tested."""
    return Tokens(endpoint.ask, auth_url="https://auth", credentials=CREDENTIALS, clock=clock)


@given(issued=st.floats(0, 1e6), life=st.floats(1, 1e5))
def test_a_token_is_stale_after_four_fifths_of_its_life(issued: float, life: float) -> None:
    """The leeway is relative, whatever the life is."""
    token = Token(value="t", issued=issued, expires=issued + life)

    assert not token.stale(issued + 0.79 * life)
    assert token.stale(issued + 0.81 * life)


async def test_all_who_wait_share_one_call() -> None:
    """Single flight: a hundred waiters, one request."""
    endpoint = Endpoint(grant(1))
    shared = tokens(endpoint)

    got = await asyncio.gather(*(shared.current() for _ in range(100)))

    assert {token.value for token in got} == {"token-1"}
    assert endpoint.grants == ["client_credentials"]


async def test_a_stale_token_is_refreshed_with_the_newest_refresh_token() -> None:
    """Refresh tokens rotate: each is used once."""
    now = 0.0
    endpoint = Endpoint(grant(1, 10), grant(2, 10), grant(3, 10))
    shared = tokens(endpoint, lambda: now)
    first = (await shared.current()).value
    now = 7.9
    still = (await shared.current()).value
    now = 8.1
    second = (await shared.current()).value
    now = 16.2
    third = (await shared.current()).value

    assert [first, still, second, third] == ["token-1", "token-1", "token-2", "token-3"]
    assert endpoint.refreshed == ["refresh-1", "refresh-2"]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_refresh_falls_back_to_the_credentials(status: int) -> None:
    """A refresh token that is over does not matter while the credentials are good."""
    endpoint = Endpoint(grant(1, 0), Denial(status=status, error="", description=""), grant(2))
    shared = tokens(endpoint)
    await shared.current()

    assert (await shared.current()).value == "token-2"
    assert endpoint.grants == ["client_credentials", "refresh_token", "client_credentials"]


async def test_refused_credentials_are_a_stop() -> None:
    """When the credentials are refused as well, the run ends."""
    endpoint = Endpoint(grant(1, 0), DENIED, DENIED)
    shared = tokens(endpoint)
    await shared.current()
    with pytest.raises(CredentialsRefused, match="check the grant"):
        await shared.current()

    assert endpoint.outcomes == []


async def test_trouble_is_told_to_all_and_the_next_call_is_new() -> None:
    """A failed renewal is no refusal, and is not remembered."""
    endpoint = Endpoint(ServerTrouble("down"), grant(1))
    shared = tokens(endpoint)
    outcomes = await asyncio.gather(*(shared.current() for _ in range(5)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [ServerTrouble] * 5
    assert (await shared.current()).value == "token-1"


async def test_a_dropped_token_is_replaced_and_its_successor_is_not_dropped() -> None:
    """Two workers whose requests were refused with the same token cause one renewal."""
    endpoint = Endpoint(grant(1), grant(2))
    shared = tokens(endpoint)
    old = await shared.current()
    shared.drop(old)
    new = await shared.current()
    shared.drop(old)

    assert (await shared.current()) is new


async def test_who_is_cancelled_does_not_take_the_token_from_the_others() -> None:
    """A renewal belongs to all who wait for it."""
    endpoint = Endpoint(grant(1))
    shared = tokens(endpoint)
    first, second = (asyncio.create_task(shared.current()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).value == "token-1"
    assert first.cancelled()


async def test_closing_ends_a_renewal() -> None:
    """Nothing is left behind when a client closes while a token is on its way."""
    endpoint = Endpoint(grant(1))
    shared = tokens(endpoint)
    waiting = asyncio.create_task(shared.current())
    await asyncio.sleep(0)
    await shared.aclose()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert shared._renewal is None


def test_a_token_shows_itself_nowhere() -> None:
    """No repr holds a secret."""
    request = token_request("https://auth", CREDENTIALS, "refresh-1")
    shown = repr([Token(value="secret", issued=0, expires=1), grant("secret"), CREDENTIALS, request])

    assert "secret" not in shown.replace("client_secret", "")
    assert "refresh-1" not in shown


@pytest.mark.parametrize(
    ("error", "description", "advice"),
    [
        ("unauthorized_client", "Client not enabled to retrieve service account", "for the code grant"),
        ("unauthorized_client", "Invalid client secret", "check client_secret"),
        ("invalid_client", "Client not found", "check client_id"),
        (
            "invalid_client",
            "Invalid client or Invalid client credentials",
            "check client_id and client_secret",
        ),
        ("unsupported_grant_type", "Unsupported grant_type", "check the grant"),
        ("invalid_scope", "Invalid scopes", "which APIs"),
        ("", "", "check auth_url"),
    ],
)
def test_a_refusal_says_what_to_look_at(error: str, description: str, advice: str) -> None:
    """Keycloak's words decide between id, secret and grant."""
    text = explain(Denial(status=401, error=error, description=description))

    assert advice in text
    assert "401" in text


def answered(status: int, body: bytes) -> Good[Grant | Denial] | Elsewhere | HarvestError:
    """Judge an answer of the token endpoint."""
    request = token_request("https://auth", CREDENTIALS)
    return judge(
        request, Response(method="POST", url="https://a/t", status=status, headers={}, body=body, asked_at=NOW)
    )


def test_a_token_answer_is_read() -> None:
    """The capture's shape gives value, life and refresh token; a missing life is SMA's usual one."""
    full = b'{"access_token":"a","expires_in":2,"refresh_token":"r","not-before-policy":0,"scope":"x"}'

    assert answered(200, full) == Good(Grant(value="a", lifetime=2.0, refresh="r"))
    assert answered(200, b'{"access_token":"a"}') == Good(Grant(value="a", lifetime=300.0, refresh=None))
    assert answered(403, b"<html>") == Good(Denial(status=403, error="", description=""))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"access_token":""}', b'{"access_token":"a\\r\\nX: y"}', b"<html>"])
def test_what_is_no_token_is_a_bad_body(body: bytes) -> None:
    """A token that is missing or would break a header is asked again."""
    assert isinstance(answered(200, body), BadBody)


@given(status=st.sampled_from([200, 400, 401, 403]), body=st.binary(max_size=80))
def test_any_answer_is_a_grant_a_denial_or_a_bad_body(status: int, body: bytes) -> None:
    """Nothing that the endpoint says leaks a foreign exception."""
    verdict = answered(status, body)

    assert isinstance(verdict, BadBody) or (isinstance(verdict, Good) and isinstance(verdict.value, Grant | Denial))
