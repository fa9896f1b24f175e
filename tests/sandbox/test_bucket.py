"""The rate limit."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from harvester.sandbox.bucket import Bucket


def test_sliding_window_renews_request_by_request() -> None:
    """A token comes back one window after it was taken."""
    bucket = Bucket(2, 10, "sliding")

    assert [bucket.take("a", at) for at in (0, 4, 5)] == [None, None, 5]
    assert [bucket.take("a", at) for at in (10, 11, 14)] == [None, 3, None]


def test_fixed_window_renews_all_at_once() -> None:
    """At the window's end the whole bucket is full again."""
    bucket = Bucket(2, 10, "fixed")

    assert [bucket.take("a", at) for at in (8, 9, 9.5)] == [None, None, 0.5]
    assert [bucket.take("a", at) for at in (10, 10, 10)] == [None, None, 10]


def test_clients_do_not_share_a_bucket() -> None:
    """Each client has its own tokens."""
    bucket = Bucket(1, 10, "sliding")

    assert [bucket.take(client, 0) for client in ("a", "b", "a")] == [None, None, 10]


async def test_a_429_tells_when_to_come_back(opening: Any, clock: Any) -> None:
    """The refusal has the assumed body and integer seconds to the end of the window; then it works again."""
    async with opening(requests=2, token_seconds=3600) as client:
        await client.get("plants")
        clock.move(seconds=100)
        await client.get("plants")
        response, body = await client.raw("/monitoring/v1/plants")
        clock.move(seconds=201)
        again, _ = await client.get("plants")

    assert response.status == 429
    assert body == b'{"message":"Too Many Requests","code":"429"}'
    assert 200 <= int(response.headers["Retry-After"]) <= 201
    assert again == 200


@pytest.mark.parametrize("form", ["date", "absent"])
async def test_other_forms_of_retry_after(opening: Any, form: str) -> None:
    """A switch sends an HTTP date or nothing."""
    async with opening(requests=1, retry_after=form) as client:
        await client.get("plants")
        response, _ = await client.raw("/monitoring/v1/plants")

    text = response.headers.get("Retry-After")
    assert response.status == 429
    assert (text is None) == (form == "absent")
    assert text is None or parsedate_to_datetime(text).tzinfo is not None


async def test_tokens_and_consents_cost_nothing(opening: Any) -> None:
    """Only monitoring requests are counted against the limit, and the counters tell."""
    async with opening(requests=2) as client:
        for _ in range(5):
            await client.token()
            await client.ask("/oauth2/v2/bc-authorize/owner@example.org")
        statuses = [(await client.get("plants"))[0] for _ in range(3)]
        counts = client.cloud.counts

        assert statuses == [200, 200, 429]
        assert (counts.spent, counts.limited, counts.tokens, counts.monitoring) == (2, 1, 5, 3)
        _, served = await client.ask("/_sandbox/counts")
        assert served["requests"] == {"token": 5, "consent": 5, "plants": 3}
        client.cloud.reset_counts()
        assert counts.monitoring == counts.spent == counts.limited == 0
