"""How fast requests may leave, so that SMA's budget per credential is used and never exceeded.

SMA gives each credential a bucket of requests, renewed every five minutes, and blocks it with 429 once it is
empty. How large it is depends on the contract and is not published, so it can be learned here. The counting
itself is `Window`'s, in front of which one lock keeps waiters in order and off the processor.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harvester.sma.credit import Clock, Credit
from harvester.sma.learning import SLACK, Lesson, of_one_bucket, refused
from harvester.sma.window import Window

PARTS = 10
"""A window is spent in so many parts: a small job is not slowed, and what comes up later finds some left."""
CAUTIOUS = 4
"""Requests in flight after a refusal, until the limit is known: that many are refused the next time."""
DOUBT = 2.0
"""Windows within which a second refusal far below what is known confirms the first."""


@dataclass(slots=True)
class Permit:
    """Leave for one request; *spent* is set to False where it was refused or never sent."""

    spent: bool = True


class Pace:
    """The budget of one credential; all times are seconds on a monotonic clock.

    A permit counts from its grant until one window after its answer. The server counts a request somewhere
    between the two, so no window of the server's, sliding or fixed, ever sees more than the limit, and no
    margin is needed.
    """

    def __init__(
        self,
        *,
        requests: int | None,
        window_seconds: float,
        learned: int | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take *requests* as the limit if it is known; *learned* is what an earlier process was taught."""
        self._requests = requests
        self._window = window_seconds
        self._clock = clock
        self._lesson = Lesson(limit=learned, granted=learned) if learned else None
        self._refusals = 0
        self._granted: int | None = None  # in the window of a refusal, until the pause after it is over
        self._teaches = False  # whether that refusal is taken to be the bucket's
        self._ended: float | None = None  # when the last wait that a refusal named was over
        self._doubted_until = -math.inf
        self._changes = 0
        self._watched_from = clock()
        self._review_at = clock() + window_seconds
        self._paused_until = -math.inf
        self._in_flight = 0
        self._waiting = 0
        self._busy_from = clock()  # since when there has always been somebody who asks
        self._busy_spent = 0
        self._rested_at = clock()
        self._lock = asyncio.Lock()
        look = min(max(window_seconds / 1000, 0.001), 0.1)
        self.credit = Credit(clock)
        """What may leave before the record of what was spent is written again."""
        self._slowest = 0.0
        self._slowest_until = -math.inf
        self._quota = Window(window_seconds, look=look, room=self._quota_room, clock=clock)
        self._part = Window(window_seconds / PARTS, look=look, room=self._part_room, clock=clock)

    @property
    def window_seconds(self) -> float:
        """Length of the window."""
        return self._window

    @property
    def changes(self) -> int:
        """A number that grows with everything that a restart would have to know."""
        return self._changes

    @property
    def lesson(self) -> Lesson | None:
        """What refusals have taught; None before the first one."""
        return self._lesson

    @property
    def limit(self) -> int | None:
        """Requests per window that are used at most; None while none is known."""
        known = [number for number in (self._requests, self.learned) if number is not None]
        return min(known, default=None)

    @property
    def learned(self) -> int | None:
        """The limit that refusals have taught; None before the first one."""
        return self._lesson.limit if self._lesson else None

    @property
    def spent(self) -> int:
        """Requests that count against the present window, those in flight included."""
        return len(self._quota) + self._in_flight

    @property
    def in_flight(self) -> int:
        """Requests whose answer is not here yet."""
        return self._in_flight

    @property
    def paused_until(self) -> float | None:
        """The moment until which nobody may ask; None when there is no pause."""
        return self._paused_until if self._clock() < self._paused_until else None

    @property
    def pause_left(self) -> float:
        """Seconds until anybody may ask again."""
        return max(0.0, self._paused_until - self._clock())

    def ages(self) -> list[float]:
        """Return the seconds since each request that counts now, oldest first: what a restart needs."""
        now = self._clock()
        return [now - stamp for stamp in self._quota.since(-math.inf)] + [0.0] * self._in_flight

    @property
    def jitter(self) -> float:
        """Seconds after its grant within which the server has surely counted a request: the slowest answer of late."""
        return max(self._window / 100, self._slowest)

    def ahead(self, seconds: float) -> int:
        """Return how many requests may leave within so many seconds from now at the most; 0 without a limit."""
        if self.limit is None:
            return 0
        now = self._clock()
        free = self._part_room() - len(self._part.since(now + seconds - self._window / PARTS))
        # who waits for credit has room, and is counted by the part of the window already
        return max(int(self.credit.wanted), min(free + self.credit.wanted, self.limit - self.spent))

    def resume(self, ages: Iterable[float], lesson: Lesson | None = None) -> None:
        """Go on after an earlier process, before any request: its *ages*, plus the time since, and its *lesson*."""
        for age in sorted(ages, reverse=True):
            self._quota.stamp(self._clock() - age)
        self._lesson = lesson or self._lesson
        self._watched_from = -math.inf

    def adopt(self, lesson: Lesson) -> None:
        """Take *lesson*, which others have agreed on, for its own."""
        self._lesson = lesson
        self._changes += 1
        self._review_at = self._clock() + self._window

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[Permit]:
        """Wait, in the callers' order, for leave to send one request; the block ends with its answer."""
        self._note_rest()
        self._waiting += 1
        try:
            async with self._lock:
                self._climb()
                await self._part.acquire()
                await self._leave()
                self._in_flight += 1
                self._busy_spent += 1
                self._changes += 1
                self._granted = None
        finally:
            self._waiting -= 1
        permit, began = Permit(), self._clock()
        try:
            yield permit
        finally:
            self._in_flight -= 1
            self._rested_at = self._clock()
            self._time(self._rested_at - began)
            self._changes += 1
            if permit.spent:
                self._count()

    async def _leave(self) -> None:
        """Wait for room in the window and for credit."""
        while True:
            await self._quota.acquire()
            self._quota.take_back()  # it counts as in flight from now on and is stamped when its answer is here
            if self.credit.take():
                return
            await self.credit.more()

    def _time(self, seconds: float) -> None:
        """Note how long an answer took; what was slow is forgotten after a window."""
        now = self._clock()
        if seconds >= self._slowest or now > self._slowest_until:
            self._slowest, self._slowest_until = seconds, now + self._window

    async def resumed(self) -> None:
        """Wait until no pause is on: for requests that need no permit."""
        while (left := self._paused_until - self._clock()) > 0:  # noqa: ASYNC110  # it ends by the clock
            await asyncio.sleep(min(left, 1.0))

    def penalise(self, retry_after: float | None) -> None:
        """Learn from a 429, and let nobody ask for *retry_after* seconds; None stands for a whole window."""
        # Those in flight together are refused together: only the first refusal has something to teach.
        if self._granted is None:
            self._judge(retry_after)
        self.pause(retry_after)
        self._review_at = self._paused_until + self._window

    def pause(self, seconds: float | None) -> None:
        """Let nobody ask for *seconds*; None stands for a whole window."""
        # A server that says 0 would otherwise be asked again and again without a breath.
        wait = self._window if seconds is None else max(seconds, self._window / 300)
        self._changes += 1
        self._paused_until = max(self._paused_until, self._clock() + wait)
        self._busy_from, self._busy_spent = self._paused_until, 0

    def _quota_room(self) -> int:
        if self.paused_until is not None:
            return 0
        if self.limit is not None:
            return self.limit - self._in_flight
        # Nothing is known: as fast as it goes, until the first refusal.
        return sys.maxsize if self._refusals == 0 else self._quota.held + CAUTIOUS - self._in_flight

    def _part_room(self) -> int:
        if self.limit is None:
            return sys.maxsize
        # A tenth more than its share, so that the quota is the bound and rounding wastes none of it; and as much again
        # where those who wait got less than was theirs, as on a busy machine.
        share = -(-11 * self.limit // (10 * PARTS))
        return share + max(0, min(self._behind(self.limit), share))

    def _behind(self, limit: int) -> int:
        """Return how many requests fewer than their share of the time those got who ask without a rest."""
        busy = (self._clock() - self._busy_from) / self._window
        return math.floor(limit * busy) - self._busy_spent if busy < 1 else limit - self.spent

    def _note_rest(self) -> None:
        """Begin anew with the share of the time where nobody has asked for a while: rest is not made up for."""
        now = self._clock()
        if not self._waiting and not self._in_flight and now - self._rested_at > self._window / 100:
            self._busy_from, self._busy_spent = now, 0

    def _judge(self, retry_after: float | None) -> None:
        """Learn from the first refusal of several, if it is the bucket's that this pace has watched.

        The wait ends with a fixed window, or when the oldest request leaves a sliding one: either way the
        window began its own length before that. A longer wait tells nothing, and all that counts is taken.
        """
        now, told = self._clock(), retry_after is not None and retry_after <= self._window
        end = now + retry_after if told and retry_after is not None else now
        began = end - self._window - SLACK
        stamps = self._quota.since(-math.inf)
        self._granted = sum(stamp >= began for stamp in stamps)
        oldest = stamps[0] if stamps else None
        fits = not told or of_one_bucket(end, window=self._window, oldest=oldest, before=self._ended)
        far_below = self.limit is not None and self._granted < self.limit / 2
        self._teaches = began >= self._watched_from - SLACK - 1e-6 and fits
        if self._teaches and far_below and now > self._doubted_until:
            self._teaches = False  # somebody else's spending, or a mishap: the next window will tell
            self._doubted_until = end + DOUBT * self._window
        self._ended = end if told else self._ended
        self._refusals += 1
        self._learn()

    def _count(self) -> None:
        """Stamp a request whose answer is in; one on its way during a refusal was granted before it."""
        self._quota.stamp(self._clock())
        if self._granted is not None:
            self._granted += 1
            self._learn()

    def _learn(self) -> None:
        self._changes += 1
        if self._teaches and self._granted is not None:
            self._lesson = refused(self._granted, before=self._lesson)

    def _climb(self) -> None:
        """Raise the learned limit, at most once per window and only where it was used up."""
        if self._lesson is None or self._clock() < self._review_at or self.spent < 0.9 * self._lesson.limit:
            return
        self._lesson = self._lesson.climbed()
        self._changes += 1
        self._review_at = self._clock() + self._window
