"""What a plan would cost, asked of a real inventory and ledger; and what is due of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from harvester import plan
from harvester.due import DueNow, Wanted
from harvester.intake import WEEK_RULE
from harvester.model import Device, Period, Plant, Series
from harvester.plan import Scope
from harvester.questions.estimate import Estimate, SetCost, estimate
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Ledger, Read
from harvester.week import Convention, WeekRule

DAY = timedelta(days=1)
FIRST, LAST = date(2026, 5, 2), date(2026, 5, 29)  # a Saturday; four weeks
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DATE = WeekRule((Convention.DATE,))
GUID = "0a1b2c3d-0000-4444-8888-0123456789ab"


@dataclass(frozen=True)
class Stores:
    """Inventory and ledger of one database."""

    inventory: Inventory
    ledger: Ledger

    def know(
        self, plant_id: str, sets: Sequence[str], *, timezone: str = "Europe/Berlin", device: Device | None = None
    ) -> None:
        """Make a plant known, with sets of its own or of its device."""
        plant = Plant(plant_id=plant_id, name=f"plant {plant_id}", timezone=timezone)
        self.inventory.see_plants([*(known.plant for known in self.inventory.plants()), plant], NOW)
        owner = device.device_id if device else None
        self.inventory.explored(plant, [device] if device else [], {owner: sets}, NOW)

    def number(self, name: str) -> int:
        """Return the ledger's number of the series of that name."""
        (number,) = [
            k.series_id for part in (0, 1) for k in self.inventory.offered_series(part) if str(k.series) == name
        ]
        return number


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Return empty stores with two plants to a file."""
    engine = connect(tmp_path / "ledger.db")
    yield Stores(Inventory(engine, plants_per_file=2), Ledger(engine))
    engine.dispose()


def wanted(scope: Scope | None = None, first: date = FIRST, last: date = LAST) -> Wanted:
    """Want some days of everything in a scope."""
    return Wanted(command="plan", scope=scope or Scope(), span_of=plan.between(first, last))


def test_nothing_known_costs_nothing(stores: Stores) -> None:
    """Before a plant is known there is nothing to pay."""
    assert estimate(stores.inventory, stores.ledger, wanted(), NOW) == Estimate(0, 0, 0, 0, 0, ())


def test_four_weeks_cost_four_requests_a_series(stores: Stores) -> None:
    """Days, requests and rows are counted by set and level, at five minutes or, for Classic, at fifteen."""
    stores.know("1", ["EnergyBalance", "GridSettings"])
    stores.know(GUID, ["EnergyBalance"])
    stores.know("3", ["PowerAc"], device=Device(device_id="7", plant_id="3", name="STP"))
    found = estimate(stores.inventory, stores.ledger, wanted(), NOW)

    assert (found.plants, found.series, found.series_days, found.requests) == (3, 4, 4 * 28, 4 * 4)
    assert found.rows == 28 * (3 * 288 + 96)
    assert found.by_set == (
        SetCost("device PowerAc", 1, 28, 4),
        SetCost("plant EnergyBalance", 2, 56, 8),
        SetCost("plant GridSettings", 1, 28, 4),
    )


def test_scopes_and_settled_days_cost_nothing(stores: Stores) -> None:
    """What is excluded, settled or waiting for later is not counted; what failed and is due again is."""
    stores.know("1", ["EnergyBalance"])
    stores.know("2", ["EnergyBalance"])
    number = stores.number("1/EnergyBalance")
    reads = [
        Read(series_id=number, day=FIRST + DAY * n, rows=288, asked_at=NOW, next_at=None if n % 2 else NOW + DAY)
        for n in range(21)
    ]
    failed = Failure(series_id=number, day=LAST, failed_at=NOW - DAY, reason="503")
    stores.ledger.commit(reads, [failed])
    found = estimate(stores.inventory, stores.ledger, wanted(Scope(exclude_plants=frozenset("2"))), NOW)

    assert (found.plants, found.series, found.series_days, found.requests) == (1, 1, 7, 1)


def test_a_known_rule_is_used(stores: Stores) -> None:
    """Where Weeks are known to begin on Mondays, four weeks from a Saturday touch five of them."""
    stores.know("1", ["EnergyBalance"])
    assert estimate(stores.inventory, stores.ledger, wanted(), NOW).requests == 4
    stores.ledger.record(WEEK_RULE, "monday")
    assert estimate(stores.inventory, stores.ledger, wanted(), NOW).requests == 5


def test_an_unknown_zone_spoils_nothing(stores: Stores) -> None:
    """A plant whose time zone nobody knows is left out."""
    stores.know("1", ["EnergyBalance"])
    stores.know("2", ["EnergyBalance"], timezone="Mars/Olympus")

    assert estimate(stores.inventory, stores.ledger, wanted(), NOW).plants == 1


def test_minutes_and_facts(stores: Stores) -> None:
    """The time it takes follows from the budget; without one it is unknown. The facts are plain."""
    stores.know("1", ["EnergyBalance"])
    found = estimate(stores.inventory, stores.ledger, wanted(), NOW)

    assert (found.minutes(None, 300), found.minutes(2, 300), found.minutes(1000, 300)) == (None, 10.0, 0.0)
    assert found.facts()["by_set"] == ({"set": "plant EnergyBalance", "series": 1, "series_days": 28, "requests": 4},)


# What is due ------------------------------------------------------------------------------------------------


def due_now(stores: Stores, wish: Wanted, part: int = 0) -> DueNow:
    """Return what is due of the plants of one part."""
    members = [known.plant for known in stores.inventory.plants() if known.part == part]
    return DueNow(stores.inventory, stores.ledger, part, members, wish)


def test_due_follows_the_ledger(stores: Stores) -> None:
    """What is committed is not due any more, without asking anew what there is; one part knows nothing of another."""
    for plant_id in ("1", "2", "3"):
        stores.know(plant_id, ["EnergyBalance"])
    due = due_now(stores, wanted(last=FIRST + 6 * DAY))
    batches = due.batches(DATE, NOW, leave=lambda _: False)
    pieces = [piece for batch in batches for piece in batch.slices]

    assert [(p.series.plant_id, p.period, p.date) for p in pieces] == [(i, Period.WEEK, FIRST) for i in ("1", "2")]
    for plant_id in ("1", "2"):
        number = stores.number(f"{plant_id}/EnergyBalance")
        stores.ledger.commit(
            [Read(series_id=number, day=FIRST + DAY * n, rows=0, asked_at=NOW, next_at=None) for n in range(7)]
        )
    assert due.batches(DATE, NOW, leave=lambda _: False) == []
    assert len(due_now(stores, wanted(), 1).batches(DATE, NOW, leave=lambda _: False)) == 4


def test_series_can_be_left_alone(stores: Stores) -> None:
    """A series to leave alone is not due, the others are."""
    stores.know("1", ["EnergyBalance", "GridSettings"])
    spoiled = Series(plant_id="1", set="GridSettings")
    found = due_now(stores, wanted(last=FIRST)).batches(DATE, NOW, leave=lambda series: series == spoiled)

    assert [str(piece) for batch in found for piece in batch.slices] == ["1/EnergyBalance Day 2026-05-02"]


def test_a_device_is_due_until_its_last_day(stores: Stores) -> None:
    """A device that was switched off is due up to that day; one switched off before the span not at all."""
    off = datetime(2026, 5, 4, 12)  # noqa: DTZ001 - plant-local
    stores.know("1", ["PowerAc"], device=Device(device_id="7", plant_id="1", name="", deactivated_at=off))
    due = due_now(stores, wanted())

    assert [b.slices[0].days for b in due.batches(DATE, NOW, leave=lambda _: False)] == [
        (FIRST, FIRST + DAY, FIRST + 2 * DAY)
    ]
    assert due_now(stores, wanted(first=date(2026, 5, 5))).batches(DATE, NOW, leave=lambda _: False) == []


def test_a_run_resumes_where_the_history_ended(stores: Stores) -> None:
    """A series whose history ended before the span is asked from its end, but only by a run that resumes."""
    stores.know("1", ["EnergyBalance"])
    ended = FIRST - 3 * DAY
    number = stores.number("1/EnergyBalance")
    stores.ledger.commit([Read(series_id=number, day=ended, rows=1, asked_at=NOW, next_at=None)])

    def days(*, resume: bool) -> list[date]:
        wish = Wanted(command="run", scope=Scope(), span_of=plan.between(FIRST, FIRST), resume=resume)
        batches = due_now(stores, wish).batches(DATE, NOW, leave=lambda _: False)
        return [day for batch in batches for piece in batch.slices for day in piece.days]

    assert days(resume=False) == [FIRST]
    assert days(resume=True) == [FIRST - 2 * DAY, FIRST - DAY, FIRST]
