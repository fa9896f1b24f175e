"""When to try again; pure, knows neither clock nor socket."""

from __future__ import annotations

from dataclasses import dataclass

from harvester.errors import HarvestError, Retry, Throttled, Untrusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long a request is worth waiting for."""

    attempts: int = 5
    """Tries of one request, the first one included."""
    refusals: int = 12
    """Tries that may end in 429: the server is well then and only asks for time."""
    first: float = 1.0
    """Seconds; the upper bound of the first wait, doubled for each further one."""
    longest: float = 60.0
    """Seconds; no wait is longer."""

    def delay(self, error: HarvestError, attempt: int, draw: float) -> float | None:
        """Return the seconds until the next try after *attempt* failures like *error*; None to give up.

        *draw* is uniform in [0, 1): the wait is spread over the whole span (full jitter), so that many workers do not
        come back at once, and is no shorter than what the server asked for. A 429 waits in the pace, which honours
        Retry-After for all.
        """
        if not isinstance(error, Retry) or isinstance(error, Untrusted):
            return None
        if isinstance(error, Throttled):
            return 0.0 if attempt < self.refusals else None
        if attempt >= self.attempts:
            return None
        # The exponent is bounded because a float overflows long before patience ends.
        wait = draw * min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return max(wait, min(error.retry_after or 0.0, self.longest))
