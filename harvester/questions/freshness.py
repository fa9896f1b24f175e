"""How fresh live data can be under a budget. Pure.

A live series is worth one request per interval of its rows, when the next one can exist. Where the budget allows
that, a plant's newest row is between its lag and its lag plus one interval old; where it does not, the series take
turns, and the turn takes the place of the interval. The other sets cost one request a day each, which comes first
here: what is left is live's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from harvester.live import FIRST_LAG

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class LiveSeries:
    """What decides how fresh one live series can be."""

    minutes: int
    """Length of its intervals."""
    lag: int | None = None
    """Seconds from the end of an interval until its row is served; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a budget can hold."""

    live_series: int
    daily_requests: int
    """For the sets that are asked once a day."""
    live_requests: int
    """A day, for the live series."""
    turn_seconds: float
    """How often each live series is asked, on average."""
    p50_seconds: float
    """Age of the newest row's end, half of the time."""
    p95_seconds: float
    share: float | None
    """Share of the budget that is used; None where no budget is known."""

    def facts(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def hold(live: Sequence[LiveSeries], *, daily_requests: int, requests: int | None, window_seconds: float) -> Freshness:
    """Return the freshness that *requests* per window can hold for the *live* series."""
    wished = sum(_DAY / (60 * series.minutes) for series in live)
    budget = None if requests is None else requests * _DAY / window_seconds
    left = wished if budget is None else max(budget - daily_requests, 1.0)
    stretch = max(1.0, wished / left) if live else 1.0
    alike = Counter(live)  # a large fleet has few kinds of series
    ages = sorted((age, number) for series, number in alike.items() for age in _ages(series, stretch))
    spent = wished / stretch
    return Freshness(
        live_series=len(live),
        daily_requests=daily_requests,
        live_requests=round(spent),
        turn_seconds=round(len(live) * _DAY / spent, 1) if spent else 0.0,
        p50_seconds=_at(ages, 0.50),
        p95_seconds=_at(ages, 0.95),
        share=None if budget is None else round((spent + daily_requests) / budget, 3),
    )


_SHARES = tuple((n + 0.5) / 20 for n in range(20))
"""Moments within one turn, or one interval."""


def _ages(series: LiveSeries, stretch: float) -> Iterator[float]:
    """Return the age of the newest row, in seconds, at moments spread over one turn.

    Asked in step with its rows, a row is fresh when it comes; asked in turns, it may be an interval old by then.
    """
    lag = FIRST_LAG if series.lag is None else series.lag
    interval = 60 * series.minutes
    waits = _SHARES if stretch > 1 else (0.0,)
    return (lag + interval * (stretch * share + wait) for share in _SHARES for wait in waits)


def _at(ages: Sequence[tuple[float, int]], quantile: float) -> float:
    """Return the age below which that share of *ages* lies, each of which counts so many times."""
    left = int(quantile * sum(number for _, number in ages))
    for age, number in ages:
        left -= number
        if left < 0:
            return round(age, 1)
    return round(ages[-1][0], 1) if ages else 0.0
