"""What a cloud was asked, and what the ledger had by then: whether a request was spent twice."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from harvester.sandbox import Running
from harvester.sandbox.exchange import Answer, Body, Call
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger

Name = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the cloud has answered."""

    url: str
    status: int

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
            listener.asked.append(Asked(call.url, given.status))
            if listener.spoil and "/PowerDc/" in call.url and b'"time"' in given.body.plain:
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

    def needless(self, asked: Asked, first: date, last: date) -> bool:
        """Tell whether a request about the days from *first* to *last* was spent before, for nothing new."""
        if asked.about is None:
            words = asked.url.partition("?")[0].split("/")
            return bool(self.explored.intersection(words)) and words[-1] in {"devices", "sets"}
        thing, measurement_set, period, day = asked.about
        mine = [days for name, days in self.days.items() if thing in name[:2] and name[2] == measurement_set]
        if len(mine) != 1:
            return False
        if period == "day":
            return date.fromisoformat(day) in mine[0]
        if period == "week":
            return all(first + timedelta(days=n) in mine[0] for n in range((last - first).days + 1))
        return (thing, period, day) in self.sums


def kept_of(file: Path, first: date, last: date) -> Kept:
    """Read a ledger; there may be none yet, or an empty file."""
    if not made(file):
        return Kept({}, frozenset(), frozenset())
    engine = connect(file, create=False)
    try:
        inventory = Inventory(engine, plants_per_file=100)
        parts = {plant.part for plant in inventory.plants()}
        series = [known for part in parts for known in inventory.every_series(part)]
        days = Ledger(engine).days([known.series_id for known in series], first, last)
        explored = {plant.plant.plant_id for plant in inventory.plants() if plant.explored_at is not None}
    finally:
        engine.dispose()
    with closing(sqlite3.connect(file)) as db:
        query = (
            "SELECT s.plant_id, lower(p.period), p.start FROM period_read p JOIN series s USING (series_id) "
            "WHERE NOT p.failed AND p.next_at IS NULL"
        )
        sums = [(plant, period, date(1970, 1, 1) + timedelta(days=start)) for plant, period, start in db.execute(query)]
    lengths = {"month": 7, "year": 4, "total": 0}
    return Kept(
        {
            (k.series.plant_id, k.series.device_id or "", k.series.set): frozenset(days[k.series_id].settled)
            for k in series
        },
        frozenset((plant, period, str(start)[: lengths[period]]) for plant, period, start in sums),
        frozenset(explored),
    )


def made(file: Path) -> bool:
    """Tell whether there is a ledger whose first migration has been committed."""
    if not file.exists() or not file.stat().st_size:
        return False
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return found is not None and db.execute("SELECT 1 FROM alembic_version").fetchone() is not None
