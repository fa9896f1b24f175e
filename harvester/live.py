"""When the next row of a running day can exist, learned per series. Pure.

SMA serves a row some time after its interval has ended: minutes for ennexOS, up to two hours for Classic plants,
different for each device. Asking earlier wastes a request, asking later loses freshness.
"""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_LAG = 120
"""Seconds assumed of a series that was never asked while its day was running."""
MOST_LAG = 3 * 3600
"""Seconds; the slowest devices known report within three hours."""
_SOONER = 0.98
"""What becomes of the lag when a row was there: next time it is asked a little earlier."""
_LATER = 1.25
"""What becomes of the lag when it was not."""
_LATE = 60.0
_LEAST_STEP = 30
_QUIET = 8
"""A silent series is asked again after this share of its silence."""


def lag_after(lag: int | None, *, came: bool, late: float = 0.0, age: float = MOST_LAG) -> int:
    """Return the lag in seconds after asking for a row that *came*, or did not.

    A row that came when it was asked for *late*, in seconds after it was expected, tells nothing of its lag but that it
    is no longer than its *age*, in seconds; that is believed by halves, as one row may come sooner than others.
    """
    known = FIRST_LAG if lag is None else lag
    if came:
        sooner = known if late > _LATE else int(known * _SOONER)
        return min(sooner, max(int(age), known // 2))
    return min(max(int(known * _LATER), known + _LEAST_STEP), MOST_LAG)


def next_row_at(newest: datetime, minutes: int, lag: int | None, asked_at: datetime) -> datetime:
    """Return when a series whose newest interval ended at *newest* is worth asking again after *asked_at*.

    A series that has fallen silent is asked at growing distances, an hour apart at most.
    """
    expected = newest + timedelta(minutes=minutes, seconds=FIRST_LAG if lag is None else lag)
    if expected > asked_at:
        return expected
    return asked_at + min(max((asked_at - newest) / _QUIET, timedelta(seconds=_LEAST_STEP)), timedelta(hours=1))
