"""When a day is settled, and when one that is not is asked again. Pure.

SMA's devices report minutes to days late, so no answer is final because it came. A past day is settled once a
read begun `settle_after` or more after its local end succeeded; until then it is asked again at growing
distances.
"""

from __future__ import annotations

from datetime import datetime, timedelta

RUNNING_AGAIN = timedelta(minutes=5)
"""How soon a running day is worth another look while nothing is known of its rows: ennexOS uploads every five."""
LEAST_AGAIN = timedelta(seconds=30)
"""No day is looked at more often."""
PAST_AGAIN = tuple(timedelta(days=2**n - 1) for n in range(1, 12))
"""When a past day is looked at again, after its end: a day, three, seven ... Whole days, so that the looks at several
days fall on one moment, and one `Week` serves them all: each series costs one request a day."""
FAILED_AGAIN = timedelta(minutes=15)
FAILED_AT_MOST = timedelta(days=1)


def next_look(
    *, day_end: datetime, asked_at: datetime, settle_after: timedelta, next_row: datetime | None = None
) -> datetime | None:
    """Return when a day read at *asked_at* (the read's begin) is due again; None where that settles it.

    *next_row* is when the next row of a running day can exist, if that is known.
    """
    if asked_at >= day_end + settle_after:
        return None
    if asked_at < day_end:
        return min(max(next_row or asked_at + RUNNING_AGAIN, asked_at + LEAST_AGAIN), day_end)
    return day_end + min([settle_after, *(again for again in PAST_AGAIN if again > asked_at - day_end)])


def next_try(*, failed_at: datetime, attempts: int) -> datetime:
    """Return when a day is due again that failed *attempts* times in a row."""
    factor: int = 2 ** min(max(attempts, 1) - 1, 16)
    return failed_at + min(FAILED_AGAIN * factor, FAILED_AT_MOST)
