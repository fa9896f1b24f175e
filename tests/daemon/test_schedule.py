"""Ticks: posted when they are due, late and once where they were missed, never after the end."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from harvester.config import Cadence
from harvester.daemon.schedule import _trigger, ticking


async def test_ticks_come() -> None:
    """Each kind of work is asked for on its own cadence, on the loop's own thread."""
    ticks: Counter[str] = Counter()
    enough = asyncio.Event()

    def post(work: str) -> None:
        asyncio.get_running_loop()  # raises in any other thread
        ticks[work] += 1
        if ticks["often"] == 2:
            enough.set()

    with ticking({"often": Cadence.parse("1s"), "seldom": Cadence.parse("1d")}, post):
        await asyncio.wait_for(enough.wait(), 30)
    seen = Counter(ticks)
    await asyncio.sleep(1.2)

    assert seen == {"often": 2}
    assert ticks == seen


async def test_a_missed_tick_comes_once() -> None:
    """A loop that was busy through several ticks gets one of them afterwards, not none and not all."""
    ticks: list[float] = []
    with ticking({"often": Cadence.parse("1s")}, lambda _work: ticks.append(time.monotonic())):
        await asyncio.sleep(0)
        time.sleep(3.3)  # a loop that is blocked, or a machine that sleeps
        await asyncio.sleep(0.4)

    assert len(ticks) == 1


def test_a_cron_is_in_utc() -> None:
    """03:15 on weekdays is 03:15 UTC all year, on the days on which clocks change too."""
    trigger = _trigger(Cadence.parse("15 3 * * mon-fri"))
    friday = datetime(2026, 10, 23, 12, tzinfo=UTC)
    fires = [trigger.get_next_fire_time(None, friday + timedelta(days=n)) for n in range(4)]

    assert fires[-1] == datetime(2026, 10, 27, 3, 15, tzinfo=UTC)
    assert set(fires[:3]) == {datetime(2026, 10, 26, 3, 15, tzinfo=UTC)}
