"""OAuth2 towards SMA's Keycloak: which request gives a token, what its answer means, and when to ask again.

Sends nothing itself: ``Tokens`` is handed a function that does. A token is opaque and appears in no text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from harvester.errors import BadBody, ConfigError, CredentialsRefused, Skip
from harvester.sma.discretion import hushed
from harvester.sma.settings import Credentials
from harvester.sma.wire import Kind, Request, Response, decode

T = TypeVar("T")

LEEWAY = 0.8
"""Share of a token's life after which the next one is fetched, whatever that life is (300 s at SMA)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token; times are seconds on a monotonic clock."""

    value: str = field(repr=False)
    issued: float
    """When it was asked for, so that the way to the server counts against it."""
    expires: float

    def stale(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return now >= self.issued + LEEWAY * (self.expires - self.issued)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The token endpoint gave a token; *lifetime* in seconds."""

    value: str = field(repr=False)
    lifetime: float
    refresh: str | None = field(repr=False)
    """Works once: SMA hands out a new one with each token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """The token endpoint refused; *error* and *description* are Keycloak's, empty where the answer is not."""

    status: int
    error: str
    description: str


_SECRET_FIELDS = {"refresh_token", "code", "code_verifier"}
_DENIALS = frozenset({400, 401, 403})

_ADVICE = (
    # A client supports one of two grants; Keycloak says so to one that is made for the other.
    ("not enabled to retrieve service account", "this client is for the code grant, not for the custom one"),
    ("unauthorized_grant_type", "check the grant"),
    ("unsupported_grant_type", "check the grant"),
    ("invalid_grant", "check the grant"),
    ("invalid_scope", "check which APIs the credentials are for"),
    ("client secret", "check client_secret"),
    ("client not found", "check client_id"),
)
_USUAL_ADVICE = "check client_id and client_secret"


def token_request(auth_url: str, credentials: Credentials, refresh: str | None = None) -> Request[Grant | Denial]:
    """Ask for a token: with *refresh*, a refresh token, or with the credentials alone."""
    grant = {"grant_type": "client_credentials"}
    if refresh is not None:
        grant = {"grant_type": "refresh_token", "refresh_token": refresh}
    return grant_request(auth_url, credentials, grant)


def grant_request(auth_url: str, credentials: Credentials, fields: dict[str, str]) -> Request[Grant | Denial]:
    """Ask for a token with the *fields* of any grant."""
    accepts = {200} | _DENIALS
    return _form(auth_url, "token", credentials=credentials, fields=fields, read=_read_token, accepts=accepts)


def logout_request(auth_url: str, credentials: Credentials, refresh: str) -> Request[None]:
    """End the session that *refresh* belongs to."""
    fields = {"refresh_token": refresh}
    return _form(auth_url, "logout", credentials=credentials, fields=fields, read=_read_nothing, accepts={200, 204})


def explain(denial: Denial) -> str:
    """Say what to look at when the client is refused; names neither the id nor the secret."""
    said = " ".join(part for part in (denial.error, denial.description) if part)
    if not said:
        return f"the token endpoint refused with {denial.status} and no reason: check auth_url and client_id"
    advice = next((text for sign, text in _ADVICE if sign in said.lower()), _USUAL_ADVICE)
    return f'the token endpoint refused with {denial.status} "{hushed(said)}": {advice}'


class Ask(Protocol):
    """Sends a request, tries again as long as that makes sense, and reads the answer."""

    def __call__(self, request: Request[T], /) -> Awaitable[T]:
        """Return what the request asks for; raises the errors of ``harvester.errors``."""
        ...


class TokenSource(Protocol):
    """Where requests get their token from."""

    async def current(self) -> Token:
        """Return a token that is not stale; raises what keeps it away."""
        ...

    def drop(self, token: Token) -> None:
        """Do not use *token* again; without effect where it was replaced meanwhile."""
        ...

    async def logout(self) -> None:
        """End the session, if there is one that may be ended."""
        ...

    async def aclose(self) -> None:
        """End what is under way."""
        ...


class Tokens:
    """The token of one client, renewed by one call for all who wait."""

    def __init__(
        self,
        ask: Ask,
        *,
        auth_url: str,
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._auth_url = auth_url
        self._credentials = credentials
        self._clock = clock
        self._token: Token | None = None
        self._refresh: str | None = None
        self._renewal: asyncio.Task[Token] | None = None

    async def current(self) -> Token:
        """Return a token that is not stale.

        Raises CredentialsRefused, ConfigError where there is no token endpoint, or a Retry error once
        patience with the endpoint has ended.
        """
        if self._token is not None and not self._token.stale(self._clock()):
            return self._token
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="sma token")
            self._renewal.add_done_callback(self._renewed)
        # Whoever is cancelled while waiting does not take the token away from the others.
        return await asyncio.shield(self._renewal)

    def drop(self, token: Token) -> None:
        """Do not use *token* again; without effect where it was replaced meanwhile."""
        if self._token is token:
            self._token = None

    async def logout(self) -> None:
        """End the session, if there is one."""
        refresh, self._token, self._refresh = self._refresh, None, None
        if refresh is not None:
            await self._ask(logout_request(self._auth_url, self._credentials, refresh))

    async def aclose(self) -> None:
        """Give up a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    def _renewed(self, renewal: asyncio.Task[Token]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # all who waited may be gone, and that is no reason for a warning

    async def _renew(self) -> Token:
        """Get a token, by the refresh token if there is one, and by the credentials where that is refused."""
        refresh, self._refresh = self._refresh, None
        started = self._clock()
        answer = await self._answer(refresh)
        if isinstance(answer, Denial) and refresh is not None:
            started = self._clock()
            answer = await self._answer(None)
        if isinstance(answer, Denial):
            raise CredentialsRefused(explain(answer))
        self._refresh = answer.refresh
        self._token = Token(value=answer.value, issued=started, expires=started + answer.lifetime)
        return self._token

    async def _answer(self, refresh: str | None) -> Grant | Denial:
        try:
            return await self._ask(token_request(self._auth_url, self._credentials, refresh))
        except Skip as error:
            # Nothing at this address gives tokens, so no request of the run can succeed.
            problems = {"sma.auth_url": "the address below which /oauth2/token answers"}
            raise ConfigError(f"{error}; check auth_url", problems=problems) from error


class _TokenBody(msgspec.Struct):
    access_token: str
    expires_in: float = 300.0
    refresh_token: str | None = None


class _DenialBody(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def _read_token(response: Response) -> Grant | Denial:
    if response.status in _DENIALS:
        try:
            body = decode(response, _DenialBody)
        except BadBody:
            body = _DenialBody()
        return Denial(status=response.status, error=body.error, description=body.error_description)
    token = decode(response, _TokenBody)
    if not token.access_token.isascii() or not token.access_token.isprintable() or not token.access_token:
        raise BadBody(f"{response.label}: the token is not one", status=response.status)
    return Grant(value=token.access_token, lifetime=max(token.expires_in, 0.0), refresh=token.refresh_token or None)


def _read_nothing(response: Response) -> None:
    del response


def _form(  # all of it belongs to one request
    auth_url: str,
    action: str,
    *,
    credentials: Credentials,
    fields: dict[str, str],
    read: Callable[[Response], T],
    accepts: set[int] | frozenset[int],
) -> Request[T]:
    client = {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    return Request(
        method="POST",
        url=f"{auth_url.rstrip('/')}/oauth2/{action}",
        kind=Kind.TOKEN,
        read=read,
        accepts=frozenset(accepts),
        body=urlencode(client | fields).encode(),
        content_type="application/x-www-form-urlencoded",
        secrets=(credentials.client_secret, *(fields[name] for name in _SECRET_FIELDS & fields.keys())),
        needs_token=False,
    )
