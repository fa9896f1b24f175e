"""What one good answer means for the ledger: the days it covered, and what it tells of its series. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from harvester import clock, live
from harvester.lake.decode import DayCount
from harvester.lake.packing import Packed
from harvester.model import Payload
from harvester.state.inventory import KnownSeries
from harvester.state.ledger import Learned, Read
from harvester.state.settlement import next_look


@dataclass(frozen=True, slots=True)
class Taken:
    """A good answer, what it held day by day, and what was known of its series before."""

    payload: Payload
    held: Sequence[DayCount]
    """Empty where the answer was."""
    known: KnownSeries
    packed: Packed | None = None
    """Its body for the archive."""

    def reads(self, days: Iterable[date], where: tzinfo, settle_after: timedelta) -> Iterator[Read]:
        """Tell the ledger of the plant-local *days* that the answer is sure to have covered."""
        asked_at, next_row = self.payload.asked_at, self._next_row(where)
        rows = {count.day: count.rows for count in self.held}
        for day in days:
            end = clock.day_end(day, where)
            yield Read(
                series_id=self.known.series_id,
                day=day,
                rows=rows.get(day, 0),
                asked_at=asked_at,
                next_at=next_look(day_end=end, asked_at=asked_at, settle_after=settle_after, next_row=next_row),
            )

    def learned(self, where: tzinfo) -> Learned | None:
        """Return what the answer tells of its series as a whole, at a plant *where*; None where it held no row."""
        found = self._newest()
        if found is None:
            return None
        lag = self._lag(found, where)
        return Learned(series_id=self.known.series_id, minutes=found.minutes, newest=found.newest, lag=lag)

    def _newest(self) -> DayCount | None:
        return max(self.held, key=lambda count: count.newest, default=None)

    def _lag(self, found: DayCount, where: tzinfo) -> int | None:
        """Return the lag after this answer; None where it was not asked for a row that could just have come."""
        before, minutes = self.known.newest, self.known.minutes
        if before is None or minutes is None:
            return None
        if before.astimezone(where).date() not in self.payload.slice.days:
            return None  # of another day than the next row's, as a backfill asks: that row cannot come with it
        if self.payload.asked_at - before > timedelta(minutes=2 * minutes, seconds=live.MOST_LAG):
            return None
        lag = live.FIRST_LAG if self.known.lag is None else self.known.lag
        expected = before + timedelta(minutes=minutes, seconds=lag)
        late = (self.payload.asked_at - expected).total_seconds()
        age = (self.payload.asked_at - found.newest).total_seconds()
        return live.lag_after(self.known.lag, came=found.newest > before, late=late, age=max(age, 0.0))

    def _next_row(self, where: tzinfo) -> datetime | None:
        """Return when the next row of a running day can exist; None where nothing is known of its rows."""
        found = self._newest()
        if found is None or found.minutes is None:
            return None
        lag = self._lag(found, where)
        return live.next_row_at(
            found.newest, found.minutes, self.known.lag if lag is None else lag, self.payload.asked_at
        )
