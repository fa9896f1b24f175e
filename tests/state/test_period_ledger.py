"""Month, Year and Total in a real database: what is due again, what is final, what failed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from harvester.model import EVER, Period, Stretch
from harvester.state.database import connect
from harvester.state.period_ledger import KnownStretch, PeriodLedger, StretchFailure, StretchRead
from harvester.state.settlement import next_try

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
OCTOBER = Stretch(Period.MONTH, date(2026, 10, 1))
JANUARY, YEAR = Stretch(Period.MONTH, date(2026, 1, 1)), Stretch(Period.YEAR, date(2026, 1, 1))
TOTAL = Stretch(Period.TOTAL, EVER)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[PeriodLedger]:
    """Return an empty ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield PeriodLedger(engine)
    engine.dispose()


def read(stretch: Stretch, again: datetime | None = LATER, *, series: int = 1, at: datetime = NOW) -> StretchRead:
    """Return an answer that is final, or is due *again*."""
    return StretchRead(series_id=series, stretch=stretch, asked_at=at, next_at=again)


def failure(stretch: Stretch, reason: str = "503", *, series: int = 1) -> StretchFailure:
    """Return a request that was made in vain."""
    return StretchFailure(series_id=series, stretch=stretch, failed_at=NOW, reason=reason)


def test_nothing_is_known_at_first(ledger: PeriodLedger) -> None:
    """Every series asked about is answered for."""
    assert ledger.known([1, 2]) == {1: {}, 2: {}}
    assert ledger.failures() == []


def test_a_month_a_year_and_a_total_that_begin_alike_are_three(ledger: PeriodLedger) -> None:
    """The period is part of the key, and so is the series."""
    ledger.commit([read(JANUARY), read(YEAR, None), read(TOTAL), read(JANUARY, None, series=2)])

    found = ledger.known([1, 2, 3])
    assert {stretch: known.next_at for stretch, known in found[1].items()} == {JANUARY: LATER, YEAR: None, TOTAL: LATER}
    assert found[2] == {JANUARY: KnownStretch(False, 0, NOW, None, None)}
    assert found[3] == {}


def test_what_is_final_and_long_ago_need_not_be_read(ledger: PeriodLedger) -> None:
    """A run looks at what its days touch, and at whatever is not finished."""
    september = Stretch(Period.MONTH, date(2026, 9, 1))
    ledger.commit([read(JANUARY, None), read(september), read(OCTOBER, None), read(TOTAL)])

    assert set(ledger.known([1], since=date(2026, 10, 1))[1]) == {september, OCTOBER, TOTAL}


def test_the_last_answer_counts(ledger: PeriodLedger) -> None:
    """What was provisional becomes final."""
    ledger.commit([read(OCTOBER)])
    ledger.commit([read(OCTOBER, None, at=LATER)])

    assert ledger.known([1])[1] == {OCTOBER: KnownStretch(False, 0, LATER, None, None)}


def test_failures_are_tried_again_at_growing_distances(ledger: PeriodLedger) -> None:
    """Failures in a row are counted, the last reason is kept, and each is listed with its series."""
    for reason in ("500", "503"):
        ledger.commit((), [failure(OCTOBER, reason)])

    known = KnownStretch(True, 2, NOW, next_try(failed_at=NOW, attempts=2), "503")
    assert ledger.known([1])[1] == {OCTOBER: known}
    assert ledger.failures() == [(1, OCTOBER, known)]


def test_an_answer_ends_a_row_of_failures(ledger: PeriodLedger) -> None:
    """The next failure is the first again."""
    ledger.commit((), [failure(TOTAL)])
    ledger.commit([read(TOTAL)])
    ledger.commit((), [failure(TOTAL)])

    assert [known.attempts for _, _, known in ledger.failures()] == [1]


def test_a_failure_that_cannot_be_recorded_undoes_the_rest(ledger: PeriodLedger) -> None:
    """One transaction: all of it or nothing."""
    with pytest.raises(AttributeError):
        ledger.commit([read(OCTOBER)], [None])  # type: ignore[list-item]

    assert ledger.known([1]) == {1: {}}
