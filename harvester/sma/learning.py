"""What refusals teach about a budget that nobody publishes; pure, knows neither clock nor socket."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

KEEP_BELOW = 0.93
"""Share of what was granted before a refusal that is used from then on."""
CLIMB = 1.05
"""Growth per window that was used up without a refusal."""
NEAR = 0.98
"""Share of what was once refused up to which the limit climbs at first."""
QUIET_WINDOWS = 36
"""Windows used up in quiet (three hours at SMA) after which the limit climbs beyond what was once refused."""


SLACK = 1.0
"""Seconds; Retry-After is rounded up to whole ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The limit that one refusal taught, in requests per window."""

    limit: int
    """Used from now on."""
    granted: int
    """Granted in the window in which the refusal came."""
    quiet: int = 0
    """Windows since then that were used up without a refusal."""

    def climbed(self) -> Lesson:
        """Return the lesson after one more window that was used up without a refusal."""
        higher = max(self.limit + 1, math.floor(self.limit * CLIMB))
        if self.quiet < QUIET_WINDOWS:
            higher = min(higher, math.floor(NEAR * self.granted))
        return replace(self, limit=max(self.limit, higher), quiet=self.quiet + 1)


def refused(granted: int, *, before: Lesson | None) -> Lesson | None:
    """Return what a refusal after *granted* requests teaches; one of the very first teaches nothing."""
    if granted <= 0:
        return before
    return Lesson(limit=max(1, math.floor(KEEP_BELOW * granted)), granted=granted)


def of_one_bucket(end: float, *, window: float, oldest: float | None, before: float | None) -> bool:
    """Tell whether a bucket that is renewed every *window* seconds would name *end* as the end of a wait.

    A sliding one names the moment at which the *oldest* request leaves it, a fixed one the ends of its windows, of
    which *before* was one. Anything else is another limit, a mishap, or somebody else's spending: it is waited for,
    and says nothing of N.
    """
    if oldest is not None and abs(oldest + window - end) <= 2 * SLACK + window / 100:
        return True
    if before is None:
        return False
    apart = end - before
    return abs(apart - window * round(apart / window)) <= SLACK and (apart > window / 2 or abs(apart) <= SLACK)
