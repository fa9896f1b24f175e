"""Whose turn it is to spend requests: live before late before repair before backfill, with a floor for each. Pure.

The more urgent lane goes first, at once, whenever it has work. Only a lane that waited through a whole window and
got less than its floor meanwhile, which happens where more is wanted than a window gives, takes a turn: it goes
before the others until it has had its floor, or twice the time that its floor takes. Then it waits for a window
again, so a window sees no more than one such turn of each lane.

Times are seconds on any clock that does not go back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType


class Lane(IntEnum):
    """A kind of work; the lower number is the more urgent one."""

    LIVE = 0
    """The newest rows of the running day."""
    CONSENT = 1
    """Whether owners have accepted: a request for each and seldom; a new plant waits for it."""
    DISCOVER = 2
    """What plants, devices and sets there are: what all lanes below ask depends on it."""
    SETTLE = 3
    """Days that have ended and whose late rows are due."""
    REPAIR = 4
    """Days that failed or have holes."""
    HOUSEKEEPING = 5
    """Work on lake and ledger that spends next to nothing: before backfill, which can wait and may last weeks."""
    BACKFILL = 6
    """History, by itself or by order."""


FLOORS: Mapping[Lane, float] = MappingProxyType(
    {
        Lane.CONSENT: 0.02,
        Lane.DISCOVER: 0.05,
        Lane.SETTLE: 0.20,
        Lane.REPAIR: 0.05,
        Lane.HOUSEKEEPING: 0.01,
        Lane.BACKFILL: 0.10,
    }
)
"""Shares of a window's requests that a lane gets at least while it has work. Live needs none, as it goes first."""
PATIENCE = 2.0
"""A turn ends after so many times the share of the window that its floor is, whatever it has spent by then."""
GRAIN = 60
"""Spending is remembered to so many parts of a window."""


@dataclass(slots=True)
class _Turn:
    """The time in which a lane that waited goes before the others."""

    lane: Lane
    ends: float
    left: int
    """Requests of its floor that it has not had yet."""


class _Spent:
    """What one lane spent in the last window."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._parts: deque[tuple[int, int]] = deque()
        self.total = 0

    def add(self, now: float, requests: int) -> None:
        """Count requests of *now*."""
        part = math.floor(now * GRAIN / self._window)
        if self._parts and self._parts[-1][0] == part:
            self._parts[-1] = (part, self._parts[-1][1] + requests)
        else:
            self._parts.append((part, requests))
        self.total += requests

    def forget(self, now: float) -> None:
        """Leave out what is older than a window, to the part."""
        oldest = math.floor(now * GRAIN / self._window) - GRAIN
        while self._parts and self._parts[0][0] < oldest:
            self.total -= self._parts.popleft()[1]


class Rota:
    """Says which lane goes next. The same calls give the same answers; each costs a few microseconds.

    One lane works at a time. It reports what it spends, and asks between two slices whether to give way.
    """

    def __init__(self, window_seconds: float, floors: Mapping[Lane, float] = FLOORS) -> None:
        self._window = window_seconds
        self._floors = floors
        self._spent = {lane: _Spent(window_seconds) for lane in Lane}
        self._waiting: dict[Lane, float] = {}
        """Since when a lane has had work, or since when it has had none of its turns."""
        self._turn: _Turn | None = None

    def spend(self, lane: Lane, now: float, requests: int = 1) -> None:
        """Count what a lane spent *now*."""
        self._spent[lane].add(now, requests)
        if self._turn is not None and self._turn.lane is lane:
            self._turn.left -= requests

    def spent(self, lane: Lane, now: float) -> int:
        """Return what a lane spent in the window before *now*."""
        self._spent[lane].forget(now)
        return self._spent[lane].total

    def choose(self, pending: Collection[Lane], now: float, limit: int | None) -> Lane | None:
        """Return the lane that goes next of those that have work; None where none has.

        *limit* is the budget of a window; where it is not known, what was spent in the last window stands for it.
        """
        for lane in [lane for lane in self._waiting if lane not in pending]:
            del self._waiting[lane]
        for lane in pending:
            self._waiting.setdefault(lane, now)
        if not pending:
            self._turn = None
            return None
        turn = self._turn
        if turn is not None and (turn.lane not in pending or turn.left <= 0 or now >= turn.ends):
            self._end(turn, now)
            turn = None
        if turn is None and len(pending) > 1:
            turn = self._turn = self._starving(pending, now, limit)
        return turn.lane if turn is not None else min(pending)

    def gives_way(self, lane: Lane, pending: Collection[Lane], now: float, limit: int | None) -> bool:
        """Tell whether *lane*, which is at work, has to stop for another one; *pending* need not hold it."""
        return self.choose({*pending, lane}, now, limit) is not lane

    def _end(self, turn: _Turn, now: float) -> None:
        self._turn = None
        if turn.lane in self._waiting:
            self._waiting[turn.lane] = now

    def _starving(self, pending: Collection[Lane], now: float, limit: int | None) -> _Turn | None:
        """Return a turn for the most urgent lane that waited for a window and was kept below its floor; or None."""
        waited = [lane for lane in pending if now - self._waiting[lane] >= self._window and self._floors.get(lane)]
        if not waited:
            return None
        used = sum(self.spent(lane, now) for lane in Lane)
        base = used if limit is None else min(limit, used)
        for lane in sorted(waited):
            floor = max(1, math.floor(self._floors[lane] * base))
            missing = floor - self.spent(lane, now)
            if missing > 0 and lane is not min(pending):
                return _Turn(lane, now + PATIENCE * self._floors[lane] * self._window, missing)
        return None
