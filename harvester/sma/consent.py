"""An owner's consent in the custom grant: asked for by e-mail, answered some day, revoked at any time.

Sends nothing itself: the functions of the life cycle are handed one that does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from harvester.errors import NotFound, Rejected
from harvester.sma.answers import utc
from harvester.sma.discretion import masked
from harvester.sma.tokens import Ask
from harvester.sma.wire import Kind, Request, Response, decode, segment

INTERVAL = 1800
"""Seconds between two looks at a state, where the answer names no other."""


class ConsentState(StrEnum):
    """Where a consent stands; only an accepted one lets an owner's plants appear.

    Read in any case, since captures are capitalised and SMA's documents are not; an unheard-of word is
    UNKNOWN.
    """

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"
    """The service named a state that nobody knows, or cannot be asked for it."""
    NOT_ASKED = "NotAsked"
    """The service has never heard of this owner."""

    @classmethod
    def _missing_(cls, value: object) -> ConsentState:
        word = str(value).strip().lower()
        return next((state for state in cls if state.value.lower() == word), cls.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the consent service says about one owner."""

    owner: str = field(repr=False)
    """The e-mail address that the owner has at SMA."""
    state: ConsentState
    expires_at: datetime | None = None
    """Aware UTC. It bounds the request and not the consent: an accepted one keeps it and outlives it."""
    interval: int = INTERVAL
    """Seconds between two looks at the state."""


async def request(ask: Ask, base: str, owner: str) -> Consent:
    """Ask *owner* for consent; may be repeated at any time, with an accepted one too.

    Some versions of the service answer a repetition with 400 or 409, and then the state tells. Raises
    Rejected where the service refuses an owner whom it does not know.
    """
    try:
        return await ask(request_consent(base, owner))
    except Rejected as refusal:
        if refusal.status not in {400, 409}:
            raise
        consent = await state(ask, base, owner)
        if consent.state in {ConsentState.NOT_ASKED, ConsentState.UNKNOWN}:
            raise
        return consent


async def state(ask: Ask, base: str, owner: str) -> Consent:
    """Tell where the consent of *owner* stands; Unknown where the service has no way to tell."""
    try:
        return await ask(read_consent(base, owner))
    except NotFound:
        return Consent(owner=owner, state=ConsentState.NOT_ASKED)
    except Rejected as refusal:
        if refusal.status not in {405, 501}:
            raise
        return Consent(owner=owner, state=ConsentState.UNKNOWN)


async def simulate(ask: Ask, base: str, owner: str, answer: ConsentState) -> Consent:
    """Play the owner, which only a sandbox lets one do; raises NotFound where nothing waits for an answer."""
    try:
        return await ask(answer_consent(base, owner, answer))
    except NotFound as error:
        text = f"no pending request of {masked(owner)} to answer: request consent first"
        raise NotFound(text, status=error.status) from error


def request_consent(base: str, owner: str) -> Request[Consent]:
    """Make SMA mail *owner* a link. 201 the first time, 200 later."""
    return _call("POST", _address(base), owner, accepts={200, 201}, fields={"loginHint": owner})


def read_consent(base: str, owner: str) -> Request[Consent]:
    """Read the state."""
    return _call("GET", f"{_address(base)}/{segment(owner)}", owner, accepts={200})


def answer_consent(base: str, owner: str, answer: ConsentState) -> Request[Consent]:
    """Put the owner's answer; the sandbox's page shows a bare word, the sandbox takes an object only."""
    url = f"{_address(base)}/{segment(owner)}/status"
    put = _call("PUT", url, owner, accepts={200, 204}, fields={"state": answer.value})
    answered = Consent(owner=owner, state=answer)
    return replace(put, read=lambda _response: answered)


class _Body(msgspec.Struct, rename="camel"):
    state: str
    expiration_date: Any = None
    interval: Any = None


def _reader(owner: str, response: Response) -> Consent:
    body = decode(response, _Body)
    return Consent(
        owner=owner,
        state=ConsentState(body.state),
        expires_at=utc(body.expiration_date),
        interval=body.interval if type(body.interval) is int and body.interval > 0 else INTERVAL,
    )


def _address(base: str) -> str:
    return f"{base.rstrip('/')}/oauth2/v2/bc-authorize"


def _call(
    method: str, url: str, owner: str, *, accepts: set[int], fields: dict[str, str] | None = None
) -> Request[Consent]:
    return Request(
        method=method,
        url=url,
        kind=Kind.CONSENT,
        read=lambda response: _reader(owner, response),
        accepts=frozenset(accepts),
        body=msgspec.json.encode(fields) if fields else None,
        content_type="application/json" if fields else None,
    )
