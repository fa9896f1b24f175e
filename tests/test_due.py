"""What is due: the nights of PV inverters, and series whose history ended earlier."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from harvester import periods, plan
from harvester.due import Again, Asked, DueNow, Wanted, in_turn
from harvester.model import Device, Plant, Stretch
from harvester.plan import Scope
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Learned, Ledger, Read
from harvester.state.period_ledger import PeriodLedger, StretchFailure, StretchRead
from harvester.week import WeekRule

PLANT = Plant(plant_id="1", name="Barn", timezone="Europe/Berlin", latitude=51.3, longitude=9.5)
SEEN = datetime(2026, 6, 1, tzinfo=UTC)


class Stores:
    """An inventory and a ledger with one plant and one inverter."""

    def __init__(self, folder: Path) -> None:
        """Make them in *folder*."""
        self.engine = engine = connect(folder / "ledger.db")
        self.inventory, self.ledger = Inventory(engine, plants_per_file=100), Ledger(engine)
        self.inventory.see_plants([PLANT], SEEN)
        inverter = Device(device_id="2", plant_id="1", name="STP")
        self.inventory.explored(
            PLANT, [inverter], {None: ["EnergyBalance"], "2": ["EnergyAndPowerPv", "PowerAc"]}, SEEN
        )

    def due(self, wanted: Wanted, now: datetime) -> dict[str, set[date]]:
        """Return the due days by set."""
        due = DueNow(self.inventory, self.ledger, 0, [PLANT], wanted)
        found: dict[str, set[date]] = {}
        for batch in due.batches(WeekRule(), now, leave=lambda _: False):
            for piece in batch.slices:
                found.setdefault(piece.series.set, set()).update(piece.days)
        return found


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Return stores of one plant."""
    return Stores(tmp_path)


@pytest.mark.parametrize(("hour", "asked"), [(0, False), (2, False), (6, True), (12, True), (20, True), (21, False)])
def test_a_sleeping_inverter_is_not_asked(stores: Stores, hour: int, asked: bool) -> None:  # noqa: FBT001 - drawn
    """No PV set of the running day between sunset (an hour later, for late rows) and sunrise; others all the time."""
    today = date(2026, 6, 20)
    wanted = Wanted(command="t", scope=Scope(), span_of=plan.between(today, today))
    due = stores.due(wanted, datetime(2026, 6, 20, hour, tzinfo=UTC))

    assert ("EnergyAndPowerPv" in due) == asked
    assert due["PowerAc"] == due["EnergyBalance"] == {today}


def test_a_past_day_of_an_inverter_is_asked_at_night(stores: Stores) -> None:
    """The night rule is about rows that cannot exist yet, not about days that are over."""
    day = date(2026, 6, 20)
    wanted = Wanted(command="t", scope=Scope(), span_of=plan.between(day, date(2026, 6, 21)))
    due = stores.due(wanted, datetime(2026, 6, 20, 23, tzinfo=UTC))

    assert due["EnergyAndPowerPv"] == {day}


def test_a_run_goes_on_where_a_history_ended(stores: Stores) -> None:
    """A series that was away for longer than `since` is asked from its last known day, a new one from `since` on."""
    series_id = next(s.series_id for s in stores.inventory.offered_series(0) if s.series.set == "PowerAc")
    read = Read(series_id=series_id, day=date(2026, 6, 1), rows=0, asked_at=SEEN, next_at=None)
    stores.ledger.commit([read])
    wanted = Wanted(
        command="run", scope=Scope(), span_of=plan.between(date(2026, 6, 18), date(2026, 6, 20)), resume=True
    )
    due = stores.due(wanted, datetime(2026, 6, 22, 12, tzinfo=UTC))

    assert min(due["PowerAc"]) == date(2026, 6, 2)
    assert min(due["EnergyBalance"]) == date(2026, 6, 18)
    assert max(due["PowerAc"]) == date(2026, 6, 20)


# What failed ------------------------------------------------------------------------------------------------

FIRST = date(2026, 6, 10)
LATER = datetime(2026, 6, 22, 12, tzinfo=UTC)


def number_of(stores: Stores, name: str) -> int:
    """Return the ledger's number of the series of a set."""
    return next(s.series_id for s in stores.inventory.offered_series(0) if s.series.set == name)


@pytest.mark.parametrize("resume", [False, True])
def test_only_failed_days_are_asked_at_once(stores: Stores, resume: bool) -> None:  # noqa: FBT001 - drawn
    """Failed days of the span, though they wait; with resume those before it as well; no open, no unasked day."""
    power, balance = number_of(stores, "PowerAc"), number_of(stores, "EnergyBalance")
    days = [FIRST + timedelta(days=n) for n in range(4)]
    failures = [Failure(series_id=power, day=day, failed_at=LATER, reason="503") for day in (days[0], days[2])]
    opened = Read(series_id=balance, day=days[2], rows=1, asked_at=LATER, next_at=LATER)
    stores.ledger.commit([opened], failures)
    wanted = Wanted(
        command="t", scope=Scope(), span_of=plan.between(days[1], days[3]), again=Again.FAILED, resume=resume
    )

    assert stores.due(wanted, LATER) == {"PowerAc": {days[0], days[2]} if resume else {days[2]}}


def test_a_failed_day_that_cannot_be_asked_any_more_is_left_alone(stores: Stores) -> None:
    """A set that is not offered any more, and a day after the device was switched off, are no failures to repair."""
    power, pv = number_of(stores, "PowerAc"), number_of(stores, "EnergyAndPowerPv")
    stores.ledger.commit([], [Failure(series_id=one, day=FIRST, failed_at=LATER, reason="503") for one in (power, pv)])
    off = Device(device_id="2", plant_id="1", name="STP", deactivated_at=datetime(2026, 6, 9, 12))  # noqa: DTZ001
    wanted = Wanted(command="t", scope=Scope(), span_of=plan.between(FIRST, FIRST), again=Again.FAILED)
    before = stores.due(wanted, LATER)
    stores.inventory.explored(PLANT, [], {"2": ["PowerAc"]}, SEEN)
    without = stores.due(wanted, LATER)
    stores.inventory.explored(PLANT, [off], {"2": ["PowerAc"]}, SEEN)

    assert before == {"PowerAc": {FIRST}, "EnergyAndPowerPv": {FIRST}}
    assert without == {"PowerAc": {FIRST}}
    assert stores.due(wanted, LATER) == {}


def test_sums_are_asked_as_a_run_says(stores: Stores) -> None:
    """What failed alone; or what was never asked as well, the rest being on its own clock: each once in a run."""
    number = number_of(stores, "EnergyBalance")
    month, year, ever = periods.touched(plan.Span(FIRST, FIRST))
    sums = PeriodLedger(stores.engine)
    sums.commit(
        [StretchRead(series_id=number, stretch=month, asked_at=LATER, next_at=None)],
        [StretchFailure(series_id=number, stretch=year, failed_at=LATER, reason="503")],
    )

    def asked(again: Again) -> set[Stretch]:
        wanted = Wanted(command="t", scope=Scope(), span_of=plan.between(FIRST, FIRST), again=again)
        due, noted = DueNow(stores.inventory, stores.ledger, 0, [PLANT], wanted), Asked()
        found = due.sums(sums, LATER, leave=lambda _: False, asked=noted)
        once_more = due.sums(sums, LATER, leave=lambda _: False, asked=noted)
        assert again is Again.DUE or once_more == []
        return {piece.stretch for batch in found for piece in batch.slices}

    assert asked(Again.DUE) == {ever}
    assert asked(Again.FAILED) == {year}
    assert asked(Again.UNSETTLED) == {year, ever}
    assert asked(Again.ALL) == {year, ever}


# In which order ---------------------------------------------------------------------------------------------


def test_the_stalest_plants_are_asked_first(tmp_path: Path) -> None:
    """A plant never seen, then the ones whose newest rows are oldest: within a part, and part by part."""
    engine = connect(tmp_path / "ledger.db")
    inventory, ledger = Inventory(engine, plants_per_file=2), Ledger(engine)
    plants = [Plant(plant_id=str(n), name="", timezone="UTC") for n in range(6)]
    inventory.see_plants(plants, SEEN)
    for plant in plants:
        inventory.explored(plant, [], {None: ["EnergyBalance", "GridSettings"]}, SEEN)
    known = {s.series.plant_id: s for part in range(3) for s in inventory.offered_series(part) if "Ener" in str(s)}
    ages = {"0": 5, "1": 7, "2": 3, "3": 9, "5": 1}  # hours; of plant 4 nothing ever came
    ledger.commit(
        [],
        [],
        [
            Learned(series_id=known[n].series_id, minutes=5, newest=LATER - timedelta(hours=age), lag=None)
            for n, age in ages.items()
        ],
    )
    scope = Scope(sets=frozenset({"EnergyBalance"}))
    live = Wanted(command="live", scope=scope, span_of=plan.running(LATER), stalest_first=True)
    order: list[str] = []
    for part, members in in_turn(ledger, inventory.plants(), live):
        batches = DueNow(inventory, ledger, part, members, live).batches(WeekRule(), LATER, leave=lambda _: False)
        order.extend(piece.series.plant_id for batch in batches for piece in batch.slices)
    calm = Wanted(command="run", scope=scope, span_of=plan.running(LATER))
    engine.dispose()

    assert order == ["4", "5", "3", "2", "1", "0"]
    assert [part for part, _ in in_turn(ledger, inventory.plants(), calm)] == [0, 1, 2]


def test_a_history_is_resumed_up_to_the_day_a_device_was_switched_off(stores: Stores) -> None:
    """A device that was read until some days before its last one owes them, however long ago that was; then nothing."""
    number = number_of(stores, "PowerAc")
    days = [date(2026, 6, 1) + timedelta(days=n) for n in range(6)]
    stores.ledger.commit([Read(series_id=number, day=day, rows=0, asked_at=SEEN, next_at=None) for day in days[:3]])
    stores.ledger.know({number: (days[0], days[2])})
    off = Device(device_id="2", plant_id="1", name="STP", deactivated_at=datetime(2026, 6, 5, 12))  # noqa: DTZ001
    stores.inventory.explored(PLANT, [off], {None: [], "2": ["PowerAc"]}, SEEN)
    wanted = Wanted(command="run", scope=Scope(), span_of=plan.between(FIRST, FIRST), resume=True)

    assert stores.due(wanted, LATER) == {"PowerAc": set(days[3:5])}
    stores.ledger.commit([Read(series_id=number, day=day, rows=0, asked_at=SEEN, next_at=None) for day in days[3:5]])
    assert stores.due(wanted, LATER) == {}


def test_what_nobody_has_looked_at_is_due_though_later_days_are_known(stores: Stores) -> None:
    """An interval without an unasked day says nothing of the days before it, nor of another set."""
    number = number_of(stores, "PowerAc")
    stores.ledger.know({number: (FIRST, FIRST + timedelta(days=3))})
    scope = Scope(sets=frozenset({"PowerAc"}))

    def due(first: int, last: int) -> dict[str, set[date]]:
        span_of = plan.between(FIRST + timedelta(days=first), FIRST + timedelta(days=last))
        return stores.due(Wanted(command="t", scope=scope, span_of=span_of), LATER)

    assert due(0, 3) == {}
    assert min(due(-1, 3)["PowerAc"]) == FIRST - timedelta(days=1)
    assert FIRST + timedelta(days=4) in due(2, 4)["PowerAc"]
