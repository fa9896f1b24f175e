"""The quick look misses nothing: whatever happened to ledger and inventory, it finds what the thorough look finds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from harvester import periods, plan
from harvester.catalog import ENERGY_AND_POWER_PV, ENERGY_BALANCE
from harvester.due import DueNow, Wanted
from harvester.model import Device, Period, Plant, Series, Stretch
from harvester.plan import Scope, Span
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Ledger, Read
from harvester.state.period_ledger import PeriodLedger, StretchFailure, StretchRead
from harvester.state.succession import Succession
from harvester.week import Convention, WeekRule

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DATE = WeekRule((Convention.DATE,))
BALANCE, PV = ENERGY_BALANCE.name, ENERGY_AND_POWER_PV.name
ZONES = ("Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles")
EVER = (date(1990, 1, 1), date(2099, 12, 31))
Found = dict[str, set[date]]


class Thorough(DueNow):
    """Reads everything of every series: what the quick look is measured by."""

    def _concerned(self, now: datetime, within: Span) -> tuple[Mapping[int, Collection[date]], list[int]]:
        """Return all series, and all days of them that are open and due."""
        del within
        ids = self._outlook.members()
        days = self._ledger.days(ids, *EVER)
        return {i: {day for day, known in days[i].open.items() if known.next_at <= now} for i in ids}, ids

    def all_sums(self, ledger: PeriodLedger, now: datetime) -> set[tuple[Series, Stretch]]:
        """Return all Month, Year and Total requests that are due."""
        self._keep(self._inventory.series_with(self._outlook.members()))
        found = set()
        for known in filter(lambda known: periods.sums_up(known.series), self.known.values()):
            read = ledger.known([known.series_id])[known.series_id]
            span = self._span(known, None, now)
            due = periods.due(span, {s: k.next_at for s, k in read.items()}, now, resume=self._wanted.resume)
            found |= {(known.series, stretch) for stretch in due}
        return found


def never(_: Series) -> bool:
    """Leave no series alone."""
    return False


def days_of(due: DueNow, now: datetime, *, within: Span = plan.EVER) -> Found:
    """Return the due days by series."""
    found: Found = {}
    for batch in due.batches(DATE, now, leave=never, within=within):
        for piece in batch.slices:
            found.setdefault(str(piece.series), set()).update(piece.days)
    return found


def sums_of(due: DueNow, ledger: PeriodLedger, now: datetime) -> set[tuple[Series, Stretch]]:
    """Return the due sums."""
    return {(p.series, p.stretch) for batch in due.sums(ledger, now, leave=never) for p in batch.slices}


@cache
def empty_ledger() -> Path:
    """Return a new ledger to copy: making one costs as much as a whole story."""
    file = Path(tempfile.mkdtemp()) / "ledger.db"
    connect(file).dispose()
    return file


def wish(kind: str, now: datetime, first: int, length: int, scope: Scope, *, resume: bool) -> Wanted:
    """Return what one of several kinds of run wants, *first* days ago or *length* days long."""
    today = now.date()
    begin = today - DAY * first
    span_of = {
        "recent": plan.recent(lambda day, start: max(day - DAY * first, start or date.min), (BALANCE, PV), now),
        "start": plan.recent(lambda day, start: start or day - DAY * 7, (PV,), now),
        "between": plan.between(begin, begin + DAY * length),
        "running": plan.running(now),
    }[kind]
    return Wanted(command="t", scope=scope, span_of=span_of, resume=resume)


wishes = st.builds(
    lambda kind, first, length, scope, resume: lambda now: wish(kind, now, first, length, scope, resume=resume),
    st.sampled_from(["recent", "start", "between", "running"]),
    st.integers(0, 25),
    st.integers(0, 30),
    st.sampled_from(
        [
            Scope(),
            Scope(sets=frozenset({BALANCE})),
            Scope(sets=frozenset({PV, "PowerAc"})),
            Scope(exclude_sets=frozenset({BALANCE}), level="device"),
            Scope(devices=frozenset({"1d0"})),
            Scope(plants=frozenset({"2"})),
        ]
    ),
    st.booleans(),
)
FATES = st.sampled_from(["settled", "settled", "open", "failed", "unasked"])


@settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
class LookingMachine(RuleBasedStateMachine):
    """Two plants in one part, and all that can happen to them between two looks."""

    @initialize(zones=st.tuples(st.sampled_from(ZONES), st.sampled_from(ZONES)))
    def begin(self, zones: tuple[str, str]) -> None:
        """Make plants with three sets, and one of the three without a place in the sun."""
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "ledger.db"
        shutil.copyfile(empty_ledger(), file)
        self.engine = connect(file)
        self.inventory = Inventory(self.engine, plants_per_file=10)
        self.ledger, self.sums = Ledger(self.engine), PeriodLedger(self.engine)
        self.now = NOW
        self.plants = [
            Plant(plant_id=f"{n + 1}", name="", timezone=zones[n], latitude=50.0, longitude=9.0) for n in range(2)
        ]
        self.devices = {
            plant.plant_id: Device(device_id=f"{plant.plant_id}d0", plant_id=plant.plant_id, name="")
            for plant in self.plants
        }
        self.explore({BALANCE, PV, "PowerAc"})

    def explore(self, sets: set[str]) -> None:
        """Tell the inventory what there is."""
        self.inventory.see_plants(self.plants, self.now)
        for plant in self.plants:
            device = self.devices[plant.plant_id]
            offered = {None: sorted(sets & {BALANCE, "Other"}), device.device_id: sorted(sets - {BALANCE})}
            self.inventory.explored(plant, [device], offered, self.now)

    @rule(hours=st.integers(1, 100))
    def wait(self, hours: int) -> None:
        """Let time pass."""
        self.now += HOUR * hours

    @rule(which=st.integers(0, 1), days=st.one_of(st.none(), st.integers(-40, 3)))
    def start_up(self, which: int, days: int | None) -> None:
        """Learn another day of start-up."""
        told = None if days is None else self.now + DAY * days
        self.plants[which] = replace(self.plants[which], start_up=told)
        self.explore({BALANCE, PV, "PowerAc"})

    @rule(which=st.integers(0, 1), zone=st.sampled_from(ZONES))
    def move_zone(self, which: int, zone: str) -> None:
        """Learn another zone."""
        self.plants[which] = replace(self.plants[which], timezone=zone)
        self.explore({BALANCE, PV, "PowerAc"})

    @rule(which=st.integers(0, 1), days=st.one_of(st.none(), st.integers(-20, 3)), hour=st.sampled_from([0, 12]))
    def switch_off(self, which: int, days: int | None, hour: int) -> None:
        """Switch a device off, or on again."""
        midnight = self.now.replace(tzinfo=None, hour=hour, minute=0)
        plant_id = self.plants[which].plant_id
        off = None if days is None else midnight + DAY * days
        self.devices[plant_id] = replace(self.devices[plant_id], deactivated_at=off)
        self.explore({BALANCE, PV, "PowerAc"})

    @rule(sets=st.sets(st.sampled_from([BALANCE, PV, "PowerAc", "Other"])))
    def offer(self, sets: set[str]) -> None:
        """Offer other sets than before."""
        self.explore(sets)

    @rule(first=st.booleans())
    def carry_over(self, first: bool) -> None:  # noqa: FBT001 - drawn
        """Let one plant go on as the other."""
        old, new = ("1", "2") if first else ("2", "1")
        Succession(self.engine).moved(old, new, {f"{old}d0": f"{new}d0"}, self.now)

    @rule(wanted=wishes, days=st.sets(st.integers(-50, 2), max_size=6), fate=FATES, one=st.integers(0, 5))
    def happen(self, wanted: Callable[[datetime], Wanted], days: set[int], fate: str, one: int) -> None:
        """Let a run of an earlier version, which remembers nothing, ask some days."""
        ids = sorted(Thorough(self.inventory, self.ledger, 0, self.plants, wanted(self.now))._outlook.members())
        if ids:
            self._commit({(ids[one % len(ids)], self.now.date() + DAY * n): fate for n in days})

    @rule(wanted=wishes, fates=st.lists(FATES, min_size=7, max_size=7), rounds=st.integers(1, 3), cut=st.booleans())
    def run(
        self,
        wanted: Callable[[datetime], Wanted],
        fates: list[str],
        rounds: int,
        cut: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """Run as `Harvest` does, with one fate or another for the days; at each round both looks find the same."""
        what = wanted(self.now)
        due, oracle = self._looks(what)
        numbers = {str(known.series): known.series_id for known in self.inventory.every_series(0)}
        for number in range(rounds):
            found = self._agreeing(due, oracle, what)
            asked = [(numbers[name], day) for name, days in sorted(found.items()) for day in sorted(days)]
            used = ["settled"] * 7 if number == 0 and not cut else fates
            self._commit({key: used[n % 7] for n, key in enumerate(asked)})
            due.remember()
        self._agreeing(*self._looks(what), what)

    @rule(wanted=wishes, final=st.booleans(), share=st.integers(1, 3))
    def sum_up(self, wanted: Callable[[datetime], Wanted], final: bool, share: int) -> None:  # noqa: FBT001 - drawn
        """Ask some of the sums that are due: both looks find the same."""
        due, oracle = self._looks(wanted(self.now))
        found = sums_of(due, self.sums, self.now)
        assert found == oracle.all_sums(self.sums, self.now)
        numbers = {known.series: known.series_id for known in self.inventory.every_series(0)}
        some = sorted(found, key=str)[::share]
        later = self.now + 30 * HOUR  # a Total is never final
        reads = [
            StretchRead(
                series_id=numbers[series],
                stretch=stretch,
                asked_at=self.now,
                next_at=None if final and stretch.period is not Period.TOTAL else later,
            )
            for series, stretch in some
        ]
        failed = [
            StretchFailure(series_id=numbers[series], stretch=stretch, failed_at=self.now, reason="503")
            for series, stretch in sorted(found - set(some), key=str)[:1]
        ]
        self.sums.commit(reads, failed)

    def _looks(self, wanted: Wanted) -> tuple[DueNow, Thorough]:
        plants = [plant for plant in self.plants if wanted.scope.takes_plant(plant.plant_id)]
        given = (self.inventory, self.ledger, 0, plants, wanted)
        return DueNow(*given), Thorough(*given)

    def _agreeing(self, due: DueNow, oracle: Thorough, wanted: Wanted) -> Found:
        """Look at everything at once, and in pieces."""
        expected = days_of(oracle, self.now)
        assert days_of(due, self.now) == expected
        fresh = self._looks(wanted)[0]
        fresh._ended = dict(due._ended)
        whole = fresh._outlook.whole(self.now) or Span(self.now.date(), self.now.date())
        together: Found = {}
        for within in plan.pieces(whole, 1, DATE):
            for name, days in days_of(fresh, self.now, within=within).items():
                assert not together.get(name, set()) & days
                assert all(within.first <= day <= within.last for day in days)
                together.setdefault(name, set()).update(days)
        assert together == expected
        fresh.remember()
        return expected

    def _commit(self, fates: Mapping[tuple[int, date], str]) -> None:
        settled = self.ledger.days(list({key[0] for key in fates}), *EVER)
        reads, failures = [], []
        for (series_id, day), fate in fates.items():
            if fate in {"settled", "open"}:
                next_at = None if fate == "settled" else self.now + HOUR * (3 + day.day)
                reads.append(Read(series_id=series_id, day=day, rows=1, asked_at=self.now, next_at=next_at))
            elif fate == "failed" and day not in settled[series_id].settled:
                failures.append(Failure(series_id=series_id, day=day, failed_at=self.now, reason="503"))
        self.ledger.commit(reads, failures)

    def teardown(self) -> None:
        """Remove the file."""
        self.engine.dispose()
        self.folder.cleanup()


TestLooking = LookingMachine.TestCase
