"""The rows of a series and day beside those of other days and other series. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice

from harvester import clock
from harvester.daylight import daylight
from harvester.model import Plant
from harvester.questions.content import HOLE, Content, Evidence, Sibling, plausible, usual
from harvester.questions.survey import AROUND, SeriesDays, zone_is_known

_DAY = timedelta(days=1)
_AROUND = tuple(_DAY * n for n in range(-(AROUND // _DAY), AROUND // _DAY + 1) if n)
_MOST_SIBLINGS = 12
"""More of them tell nothing new."""


class Plausibility:
    """The series of one part over one piece of the period, each comparable with the others."""

    def __init__(self, series: Iterable[SeriesDays]) -> None:
        self._rows: dict[int, dict[date, int]] = {}
        self._lived: dict[int, dict[date, int]] = {}
        """The same, without the days before a series' first row."""
        self._usual: dict[tuple[int, date], int | None] = {}
        self._groups: dict[tuple[str, str], list[SeriesDays]] = {}
        """The series of one set: of one plant, or of one time zone."""
        self._kin: dict[tuple[str, str, date], list[tuple[int, Sibling]]] = {}
        for each in series:
            series_id, rows, born = each.subject.known.series_id, _rows(each), each.born or date.max
            self._rows[series_id] = rows
            self._lived[series_id] = {day: count for day, count in rows.items() if day >= born}
            for key in _keys(each):
                self._groups.setdefault(key, []).append(each)

    def content(self, each: SeriesDays, day: date) -> Content | None:
        """Return what the rows of *each* on *day* are worth; None where the day was not read since it was over."""
        received = self._rows[each.subject.known.series_id].get(day)
        return None if received is None else Content(received, plausible(self._evidence(each, day)))

    def hole(self, each: SeriesDays, day: date) -> Content | None:
        """Return the content of *each* on *day* if that is a hole, else None: what is as usual needs no second look."""
        received, own = self._rows[each.subject.known.series_id].get(day), self._usual_of(each, day)
        if received is None or (own is not None and received >= HOLE * own):
            return None
        content = self.content(each, day)
        return content if content is not None and content.hole else None

    def expected(self, each: SeriesDays, day: date) -> int:
        """Return how many rows are plausible for *each* on *day*, whatever came."""
        return plausible(self._evidence(each, day)).rows

    def _evidence(self, each: SeriesDays, day: date) -> Evidence:
        known, plant = each.subject.known, each.subject.plant.plant
        kin, siblings = self._siblings(each, day)
        return Evidence(
            set=known.series.set,
            minutes=known.minutes,
            length=_length(_zone_name(plant), day),
            daylight=_sunshine(plant, day),
            lived=each.born is not None and each.born <= day,
            usual=self._usual_of(each, day),
            siblings=siblings,
            kin=kin,
        )

    def _usual_of(self, each: SeriesDays, day: date) -> int | None:
        key = (each.subject.known.series_id, day)
        if key not in self._usual:
            of = self._lived[key[0]].get
            self._usual[key] = usual([rows for step in _AROUND if (rows := of(day + step)) is not None])
        return self._usual[key]

    def _siblings(self, each: SeriesDays, day: date) -> tuple[str, list[Sibling]]:
        """Return the same set's rows on *day*: of others of the plant or, where it has none, of others in its zone."""
        own = each.subject.known.series_id
        for kin, (name, whose) in zip(("at the plant", "in the time zone"), _keys(each), strict=True):
            if len(self._groups[name, whose]) > 1 and (
                found := [sibling for other, sibling in self._members(name, whose, day) if other != own]
            ):
                return kin, found
        return "at the plant", []

    def _members(self, name: str, whose: str, day: date) -> list[tuple[int, Sibling]]:
        """Return what the series of a group had on *day*, as far as they had had rows by then."""
        key = (name, whose, day)
        if key not in self._kin:
            lived = (e for e in self._groups[name, whose] if e.born is not None and e.born <= day)
            read = ((e, self._rows[e.subject.known.series_id].get(day)) for e in lived)
            found = ((e.subject.known.series_id, Sibling(n, self._usual_of(e, day))) for e, n in read if n is not None)
            self._kin[key] = list(islice(found, _MOST_SIBLINGS))
        return self._kin[key]


def _sunshine(plant: Plant, day: date) -> timedelta | None:
    """Return how long the sun shines on *plant* on *day*; None where its place is not known."""
    if plant.latitude is None or plant.longitude is None:
        return None
    return daylight(plant.latitude, plant.longitude, day, _zone_name(plant))


@lru_cache(maxsize=4096)
def _length(zone: str, day: date) -> timedelta:
    where = clock.zone(zone)
    return clock.day_end(day, where) - clock.day_start(day, where)


def _zone_name(plant: Plant) -> str:
    return plant.timezone if zone_is_known(plant) else "UTC"


def _keys(each: SeriesDays) -> tuple[tuple[str, str], tuple[str, str]]:
    series, plant = each.subject.known.series, each.subject.plant.plant
    name = f"{series.level.value} {series.set}"
    return (name, plant.plant_id), (name, plant.timezone)


def _rows(each: SeriesDays) -> dict[date, int]:
    read = {day: rows for day in each.days.open if (rows := each.rows(day)) is not None}
    return {**read, **each.days.settled}
