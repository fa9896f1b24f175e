"""POST /oauth2/token and /oauth2/logout: three grants in and out, errors as Keycloak words them."""

import uuid
from dataclasses import dataclass

from harvester.sandbox.clients import Clients
from harvester.sandbox.codes import NOT_VALID, Codes
from harvester.sandbox.counts import Counts
from harvester.sandbox.exchange import Answer, Call, json_answer
from harvester.sandbox.settings import Settings
from harvester.sandbox.tokens import Tokens

FORM = "application/x-www-form-urlencoded"


def _error(status: int, error: str, description: str) -> Answer:
    return json_answer({"error": error, "error_description": description}, status)


STRANGER = _error(401, "unauthorized_client", "Invalid client or Invalid client credentials")


def owner_scope(asked: str) -> str:
    """Return the scope of an owner's token (captured, with offline_access)."""
    return "profile monitoringApi:read email" + (" offline_access" if "offline_access" in asked.split() else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Answers clients; keeps nothing itself."""

    settings: Settings
    clients: Clients
    codes: Codes
    tokens: Tokens
    counts: Counts

    def issue(self, call: Call) -> Answer:
        """Answer a request for tokens; the fields may come in the query string, as one client sends them."""
        if call.body and call.media_type() != FORM:
            return _error(415, "invalid_request", "Unsupported Media Type")
        fields = call.query() | call.form()
        client = self.clients.authenticated(call, fields)
        return STRANGER if client is None else self._granted(client, fields)

    def log_out(self, call: Call) -> Answer:
        """End a session: its tokens stop working."""
        fields = call.form()
        if self.clients.authenticated(call, fields) is None:
            return STRANGER
        if not self.tokens.log_out(fields.get("refresh_token", "")):
            return _error(400, "invalid_grant", "Invalid refresh token")
        return Answer(status=204)

    def _granted(self, client: str, fields: dict[str, str]) -> Answer:
        """Answer a known client."""
        match fields.get("grant_type", ""):
            case "":
                return _error(400, "invalid_request", "Missing form parameter: grant_type")
            case "client_credentials":
                return self._begin(client, fields.get("scope") or "monitoringApi:read")
            case "authorization_code":
                return self._exchange(client, fields)
            case "refresh_token":
                return self._renew(client, fields.get("refresh_token", ""))
        return _error(400, "unsupported_grant_type", "Unsupported grant_type")

    def _begin(self, client: str, scope: str) -> Answer:
        if self.clients.flow(client) == "code":
            # captured
            return _error(401, "unauthorized_client", "Client not enabled to retrieve service account")
        return _fresh(self.tokens.issue(client, str(uuid.uuid4()), scope))

    def _exchange(self, client: str, fields: dict[str, str]) -> Answer:
        """Give tokens for a code; the second use of one takes back what the first gave."""
        if self.clients.flow(client) == "custom":
            return _error(400, "invalid_grant", "Client not allowed to exchange code")
        text = fields.get("code", "")
        if not text:
            return _error(400, "invalid_request", "Missing parameter: code")
        session = self.codes.session_of_used(text)
        if session is not None:
            self.counts.reused_codes += 1
            self.tokens.end(session)
            return _error(400, "invalid_grant", NOT_VALID)
        code = self.codes.take(text, client, fields)
        if isinstance(code, str):
            return _error(400, "invalid_grant", code)
        self.counts.owner_tokens[code.owner] += 1
        scope = owner_scope(code.request.scope)
        return _fresh(self.tokens.issue(client, code.session, scope, owner=code.owner))

    def _renew(self, client: str, token: str) -> Answer:
        stale = self.tokens.used(token)
        if stale is not None:
            self.counts.stale_refreshes += 1
            if stale.owner is not None and self.settings.reuse_ends_session:
                self.tokens.end(stale.session)
            return _error(400, "invalid_grant", "Maximum allowed refresh token reuse exceeded")
        renewed = self.tokens.renew(client, token)
        if isinstance(renewed, str):
            return _error(400, "invalid_grant", renewed)
        grant, body = renewed
        if grant.owner is not None:
            self.counts.owner_tokens[grant.owner] += 1
        return _fresh(body)


def _fresh(body: dict[str, object]) -> Answer:
    return json_answer(body, Cache_Control="no-store")
