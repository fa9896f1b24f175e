"""A day of live harvesting in virtual time: the product's own rules, no socket, no clock."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harvester import live
from harvester.questions.freshness import LiveSeries, hold

START = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Plant:
    """One plant's live series as SMA has it, and as the harvester knows it."""

    minutes: int
    true_lag: float
    newest: datetime
    next_at: datetime
    lag: int | None = None

    def served(self, now: datetime) -> datetime:
        """Return the end of the newest interval that SMA serves at *now*."""
        since = (now - timedelta(seconds=self.true_lag) - START) // timedelta(minutes=self.minutes)
        return START + since * timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Day:
    """What a simulated day came to."""

    calls: int
    wasted: int
    """Calls that brought no new row."""
    p50_seconds: float
    p95_seconds: float
    estimate_p95_seconds: float


def simulate(*, plants: int, requests: int, window_seconds: float = 300, seed: int = 1, hours: int = 24) -> Day:
    """Harvest *plants* live for some *hours*, stalest first among those due, spread over the budget."""
    draw = random.Random(seed)  # noqa: S311 - a fleet, not a secret
    fleet = [Plant(5, draw.uniform(60, 600), START, START) for _ in range(plants)]
    step, now, calls, wasted = timedelta(seconds=window_seconds / requests), START, 0, 0
    ages: list[float] = []
    sampled = START + timedelta(hours=1)
    while now < START + timedelta(hours=hours):
        due = [plant for plant in fleet if plant.next_at <= now]
        if due:
            plant = min(due, key=lambda each: each.newest)
            found = plant.served(now)
            came = found > plant.newest
            calls, wasted = calls + 1, wasted + (not came)
            lag = live.FIRST_LAG if plant.lag is None else plant.lag
            late = (now - plant.newest).total_seconds() - 60 * plant.minutes - lag
            plant.lag = live.lag_after(plant.lag, came=came, late=late)
            plant.newest = max(plant.newest, found)
            plant.next_at = live.next_row_at(plant.newest, plant.minutes, plant.lag, now)
        now += step
        if now >= sampled:
            ages += [(now - plant.newest).total_seconds() for plant in fleet]
            sampled += timedelta(seconds=60)
    ages.sort()
    known = [LiveSeries(plant.minutes, plant.lag) for plant in fleet]
    estimate = hold(known, daily_requests=0, requests=requests, window_seconds=window_seconds)
    return Day(calls, wasted, ages[len(ages) // 2], ages[int(0.95 * len(ages))], estimate.p95_seconds)
