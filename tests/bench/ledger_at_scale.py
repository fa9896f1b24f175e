"""How large and how fast the ledger of a real fleet is: 10,000 plants, 43 series each, half a year settled.

Prints the size of the file, the time to find the next due work of one part, and the time to commit 10,000 slices, each
beside its goal; and, to compare, how long a look at everything and a plan for 2,000 plants take.

    python tests/bench/ledger_at_scale.py [--plants 10000]
"""

import argparse
import gc
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from harvester import plan
from harvester.due import DueNow, Wanted
from harvester.plan import Scope
from harvester.questions.estimate import estimate
from harvester.state import packed
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Ledger, Read
from harvester.state.period_ledger import PeriodLedger
from harvester.state.tables import DEVICE, MONTH, OPEN_DAY, PLANT, SERIES, to_number, to_seconds
from harvester.week import Convention, WeekRule

NOW = datetime(2026, 7, 6, 12, tzinfo=UTC)
FIRST, SETTLED = date(2026, 1, 1), date(2026, 7, 2)
FAILED = NOW - timedelta(days=2)
SERIES_OF_A_PLANT = 43
PLANTS_PER_FILE = 100


def main() -> None:
    """Make the ledger, measure, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plants", type=int, default=10_000)
    plants = options.parse_args().plants
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        engine = connect(file)
        made = time.perf_counter()
        fill(engine, plants)
        days = plants * SERIES_OF_A_PLANT * ((SETTLED - FIRST).days + 1)
        print(f"{days:,} settled series-days made in {time.perf_counter() - made:.0f} s")
        print(f"size of the ledger          {file.stat().st_size / 1e6:8.0f} MB   (goal: 78 million below 1,000)")
        measure(engine, plants)


def fill(engine: sa.Engine, plants: int) -> None:
    """Write *plants* with all days settled up to `SETTLED` and those after it open and not due."""
    months: dict[int, dict[date, int]] = {}
    for n in range((SETTLED - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        months.setdefault(packed.month_of(day), {})[day] = 288
    blobs = {month: packed.settle(b"", days) for month, days in months.items()}
    seen = {"first_seen": 0, "last_seen": to_seconds(NOW)}
    opened = [to_number(SETTLED + timedelta(days=n)) for n in (1, 2, 3, 4)]
    for start in range(0, plants, PLANTS_PER_FILE):
        rows: list[dict[str, object]] = []
        with engine.begin() as db:
            numbers = range(start, min(start + PLANTS_PER_FILE, plants))
            facts = {"name": "x", "timezone": "Europe/Berlin", "start_up": 0, "explored_at": to_seconds(NOW), **seen}
            part = start // PLANTS_PER_FILE
            db.execute(sa.insert(PLANT), [{"plant_id": f"p{n}", "ordinal": n, "part": part, **facts} for n in numbers])
            devices = [(n, d) for n in numbers for d in range(10)]
            active = {"name": "x", "is_active": True, **seen}
            db.execute(
                sa.insert(DEVICE), [{"device_id": f"p{n}d{d}", "plant_id": f"p{n}", **active} for n, d in devices]
            )
            for n in numbers:
                for s in range(SERIES_OF_A_PLANT):
                    rows.append({"series_id": n * SERIES_OF_A_PLANT + s + 1, "part": part, "plant_id": f"p{n}"})
                    rows[-1] |= {"device_id": f"p{n}d{s % 10}", "set": f"Set{s // 10}", "first_seen": 0}
            db.execute(sa.insert(SERIES), rows)
            ids = [row["series_id"] for row in rows]
            db.execute(
                sa.insert(MONTH), [{"series_id": i, "month": m, "days": b} for i in ids for m, b in blobs.items()]
            )
            waiting = {"failed": False, "attempts": 0, "rows": 288, "asked_at": to_seconds(NOW)}
            waiting["next_at"] = to_seconds(NOW + timedelta(hours=5))
            opened_days = [{"series_id": i, "day": d, "part": part, **waiting} for i in ids for d in opened]
            db.execute(sa.insert(OPEN_DAY), opened_days)


def measure(engine: sa.Engine, plants: int) -> None:
    """Find due work and commit, several times each."""
    ledger, inventory = Ledger(engine), Inventory(engine, plants_per_file=PLANTS_PER_FILE)
    sums = PeriodLedger(engine)
    part = plants // PLANTS_PER_FILE // 2
    members = [known.plant for known in inventory.plants() if known.part == part]
    rule = WeekRule((Convention.DATE,))
    recent = plan.recent(lambda today, _: today - timedelta(days=7), ("Set0",), NOW)
    run = Wanted(command="run", scope=Scope(), span_of=recent, resume=True)
    live = Wanted(command="live", scope=Scope(sets=frozenset({"Set0"})), span_of=plan.running(NOW))

    def look(wanted: Wanted, now: datetime, *, keep: bool = False) -> int:
        """Find what is due of one part, as a pass does; return the slices."""
        due = DueNow(inventory, ledger, part, members, wanted)
        found = 0
        for within in due.pieces(rule, now):
            found += sum(len(b.slices) for b in due.batches(rule, now, leave=lambda _: False, within=within))
            if keep:
                due.remember()
        return found

    def sum_up() -> None:
        """Find which sums are due of one part, when all were asked."""
        due = DueNow(inventory, ledger, part, members, run)
        due.sums(sums, NOW, leave=lambda _: False)

    later = NOW + timedelta(hours=6)
    print(f"first look at a part        {best(lambda: look(run, NOW), 1):8.1f} ms")
    look(run, NOW, keep=True)
    print(f"nothing due, one part       {best(lambda: look(run, NOW)):8.1f} ms   (goal: at most 5)")
    print(f"live, nothing due, one part {best(lambda: look(live, NOW)):8.1f} ms   (goal: at most 5)")
    number = part * PLANTS_PER_FILE * SERIES_OF_A_PLANT + 1
    print(f"sums of one part            {best(sum_up):8.1f} ms")
    one = Failure(series_id=number, day=SETTLED + timedelta(days=1), failed_at=FAILED, reason="503")
    ledger.commit([], [one])
    print(f"{look(run, NOW)} due, one part           {best(lambda: look(run, NOW)):8.1f} ms   (goal: at most 5)")
    print(f"{look(run, later):,} due, one part       {best(lambda: look(run, later)):8.1f} ms")
    reads = [
        Read(series_id=i + 1, day=SETTLED + timedelta(days=n), rows=288, asked_at=NOW, next_at=None)
        for i in range(10_000)
        for n in range(1, 4)
    ]
    print(f"10,000 slices committed in  {best(lambda: ledger.commit(reads), 3):8.1f} ms   (goal: below 500)")
    some = frozenset(known.plant.plant_id for known in inventory.plants()[:2_000])
    week = plan.between(SETTLED - timedelta(days=90), SETTLED)
    planned = Wanted(command="plan", scope=Scope(plants=some), span_of=week)
    took = best(lambda: estimate(inventory, ledger, planned, NOW, sums), 1) / 1e3
    print(f"{len(some):,} plants planned in     {took:8.1f} s")


def best(work: object, times: int = 5) -> float:
    """Return the best of several times, in milliseconds."""
    found = []
    for _ in range(times):
        gc.collect()
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return 1e3 * min(found)


if __name__ == "__main__":
    main()
