"""The identity server: client credentials, rotating refresh tokens, logout; errors as Keycloak words them."""

import base64
import binascii
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from harvester.sandbox.exchange import Answer, Call, json_answer
from harvester.sandbox.settings import Settings

FORM = "application/x-www-form-urlencoded"


def _error(status: int, error: str, description: str) -> Answer:
    return json_answer({"error": error, "error_description": description}, status)


STRANGER = _error(401, "unauthorized_client", "Invalid client or Invalid client credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token stands for."""

    client: str
    session: str
    scope: str
    until: float | None
    """End of life in elapsed seconds; None: never ends (offline_access)."""


class Tokens:
    """All tokens alive."""

    def __init__(self, settings: Settings, elapsed: Callable[[], float]) -> None:
        self._settings = settings
        self._elapsed = elapsed
        self._key = secrets.token_bytes(32)
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._used: set[str] = set()

    def client(self, authorization: str | None) -> str | None:
        """Return the client that a Bearer header speaks for, or None."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._access.get(token.strip()) if scheme.casefold() == "bearer" else None
        if grant is None or grant.until is None or grant.until <= self._elapsed():
            return None
        return grant.client

    def issue(self, call: Call) -> Answer:
        """Answer a request at the token endpoint."""
        if call.media_type() != FORM:
            return _error(415, "invalid_request", "Unsupported Media Type")
        form = call.form()
        client = self._authenticated(call, form)
        if client is None:
            return STRANGER
        return self._granted(client, form)

    def _granted(self, client: str, form: dict[str, str]) -> Answer:
        """Answer a known client."""
        match form.get("grant_type", ""):
            case "":
                return _error(400, "invalid_request", "Missing form parameter: grant_type")
            case "client_credentials" if client == self._settings.code_client_id:
                return _error(401, "unauthorized_client", "Client not enabled to retrieve service account")
            case "client_credentials":
                return self._new(client, str(uuid.uuid4()), form.get("scope") or "monitoringApi:read")
            case "refresh_token":
                return self._renew(client, form.get("refresh_token", ""))
        return _error(400, "unsupported_grant_type", "Unsupported grant_type")

    def log_out(self, call: Call) -> Answer:
        """End a session: its refresh token stops working."""
        form = call.form()
        client = self._authenticated(call, form)
        if client is None:
            return STRANGER
        if self._refresh.pop(form.get("refresh_token", ""), None) is None:
            return _error(400, "invalid_grant", "Invalid refresh token")
        return Answer(status=204)

    def revoke_all(self) -> None:
        """Let every access token die at once."""
        self._access.clear()

    def _authenticated(self, call: Call, form: dict[str, str]) -> str | None:
        """Return the client whose secret came in the form or as HTTP Basic."""
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, text = call.headers.get("Authorization", "").partition(" ")
        if scheme.casefold() == "basic":
            try:
                name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        settings = self._settings
        known = {
            settings.client_id: settings.client_secret,
            settings.code_client_id: settings.code_client_secret,
        }
        return name if name in known and hmac.compare_digest(known[name].encode(), secret.encode()) else None

    def _renew(self, client: str, token: str) -> Answer:
        grant = self._refresh.get(token)
        if token in self._used:
            return _error(400, "invalid_grant", "Maximum allowed refresh token reuse exceeded")
        if grant is None or grant.client != client:
            return _error(400, "invalid_grant", "Invalid refresh token")
        del self._refresh[token]
        if grant.until is not None and grant.until <= self._elapsed():
            return _error(400, "invalid_grant", "Token is not active")
        self._used.add(token)
        return self._new(client, grant.session, grant.scope)

    def _new(self, client: str, session: str, scope: str) -> Answer:
        settings, elapsed = self._settings, self._elapsed()
        self._access = {text: grant for text, grant in self._access.items() if (grant.until or 0) > elapsed}
        offline = "offline_access" in scope.split()
        refresh_until = None if offline else elapsed + settings.refresh_seconds
        access, refresh = self._sign("RS256", client, session), self._sign("HS512", client, session)
        until = elapsed + settings.token_seconds
        self._access[access] = Grant(client=client, session=session, scope=scope, until=until)
        self._refresh[refresh] = Grant(client=client, session=session, scope=scope, until=refresh_until)
        return json_answer(
            {
                "access_token": access,
                "expires_in": settings.token_seconds,
                "refresh_expires_in": 0 if offline else settings.refresh_seconds,
                "refresh_token": refresh,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "session_state": session,
                "scope": scope,
            },
            Cache_Control="no-store",
        )

    def _sign(self, algorithm: str, client: str, session: str) -> str:
        """Return a text in the shape of a JWT; only this cloud can tell whether it is one of its own."""
        header = orjson.dumps({"alg": algorithm, "typ": "JWT", "kid": "sandbox"})
        claims = orjson.dumps({"jti": secrets.token_hex(16), "sub": client, "azp": client, "session_state": session})
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
        mark = hmac.new(self._key, signed, hashlib.sha256).digest()
        return (signed + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()
