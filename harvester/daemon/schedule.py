"""When the daemon does what: cadences as APScheduler's triggers, in UTC, whose jobs only post ticks.

Sole importer of apscheduler. A trigger in local time would skip or double jobs when the clocks change; a job that
worked would be cancelled half-way by the scheduler's own shutdown. So neither: the daemon does the work.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from harvester.config import Cadence

LOOK_SECONDS = 30.0
"""How late a tick may be before it is taken to wait for a clock that was set back."""

Work = TypeVar("Work")


@contextmanager
def ticking(
    cadences: Mapping[Work, Cadence], post: Callable[[Work], None], *, look: float = LOOK_SECONDS
) -> Iterator[Callable[[Work], datetime | None]]:
    """Call *post* for each kind of work when it is due, on the running loop; yield who tells when that is next.

    A tick that was missed, because the machine slept or the loop was busy, comes late and once. One of an interval
    that is more than *look* seconds late by the loop's own clock comes at once: APScheduler goes by the wall clock,
    and would wait for an hour after that was set back by one.
    """
    loop = asyncio.get_running_loop()
    ticked = dict.fromkeys(cadences, loop.time())

    async def tick(work: Work) -> None:  # a plain function would be called in another thread
        ticked[work] = loop.time()
        post(work)

    async def overdue() -> None:
        while True:
            await asyncio.sleep(look)
            for work, cadence in cadences.items():
                late = loop.time() - ticked[work] - (cadence.every.total_seconds() if cadence.every else math.inf)
                if late > look:
                    scheduler.reschedule_job(str(work), trigger=_trigger(cadence))
                    await tick(work)

    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for work, cadence in cadences.items():
        scheduler.add_job(tick, _trigger(cadence), args=[work], id=str(work))
    scheduler.start()
    looking = loop.create_task(overdue())

    def next_of(work: Work) -> datetime | None:
        job = scheduler.get_job(str(work))
        return job.next_run_time if job else None

    try:
        yield next_of
    finally:
        looking.cancel()
        scheduler.shutdown(wait=False)


def _trigger(cadence: Cadence) -> BaseTrigger:
    if cadence.every is not None:
        return IntervalTrigger(seconds=int(cadence.every.total_seconds()), timezone=UTC)
    return CronTrigger.from_crontab(cadence.cron, timezone=UTC)
