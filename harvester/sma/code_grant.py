"""The code grant: where an owner's browser is sent, what the code it brings back is exchanged for.

Sends nothing itself. SMA documents the two addresses and ``offline_access``; whether it offers PKCE is asked of the
identity server, which is a Keycloak.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from harvester.sma.settings import Credentials
from harvester.sma.tokens import Denial, Grant, grant_request
from harvester.sma.wire import Kind, Request, Response, decode

SCOPE = "offline_access monitoringApi:read"
"""With ``offline_access`` the refresh token does not expire while it is used."""
CONSENT_OVER = "invalid_grant"
"""Keycloak's word for a code or a refresh token that is not taken (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One owner's way to SMA and back."""

    redirect_uri: str
    """SMA knows it as the client's; the same when the code is exchanged."""
    state: str = field(repr=False)
    """Opaque to SMA, which sends it back."""
    verifier: str | None = field(default=None, repr=False)
    """PKCE (RFC 7636); None where it is not offered."""


class OwnerStore(Protocol):
    """Keeps what must outlive the process about owners who connected; every call may wait for the disk."""

    def owners(self) -> list[str]:
        """Return who has a refresh token, refused ones too, in a steady order."""
        ...

    def refresh_of(self, owner: str) -> str | None:
        """Return the newest refresh token of *owner*."""
        ...

    def keep(self, owner: str, refresh: str, *, instead_of: str) -> bool:
        """Keep a rotated token, on the disk when this returns; False where another one was kept meanwhile."""
        ...

    def connected(self, owner: str, refresh: str) -> None:
        """Keep the token of an owner who has just consented, on the disk when this returns."""
        ...

    def renamed(self, old: str, new: str) -> None:
        """Give the token of *old*, who turned out to be *new*, to *new*."""
        ...

    def welcomed(self, owner: str) -> None:
        """Remember that *owner* has just consented, perhaps anew."""
        ...

    def accepted(self, owner: str) -> None:
        """Remember that the token of *owner* was taken."""
        ...

    def refused(self, owner: str) -> None:
        """Remember that the consent of *owner* has ended."""
        ...

    def saw(self, owner: str, plant_ids: Collection[str]) -> None:
        """Remember which plants the token of *owner* lists."""
        ...

    def listed(self, owner: str) -> list[str]:
        """Return the ids of the plants that came with *owner* and were in the last list."""
        ...

    def owner_with(self, plant_ids: Collection[str]) -> str | None:
        """Return a known owner all of whose plants are among *plant_ids*."""
        ...

    def owner_of_plant(self, plant_id: str) -> str | None:
        """Return whose token listed the plant last."""
        ...

    def owner_of_device(self, device_id: str) -> str | None:
        """Return whose token listed the device's plant last."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def verifier() -> str:
    """Return a new secret for one visit: 64 characters of those that RFC 7636 allows."""
    return secrets.token_urlsafe(48)


def challenge(secret: str) -> str:
    """Return what the browser may carry of it: method S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).rstrip(b"=").decode()


def authorization_address(auth_url: str, client_id: str, visit: Visit) -> str:
    """Return where SMA asks the owner to log in and to consent."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": visit.redirect_uri,
        "scope": SCOPE,
        "state": visit.state,
    }
    if visit.verifier is not None:
        query |= {"code_challenge": challenge(visit.verifier), "code_challenge_method": "S256"}
    return f"{auth_url.rstrip('/')}/oauth2/auth?{urlencode(query)}"


def code_request(auth_url: str, credentials: Credentials, code: str, visit: Visit) -> Request[Grant | Denial]:
    """Exchange a code, which works once and for about a minute."""
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": visit.redirect_uri}
    if visit.verifier is not None:
        fields["code_verifier"] = visit.verifier
    return grant_request(auth_url, credentials, fields)


class _Discovered(msgspec.Struct):
    code_challenge_methods_supported: list[str] = []


def pkce_request(auth_url: str) -> Request[bool]:
    """Ask whether PKCE with S256 is offered; no SMA document names this address, OpenID Connect Discovery does."""
    return Request(
        method="GET",
        url=f"{auth_url.rstrip('/')}/.well-known/openid-configuration",
        kind=Kind.TOKEN,
        read=_offers_s256,
        needs_token=False,
    )


def _offers_s256(response: Response) -> bool:
    return "S256" in decode(response, _Discovered).code_challenge_methods_supported
