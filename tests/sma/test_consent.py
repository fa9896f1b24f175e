"""The life of an owner's consent, as a service may tell it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import BadBody, Forbidden, HarvestError, NotFound, Rejected
from harvester.sma import consent
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.tokens import Ask
from harvester.sma.wire import Good, Request, Response, judge

NOW = datetime(2026, 7, 8, tzinfo=UTC)
OWNER = "owner@example.org"
BASE = "https://async-auth.example"
ACCEPTED = {
    "loginHint": OWNER,
    "state": "Accepted",
    "expirationDate": "2026-07-15T08:30:00.1230000Z",
    "interval": 1800,
}


def service(*answers: tuple[int, Any]) -> tuple[Ask, list[tuple[str, str, bytes | None]]]:
    """Build a service that gives these statuses and bodies in turn, and the list of what it was asked."""
    asked: list[tuple[str, str, bytes | None]] = []
    queue = list(answers)

    async def ask(request: Request[Any]) -> Any:
        asked.append((request.method, request.url, request.body))
        status, body = queue.pop(0)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = Response(method=request.method, url=request.url, status=status, headers={}, body=raw, asked_at=NOW)
        verdict = judge(request, answer)
        if isinstance(verdict, HarvestError):
            raise verdict
        return verdict.value

    return ask, asked


@pytest.mark.parametrize("status", [200, 201])
async def test_a_request_tells_where_it_stands(status: int) -> None:
    """The first request answers 201, a repetition 200; both are read."""
    ask, asked = service((status, ACCEPTED))

    assert await consent.request(ask, BASE, OWNER) == Consent(
        owner=OWNER,
        state=ConsentState.ACCEPTED,
        expires_at=datetime(2026, 7, 15, 8, 30, 0, 123000, tzinfo=UTC),
        interval=1800,
    )
    assert asked == [("POST", f"{BASE}/oauth2/v2/bc-authorize", b'{"loginHint":"owner@example.org"}')]


@pytest.mark.parametrize("status", [400, 409])
async def test_a_refused_repetition_is_settled_by_the_state(status: int) -> None:
    """400 and 409 on a repetition are no failure where a request stands."""
    ask, asked = service((status, b""), (200, {"state": "pending"}))

    assert (await consent.request(ask, BASE, OWNER)).state is ConsentState.PENDING
    assert asked[1][:2] == ("GET", f"{BASE}/oauth2/v2/bc-authorize/owner%40example.org")


async def test_a_refused_first_request_is_a_failure() -> None:
    """Where nothing stands, 400 means that the address is no good; the text masks it."""
    ask, _ = service((400, {"message": f"unknown {OWNER}"}), (404, b""))
    with pytest.raises(Rejected, match=r"o\*\*\*@example\.org") as caught:
        await consent.request(ask, BASE, OWNER)

    assert OWNER not in str(caught.value)


async def test_another_refusal_is_raised_at_once() -> None:
    """403 is a missing right, whatever the state."""
    ask, asked = service((403, b""))
    with pytest.raises(Forbidden):
        await consent.request(ask, BASE, OWNER)

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [(404, ConsentState.NOT_ASKED), (405, ConsentState.UNKNOWN), (501, ConsentState.UNKNOWN)],
)
async def test_a_state_that_cannot_be_read_is_no_failure(status: int, state: ConsentState) -> None:
    """Never asked, or no way to ask: both are states."""
    ask, _ = service((status, b""))

    assert await consent.state(ask, BASE, OWNER) == Consent(owner=OWNER, state=state)


async def test_a_refused_look_at_the_state_is_raised() -> None:
    """415 tells nothing about a consent."""
    ask, _ = service((415, b""))
    with pytest.raises(Rejected) as caught:
        await consent.state(ask, BASE, OWNER)

    assert caught.value.status == 415


@pytest.mark.parametrize("status", [200, 204])
async def test_the_owner_can_be_played(status: int) -> None:
    """The sandbox takes an object with the capitalised state."""
    ask, asked = service((status, b""))

    assert (await consent.simulate(ask, BASE, OWNER, ConsentState.REVOKED)).state is ConsentState.REVOKED
    assert asked == [("PUT", f"{BASE}/oauth2/v2/bc-authorize/owner%40example.org/status", b'{"state":"Revoked"}')]


async def test_nothing_to_answer_says_what_to_do() -> None:
    """404 on the owner's answer means that nothing was asked."""
    ask, _ = service((404, {"message": "Not Found", "code": "404"}))
    with pytest.raises(NotFound, match=r"no pending request of o\*\*\*@example.org") as caught:
        await consent.simulate(ask, BASE, OWNER, ConsentState.ACCEPTED)

    assert caught.value.status == 404


@pytest.mark.parametrize("state", list(ConsentState))
def test_states_are_read_in_any_case(state: ConsentState) -> None:
    """Captures are capitalised, documents are not."""
    assert ConsentState(state.value.upper()) is state
    assert ConsentState(f" {state.value.lower()} ") is state


def test_an_unheard_of_state_is_unknown() -> None:
    """A new word is not accepted, and not a failure."""
    assert ConsentState("Suspended") is ConsentState.UNKNOWN


def test_an_owner_is_not_shown() -> None:
    """A repr of a consent holds no e-mail address."""
    assert "example.org" not in repr(Consent(owner=OWNER, state=ConsentState.PENDING))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
)


@given(st.fixed_dictionaries({}, optional={"state": JSON, "expirationDate": JSON, "interval": JSON}) | JSON)
def test_soup_is_a_consent_or_a_bad_body(soup: Any) -> None:
    """Any JSON at all is read into a consent with a positive interval, or is BadBody."""
    request = consent.read_consent(BASE, OWNER)
    raw = json.dumps(soup).encode()
    verdict = judge(request, Response(method="GET", url="", status=200, headers={}, body=raw, asked_at=NOW))

    assert isinstance(verdict, BadBody) or (isinstance(verdict, Good) and verdict.value.interval > 0)
