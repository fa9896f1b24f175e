"""The ledger in a real database: what is settled, what is due again, what failed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harvester.model import Plant, Series
from harvester.state.agenda import Look
from harvester.state.database import connect
from harvester.state.inventory import Inventory, KnownSeries
from harvester.state.ledger import Days, Failure, Learned, Ledger, OpenDay, Read, Summary
from harvester.state.settlement import next_try
from harvester.state.tables import METADATA, SERIES, from_number

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FIRST = date(2025, 12, 30)
EVER = (date(1970, 1, 1), date(2199, 12, 31))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield Ledger(engine)
    engine.dispose()


def read(day: date = FIRST, rows: int = 288, *, series: int = 1, again: datetime | None = None) -> Read:
    """Return a read that settles the day, or with *again* leaves it open until then."""
    return Read(series_id=series, day=day, rows=rows, asked_at=NOW, next_at=again)


def failure(day: date = FIRST, reason: str = "503", *, series: int = 1, at: datetime = NOW) -> Failure:
    """Return a day that was asked in vain."""
    return Failure(series_id=series, day=day, failed_at=at, reason=reason)


def offer(inventory: Inventory, sets: list[str], plant_id: str = "1") -> None:
    """Have a plant offer some sets, numbered in the order of their names."""
    plant = Plant(plant_id=plant_id, name="", timezone="UTC")
    inventory.see_plants([plant], NOW)
    inventory.explored(plant, [], {None: sets}, NOW)


def known(ledger: Ledger, series: int = 1) -> Days:
    """Return all that is known of a series."""
    return ledger.days([series], *EVER)[series]


def test_nothing_is_known_at_first(ledger: Ledger) -> None:
    """A new ledger answers for every series asked about, with nothing."""
    assert ledger.days([1, 2], *EVER) == {1: Days(), 2: Days()}
    assert ledger.days([], *EVER) == {}
    assert ledger.failures() == []
    assert ledger.summary() == Summary(series=0, settled=0, open=0, failed=0)


def test_a_read_that_settles(ledger: Ledger) -> None:
    """A settled day is known with its rows and is no longer open, whatever it was before."""
    ledger.commit([read(rows=3, again=NOW + HOUR)], [failure(FIRST + DAY)])
    ledger.commit([read(), read(FIRST + DAY, 0)])

    assert known(ledger) == Days(settled={FIRST: 288, FIRST + DAY: 0})
    assert ledger.failures() == []


def test_a_read_that_leaves_open(ledger: Ledger) -> None:
    """An open day is known with when it was asked and when it is due again."""
    ledger.commit([read(rows=17, again=NOW + HOUR)])

    assert known(ledger) == Days(open={FIRST: OpenDay(False, 0, 17, NOW, NOW + HOUR, None)})
    assert known(ledger).waiting == {FIRST: NOW + HOUR}


def test_rows_never_shrink(ledger: Ledger) -> None:
    """An answer that lacks rows deletes none: the most rows count, while open, when settled and afterwards."""
    ledger.commit([read(rows=200, again=NOW + HOUR)])
    ledger.commit([read(rows=150, again=NOW + HOUR)])
    assert known(ledger).open[FIRST].rows == 200
    ledger.commit([read(rows=180)])
    assert known(ledger).settled == {FIRST: 200}
    ledger.commit([read(rows=100)])
    assert known(ledger).settled == {FIRST: 200}
    ledger.commit([read(rows=250), read(rows=240)])
    assert known(ledger).settled == {FIRST: 250}


def test_failures_count_and_back_off(ledger: Ledger) -> None:
    """Failures in a row are counted, each pushes the next try further away, and the last reason is kept."""
    for attempts in range(1, 9):
        at = NOW + attempts * DAY
        ledger.commit([], [failure(reason=f"reason {attempts}", at=at)])
        found = known(ledger).open[FIRST]
        again = next_try(failed_at=at, attempts=attempts)
        assert found == OpenDay(True, attempts, 0, at, again, f"reason {attempts}")
    assert ledger.failures() == [(1, FIRST, found)]


def test_a_success_ends_a_row_of_failures(ledger: Ledger) -> None:
    """A read that leaves a failed day open forgets the failures, and the next one counts from one again."""
    ledger.commit([read(rows=40, again=NOW)])
    ledger.commit([], [failure(), failure()])
    assert (known(ledger).open[FIRST].attempts, known(ledger).open[FIRST].rows) == (2, 40)
    ledger.commit([read(rows=10, again=NOW + HOUR)])
    assert known(ledger).open[FIRST] == OpenDay(False, 0, 40, NOW, NOW + HOUR, None)
    ledger.commit([], [failure()])
    assert known(ledger).open[FIRST].attempts == 1


def test_series_and_days_are_apart(ledger: Ledger) -> None:
    """What is committed of one series or day changes no other; only the days asked for come back."""
    days = [FIRST + DAY * n for n in range(70)]
    ledger.commit([read(day, n, series=n % 3) for n, day in enumerate(days)])

    found = ledger.days([0, 1], days[10], days[50])
    assert found == {
        series: Days(settled={day: n for n, day in enumerate(days) if n % 3 == series and 10 <= n <= 50})
        for series in (0, 1)
    }
    assert ledger.summary().settled == 70


def test_a_commit_is_whole_or_not_at_all(ledger: Ledger) -> None:
    """A commit that fails in its last statement leaves nothing behind of the first."""
    spoiled = Failure(series_id=1, day=FIRST, failed_at=NOW, reason=[])  # type: ignore[arg-type]
    with pytest.raises(sa.exc.SQLAlchemyError):
        ledger.commit([read(), read(FIRST + DAY, again=NOW)], [spoiled])

    assert known(ledger) == Days()


def test_an_empty_commit_is_nothing(ledger: Ledger) -> None:
    """Nothing covered and nothing failed changes nothing."""
    ledger.commit([])

    assert ledger.summary() == Summary(series=0, settled=0, open=0, failed=0)


def test_a_large_fleet_fits_into_statements(ledger: Ledger) -> None:
    """More series than one statement can name are committed and asked about all the same."""
    many = range(1, 12_001)
    ledger.commit([read(series=series) for series in many])
    found = ledger.days(many, FIRST, FIRST)

    assert len(found) == 12_000
    assert all(days.settled == {FIRST: 288} for days in found.values())


def test_answered_is_asked_for_some_series(tmp_path: Path) -> None:
    """What is answered is told of the given series; nothing is told of others, nor of unknown days."""
    engine = connect(tmp_path / "ledger.db")
    inventory, ledger = Inventory(engine, plants_per_file=1), Ledger(engine)
    offer(inventory, ["A", "B"])
    offer(inventory, ["A"], "2")
    ledger.commit([read(series=1), read(FIRST + DAY, series=1, again=NOW), read(FIRST, series=3, again=NOW + HOUR)])

    assert ledger.agenda.answered([1, 2], *EVER, NOW) == {1: {FIRST}}
    assert ledger.agenda.answered([1, 2], *EVER, NOW - HOUR) == {1: {FIRST, FIRST + DAY}}
    assert ledger.agenda.answered([3], *EVER, NOW) == {3: {FIRST}}
    assert ledger.agenda.answered([], *EVER, NOW) == {}
    engine.dispose()


def test_open_days_are_in_the_part_of_their_series(tmp_path: Path) -> None:
    """Open and failed days are found part by part, the longest due first, and in no other part."""
    engine = connect(tmp_path / "ledger.db")
    inventory, ledger = Inventory(engine, plants_per_file=1), Ledger(engine)
    for plant_id in ("1", "2"):
        plant = Plant(plant_id=plant_id, name="", timezone="UTC")
        inventory.see_plants([*(known.plant for known in inventory.plants()), plant], NOW)
        inventory.explored(plant, [], {None: ["A", "B"]}, NOW)
    ledger.commit([read(series=1, again=NOW), read(FIRST + DAY, series=1, again=NOW - HOUR), read(series=3, again=NOW)])
    ledger.commit([], [failure(series=4, at=NOW - HOUR)])

    def opened(part: int, sets: tuple[str, ...] = ()) -> list[tuple[int, date]]:
        look = Look(part=part, plants=("1", "2"), sets=sets)
        return [(each.series_id, each.day) for each in ledger.agenda.open_due(look, NOW)]

    assert opened(0) == [(1, FIRST + DAY), (1, FIRST)]
    assert sorted(opened(1)) == [(3, FIRST), (4, FIRST)]
    assert opened(1, ("A",)) == [(3, FIRST)]
    assert opened(2) == []
    assert [each.series_id for each in ledger.agenda.failed(Look(part=1, plants=("1", "2")))] == [4]
    engine.dispose()


SPANS = st.tuples(st.integers(0, 20), st.integers(0, 5)).map(
    lambda s: (FIRST + DAY * s[0], FIRST + DAY * (s[0] + s[1]))
)


@settings(max_examples=60, deadline=None)
@given(told=st.lists(SPANS, min_size=1, max_size=6))
def test_spans_that_touch_become_one(told: list[tuple[date, date]]) -> None:
    """What is known to lack no day is one span, all of whose days were told; the later of two apart is kept."""
    engine = ledger_with_one_series()
    ledger = Ledger(engine)
    days: set[date] = set()
    for first, last in told:
        ledger.know({1: (first, last)})
        days |= {first + DAY * n for n in range((last - first).days + 1)}
        with engine.connect() as db:
            known_from, known_until = db.execute(sa.text("SELECT known_from, known_until FROM series")).one()
        known = (from_number(known_from), from_number(known_until))
        assert {known[0] + DAY * n for n in range((known[1] - known[0]).days + 1)} <= days
        assert known[1] == max(days)
        assert known[0] <= first or first < known[0] <= known[1]
        if first <= known[1] + DAY and last >= known[0] - DAY:
            assert known[0] <= first
    engine.dispose()


def ledger_with_one_series() -> sa.Engine:
    """Return tables in memory with one series."""
    engine = sa.create_engine("sqlite://")
    METADATA.create_all(engine)
    facts = {"series_id": 1, "part": 0, "plant_id": "1", "device_id": "", "set": "A", "first_seen": 0}
    with engine.begin() as db:
        db.execute(sa.insert(SERIES).values(facts))
    return engine


def test_last_days(ledger: Ledger) -> None:
    """The last day of a series is the later of its last settled and its last open one; none where nothing is known."""
    ledger.commit([read(series=1), read(FIRST + 40 * DAY, series=1), read(FIRST, series=2), read(FIRST, series=4)])
    ledger.commit([read(FIRST - 9 * DAY, series=1, again=NOW), read(FIRST + DAY, series=2, again=NOW)])
    ledger.commit([], [failure(FIRST + 2 * DAY, series=3)])

    assert ledger.agenda.last_days([1, 2, 3, 5]) == {
        1: FIRST + 40 * DAY,
        2: FIRST + DAY,
        3: FIRST + 2 * DAY,
    }
    assert ledger.agenda.last_days([]) == {}


def test_what_answers_tell_of_a_series(tmp_path: Path) -> None:
    """The newest row only moves on; interval and lag stay as they were where an answer tells none."""
    engine = connect(tmp_path / "ledger.db")
    inventory, ledger = Inventory(engine, plants_per_file=9), Ledger(engine)
    offer(inventory, ["EnergyBalance"])
    (fresh,) = inventory.offered_series(0)
    number = fresh.series_id
    for minutes, newest, lag in [(5, NOW, 90), (None, NOW - HOUR, None), (None, NOW + HOUR, 120)]:
        ledger.commit([], [], [Learned(series_id=number, minutes=minutes, newest=newest, lag=lag)])

    assert fresh == KnownSeries(number, 0, Series(plant_id="1", set="EnergyBalance"))
    assert inventory.offered_series(0) == [KnownSeries(number, 0, fresh.series, 5, NOW + HOUR, 120)]
    engine.dispose()


def test_facts_are_kept_and_replaced(ledger: Ledger) -> None:
    """A fact is None until it is recorded; the last record counts."""
    assert ledger.fact("week_rule") is None
    ledger.record("week_rule", "date,monday")
    ledger.record("week_rule", "date")
    ledger.record("lake_id", "")

    assert (ledger.fact("week_rule"), ledger.fact("lake_id"), ledger.fact("other")) == ("date", "", None)


def test_all_survives_the_process(tmp_path: Path) -> None:
    """Opened again, the ledger knows what it knew."""
    first = connect(tmp_path / "ledger.db")
    Ledger(first).commit([read(), read(FIRST + DAY, 5, again=NOW)], [failure(FIRST + 2 * DAY)])
    before = known(Ledger(first))
    first.dispose()
    second = connect(tmp_path / "ledger.db")

    assert known(Ledger(second)) == before
    assert len(before.settled) == 1
    second.dispose()


# Against a model --------------------------------------------------------------------------------------------


@dataclass
class Known:
    """What the model knows of one day."""

    rows: int = 0
    settled: bool = False
    open: OpenDay | None = None


keys = st.tuples(st.integers(1, 3), st.integers(0, 64).map(lambda n: FIRST + DAY * n))
moments = st.integers(0, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))


class LedgerMachine(RuleBasedStateMachine):
    """Commits in any order, as a planner may make them: what is settled is not left open or failed later."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = connect(Path(self.folder.name) / "ledger.db")
        self.ledger = Ledger(self.engine)
        self.model: dict[tuple[int, date], Known] = {}
        offer(Inventory(self.engine, plants_per_file=9), ["A", "B", "C"])

    @initialize(key=keys)
    def begin(self, key: tuple[int, date]) -> None:
        """Begin with one day settled."""
        self.settle({key: 1})

    @rule(days=st.dictionaries(keys, st.integers(0, 300), max_size=8))
    def settle(self, days: dict[tuple[int, date], int]) -> None:
        """Settle some days at once."""
        self.ledger.commit([read(day, rows, series=series) for (series, day), rows in days.items()])
        for key, rows in days.items():
            day = self.model.setdefault(key, Known())
            day.rows, day.settled, day.open = max(day.rows, rows), True, None

    @rule(days=st.dictionaries(keys, st.tuples(st.integers(0, 300), moments), max_size=8))
    def leave_open(self, days: dict[tuple[int, date], tuple[int, datetime]]) -> None:
        """Leave some days open that are not settled."""
        wanted = {key: facts for key, facts in days.items() if not self._of(key).settled}
        self.ledger.commit([read(day, rows, series=series, again=at) for (series, day), (rows, at) in wanted.items()])
        for key, (rows, at) in wanted.items():
            day = self.model.setdefault(key, Known())
            day.rows = max(day.rows, rows)
            day.open = OpenDay(False, 0, day.rows, NOW, at, None)

    @rule(wanted=st.lists(keys, max_size=8), at=moments)
    def fail(self, wanted: list[tuple[int, date]], at: datetime) -> None:
        """Ask for some days in vain that are not settled."""
        wanted = [key for key in wanted if not self._of(key).settled]
        self.ledger.commit([], [failure(day, "500", series=series, at=at) for series, day in wanted])
        for key in wanted:
            day = self.model.setdefault(key, Known())
            attempts = (day.open.attempts if day.open else 0) + 1
            day.open = OpenDay(True, attempts, day.rows, at, next_try(failed_at=at, attempts=attempts), "500")

    @precondition(lambda self: len(self.model) > 4)
    @rule()
    def restart(self) -> None:
        """Open the file again."""
        self.engine.dispose()
        self.engine = connect(Path(self.folder.name) / "ledger.db")
        self.ledger = Ledger(self.engine)

    @rule(low=st.integers(0, 70), high=st.integers(0, 70))
    def ask_for_some(self, low: int, high: int) -> None:
        """Ask for the days of a span."""
        self._compare(FIRST + DAY * low, FIRST + DAY * high)

    @rule(low=st.integers(-5, 70), high=st.integers(-5, 70), now=moments)
    def ask_what_is_answered(self, low: int, high: int, now: datetime) -> None:
        """Ask which days of a span need not be asked at some moment."""
        first, last = FIRST + DAY * low, FIRST + DAY * max(low, high)
        expected: dict[int, set[date]] = {}
        for (series, day), state in self.model.items():
            if first <= day <= last and (state.settled or (state.open and state.open.next_at > now)):
                expected.setdefault(series, set()).add(day)
        found = self.ledger.agenda.answered([1, 2, 3], first, last, now)
        assert {series: days for series, days in found.items() if days} == expected

    @invariant()
    def agrees(self) -> None:
        """Ledger and model know the same."""
        self._compare(*EVER)
        failed = [day for day in self.model.values() if day.open and day.open.failed]
        opened = [day for day in self.model.values() if day.open and not day.open.failed]
        settled = [day for day in self.model.values() if day.settled]
        assert self.ledger.summary() == Summary(3, len(settled), len(opened), len(failed))
        assert [(series, day, known) for series, day, known in self.ledger.failures()] == [
            (*key, day.open) for key, day in sorted(self.model.items()) if day.open and day.open.failed
        ]

    def teardown(self) -> None:
        """Remove the file."""
        self.engine.dispose()
        self.folder.cleanup()

    def _of(self, key: tuple[int, date]) -> Known:
        return self.model.get(key, Known())

    def _compare(self, first: date, last: date) -> None:
        expected = {series: Days() for series in (1, 2, 3)}
        for (series, day), state in self.model.items():
            if first <= day <= last and state.settled:
                expected[series].settled[day] = state.rows
            elif first <= day <= last and state.open:
                expected[series].open[day] = state.open
        assert self.ledger.days([1, 2, 3], first, last) == expected


class TestLedgerMachine(LedgerMachine.TestCase):
    """The ledger agrees with a plain dict, whatever is committed in whatever order."""

    settings = settings(max_examples=12, stateful_step_count=12, deadline=None, derandomize=True)
