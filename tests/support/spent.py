"""What a cloud was asked, and what the ledger had by then: whether a request was spent twice."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from harvester.sandbox import Running
from harvester.sandbox.exchange import Answer, Body, Call
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger

Name = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set."""
EPOCH = date(1970, 1, 1)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the cloud has answered."""

    url: str
    status: int
    spoiled: bool = False
    """Whether the answer came with bytes that cannot be read, so that it has to be asked again."""

    @property
    def answered(self) -> bool:
        """Tell whether it brought values."""
        return self.about is not None and self.status == HTTPStatus.OK and not self.spoiled

    @property
    def about(self) -> tuple[str, str, str, str] | None:
        """Return id, set, period and date of a request for values; None for any other."""
        path, _, query = self.url.partition("?")
        words = [word for word in path.split("/") if word]
        if "sets" not in words or words[-1] == "sets":
            return None
        at = words.index("sets")
        dates = {name.casefold(): value for name, value in parse_qs(query).items()}.get("date", [""])
        return words[at - 2], words[at + 1], words[at + 2].casefold(), dates[0]


@dataclass(slots=True)
class Listener:
    """Writes down what a cloud is asked, and spoils some answers."""

    asked: list[Asked] = field(default_factory=list)
    spoil: int = 0
    """How many of the next answers to PowerDc are to come with bytes that no JSON has."""

    @classmethod
    def of(cls, running: Running) -> "Listener":
        """Listen to a cloud from now on."""
        listener, answer = cls(), running.cloud.answer

        def heard(call: Call) -> Answer:
            given = answer(call)
            spoiled = bool(listener.spoil and "/PowerDc/" in call.url and b'"time"' in given.body.plain)
            listener.asked.append(Asked(call.url, given.status, spoiled))
            if spoiled:
                listener.spoil -= 1
                return replace(given, body=Body(given.body.plain.replace(b'"time"', b'"t\xffme"', 1)))
            return given

        running.cloud.answer = heard  # type: ignore[method-assign]
        return listener


@dataclass(frozen=True, slots=True)
class Kept:
    """What a ledger says need not be asked again."""

    days: Mapping[Name, frozenset[date]]
    sums: frozenset[tuple[str, str, str]]
    """Plant, period, first day."""
    explored: frozenset[str]
    """Plants whose devices and sets are known."""
    looked: Mapping[tuple[Name, date], int]
    """When days that are not settled were last asked: seconds since 1970."""
    summed: Mapping[tuple[str, str, str], int]
    """When sums were last asked, whether they are final or not; keys as in `sums`."""
    parts: Mapping[str, int]
    """The part of the lake that each plant and each device belongs to."""

    def has(self, asked: Asked, since: float) -> bool:
        """Tell whether the answer to a request for values is in the ledger that came after *since*, in seconds.

        Of a settled day it is not known when it was asked.
        """
        thing, measurement_set, period, day = asked.about or ("", "", "", "")
        if period not in {"day", "week"}:
            return self.summed.get((thing, period, day), -1) >= int(since)
        first, mine = date.fromisoformat(day), self._series(thing, measurement_set)
        span = [first + timedelta(days=n) for n in range(7 if period == "week" else 1)]
        return any(
            day in self.days[name] or self.looked.get((name, day), -1) >= int(since) for name in mine for day in span
        )

    def repeated(self, asked: Iterable[Asked], first: date, last: date) -> int:
        """Count the answers that one child had before, and nothing new was to be expected of.

        A day that is not settled may be looked at again, and an answer that cannot be read is asked again.
        """
        seen: dict[object, list[Asked]] = {}
        for one in asked:
            if one.answered:
                seen.setdefault(one.about, []).append(one)
        return sum(len(same) - 1 for same in seen.values() if self._once(same[0], first, last))

    def _once(self, asked: Asked, first: date, last: date) -> bool:
        """Tell whether a request need not be answered twice within the life of a child."""
        summed = asked.about is not None and asked.about[2] not in {"day", "week"}
        return summed or self.needless(asked, first, last)

    def _series(self, thing: str, measurement_set: str) -> list[Name]:
        return [name for name in self.days if thing in name[:2] and name[2] == measurement_set]

    def needless(self, asked: Asked, first: date, last: date) -> bool:
        """Tell whether a request about the days from *first* to *last* was spent before, for nothing new."""
        if asked.about is None:
            words = asked.url.partition("?")[0].split("/")
            return bool(self.explored.intersection(words)) and words[-1] in {"devices", "sets"}
        thing, measurement_set, period, day = asked.about
        mine = self._series(thing, measurement_set)
        if len(mine) != 1:
            return False
        settled = self.days[mine[0]]
        if period == "day":
            return date.fromisoformat(day) in settled
        if period == "week":
            return all(first + timedelta(days=n) in settled for n in range((last - first).days + 1))
        return (thing, period, day) in self.sums


NOTHING = Kept({}, frozenset(), frozenset(), {}, {}, {})
"""What a ledger says that is not there."""


def kept_of(file: Path, first: date, last: date) -> Kept:
    """Read a ledger; there may be none yet, or an empty file."""
    if not made(file):
        return NOTHING
    engine = connect(file, create=False)
    try:
        inventory = Inventory(engine, plants_per_file=100)
        plants = inventory.plants()
        series = [known for part in {plant.part for plant in plants} for known in inventory.every_series(part)]
        days = Ledger(engine).days([known.series_id for known in series], first, last)
    finally:
        engine.dispose()
    names = {k.series_id: (k.series.plant_id, k.series.device_id or "", k.series.set) for k in series}
    parts = {thing: known.part for known in series for thing in names[known.series_id][:2] if thing}
    with closing(sqlite3.connect(file)) as db:
        looked = db.execute("SELECT series_id, day, asked_at FROM open_day WHERE NOT failed").fetchall()
        sums = list(_sums(db))
    return Kept(
        {name: frozenset(days[series_id].settled) for series_id, name in names.items()},
        frozenset(key for key, _, final in sums if final),
        frozenset(plant.plant.plant_id for plant in plants if plant.explored_at is not None),
        {(names[number], EPOCH + timedelta(days=day)): at for number, day, at in looked if number in names},
        {key: at for key, at, _ in sums},
        parts,
    )


def _sums(db: sqlite3.Connection) -> Iterator[tuple[tuple[str, str, str], int, bool]]:
    """Yield plant, period and first day of each Month, Year and Total that was answered, when, and if it is final."""
    lengths = {"month": 7, "year": 4, "total": 0}
    query = (
        "SELECT s.plant_id, lower(p.period), p.start, p.asked_at, p.next_at IS NULL "
        "FROM period_read p JOIN series s USING (series_id) WHERE NOT p.failed"
    )
    for plant, period, start, at, final in db.execute(query):
        yield (plant, period, str(EPOCH + timedelta(days=start))[: lengths[period]]), at, bool(final)


def bearable(answered: Iterable[Asked], parts: Mapping[str, int], workers: int) -> int:
    """Return how many answers of one child a kill may cost: 2 x workers + 2 batches, the largest ones.

    A batch (answers that go into the same files) is in lake and ledger as soon as its last answer has been taken in.
    Of the requests that were begun at most 2 x workers have not been, in flight or answered, and each keeps one batch
    open; the newest batch may not have been begun to its end; and one more is on its way into lake and ledger.
    """
    return sum(sorted(_batches(answered, parts), reverse=True)[: 2 * workers + 2])


def _batches(answered: Iterable[Asked], parts: Mapping[str, int]) -> Iterator[int]:
    """Yield how many answers belong to each batch: one of part, level, set and week, or of part, set and period.

    Dates that lie less than a week apart count as of one week, wherever the weeks begin.
    """
    groups: dict[object, list[date]] = {}
    for one in answered:
        if one.about is not None:
            thing, measurement_set, period, day = one.about
            daily = period in {"day", "week"}
            key = (parts.get(thing, 0), "/devices/" in one.url, measurement_set, "" if daily else period)
            groups.setdefault(key, []).append(date.fromisoformat(day) if daily else EPOCH)
    for dates in groups.values():
        yield from Counter(_weeks(sorted(dates))).values()


def _weeks(dates: Sequence[date]) -> Iterator[date]:
    """Yield for each of the sorted *dates* the first of those that no gap of a week separates it from."""
    first = before = min(dates)
    for day in dates:
        first = day if day - before >= WEEK else first
        before = day
        yield first


def made(file: Path) -> bool:
    """Tell whether there is a ledger whose first migration has been committed."""
    if not file.exists() or not file.stat().st_size:
        return False
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return found is not None and db.execute("SELECT 1 FROM alembic_version").fetchone() is not None
