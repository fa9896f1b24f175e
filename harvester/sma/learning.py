"""What refusals teach about a budget that nobody publishes; pure, knows neither clock nor socket."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

KEEP_BELOW = 0.93
"""Share of what was granted before a refusal that is used from then on."""
CLIMB = 1.05
"""Growth per window that was used up without a refusal."""
CLIMB_IN_DOUBT = 1.5
"""The same while the refusal may have been somebody else's doing."""
NEAR = 0.98
"""Share of what was once refused up to which the limit climbs at first."""
QUIET_WINDOWS = 36
"""Windows used up in quiet (three hours at SMA) after which the limit climbs beyond what was once refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The limit that one refusal taught, in requests per window."""

    limit: int
    """Used from now on."""
    granted: int
    """Granted in the window in which the refusal came."""
    sure: bool
    """The window was watched from its start, so no earlier process can have spent a part of it."""
    quiet: int = 0
    """Windows since then that were used up without a refusal."""

    def climbed(self) -> Lesson:
        """Return the lesson after one more window that was used up without a refusal."""
        growth = CLIMB if self.sure else CLIMB_IN_DOUBT
        higher = max(self.limit + 1, math.floor(self.limit * growth))
        if self.sure and self.quiet < QUIET_WINDOWS:
            higher = min(higher, math.floor(NEAR * self.granted))
        return replace(self, limit=max(self.limit, higher), quiet=self.quiet + 1)


def refused(granted: int, *, sure: bool, before: Lesson | None) -> Lesson | None:
    """Return what a refusal after *granted* requests teaches; one of the very first teaches nothing."""
    if granted <= 0:
        return before
    return Lesson(limit=max(1, math.floor(KEEP_BELOW * granted)), granted=granted, sure=sure)
