"""All tokens alive: access tokens, rotating refresh tokens, and the sessions that hold them together."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from harvester.sandbox.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token stands for."""

    client: str
    session: str
    scope: str
    owner: str | None = None
    """Whose plants it opens (code grant), lower case; None: the client's own token, consent decides."""
    ends: float | None = None
    """End of the session in elapsed seconds, beyond which no refresh prolongs it; None: none."""
    until: float | None = None
    """End of life in elapsed seconds; None: never ends (offline_access)."""

    def dead(self, elapsed: float) -> bool:
        """Say whether its life is over."""
        return self.until is not None and self.until <= elapsed


class Tokens:
    """Gives tokens out, knows them again, and takes them back."""

    def __init__(self, settings: Settings, elapsed: Callable[[], float]) -> None:
        self._settings = settings
        self._elapsed = elapsed
        self._key = secrets.token_bytes(32)
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._used: dict[str, Grant] = {}

    def bearer(self, authorization: str | None) -> Grant | None:
        """Return what the token of a Bearer header stands for, or None."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._access.get(token.strip()) if scheme.casefold() == "bearer" else None
        return None if grant is None or grant.dead(self._elapsed()) else grant

    def issue(self, client: str, session: str, scope: str, *, owner: str | None = None) -> dict[str, Any]:
        """Begin a session and return the body of its first answer."""
        limited = owner is not None and not _offline(scope)
        ends = self._elapsed() + self._settings.session_seconds if limited else None
        return self._new(Grant(client=client, session=session, scope=scope, owner=owner, ends=ends))

    def used(self, token: str) -> Grant | None:
        """Return what a refresh token stood for that has been exchanged before."""
        return self._used.get(token)

    def renew(self, client: str, token: str) -> tuple[Grant, dict[str, Any]] | str:
        """Exchange a refresh token, which works once; return the new answer, or Keycloak's words for why not."""
        grant = self._refresh.get(token)
        if grant is None or grant.client != client:
            return "Invalid refresh token"
        del self._refresh[token]
        if grant.dead(self._elapsed()):
            return "Token is not active"
        self._used[token] = grant
        return grant, self._new(grant)

    def granted(self, owner: str) -> bool:
        """Say whether a client still holds what an owner granted (code grant); *owner* in lower case."""
        elapsed = self._elapsed()
        return any(grant.owner == owner and not grant.dead(elapsed) for grant in self._refresh.values())

    def log_out(self, token: str) -> bool:
        """End the session of a refresh token; False where there is none."""
        grant = self._refresh.get(token)
        if grant is not None:
            self.end(grant.session)
        return grant is not None

    def end(self, session: str) -> None:
        """Let all tokens of a session die at once."""
        self._keep(lambda grant: grant.session != session)

    def revoke(self, owner: str) -> None:
        """Let all tokens that an owner, lower case, gave die at once."""
        self._keep(lambda grant: grant.owner != owner)

    def _keep(self, good: Callable[[Grant], bool]) -> None:
        self._access = {text: grant for text, grant in self._access.items() if good(grant)}
        self._refresh = {text: grant for text, grant in self._refresh.items() if good(grant)}

    def _new(self, grant: Grant) -> dict[str, Any]:
        settings, elapsed = self._settings, self._elapsed()
        self._access = {text: other for text, other in self._access.items() if not other.dead(elapsed)}
        life = settings.refresh_seconds if grant.owner is None else settings.owner_refresh_seconds
        if grant.ends is not None:
            life = max(0, min(life, round(grant.ends - elapsed)))
        offline = _offline(grant.scope)
        access, refresh = self._sign("RS256", grant), self._sign("HS512", grant)
        self._access[access] = replace(grant, until=elapsed + settings.token_seconds)
        self._refresh[refresh] = replace(grant, until=None if offline else elapsed + life)
        return {
            "access_token": access,
            "expires_in": settings.token_seconds,
            "refresh_expires_in": 0 if offline else life,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "session_state": grant.session,
            "scope": grant.scope,
        }

    def _sign(self, algorithm: str, grant: Grant) -> str:
        """Return a text in the shape of a JWT; only this cloud can tell whether it is one of its own."""
        header = orjson.dumps({"alg": algorithm, "typ": "JWT", "kid": "sandbox"})
        claims = orjson.dumps(
            {
                "jti": secrets.token_hex(16),
                "sub": grant.owner or grant.client,
                "azp": grant.client,
                "session_state": grant.session,
            }
        )
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
        mark = hmac.new(self._key, signed, hashlib.sha256).digest()
        return (signed + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def _offline(scope: str) -> bool:
    return "offline_access" in scope.split()
