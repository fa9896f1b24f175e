"""What the cloud was asked and how it answered, for those who must know how many requests were spent."""

from collections import Counter
from http import HTTPStatus

BESIDE = ("token", "logout", "auth", "consent", "sandbox")
"""Kinds that are not the monitoring API."""


class Counts:
    """Live counters; `reset` begins anew."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """Requests by kind of endpoint: token, logout, auth (an owner's pages), consent, sandbox, plants, plant,
        devices, device, sets, values, logs, other."""
        self.statuses: Counter[int] = Counter()
        """Answers by HTTP status; a request that is never answered counts as 0."""
        self.spent = 0
        """Monitoring requests that took a token out of the bucket."""
        self.limited = 0
        """429s, both from the bucket and from a fault."""
        self.refused = 0
        """401s and 403s."""
        self.tokens = 0
        """Access tokens issued."""
        self.codes: Counter[str] = Counter()
        """Authorization codes by owner."""
        self.owner_tokens: Counter[str] = Counter()
        """Access tokens of the code grant by owner, refreshed ones included."""
        self.reused_codes = 0
        """Codes that came again; the tokens of each were taken back."""
        self.stale_refreshes = 0
        """Refresh tokens that came again after they had been exchanged."""
        self.struck: Counter[str] = Counter()
        """Answers that a fault spoiled or replaced, by its name."""

    @property
    def monitoring(self) -> int:
        """Return how many requests went to the monitoring API, whatever became of them."""
        return self.requests.total() - sum(self.requests[kind] for kind in BESIDE)

    def note(self, kind: str, status: int) -> None:
        """Count one answered request."""
        self.requests[kind] += 1
        self.statuses[status] += 1
        self.limited += status == HTTPStatus.TOO_MANY_REQUESTS
        self.refused += status in {401, 403}

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.requests.clear()
        self.statuses.clear()
        self.codes.clear()
        self.owner_tokens.clear()
        self.struck.clear()
        self.spent = self.limited = self.refused = self.tokens = self.reused_codes = self.stale_refreshes = 0

    def as_dict(self) -> dict[str, object]:
        """Return the counters as JSON can hold them."""
        return {
            "requests": dict(self.requests),
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "monitoring": self.monitoring,
            "spent": self.spent,
            "limited": self.limited,
            "refused": self.refused,
            "tokens": self.tokens,
            "codes": dict(self.codes),
            "owner_tokens": dict(self.owner_tokens),
            "reused_codes": self.reused_codes,
            "stale_refreshes": self.stale_refreshes,
            "struck": dict(self.struck),
        }
