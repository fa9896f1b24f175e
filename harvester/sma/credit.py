"""How many requests may leave before the record of what was spent is written again.

Whoever keeps that record gives credit for what it already counts as spent, so that a process which is killed has spent
no more than is recorded, however busy the machine was.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at which a record was begun."""

    at: float
    taken: int
    """Requests that had left by then."""


class Credit:
    """Credit without end until somebody gives less; seconds are of the monotonic *clock*."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._most = math.inf  # of all that ever left
        self._until = math.inf
        self._taken = 0
        self._more = asyncio.Event()
        self.on_want: Callable[[], None] = lambda: None
        """Called where somebody waits for more."""
        self.wanted = False
        """Whether somebody waits for more."""

    def mark(self) -> Mark:
        """Return the present moment, for the record that is begun now."""
        return Mark(self._clock(), self._taken)

    def give(self, mark: Mark, requests: float, seconds: float) -> None:
        """Let *requests* leave within *seconds* of *mark*, those that have left since included, and no others."""
        self._most, self._until = mark.taken + requests, mark.at + seconds
        self.wanted = False
        self._more.set()

    def take(self) -> bool:
        """Take leave for one request; False where there is none."""
        if self._taken >= self._most or self._clock() > self._until:
            return False
        self._taken += 1
        return True

    async def more(self) -> None:
        """Wait until credit is given again."""
        self._more.clear()
        self.wanted = True
        self.on_want()
        await self._more.wait()
