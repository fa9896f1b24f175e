"""When the daemon does what: cadences as APScheduler's triggers, in UTC, whose jobs only post ticks.

Sole importer of apscheduler. A trigger in local time would skip or double jobs when the clocks change; a job that
worked would be cancelled half-way by the scheduler's own shutdown. So neither: the daemon does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from harvester.config import Cadence

Work = TypeVar("Work")


@contextmanager
def ticking(
    cadences: Mapping[Work, Cadence], post: Callable[[Work], None]
) -> Iterator[Callable[[Work], datetime | None]]:
    """Call *post* for each kind of work when it is due, on the running loop; yield who tells when that is next.

    A tick that was missed, because the machine slept or the loop was busy, comes late and once.
    """

    async def tick(work: Work) -> None:  # a plain function would be called in another thread
        post(work)

    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for work, cadence in cadences.items():
        scheduler.add_job(tick, _trigger(cadence), args=[work], id=str(work))
    scheduler.start()

    def next_of(work: Work) -> datetime | None:
        job = scheduler.get_job(str(work))
        return job.next_run_time if job else None

    try:
        yield next_of
    finally:
        scheduler.shutdown(wait=False)


def _trigger(cadence: Cadence) -> BaseTrigger:
    if cadence.every is not None:
        return IntervalTrigger(seconds=int(cadence.every.total_seconds()), timezone=UTC)
    return CronTrigger.from_crontab(cadence.cron, timezone=UTC)
