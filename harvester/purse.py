"""One budget over restarts: the pace that spends it and the book that remembers it, which do not know each other."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import structlog

from harvester.errors import ConfigError, LedgerError
from harvester.model import Shard
from harvester.sma.learning import Lesson
from harvester.sma.pace import Pace
from harvester.state.budget import BudgetBook, Learned, Spending

EVERY = 1.0
"""Seconds between two savings at most."""

log = structlog.get_logger()


def share(requests: int | None, shard: Shard) -> int | None:
    """Return what *shard* may spend of *requests* per window; None where they are not known.

    The remainder goes to the first shards. Raises `ConfigError` where there is less than one request for each.
    """
    if requests is None:
        return None
    if requests < shard.of:
        raise ConfigError(
            f"rate.requests = {requests} cannot be shared by {shard.of} processes: run fewer shards",
            problems={"rate.requests": f"at least {shard.of}, one for each shard"},
        )
    return requests // shard.of + (shard.index <= requests % shard.of)


def restored(pace: Pace, book: BudgetBook, shard: Shard, now: datetime) -> Spending:
    """Let *pace*, which has not been used yet, go on where the last process with this *shard* ended.

    Returns what was recorded; `now` is aware UTC. Raises `LedgerError`.
    """
    found = book.resumed(shard, now)
    if found.known:
        taught = found.learned
        pace.resume(found.ages, Lesson(limit=taught.limit, granted=taught.granted) if taught else None)
        if found.pause:
            pace.pause(found.pause)
    return found


@asynccontextmanager
async def kept(pace: Pace, book: BudgetBook, shard: Shard, wall: Callable[[], datetime]) -> AsyncIterator[None]:
    """Restore *pace*, and record what it spends before it spends it; nothing while nothing is asked.

    A request leaves on credit only: the record counts it as spent before it has left. So whatever ends a process, the
    next one knows of all that it may have spent. *wall* answers aware UTC. Raises `LedgerError` where nothing can be
    restored. A record that cannot be written is logged and tried again, as it is no reason to stop: at worst a restart
    meets a 429.
    """
    saver = _Saver(pace, book, shard, wall, restored(pace, book, shard, wall()).learned)
    saving = asyncio.create_task(saver.run(), name="budget")
    try:
        yield
    finally:
        saver.close()  # and not cancelled: a thread that is writing goes on, and would write last
        await saving


class _Saver:
    """Writes down what changed."""

    def __init__(
        self, pace: Pace, book: BudgetBook, shard: Shard, wall: Callable[[], datetime], learned: Learned | None
    ) -> None:
        self._pace = pace
        self._book = book
        self._shard = shard
        self._wall = wall
        self._every = min(EVERY, max(pace.window_seconds / 50, 0.05))  # a short window is soon spent
        self._saved = (pace.changes, 0)
        self._learned = learned
        self._each = book.told(shard)
        self._evened = wall()
        self._closing = False
        self._wake = asyncio.Event()
        pace.credit.on_want = self._wake.set
        pace.credit.give(pace.credit.mark(), 0, 0.0)

    def close(self) -> None:
        """Have it save once more and end."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Save whatever changes, and at once where credit is wanted, until it is closing, and then once more.

        Nobody waits for one that has failed: the run goes on without a record, and ends with the error.
        """
        try:
            await self._keep_saving()
        except BaseException:
            self._pace.credit.give(self._pace.credit.mark(), math.inf, math.inf)
            raise

    async def _keep_saving(self) -> None:
        while not self._closing:
            self._wake.clear()
            await self._even()
            if self._pace.credit.wanted or self._pace.changes != self._saved[0]:
                await self._save(self._pace.ahead(2 * self._every))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
        if (self._pace.changes, 0) != self._saved:
            await self._save(0)

    async def _save(self, ahead: int) -> None:
        """Save what is so now, *ahead* requests that may leave before the next time included, and let these leave."""
        pace, seconds = self._pace, 2 * self._every
        state, mark, now = (pace.changes, ahead), pace.credit.mark(), self._wall()
        spending = Spending(
            ages=tuple(pace.ages()),
            learned=self._lesson(now),
            ahead=ahead,
            ahead_seconds=seconds + pace.jitter if ahead or pace.in_flight else 0.0,
            pause=self._pace.pause_left,
            each=self._each if self._shard.first else None,
        )
        try:
            await asyncio.to_thread(self._book.save, self._shard, spending, now)
        except LedgerError as error:
            log.warning("budget.not_saved", reason=str(error))
            pace.credit.give(mark, math.inf, math.inf)
        else:
            self._saved = state
            # where no limit is known, there is none that could be exceeded
            pace.credit.give(mark, *((ahead, seconds) if pace.limit else (math.inf, math.inf)))

    async def _even(self) -> None:
        """Let shards that learned very different limits share alike: the first one says so, the others heed it."""
        now = self._wall()
        if self._shard.whole or self._pace.lesson is None or self._pace.changes == self._saved[0]:
            return
        if self._shard.first and 0 <= (now - self._evened).total_seconds() < self._pace.window_seconds:
            return
        self._evened = now
        ask = self._book.even if self._shard.first else self._told
        try:
            each = await asyncio.to_thread(ask, self._shard, now)
        except LedgerError as error:
            log.warning("budget.not_read", reason=str(error))
            return
        if each is not None and each != self._each:
            self._each = each
            self._pace.adopt(Lesson(limit=each.limit, granted=each.granted))

    def _told(self, shard: Shard, _now: datetime) -> Learned | None:
        return self._book.told(shard)

    def _lesson(self, now: datetime) -> Learned | None:
        """Return what the pace has learned, dated when it was."""
        lesson, before = self._pace.lesson, self._learned
        if lesson is None:
            return None
        if before is None or (before.limit, before.granted) != (lesson.limit, lesson.granted):
            self._learned = Learned(limit=lesson.limit, granted=lesson.granted, at=now)
        return self._learned
