"""Planning for 2,000 plants of ten devices, on a real ledger: memory grows neither with parts nor with years."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from harvester import plan
from harvester.due import DueNow, Wanted
from harvester.plan import Scope
from harvester.questions.estimate import estimate
from harvester.state import packed
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger
from harvester.state.period_ledger import PeriodLedger
from harvester.state.tables import DEVICE, MONTH, PLANT, SERIES, to_seconds
from harvester.week import Convention, WeekRule

PLANTS, DEVICES, PLANTS_PER_FILE = 2_000, 10, 100
NOW = datetime(2026, 7, 6, 12, tzinfo=UTC)
LAST = date(2026, 7, 5)
DATE = WeekRule((Convention.DATE,))
WEEKS = 4
SETTLED = 1_000
"""The plants from this one on have every day of the last year settled; the others were never asked."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Return a ledger of the fleet."""
    engine = connect(tmp_path_factory.mktemp("fleet") / "ledger.db")
    seen = {"first_seen": 0, "last_seen": to_seconds(NOW)}
    facts = {"name": "x", "timezone": "Europe/Berlin", "start_up": 0, "explored_at": to_seconds(NOW), **seen}
    months: dict[int, bytes] = {}
    for day in (LAST - timedelta(days=n) for n in range(366)):
        month = packed.month_of(day)
        months[month] = packed.settle(months.get(month, b""), {day: 288})
    series_id = 0
    with engine.begin() as db:
        for n in range(PLANTS):
            part = n // PLANTS_PER_FILE
            db.execute(sa.insert(PLANT).values(plant_id=f"p{n}", ordinal=n, part=part, **facts))
            names = [f"p{n}d{d}" for d in range(DEVICES)]
            active = {"plant_id": f"p{n}", "name": "x", "is_active": True, **seen}
            db.execute(sa.insert(DEVICE), [{"device_id": name, **active} for name in names])
            asked = [("", "EnergyBalance"), *((name, "EnergyAndPowerPv") for name in names)]
            rows = []
            for device_id, name in asked:
                series_id += 1
                row = {"series_id": series_id, "part": part, "plant_id": f"p{n}", "first_seen": 0}
                rows.append(row | {"device_id": device_id, "set": name})
            db.execute(sa.insert(SERIES), rows)
            if n >= SETTLED:
                days = [{"series_id": r["series_id"], "month": m, "days": b} for r in rows for m, b in months.items()]
                db.execute(sa.insert(MONTH), days)
    yield engine
    engine.dispose()


def wanted(weeks: int) -> Wanted:
    """Want some weeks of everything, up to yesterday."""
    first = LAST - timedelta(days=7 * weeks - 1)
    return Wanted(command="plan", scope=Scope(), span_of=plan.between(first, LAST))


def peak_of(engine: sa.Engine, parts: range, weeks: int) -> tuple[int, int]:
    """Plan some *parts* for some *weeks*; return the requests, and the most memory that it took, in bytes."""
    inventory, ledger = Inventory(engine, plants_per_file=PLANTS_PER_FILE), Ledger(engine)
    members = {part: [known.plant for known in inventory.plants() if known.part == part] for part in parts}
    requests = 0
    tracemalloc.start()
    for part in parts:
        due = DueNow(inventory, ledger, part, members[part], wanted(weeks))
        for within in due.pieces(DATE, NOW):
            for batch in due.batches(DATE, NOW, leave=lambda _: False, within=within):
                requests += len(batch.slices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return requests, peak


def test_a_fleet_is_planned_as_it_is(fleet: sa.Engine) -> None:
    """What `harvester plan` tells of them: four Weeks of each series that was never asked, none of the others."""
    inventory, ledger = Inventory(fleet, plants_per_file=PLANTS_PER_FILE), Ledger(fleet)
    found = estimate(inventory, ledger, wanted(WEEKS), NOW, PeriodLedger(fleet))
    values = [cost for cost in found.by_set if cost.set == "device EnergyAndPowerPv"]

    assert (found.plants, found.series) == (PLANTS, PLANTS + SETTLED * DEVICES)
    assert [(c.series, c.series_days, c.requests) for c in values] == [
        (SETTLED * DEVICES, SETTLED * DEVICES * 7 * WEEKS, SETTLED * DEVICES * WEEKS)
    ]


def test_memory_does_not_grow_with_parts(fleet: sa.Engine) -> None:
    """Four parts need what one needs, whether all is due or nothing."""
    first_settled = SETTLED // PLANTS_PER_FILE
    for begin, requests in ((0, PLANTS_PER_FILE * (1 + DEVICES) * WEEKS), (first_settled, 0)):
        peak_of(fleet, range(begin, begin + 1), WEEKS)  # what is kept for good is not counted
        one = peak_of(fleet, range(begin, begin + 1), WEEKS)
        four = peak_of(fleet, range(begin, begin + 4), WEEKS)

        assert (one[0], four[0]) == (requests, 4 * requests)
        assert four[1] < 1.5 * one[1]


def test_memory_does_not_grow_with_years(fleet: sa.Engine) -> None:
    """Of a part that was never asked, and of one that is settled: 32 weeks need hardly more than eight."""
    for part in (0, SETTLED // PLANTS_PER_FILE):
        weeks = peak_of(fleet, range(part, part + 1), 8)
        long = peak_of(fleet, range(part, part + 1), 32)

        assert long[0] == 4 * weeks[0]
        assert long[1] < 2 * weeks[1]
