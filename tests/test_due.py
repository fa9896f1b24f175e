"""What is due: the nights of PV inverters, and series whose history ended earlier."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from harvester import plan
from harvester.due import DueNow, Wanted
from harvester.model import Device, Plant
from harvester.plan import Scope
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger, Read
from harvester.week import WeekRule

PLANT = Plant(plant_id="1", name="Barn", timezone="Europe/Berlin", latitude=51.3, longitude=9.5)
SEEN = datetime(2026, 6, 1, tzinfo=UTC)


class Stores:
    """An inventory and a ledger with one plant and one inverter."""

    def __init__(self, folder: Path) -> None:
        """Make them in *folder*."""
        engine = connect(folder / "ledger.db")
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
