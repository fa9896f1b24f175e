"""How much of what ought to be settled is, plant by plant, from one statement."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from harvester.config.values import Since
from harvester.model import Device, Plant, Series
from harvester.plan import Scope
from harvester.questions.standing import Share, last_due, shares
from harvester.state.database import connect
from harvester.state.history import History
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Ledger, Read

NOW = datetime(2026, 5, 9, 13, tzinfo=UTC)
THREE = timedelta(days=3)
LAST = date(2026, 5, 4)
"""The newest day that ought to be settled at that time: the seven reach into April."""
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
OLD = Plant(plant_id="1", name="One", timezone="Europe/Berlin", start_up=datetime(2020, 1, 1, tzinfo=UTC))


class Book:
    """An inventory and a ledger of some plants."""

    def __init__(self, file: Path) -> None:
        engine = connect(file)
        self.inventory = Inventory(engine, plants_per_file=100)
        self.ledger = Ledger(engine)
        self.history = History(engine)
        self.close = engine.dispose

    def see(self, plant: Plant, *sets: str, devices: tuple[Device, ...] = (), now: datetime = LONG_AGO) -> None:
        """Let *plant* and each of its *devices* offer *sets*, first seen *now*."""
        before = [known.plant for known in self.inventory.plants()]
        self.inventory.see_plants([*before, plant], now)
        owners = [None, *(device.device_id for device in devices)]
        self.inventory.explored(plant, devices, dict.fromkeys(owners, sets), now)

    def ids(self) -> dict[Series, int]:
        """Return the number of each series."""
        return {known.series: known.series_id for known in self.inventory.offered_series(0)}

    def settle(self, *days: date, plant: str = "1", device: str | None = None, name: str = "A") -> None:
        """Settle *days* of a series."""
        series_id = self.ids()[Series(plant_id=plant, device_id=device, set=name)]
        self.ledger.commit([Read(series_id=series_id, day=d, rows=5, asked_at=NOW, next_at=None) for d in days])

    def shares(self, *, since: str = "start", scope: Scope | None = None) -> dict[str, tuple[int, int]]:
        """Return what is due and what of it is settled, by plant."""
        found = shares(self.history, scope or Scope(), Since.parse(since), settle_after=THREE, now=NOW)
        return {share.plant_id: (share.due, share.settled) for share in found}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Return an empty one."""
    return Book(tmp_path / "ledger.db")


def days(first: int, last: int) -> list[date]:
    """Return days counted from the newest that is due, 0, backwards."""
    return [LAST - timedelta(days=n) for n in range(first, last + 1)]


def test_the_newest_day_that_ought_to_be_settled() -> None:
    """Three days after its end in the westernmost zone, and one for the daily look."""
    assert last_due(NOW, THREE) == LAST
    assert last_due(NOW - timedelta(hours=2), THREE) == LAST - timedelta(days=1)


def test_seven_days_over_the_end_of_a_month(book: Book) -> None:
    """Settled days count wherever they are kept; younger and older ones do not."""
    book.see(OLD, "A", "B")
    book.settle(*days(0, 4))
    book.settle(*days(-3, -1), *days(7, 9), name="B")

    assert book.shares() == {"1": (14, 5)}
    assert Share("1", 14, 5).share == pytest.approx(5 / 14)
    assert Share("1", 0, 0).share is None


def test_open_and_failed_days_are_not_settled(book: Book) -> None:
    """Nor are days that nobody asked for."""
    book.see(OLD, "A")
    series_id = next(iter(book.ids().values()))
    later = NOW + timedelta(hours=1)
    read = Read(series_id=series_id, day=LAST, rows=5, asked_at=NOW, next_at=later)
    book.ledger.commit([read], [Failure(series_id=series_id, day=days(1, 1)[0], failed_at=NOW, reason="x: 403, no")])

    assert book.shares() == {"1": (7, 0)}
    assert book.history.failing_sets(": 403") == {"A": 1}
    assert book.history.failing_sets(": 404") == {}


def test_a_series_counts_from_its_start(book: Book) -> None:
    """From the day after the plant's start-up, or from where `harvest.since` reached when it was first seen."""
    book.see(replace(OLD, start_up=datetime(2026, 5, 1, 8, tzinfo=UTC)), "A")
    book.settle(*days(0, 6))
    book.see(Plant(plant_id="2", name="Two", timezone="UTC"), "A", now=datetime(2026, 5, 8, tzinfo=UTC))
    book.see(Plant(plant_id="3", name="Year 1", timezone="UTC", start_up=datetime(1, 1, 1, tzinfo=UTC)), "A")

    assert book.shares(since="7d") == {"1": (3, 3), "2": (4, 0), "3": (7, 0)}
    assert book.shares(since="2026-05-02") == {"1": (3, 3), "2": (3, 0), "3": (3, 0)}
    assert book.shares(since="2026-05-08") == {"1": (0, 0), "2": (0, 0), "3": (0, 0)}


def test_a_device_counts_until_it_was_deactivated(book: Book) -> None:
    """One that was switched off at midnight measures nothing on the day that begins there."""
    off = [datetime(2026, 5, 1, hour) for hour in (0, 9)]  # noqa: DTZ001 - plant-local, as SMA tells it
    devices = tuple(
        Device(device_id=f"d{n}", plant_id="1", name="x", is_active=False, deactivated_at=at)
        for n, at in enumerate(off)
    )
    book.see(OLD, "A", devices=devices)

    assert book.shares() == {"1": (7 + 3 + 4, 0)}


def test_what_is_not_harvested_is_not_missing(book: Book) -> None:
    """Plants that are withdrawn or left out, sets that are left out or not offered any more."""
    book.see(OLD, "A", "B")
    book.see(replace(OLD, plant_id="2"), "A")
    book.settle(*days(0, 0))

    assert book.shares(scope=Scope(exclude_sets=frozenset({"B"}))) == {"1": (7, 1), "2": (7, 0)}
    assert book.shares(scope=Scope(sets=frozenset({"B"}))) == {"1": (7, 0), "2": (0, 0)}
    assert book.shares(scope=Scope(plants=frozenset({"2"}))) == {"2": (7, 0)}
    assert book.shares(scope=Scope(exclude_plants=frozenset({"2"}))) == {"1": (14, 1)}
    book.inventory.explored(OLD, [], {None: ["B"]}, NOW)
    assert book.shares(scope=Scope(exclude_plants=frozenset({"2"}))) == {"1": (7, 0)}
