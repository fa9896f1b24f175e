"""The budget's record in a real database: over restarts, over changes of the number of shards, over wrong clocks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from harvester.model import WHOLE, Shard
from harvester.state.budget import GRAIN, BudgetBook, Learned, Spending, digest
from harvester.state.database import connect
from harvester.state.tables import BUDGET

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WINDOW = 300.0
CLIENT = "plain-client-id"
LESSON = Learned(limit=186, granted=200, at=NOW - timedelta(hours=3))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an empty ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield engine
    engine.dispose()


@pytest.fixture
def book(engine: Engine) -> BudgetBook:
    """Return the empty book of one credential."""
    return BudgetBook(engine, CLIENT, WINDOW)


def after(seconds: float) -> datetime:
    """Return the moment so many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def test_nothing_is_known_of_a_new_credential(book: BudgetBook) -> None:
    """An empty book tells so."""
    assert book.resumed(WHOLE, NOW) == book.present(NOW) == Spending()
    assert not book.present(NOW).known


def test_what_was_spent_counts_until_its_window_has_passed(book: BudgetBook) -> None:
    """Ages grow with the time between the processes, and what is older than a window is gone."""
    book.save(WHOLE, Spending(ages=(290.0, 100.0, 100.0, 0.0), learned=LESSON), NOW)

    found = book.resumed(WHOLE, after(30))
    assert found.ages == (129.0, 129.0, 30.0)  # kept in parts of three seconds, rounded down
    assert found.learned == LESSON
    assert found.known
    assert book.resumed(WHOLE, after(299)).ages == (299.0,)
    assert book.resumed(WHOLE, after(300)).ages == ()
    assert book.resumed(WHOLE, after(300)).learned == LESSON


def test_only_the_last_record_of_a_process_counts(book: BudgetBook) -> None:
    """A later record takes the place of an earlier one."""
    book.save(WHOLE, Spending(ages=(5.0,) * 7), NOW)
    book.save(WHOLE, Spending(ages=(0.0, 0.0)), after(1))

    assert book.resumed(WHOLE, after(1)).ages == (0.0, 0.0)
    assert book.resumed(WHOLE, after(1)).learned is None


@settings(max_examples=30, deadline=None)
@given(ages=st.lists(st.floats(0, 299.9), max_size=50), window=st.sampled_from([2.0, 300.0]), gap=st.floats(0, 400))
def test_no_request_is_forgotten_too_early(ages: list[float], window: float, gap: float) -> None:
    """Whatever would still count by the second is in the record, never older than it is, and at most a part younger."""
    true = sorted((age * window / 300 for age in ages), reverse=True)
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(Path(folder, "ledger.db"))
        book = BudgetBook(engine, CLIENT, window)
        book.save(WHOLE, Spending(ages=tuple(true)), NOW)
        found = book.resumed(WHOLE, after(gap)).ages
        engine.dispose()

    grown = [age + gap for age in true]
    assert len(found) >= sum(age < window - 1e-3 for age in grown)
    youngest = zip(grown[::-1], found[::-1], strict=False)  # of those that count; the oldest may be gone
    assert all(age - window / GRAIN - 1e-3 < kept <= age + 1e-3 for age, kept in youngest)


def test_what_a_killed_process_may_have_spent_unseen_counts(book: BudgetBook) -> None:
    """What was put down ahead counts from the end of its time, for who resumes and not for who looks."""
    book.save(WHOLE, Spending(ages=(9.0,), ahead=3, ahead_seconds=2.0), NOW)

    assert book.resumed(WHOLE, after(10)).ages == (19.0, 8.0, 8.0, 8.0)
    assert book.resumed(WHOLE, after(1)).ages == (10.0, 0.0, 0.0, 0.0)
    assert book.present(after(10)).ages == (19.0,)


def test_credentials_do_not_share_and_are_not_named(engine: Engine, book: BudgetBook) -> None:
    """Each credential has its own rows, under a digest."""
    book.save(WHOLE, Spending(ages=(0.0,), learned=LESSON), NOW)
    with engine.connect() as db:
        rows = db.execute(sa.select(BUDGET)).all()

    assert BudgetBook(engine, "another", WINDOW).resumed(WHOLE, NOW) == Spending()
    assert CLIENT not in str(rows)
    assert rows[0].credential == digest(CLIENT)
    assert digest(CLIENT) != digest("another")


class TestShards:
    """Processes that share a credential."""

    def test_a_shard_goes_on_with_its_own(self, book: BudgetBook) -> None:
        """What another one of the same number spent is that one's share."""
        book.save(Shard(1, 2), Spending(ages=(1.0,) * 5, learned=LESSON), NOW)
        book.save(Shard(2, 2), Spending(ages=(2.0,) * 7), NOW)

        assert len(book.resumed(Shard(1, 2), NOW).ages) == 5
        assert len(book.resumed(Shard(2, 2), NOW).ages) == 7
        assert len(book.present(NOW).ages) == 12

    def test_what_another_number_of_processes_spent_is_shared(self, book: BudgetBook) -> None:
        """Rows of processes that no longer run count until their window has passed: each shard bears its part."""
        book.save(WHOLE, Spending(ages=tuple(map(float, range(100, -1, -1)))), NOW)

        shares = [book.resumed(Shard(i, 3), NOW).ages for i in (1, 2, 3)]
        assert sum(map(len, shares)) == 101
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert book.resumed(Shard(1, 3), after(300)).ages == ()

        book.save(Shard(1, 2), Spending(ages=(0.0,)), after(301))
        book.save(Shard(2, 2), Spending(ages=(0.0,)), after(301))
        assert book.resumed(WHOLE, after(301)).ages == (0.0, 0.0)

    def test_what_was_learned_is_shared_out_and_summed_up(self, book: BudgetBook) -> None:
        """Each learns its share; a new number of shards starts with its part of the whole."""
        book.save(Shard(1, 2), Spending(learned=LESSON), NOW)
        assert book.present(NOW).learned == Learned(limit=372, granted=400, at=LESSON.at)  # the other is like it
        book.save(Shard(2, 2), Spending(learned=Learned(limit=93, granted=100, at=NOW)), NOW)

        assert book.present(NOW).learned == Learned(limit=279, granted=300, at=NOW)
        assert book.resumed(WHOLE, NOW).learned == book.present(NOW).learned
        assert book.resumed(Shard(2, 3), NOW).learned == Learned(limit=93, granted=100, at=NOW)
        assert book.resumed(Shard(1, 2), NOW).learned == LESSON

    def test_the_last_number_of_shards_teaches(self, book: BudgetBook) -> None:
        """What a single process learned long ago does not outweigh what two learned since."""
        book.save(WHOLE, Spending(learned=Learned(limit=9, granted=10, at=NOW)), after(-9999))
        book.save(Shard(1, 2), Spending(learned=LESSON), NOW)

        assert book.present(NOW).learned == Learned(limit=372, granted=400, at=LESSON.at)


class TestWrongClocks:
    """The wall clock is all that lies between two processes."""

    def test_a_row_of_the_future_counts_for_one_window(self, book: BudgetBook) -> None:
        """After the clock stepped back an hour, what was spent counts as if saved just now, and then no more."""
        book.save(WHOLE, Spending(ages=(200.0, 0.0)), after(3600))

        assert book.present(NOW).ages == (198.0, 0.0)
        assert book.resumed(WHOLE, NOW).ages == (198.0, 0.0)
        assert book.resumed(WHOLE, after(101)).ages == (299.0, 101.0)
        assert book.resumed(WHOLE, after(301)).ages == ()

    def test_after_a_step_forward_the_past_is_past(self, book: BudgetBook) -> None:
        """Nothing tells a step forward from the time itself: the record ends, and what was learned stays."""
        book.save(WHOLE, Spending(ages=(0.0,), learned=LESSON), NOW)

        assert book.resumed(WHOLE, after(86_400)) == Spending(learned=LESSON, known=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"window":0,"ages":[]}',
        '{"window":300,"ages":[[1,-4]]}',
        '{"window":300,"ages":[[1,1e99]]}',
        '{"window":300,"ages":[[1000,4]]}',
        '{"window":1e999,"ages":[]}',
        '{"window":300,"ages":[[1]]}',
        '{"window":300,"ages":[],"learned_at":-1}',
    ],
)
def test_a_text_that_is_no_record_is_forgotten_and_said(engine: Engine, book: BudgetBook, text: str) -> None:
    """The row's spending is gone, the rest and what was learned stay, and the log says so."""
    book.save(WHOLE, Spending(ages=(1.0,), learned=LESSON), NOW)
    book.save(Shard(1, 2), Spending(ages=(0.0,)), NOW)
    with engine.begin() as db:
        db.execute(sa.update(BUDGET).where(BUDGET.c.shard == "1/1").values(spent=text))
    with structlog.testing.capture_logs() as logs:
        found = book.present(NOW)

    assert found.ages == (0.0,)
    assert found.learned == Learned(limit=186, granted=186, at=NOW)
    assert [(line["event"], line["shard"]) for line in logs] == [("budget.forgotten", "1/1")]


@pytest.mark.parametrize("change", [{"shard": "two"}, {"saved_at": float("inf")}])
def test_a_row_that_is_none_is_forgotten(engine: Engine, book: BudgetBook, change: dict[str, object]) -> None:
    """A shard or a moment that cannot be leaves the row out."""
    book.save(WHOLE, Spending(ages=(1.0,), learned=LESSON), NOW)
    with engine.begin() as db:
        db.execute(sa.update(BUDGET).values(change))
    with structlog.testing.capture_logs() as logs:
        found = book.present(NOW)

    assert found == Spending()
    assert [line["event"] for line in logs] == ["budget.forgotten"]


def test_the_record_is_small(engine: Engine, book: BudgetBook) -> None:
    """Ten thousand requests of a window are a kilobyte."""
    book.save(WHOLE, Spending(ages=tuple(n * WINDOW / 10_000 for n in range(10_000))), NOW)
    with engine.connect() as db:
        text = db.scalar(sa.select(BUDGET.c.spent))

    assert len(text) < 1200
    assert len(book.present(NOW).ages) == 10_000
