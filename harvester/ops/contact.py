"""When SMA last answered, and since when it does not: told by every request that comes to an end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from harvester.sma.tally import Call
from harvester.sma.wire import Kind

_SILENT = {"Unreachable", "Untrusted", "TimedOut", "ServerTrouble"}
"""How requests end that SMA did not answer, or only with its own trouble."""


class Contact:
    """The contact of one client with SMA; *wall* answers aware UTC."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self.last_answer: datetime | None = None
        """When SMA last answered anything that makes sense, a refusal included."""
        self.silent_since: datetime | None = None
        """When the first of the requests ended that went without an answer since; None while it answers."""
        self.token_had = False
        """Whether a token was ever had."""
        self.refused = False
        """Whether the token endpoint's last answer was that it does not take the client."""

    def on_request(self, call: Call) -> None:
        """Learn from one request; the hook of a client."""
        now = self._wall()
        if call.outcome in _SILENT:
            self.silent_since = self.silent_since or now
            return
        self.last_answer, self.silent_since = now, None
        if call.kind is Kind.TOKEN and call.status is not None and call.outcome != "Throttled":
            self.refused = call.status >= HTTPStatus.BAD_REQUEST
            self.token_had = self.token_had or not self.refused
