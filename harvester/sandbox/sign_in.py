"""The authorization endpoint: an owner signs in, reads what a client wants, and accepts or cancels.

Unlike Keycloak it remembers nobody: every request asks for the password and for the consent anew, so that one browser
can play several owners.
"""

import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit, urlunsplit

from harvester.sandbox.clients import Clients
from harvester.sandbox.codes import Codes, Request
from harvester.sandbox.counts import Counts
from harvester.sandbox.exchange import Answer, Call
from harvester.sandbox.owners import Owners
from harvester.sandbox.pages import Hint, consent_page, error_page, login_page
from harvester.sandbox.settings import Settings
from harvester.sandbox.token_endpoint import owner_scope

COOKIE = "AUTH_SESSION_ID"
PATIENCE = 1800
"""Seconds an owner may think about a page (Keycloak's default)."""
CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
"""RFC 7636."""
EXPIRED = "This page has expired. Go back to the application and begin again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """An owner on the way through the pages."""

    request: Request
    browser: str
    """Value of the cookie, so that nobody goes on with a form that another browser was given."""
    until: float
    """When the page expires, in elapsed seconds."""
    owner: str = ""
    """Lower case; empty before signing in."""


def issuer(call: Call) -> str:
    """Return the name of the realm, in the form of SMA's (captured in tokens)."""
    return f"{call.origin}/auth/realms/SMA"


class SignIn:
    """Leads browsers through the pages; a session code is good for one step."""

    def __init__(
        self,
        settings: Settings,
        *,
        clients: Clients,
        codes: Codes,
        owners: Owners,
        counts: Counts,
        elapsed: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._codes = codes
        self._owners = owners
        self._counts = counts
        self._elapsed = elapsed
        self._visits: dict[str, Visit] = {}

    def open(self, call: Call) -> Answer:
        """Answer GET /oauth2/auth: the login page, or an error to whom it can safely be told."""
        query = call.query()
        client, redirect = query.get("client_id", ""), query.get("redirect_uri", "")
        if self._clients.flow(client) is None:
            return error_page("Client not found.")
        if not self._clients.registered(redirect):
            # never a redirect: the address is not known to be the client's
            return error_page("Invalid parameter: redirect_uri")
        request = self._request(client, redirect, query)
        wrong = self._wrong(request, query)
        if wrong:
            return _redirect(call, request, wrong)
        browser = _browser(call) or secrets.token_urlsafe(24)
        visit = Visit(request=request, browser=browser, until=self._elapsed() + PATIENCE)
        page = login_page(self._action("authenticate", visit), self._hint())
        cookie = f"{COOKIE}={browser}; Path=/oauth2; HttpOnly; SameSite=Lax"
        return replace(page, headers={**page.headers, "Set-Cookie": cookie})

    def authenticate(self, call: Call) -> Answer:
        """Answer the login form: the consent page, or the form again."""
        visit = self._step(call)
        if visit is None or visit.owner:
            return error_page(EXPIRED)
        form = call.form()
        owner = self._owners.authenticated(form.get("username", ""), form.get("password", ""))
        if owner is None:
            action = self._action("authenticate", visit)
            return login_page(action, self._hint(), username=form.get("username", ""), failed=True)
        visit = replace(visit, owner=owner, until=self._elapsed() + PATIENCE)
        scope = owner_scope(visit.request.scope)
        action = self._action("consent", visit)
        return consent_page(action, visit.request.client, owner, scope, self._owners.plants(owner))

    def decide(self, call: Call) -> Answer:
        """Answer the consent form: send the browser back to the client, with a code or with the refusal."""
        visit = self._step(call)
        if visit is None or not visit.owner:
            return error_page(EXPIRED)
        if "accept" not in call.form():
            return _redirect(call, visit.request, {"error": "access_denied"})
        session = str(uuid.uuid4())
        self._owners.release(visit.owner)
        self._counts.codes[visit.owner] += 1
        code = self._codes.issue(visit.request, visit.owner, session)
        return _redirect(call, visit.request, {"session_state": session}, code=code)

    def _request(self, client: str, redirect: str, query: dict[str, str]) -> Request:
        return Request(
            client=client,
            redirect_uri=redirect,
            state=query.get("state"),
            scope=query.get("scope", ""),
            challenge=query.get("code_challenge") if self._settings.pkce else None,
            method=query.get("code_challenge_method", "plain"),
        )

    def _wrong(self, request: Request, query: dict[str, str]) -> dict[str, str]:
        """Return the error that a registered client is told, in Keycloak's words; empty: none."""
        kind = query.get("response_type")
        if not kind:
            return _told("invalid_request", "Missing parameter: response_type")
        if kind != "code":
            return _told("unsupported_response_type", "")
        if self._clients.flow(request.client) != "code":
            return _told(
                "unauthorized_client",
                "Client is not allowed to initiate browser login with given response_type. "
                "Standard flow is disabled for the client.",
            )
        if request.challenge is not None and request.method not in {"S256", "plain"}:
            return _told("invalid_request", "Invalid parameter: code_challenge_method")
        if request.challenge is not None and not CHALLENGE.fullmatch(request.challenge):
            return _told("invalid_request", "Invalid parameter: code_challenge")
        return {}

    def _hint(self) -> Hint:
        return Hint(owners=self._owners.with_plants(), password=self._settings.password)

    def _action(self, step: str, visit: Visit) -> str:
        """Remember a visit and return the address of its next form."""
        now = self._elapsed()
        self._visits = {code: other for code, other in self._visits.items() if other.until > now}
        code = secrets.token_urlsafe(24)
        self._visits[code] = visit
        return f"/oauth2/login-actions/{step}?{urlencode({'session_code': code, 'client_id': visit.request.client})}"

    def _step(self, call: Call) -> Visit | None:
        """Use a session code up and return its visit; None for a stale one or another browser's."""
        visit = self._visits.get(code := call.query().get("session_code", ""))
        if visit is None or visit.until <= self._elapsed() or visit.browser != _browser(call):
            return None
        return self._visits.pop(code)


def _told(error: str, description: str) -> dict[str, str]:
    return {"error": error, **({"error_description": description} if description else {})}


def _redirect(call: Call, request: Request, facts: dict[str, str], **last: str) -> Answer:
    """Send the browser to the client's address, whose own query is kept."""
    state = {} if request.state is None else {"state": request.state}
    parts = urlsplit(request.redirect_uri)
    added = urlencode({**state, **facts, "iss": issuer(call), **last})
    query = f"{parts.query}&{added}" if parts.query else added
    headers = {"Location": urlunsplit(parts._replace(query=query)), "Cache-Control": "no-store"}
    return Answer(status=302, headers=headers)


def _browser(call: Call) -> str | None:
    """Return the cookie that the login page was sent with."""
    try:
        cookie = SimpleCookie(call.headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None
