"""The client and its token: renewal, refusal, secrecy."""

import asyncio
import json
import traceback

import pytest
import structlog
from aiohttp import web

from harvester.errors import (
    ConfigError,
    CredentialsRefused,
    Rejected,
    Retry,
    ServerTrouble,
)
from harvester.model import Slice
from harvester.sma.wire import Kind
from tests.sma.conftest import Connect, Fake

BODY = '{"plant":{"plantId":"7"},"set":[]}'


async def test_a_token_refused_in_mid_run_is_replaced_once(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """401 drops the token, and the request is repeated with a new one."""
    fake.on(fake.VALUES, fake.reply("", 401), fake.reply(BODY))
    async with connect() as client:
        await client.measurements(wanted)

    tokens = [seen.headers["authorization"] for seen in fake.calls(fake.VALUES)]
    assert tokens == ["Bearer secret-token-1", "Bearer secret-token-2"]


async def test_a_new_token_that_is_refused_fails_the_request_alone(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """Two 401 in a row are no reason to call the credentials wrong."""
    fake.on(fake.VALUES, fake.reply("", 401))
    async with connect() as client:
        with pytest.raises(Rejected, match="although it is new") as caught:
            await client.measurements(wanted)

    assert caught.value.status == 401
    assert len(fake.calls(fake.VALUES)) == 2


async def test_sixteen_workers_share_each_renewal(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """With tokens of two seconds, sixteen busy workers cause one token call per renewal."""
    fake.token_seconds = 2.0
    fake.on(fake.VALUES, fake.reply(BODY))
    async with connect() as client:

        async def work() -> None:
            async with asyncio.timeout(2.2):
                while True:
                    await client.measurements(wanted)
                    await asyncio.sleep(0.05)

        outcomes = await asyncio.gather(*(work() for _ in range(16)), return_exceptions=True)

    assert all(isinstance(outcome, TimeoutError) for outcome in outcomes)
    assert len(fake.calls("/oauth2/token")) == 2  # at 0 s and 1.6 s
    assert client.counts.outcomes == {"ok": client.counts.requests[Kind.VALUES] + 2}


async def test_bad_credentials_stop_the_run(fake: Fake, connect: Connect) -> None:
    """The token endpoint's refusal names what to look at."""
    denial = '{"error":"unauthorized_client","error_description":"Client not enabled to retrieve service account"}'
    fake.on("/oauth2/token", fake.reply(denial, 401))
    async with connect() as client:
        with pytest.raises(CredentialsRefused, match="for the code grant"):
            await client.verify()

    assert len(fake.calls("/oauth2/token")) == 1


async def test_trouble_at_the_token_endpoint_is_shared_and_bounded(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """Sixteen workers without a token cause no more token calls than one."""
    fake.on("/oauth2/token", fake.reply("", 503))
    async with connect(attempts=3) as client:
        outcomes = await asyncio.gather(*(client.measurements(wanted) for _ in range(16)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {ServerTrouble}
    assert len(fake.calls("/oauth2/token")) == 3


async def test_a_wrong_auth_url_is_a_matter_of_configuration(fake: Fake, connect: Connect) -> None:
    """Where nothing gives tokens, the key to look at is named."""
    fake.on("/oauth2/token", fake.reply("", 404))
    async with connect() as client:
        with pytest.raises(ConfigError) as caught:
            await client.verify()

    assert "sma.auth_url" in caught.value.problems


async def test_429_at_the_token_endpoint_is_waited_for(fake: Fake, connect: Connect) -> None:
    """The token endpoint's 429 pauses and does not stop."""
    token = fake.reply('{"access_token":"t","expires_in":300}')
    fake.on("/oauth2/token", fake.reply("", 429, Retry_After="1"), token)
    async with connect(window_seconds=1.0) as client:
        await client.verify()

    assert client.counts.throttled == 1
    assert client.pace.learned is None


async def test_secrets_reach_no_text(fake: Fake, connect: Connect, wanted: Slice) -> None:
    """Neither errors, nor causes, nor events hold a token or the secret, even when the server echoes them."""

    async def echo(request: web.Request) -> web.StreamResponse:
        words = {"message": f"no {request.headers.get('Authorization', 'way')}"}
        return web.Response(status=500, body=json.dumps(words).replace("secret-token-1", "x" * 64))

    texts: list[str] = []
    with structlog.testing.capture_logs() as events:
        for step in (
            echo,
            fake.raw(b"nonsense\r\n\r\n"),
            fake.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        ):
            fake.on(fake.VALUES, step)
            async with connect(attempts=2) as client:
                with pytest.raises(Retry) as caught:
                    await client.measurements(wanted)
            error: BaseException | None = caught.value
            texts += traceback.format_exception(error)
            while error is not None:
                texts.append(repr(error))
                error = error.__cause__ or error.__context__
    text = " ".join([*texts, repr(events), repr(client._exchange.tokens._token)])

    assert "secret-token" not in text
    assert "x" * 64 not in text
    assert "very-secret" not in text
    assert [event["event"] for event in events].count("sma.gave_up") == 3


async def test_logout_ends_the_session(fake: Fake, connect: Connect) -> None:
    """The refresh token is handed back once, and forgotten."""
    fake.on("/oauth2/logout", fake.reply("", 204))
    async with connect() as client:
        await client.verify()
        await client.logout()
        await client.logout()

    assert [seen.body.rpartition("=")[2] for seen in fake.calls("/oauth2/logout")] == ["secret-refresh-1"]
