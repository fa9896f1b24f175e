"""The rows of a series and day beside those of other days and other series. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from harvester import clock
from harvester.content import Content, Evidence, Sibling, plausible, usual
from harvester.daylight import daylight
from harvester.model import Plant
from harvester.survey import AROUND, SeriesDays, zone_is_known, zone_of

_DAY = timedelta(days=1)
_REACH = AROUND // _DAY
_MOST_SIBLINGS = 12
"""More of them tell nothing new."""


class Plausibility:
    """The series of one part over one piece of the period, each comparable with the others."""

    def __init__(self, series: Iterable[SeriesDays]) -> None:
        self._rows: dict[int, dict[date, int]] = {}
        self._usual: dict[tuple[int, date], int | None] = {}
        self._of_plant: dict[tuple[str, str], list[SeriesDays]] = {}
        self._of_zone: dict[tuple[str, str], list[SeriesDays]] = {}
        for each in series:
            self._rows[each.subject.known.series_id] = _rows(each)
            name, plant = _kind(each), each.subject.plant.plant
            self._of_plant.setdefault((name, plant.plant_id), []).append(each)
            self._of_zone.setdefault((name, plant.timezone), []).append(each)

    def content(self, each: SeriesDays, day: date) -> Content | None:
        """Return what the rows of *each* on *day* are worth; None where the day was not read since it was over."""
        received = self._rows[each.subject.known.series_id].get(day)
        return None if received is None else Content(received, plausible(self._evidence(each, day)))

    def expected(self, each: SeriesDays, day: date) -> int:
        """Return how many rows are plausible for *each* on *day*, whatever came."""
        return plausible(self._evidence(each, day)).rows

    def _evidence(self, each: SeriesDays, day: date) -> Evidence:
        known, plant = each.subject.known, each.subject.plant.plant
        where = zone_of(plant)
        kin, siblings = self._siblings(each, day)
        return Evidence(
            set=known.series.set,
            minutes=known.minutes,
            length=clock.day_end(day, where) - clock.day_start(day, where),
            daylight=sunshine(plant, day),
            lived=each.born is not None and each.born <= day,
            around=self._around(each, day),
            siblings=siblings,
            kin=kin,
        )

    def _around(self, each: SeriesDays, day: date) -> Sequence[int]:
        rows = self._rows[each.subject.known.series_id]
        days = (day + _DAY * n for n in range(-_REACH, _REACH + 1) if n)
        born = each.born or date.max
        return [rows[other] for other in days if other >= born and other in rows]

    def _usual_of(self, each: SeriesDays, day: date) -> int | None:
        key = (each.subject.known.series_id, day)
        if key not in self._usual:
            self._usual[key] = usual(self._around(each, day))
        return self._usual[key]

    def _siblings(self, each: SeriesDays, day: date) -> tuple[str, list[Sibling]]:
        """Return the same set's rows on *day*: of others of the plant or, where it has none, of others in its zone."""
        name, plant = _kind(each), each.subject.plant.plant
        for kin, members in (
            ("at the plant", self._of_plant[name, plant.plant_id]),
            ("in the time zone", self._of_zone[name, plant.timezone]),
        ):
            if found := list(self._judged(members, each, day)):
                return kin, found
        return "at the plant", []

    def _judged(self, members: Iterable[SeriesDays], each: SeriesDays, day: date) -> Iterator[Sibling]:
        left = _MOST_SIBLINGS
        for other in members:
            rows = self._rows[other.subject.known.series_id].get(day)
            if other is each or rows is None or other.born is None or other.born > day or not left:
                continue
            left -= 1
            yield Sibling(rows, self._usual_of(other, day))


def sunshine(plant: Plant, day: date) -> timedelta | None:
    """Return how long the sun shines on *plant* on *day*; None where its place is not known."""
    if plant.latitude is None or plant.longitude is None:
        return None
    return daylight(plant.latitude, plant.longitude, day, plant.timezone if zone_is_known(plant) else "UTC")


def _kind(each: SeriesDays) -> str:
    series = each.subject.known.series
    return f"{series.level.value} {series.set}"


def _rows(each: SeriesDays) -> dict[date, int]:
    days = (*each.days.settled, *each.days.open)
    return {day: rows for day in days if (rows := each.rows(day)) is not None}
