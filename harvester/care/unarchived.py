"""Settled days of which no answer is archived: should their rows be lost, only SMA has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from harvester.errors import LakeError
from harvester.intake import Stores
from harvester.lake.raw import Archive, week_of
from harvester.model import Series
from harvester.plan import Scope
from harvester.questions.aliases import Aliases

_DAY = timedelta(days=1)
_REACH = timedelta(days=6)
"""How far from its date a `Week` settles days, on either side."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Settled days of one series, one after the other, of which no usable answer is archived."""

    series: Series
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Settled:
    """The settled days from *first* to *last*, both inclusive, of the series in a scope."""

    stores: Stores
    archive: Archive
    scope: Scope
    first: date
    last: date

    def unarchived(self, unusable: Collection[bytes] = ()) -> Iterator[Missing]:
        """Yield what no archived answer settled, part by part; answers with an *unusable* content do not count."""
        inventory = self.stores.inventory
        aliases = Aliases.of(inventory.aliases())
        for part in sorted({known.part for known in inventory.plants()}):
            for table, ids in sorted(self._tables(part).items()):
                archived = self._archived(part, table, unusable)
                known = self.stores.ledger.days(list(ids), self.first, self.last)
                for series_id, series in ids.items():
                    had = archived.get(series, set()) | archived.get(aliases.before(series), set())
                    yield from _runs(series, known[series_id].settled.keys() - had)

    def _tables(self, part: int) -> dict[str, dict[int, Series]]:
        found: dict[str, dict[int, Series]] = {}
        for known in self.stores.inventory.every_series(part):
            if self.scope.takes(known.series):
                table = self.stores.registry.table(known.series.level, known.series.set).table
                found.setdefault(table, {})[known.series_id] = known.series
        return found

    def _archived(self, part: int, table: str, unusable: Collection[bytes]) -> dict[Series, set[date]]:
        """Return the days that archived answers settled; a damaged pack has none."""
        found: dict[Series, set[date]] = {}
        for pack in self.stores.lake.places.packs(table, part=part):
            if not week_of(self.first - _REACH) <= pack.week <= self.last + _REACH:
                continue
            try:
                answers = self.archive.index(pack)
            except LakeError:
                continue
            for answer in answers:
                if answer.sha256 not in unusable:
                    found.setdefault(answer.slice.series, set()).update(answer.slice.days)
        return found


def _runs(series: Series, days: Iterable[date]) -> Iterator[Missing]:
    """Join days that follow one another."""
    run: list[date] = []
    for day in sorted(days):
        if run and day - run[-1] > _DAY:
            yield Missing(series, run[0], run[-1])
            run = []
        run.append(day)
    if run:
        yield Missing(series, run[0], run[-1])
