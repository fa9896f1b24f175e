"""Pace and book together: a budget that goes on where the last process ended."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from harvester.errors import ConfigError, LedgerError
from harvester.model import WHOLE, Shard
from harvester.purse import kept, restored, share
from harvester.sma.learning import Lesson
from harvester.sma.pace import Pace
from harvester.state.budget import BudgetBook, Learned, Spending
from harvester.state.database import connect

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WINDOW = 300.0


class Time:
    """Wall and monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        """Return monotonic seconds."""
        return self.passed

    def wall(self) -> datetime:
        """Return the moment, aware UTC."""
        return NOW + timedelta(seconds=self.passed)


@pytest.fixture
def time() -> Time:
    """Return clocks that stand still."""
    return Time()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an empty ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield engine
    engine.dispose()


@pytest.fixture
def book(engine: Engine) -> BudgetBook:
    """Return the empty book of one credential."""
    return BudgetBook(engine, "client", WINDOW)


def pace_of(time: Time, requests: int | None = 1000) -> Pace:
    """Return an unused pace."""
    return Pace(requests=requests, window_seconds=WINDOW, clock=time)


async def spend(pace: Pace, requests: int) -> None:
    """Ask so often, each with an answer."""
    for _ in range(requests):
        async with pace.permit():
            pass


async def until(condition: Callable[[], Any]) -> None:
    """Wait until *condition* holds; the test's time limit is the only bound."""
    while not condition():
        await asyncio.sleep(0.01)


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return what the ledger's files hold and when each was last written."""
    files = [folder / "ledger.db", folder / "ledger.db-wal"]  # the third one only holds locks
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


async def test_a_restart_does_not_spend_the_window_twice(time: Time, book: BudgetBook) -> None:
    """The next process counts what the last one spent, and uses what it learned."""
    first = pace_of(time, None)
    async with kept(first, book, WHOLE, time.wall):
        await spend(first, 100)
        time.passed += 30
        first.penalise(270.0)
        time.passed += 1
    time.passed += 30
    second = pace_of(time, None)
    restored(second, book, WHOLE, time.wall())

    assert (first.learned, second.learned, second.limit) == (93, 93, 93)
    assert second.lesson == Lesson(limit=93, granted=100)
    assert second.spent == 100
    assert min(second.ages()) == pytest.approx(60, abs=3.01)
    time.passed += WINDOW - 56
    assert second.spent == 0


async def test_what_was_learned_keeps_its_date(time: Time, book: BudgetBook) -> None:
    """The moment at which the limit became what it is survives restarts that learn nothing new."""
    first = pace_of(time, None)
    async with kept(first, book, WHOLE, time.wall):
        await spend(first, 100)
        first.penalise(300.0)
    time.passed += 3600
    second = pace_of(time, None)
    async with kept(second, book, WHOLE, time.wall):
        await spend(second, 1)

    found = book.present(time.wall()).learned
    assert found is not None
    assert (found.limit, found.at) == (93, NOW)


async def test_it_is_saved_while_it_is_spent(time: Time, book: BudgetBook) -> None:
    """A process that is killed leaves the record of a second ago, and what it may have spent since."""
    pace = pace_of(time)
    async with kept(pace, book, WHOLE, time.wall):
        await spend(pace, 20)
        await until(lambda: book.present(time.wall()).ages)
        seen, resumed = book.present(time.wall()), book.resumed(WHOLE, time.wall())

    assert len(seen.ages) == 20
    assert len(resumed.ages) == 20 + 90  # all that may leave at once: the rest of a part of the window
    assert len(book.resumed(WHOLE, time.wall()).ages) == 20


async def test_nothing_leaves_before_it_is_recorded(time: Time, book: BudgetBook, tmp_path: Path) -> None:
    """While the record cannot be written nobody asks; as soon as it can, they go on."""
    pace = pace_of(time)
    async with kept(pace, book, WHOLE, time.wall):
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asking = asyncio.create_task(spend(pace, 20))
            await asyncio.sleep(0.5)
            assert (pace.spent, asking.done()) == (0, False)
            other.execute("COMMIT")
        await asking

    assert len(book.resumed(WHOLE, time.wall()).ages) == 20


async def test_a_record_that_fails_unforeseen_leaves_nobody_waiting(time: Time, book: BudgetBook) -> None:
    """The run goes on, and ends with the error."""
    days: list[int] = []

    def wall() -> datetime:
        days.append(1)
        if len(days) > 2:
            raise ZeroDivisionError("a mistake")
        return time.wall()

    pace = pace_of(time)

    async def run() -> None:
        async with kept(pace, book, WHOLE, wall):
            await spend(pace, 50)

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        await run()
    assert pace.spent == 50


async def test_credit_that_is_too_old_is_none(time: Time, book: BudgetBook) -> None:
    """Where a busy machine has written nothing for long, the record of what may leave now comes first."""
    pace = pace_of(time)
    async with kept(pace, book, WHOLE, time.wall):
        await spend(pace, 1)
        time.passed += 100
        await spend(pace, 1)
        found = book.resumed(WHOLE, time.wall())

    assert found.ages.count(0.0) >= 110 - 1  # what may leave within a tenth of the window, all of it now
    assert sum(age > 90 for age in found.ages) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 40)),
            st.tuples(st.just("answer"), st.integers(1, 40)),
            st.tuples(st.just("pass"), st.sampled_from([0.3, 1.0, 2.5, 31.0, 150.0])),
        ),
        max_size=25,
    )
)
async def test_killed_at_any_moment_nothing_spent_is_forgotten(events: list[tuple[str, Any]]) -> None:
    """Whatever was asked and answered when: a process that starts then counts each request at least as long as SMA.

    SMA may have counted it at any moment until its answer was here, and within a hundredth of a window.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine, time = connect(Path(folder) / "ledger.db"), Time()
        book, pace = BudgetBook(engine, "client", WINDOW), pace_of(time, 100)
        counted: list[float] = []
        flying: list[tuple[float, AsyncExitStack]] = []
        async with AsyncExitStack() as whole, kept(pace, book, WHOLE, time.wall):
            for what, much in events:
                for _ in range(much if what != "pass" else 0):
                    if what == "ask" and pace.spent < 100 and pace.ahead(0) > 0:
                        flying.append((time(), await whole.enter_async_context(AsyncExitStack())))
                        await flying[-1][1].enter_async_context(pace.permit())
                    elif what == "answer" and flying:
                        at, permit = flying.pop(0)
                        await permit.aclose()
                        counted.append(min(at + WINDOW / 100, time()))
                time.passed += much if what == "pass" else 0.0
                moments = counted + [min(at + WINDOW / 100, time()) for at, _ in flying]
                its = sorted(time() - moment for moment in moments if time() - moment < WINDOW)
                mine = sorted(book.resumed(WHOLE, time.wall()).ages)
                assert len(mine) >= len(its)
                assert all(known <= true + 1e-6 for known, true in zip(mine, its, strict=False))
        engine.dispose()


async def test_nothing_is_written_when_nothing_was_spent(time: Time, book: BudgetBook, tmp_path: Path) -> None:
    """A process that asks nothing, and one that asked and rests, leave the ledger's files alone."""
    idle = pace_of(time)
    before = written(tmp_path)
    async with kept(idle, book, WHOLE, time.wall):
        await asyncio.sleep(1.2)
    assert written(tmp_path) == before

    pace = pace_of(time)
    async with kept(pace, book, WHOLE, time.wall):
        await spend(pace, 3)
        await until(lambda: book.present(time.wall()).ages)
        await asyncio.sleep(0.2)
        before = written(tmp_path)
        await asyncio.sleep(1.2)
        assert written(tmp_path) == before


async def test_a_cancelled_run_is_recorded_to_its_end(time: Time, book: BudgetBook) -> None:
    """What a cancelled run has spent is in the book when the block has ended."""
    pace = pace_of(time)

    async def run() -> None:
        async with kept(pace, book, WHOLE, time.wall):
            await spend(pace, 5)
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await until(lambda: pace.spent == 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(book.resumed(WHOLE, time.wall()).ages) == 5


async def test_a_record_that_cannot_be_written_is_no_reason_to_stop(
    time: Time, book: BudgetBook, tmp_path: Path
) -> None:
    """The log says so, and the run goes on."""
    pace = pace_of(time)
    with structlog.testing.capture_logs() as logs:
        async with kept(pace, book, WHOLE, time.wall):
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
                db.execute("DROP TABLE budget")
            await spend(pace, 1)

    assert {line["event"] for line in logs} == {"budget.not_saved"}


async def test_a_ledger_that_cannot_be_read_is_said_at_the_start(time: Time, book: BudgetBook, tmp_path: Path) -> None:
    """Whoever cannot know what was spent does not begin to spend."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("DROP TABLE budget")
    with pytest.raises(LedgerError):
        async with kept(pace_of(time), book, WHOLE, time.wall):
            pass


@pytest.mark.parametrize(("requests", "of"), [(1000, 1), (1000, 3), (7, 7), (200, 16)])
def test_shards_share_the_whole_budget(requests: int, of: int) -> None:
    """Nothing is left over, nothing is given twice, and the remainder goes to the first."""
    shares = [share(requests, shard) or 0 for shard in Shard(1, of).every()]

    assert sum(shares) == requests
    assert shares == sorted(shares, reverse=True)
    assert max(shares) - min(shares) <= 1


def test_a_budget_too_small_for_its_shards_is_refused() -> None:
    """A shard without a request would wait for ever; an unknown budget is learned by each."""
    with pytest.raises(ConfigError, match="fewer shards"):
        share(2, Shard(1, 3))
    assert share(None, Shard(2, 3)) is None


async def test_shards_that_learned_very_different_limits_share_alike(time: Time, book: BudgetBook) -> None:
    """One that came to a bucket in full use is refused early; within two windows both have half, and no more."""
    shards = Shard(1, 2).every()
    book.save(shards[0], Spending(learned=Learned(limit=930, granted=1000, at=NOW)), NOW)
    book.save(shards[1], Spending(learned=Learned(limit=4, granted=6, at=NOW)), NOW)
    first, second = pace_of(time, None), pace_of(time, None)
    async with kept(first, book, shards[0], time.wall), kept(second, book, shards[1], time.wall):
        assert (first.limit, second.limit) == (930, 4)
        time.passed += WINDOW
        await spend(first, 1)
        await spend(second, 1)
        await until(lambda: first.limit == 467)
        while second.limit != 467:
            time.passed += WINDOW
            await spend(second, 1)
            await asyncio.sleep(0.05)

    assert first.lesson == second.lesson == Lesson(limit=467, granted=503)
    found = book.present(time.wall()).learned
    assert found is not None
    assert found.limit == 934


async def test_an_idle_shard_is_left_alone(time: Time, book: BudgetBook) -> None:
    """What a process that has not asked for long once learned is no reason to share."""
    shards = Shard(1, 2).every()
    book.save(shards[1], Spending(learned=Learned(limit=4, granted=6, at=NOW)), NOW)
    book.save(shards[0], Spending(learned=Learned(limit=930, granted=1000, at=NOW)), NOW)

    assert book.even(shards[0], NOW + timedelta(seconds=WINDOW)) is not None
    assert book.even(shards[0], NOW + timedelta(seconds=4 * WINDOW)) is None
    assert book.told(shards[1]) is None
