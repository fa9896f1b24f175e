"""How much of what plants measured is there: per plant and day, or per plant and some days. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import Enum
from typing import Any

from harvester.questions.plausibility import Plausibility
from harvester.questions.survey import SeriesDays, Settlement

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cell:
    """The series-days of one plant on one day or on several."""

    applicable: int = 0
    """On which a series of the plant can have rows."""
    covered: int = 0
    """That are settled, or not settled yet but have plausible content."""
    settled: int = 0
    open: int = 0
    failed: int = 0
    unasked: int = 0
    received: int = 0
    """Rows."""
    plausible: int = 0
    """Rows, where a day is known well enough to tell."""

    def __add__(self, other: Cell) -> Cell:
        return Cell(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def share(self) -> float | None:
        """Return how much of what is applicable is covered, 0 to 1; None where nothing is applicable."""
        return self.covered / self.applicable if self.applicable else None

    @property
    def words(self) -> str:
        """Return it for a person."""
        if not self.applicable:
            return "nothing to harvest"
        parts = [f"{n:,} {name}" for name in ("settled", "open", "failed", "unasked") if (n := getattr(self, name))]
        return (
            f"{self.covered:,} of {self.applicable:,} series-days covered ({', '.join(parts)}); "
            f"{self.received:,} of about {self.plausible:,} plausible rows"
        )


_ONE: Mapping[Settlement, Cell] = {
    name: Cell(**{name.value: 1}) for name in Settlement if name is not Settlement.SUSPENDED
}


@dataclass(frozen=True, slots=True)
class PlantRow:
    """One plant and its cells by day, or by the first day of a bucket."""

    plant_id: str
    name: str
    cells: Mapping[date, Cell]

    @property
    def whole(self) -> Cell:
        """Return all its cells as one."""
        return sum(self.cells.values(), Cell())

    def facts(self) -> Iterator[dict[str, Any]]:
        """Yield its cells as plain values, as ``--json`` prints them."""
        for day, cell in sorted(self.cells.items()):
            yield {
                "plant_id": self.plant_id,
                "name": self.name,
                "day": day.isoformat(),
                "applicable": cell.applicable,
                "covered": cell.covered,
                "settled": cell.settled,
                "open": cell.open,
                "failed": cell.failed,
                "unasked": cell.unasked,
                "rows_received": cell.received,
                "rows_plausible": cell.plausible,
            }


def cells(piece: Sequence[SeriesDays]) -> Iterator[tuple[str, date, Cell]]:
    """Yield plant id, day and cell of every applicable series-day of *piece* that is wanted."""
    plausibility = Plausibility(piece)
    for each in piece:
        if each.subject.wanted:
            for day in each.span:
                yield each.subject.known.series.plant_id, day, _cell(plausibility, each, day)


def _cell(plausibility: Plausibility, each: SeriesDays, day: date) -> Cell:
    asked, content = each.asked(day), plausibility.content(each, day)
    covered = asked is Settlement.SETTLED or (content is not None and not content.hole)
    received = content.received if content is not None else 0
    plausible = content.plausible.rows if content is not None else plausibility.expected(each, day)
    return Cell(applicable=1, covered=int(covered), received=received, plausible=plausible) + _ONE[asked]


class Bucket(Enum):
    """How many days one column stands for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def of(self, day: date) -> date:
        """Return the first day of the bucket that *day* is in; weeks begin on Monday."""
        match self:
            case Bucket.DAY:
                return day
            case Bucket.WEEK:
                return day - _DAY * day.weekday()
            case Bucket.MONTH:
                return day.replace(day=1)


def bucket_for(days: int, most: int) -> Bucket:
    """Return the finest bucket that puts so many *days* into at most *most* columns; months where none does."""
    if days <= most:
        return Bucket.DAY
    return Bucket.WEEK if days <= 7 * (most - 1) else Bucket.MONTH


def bucketed(rows: Iterable[PlantRow], bucket: Bucket) -> list[PlantRow]:
    """Return *rows* with their days put together."""
    if bucket is Bucket.DAY:
        return list(rows)
    found: list[PlantRow] = []
    for row in rows:
        merged: dict[date, Cell] = {}
        for day, cell in row.cells.items():
            merged[bucket.of(day)] = merged.get(bucket.of(day), Cell()) + cell
        found.append(PlantRow(row.plant_id, row.name, merged))
    return found


def columns(rows: Iterable[PlantRow], bucket: Bucket) -> list[date]:
    """Return the first days of all buckets from the first cell to the last, those without a cell included."""
    days = {day for row in rows for day in row.cells}
    if not days:
        return []
    first, last = min(days), max(days)
    return sorted({bucket.of(first + _DAY * n) for n in range((last - first).days + 1)})
