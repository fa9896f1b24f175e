"""The owner's consent over the back channel: asked for, read, and (in a sandbox only) decided."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson

from harvester.sandbox.exchange import Answer, Call, json_answer, refusal

State = Literal["Pending", "Accepted", "Rejected", "Revoked", "Expired"]

DECISIONS: dict[str, State] = {
    "accepted": "Accepted",
    "rejected": "Rejected",
    "reject": "Rejected",
    "revoked": "Revoked",
}
"""The owner's words; SMA's page writes `reject`, the state is called `Rejected`."""

INTERVAL = 1800
"""Poll interval, s (captured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One owner's answer to the request."""

    login_hint: str
    state: State
    expires: datetime
    """End of the request, aware; an accepted consent keeps it and outlives it (captured)."""

    def at(self, now: datetime) -> "Consent":
        """Return what it has become: an unanswered request expires."""
        return replace(self, state="Expired") if self.state == "Pending" and self.expires <= now else self

    def as_json(self) -> dict[str, object]:
        """Return the body of an answer; the expiry has seven fractional digits (captured)."""
        return {
            "loginHint": self.login_hint,
            "state": self.state,
            "expirationDate": f"{self.expires:%Y-%m-%dT%H:%M:%S}.{self.expires.microsecond:06d}0Z",
            "interval": INTERVAL,
        }


class Consents:
    """All consents by e-mail address, without regard to case."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        days: int,
        accept: bool,
        lenient: bool,
        released: Callable[[str], None],
    ) -> None:
        self._now = now
        self._life = timedelta(days=days)
        self._accept = accept
        self._lenient = lenient
        self._released = released
        self._all: dict[str, Consent] = {}

    def accepted(self, owner: str) -> bool:
        """Say whether the owner lets the client read."""
        consent = self._all.get(owner.casefold())
        return consent is not None and consent.state == "Accepted"

    def state(self, owner: str) -> State | None:
        """Return how an owner has answered; None: never asked."""
        consent = self._read(owner)
        return consent.state if consent else None

    def decide(self, owner: str, state: State) -> None:
        """Set an owner's consent, asked for or not."""
        self._keep(Consent(login_hint=owner, state=state, expires=self._now() + self._life))

    def request(self, call: Call) -> Answer:
        """Ask an owner; an address without an account is Pending all the same (assumption)."""
        value = _json(call)
        if isinstance(value, Answer):
            return value
        owner = value.get("loginHint") if isinstance(value, dict) else None
        if not isinstance(owner, str) or not owner.strip():
            return refusal(400, "loginHint is required")
        consent = self._read(owner)
        if consent and consent.state in {"Pending", "Accepted"}:
            if consent.state == "Accepted":
                self._released(owner)
            return json_answer(consent.as_json())
        # assumption: after a refusal, a revocation or an expiry the owner is asked anew
        state: State = "Accepted" if self._accept else "Pending"
        consent = Consent(login_hint=owner, state=state, expires=self._now() + self._life)
        return json_answer(self._keep(consent).as_json(), 201)

    def read(self, owner: str) -> Answer:
        """Answer the state; 404 for an address that was never asked (assumption)."""
        consent = self._read(owner)
        return json_answer(consent.as_json()) if consent else refusal(404)

    def play(self, owner: str, call: Call) -> Answer:
        """Decide in the owner's name; sandbox only."""
        value = self._decision(call)
        if isinstance(value, Answer):
            return value
        consent = self._read(owner)
        # captured: 404 without a pending request; assumption: an accepted one can be revoked all the same
        open_to = {"Pending": ("Accepted", "Rejected", "Revoked"), "Accepted": ("Revoked",)}
        if consent is None or value not in open_to.get(consent.state, ()):
            return refusal(404)
        return json_answer(self._keep(replace(consent, state=value)).as_json())

    def _decision(self, call: Call) -> State | Answer:
        if self._lenient and call.media_type() in {"application/json", "text/plain"}:
            bare = call.body.decode("utf-8", "replace").strip().strip('"').casefold()
            if bare in DECISIONS:
                return DECISIONS[bare]
        value = _json(call)
        if isinstance(value, Answer):
            return value
        if not isinstance(value, dict):
            # captured: a bare string is refused, and the refusal names the type
            return refusal(400, "The JSON value could not be converted to AuthorizationFlowStatusChangeRequest")
        word = next((text for name, text in value.items() if name.casefold() == "state"), None)
        state = DECISIONS.get(word.casefold()) if isinstance(word, str) else None
        return state or refusal(400, "state is not valid")

    def _read(self, owner: str) -> Consent | None:
        consent = self._all.get(owner.casefold())
        return self._keep(consent.at(self._now())) if consent else None

    def _keep(self, consent: Consent) -> Consent:
        self._all[consent.login_hint.casefold()] = consent
        return consent


def _json(call: Call) -> Any:
    """Return the JSON body, or the refusal it deserves."""
    if call.media_type() != "application/json":
        return refusal(415)
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        return refusal(400, "The body is not valid JSON")
