"""Authorization codes: good for one exchange and about a minute, bound to client, address and challenge."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

NOT_VALID = "Code not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked the authorization endpoint for."""

    client: str
    redirect_uri: str
    state: str | None
    scope: str
    """As asked for; may be empty."""
    challenge: str | None
    """PKCE; None: the client sent none, or this cloud does not know it."""
    method: str
    """How the challenge was made: S256 or plain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What an owner granted."""

    request: Request
    owner: str
    """E-mail address, lower case."""
    session: str
    until: float
    """End of life in elapsed seconds."""


class Codes:
    """All codes handed out, the used ones too: a second use has consequences."""

    def __init__(self, seconds: float, elapsed: Callable[[], float]) -> None:
        self._seconds = seconds
        self._elapsed = elapsed
        self._open: dict[str, Code] = {}
        self._used: dict[str, str] = {}

    def issue(self, request: Request, owner: str, session: str) -> str:
        """Return a new code, in Keycloak's form of three parts with the session in the middle."""
        text = f"{uuid.uuid4()}.{session}.{uuid.uuid4()}"
        until = self._elapsed() + self._seconds
        self._open[text] = Code(request=request, owner=owner, session=session, until=until)
        return text

    def session_of_used(self, text: str) -> str | None:
        """Return the session of a code that has been exchanged before."""
        return self._used.get(text)

    def revoke(self, owner: str) -> None:
        """Forget the codes of an owner, lower case, that nobody has exchanged yet."""
        self._open = {text: code for text, code in self._open.items() if code.owner != owner}

    def take(self, text: str, client: str, fields: Mapping[str, str]) -> Code | str:
        """Use a code up and return what it stands for, or Keycloak's words for why it is no good."""
        code = self._open.pop(text, None)
        if code is None or code.until <= self._elapsed():
            return NOT_VALID
        self._used[text] = code.session
        if code.request.client != client:
            return "Auth error"
        if fields.get("redirect_uri", "") != code.request.redirect_uri:
            return "Incorrect redirect_uri"
        return _unproven(code.request, fields.get("code_verifier", "")) or code


def _unproven(request: Request, verifier: str) -> str:
    """Return what is wrong with the proof of possession (RFC 7636); empty: nothing."""
    if request.challenge is None:
        return ""
    if not verifier:
        return "PKCE code verifier not specified"
    made = verifier
    if request.method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return "" if hmac.compare_digest(made.encode(), request.challenge.encode()) else "PKCE verification failed"
