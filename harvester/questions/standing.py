"""How a fleet stands: of what ought to be settled by now, how much is, plant by plant.

One statement for the whole fleet, because a daemon asks it every few minutes: no body is unpacked, no file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from harvester.config.values import Since
from harvester.plan import Scope
from harvester.state.history import History

DAYS = 7
"""How many days are looked at: the newest ones that ought to be settled."""
_DAY = timedelta(days=1)
_WEST = timedelta(hours=12)
"""By which the westernmost zone's days end after those of UTC."""
_LOOK = timedelta(days=1)
"""Each series is looked at once a day, so a day may be settled that much after it could be."""


@dataclass(frozen=True, slots=True)
class Share:
    """One visible plant and its series-days that ought to be settled."""

    plant_id: str
    due: int
    settled: int

    @property
    def share(self) -> float | None:
        """Return the settled part, 0 to 1; None while nothing is due."""
        return self.settled / self.due if self.due else None


def last_due(now: datetime, settle_after: timedelta) -> date:
    """Return the newest day that ought to be settled at *now* (aware UTC) wherever a plant stands."""
    return (now - settle_after - _LOOK - _WEST).date() - _DAY


def shares(history: History, scope: Scope, since: Since, *, settle_after: timedelta, now: datetime) -> list[Share]:
    """Return the share of every visible plant, by id, over the newest `DAYS` days that ought to be settled.

    A series counts from the day that *since* reached back to when it was first seen: what was never to be asked is not
    missing.
    """
    last = last_due(now, settle_after)

    def reached(seen: date) -> date:
        return max(since.first_day(seen, None), since.day or date.min)

    counts = history.settled_by_plant(last - _DAY * (DAYS - 1), last, scope, reached)
    return [Share(plant_id, due, settled) for plant_id, due, settled in counts]
