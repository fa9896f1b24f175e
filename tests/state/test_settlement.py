"""When a day is settled, and when one that is not is asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.state.settlement import next_look, next_try

FIXED = settings(deadline=None, derandomize=True, max_examples=200)
END = datetime(2026, 6, 1, 22, tzinfo=UTC)
SETTLE = timedelta(days=3)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

days = st.integers(-3, 10) | st.integers(0, 5000)
distances = st.builds(timedelta, days=days, seconds=st.integers(0, 86_400))
waits = distances.filter(lambda wait: wait >= timedelta(0))


@FIXED
@given(since=distances, wait=waits)
def test_settled_is_what_was_read_late_enough(since: timedelta, wait: timedelta) -> None:
    """A read settles a day if, and only if, it began long enough after the day's end."""
    found = next_look(day_end=END, asked_at=END + since, settle_after=wait)

    assert (found is None) == (since >= wait)


@FIXED
@given(since=distances, wait=waits)
def test_the_next_look_is_later_and_not_too_late(since: timedelta, wait: timedelta) -> None:
    """A day that is open is looked at again later, and no later than when that look settles it."""
    found = next_look(day_end=END, asked_at=END + since, settle_after=wait)

    assert found is None or END + since < found <= END + wait


@FIXED
@given(since=distances, wait=waits)
def test_few_looks_settle_a_day(since: timedelta, wait: timedelta) -> None:
    """Asked whenever it is due, a day that is over is settled within a few looks: they grow apart."""
    at = END + max(since, timedelta(0))
    looks = 0
    while (following := next_look(day_end=END, asked_at=at, settle_after=wait)) is not None:
        at, looks = following, looks + 1

    assert looks <= 12
    assert at >= END + wait


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (-5 * HOUR, -5 * HOUR + 5 * MINUTE),  # the running day: when the next row can exist
        (-2 * MINUTE, timedelta(0)),  # its end comes first
        (timedelta(0), 24 * HOUR),
        (5 * MINUTE, 24 * HOUR),
        (23 * HOUR, 24 * HOUR),
        (24 * HOUR, 72 * HOUR),
        (71 * HOUR, 72 * HOUR),
        (72 * HOUR, None),
        (400 * HOUR, None),
    ],
)
def test_looks_by_hand(asked: timedelta, expected: timedelta | None) -> None:
    """A running day is asked every five minutes, a past one a day and three days after its end."""
    found = next_look(day_end=END, asked_at=END + asked, settle_after=SETTLE)

    assert found == (None if expected is None else END + expected)


@FIXED
@given(since=st.timedeltas(timedelta(days=-1), timedelta(0)), ahead=st.timedeltas(-2 * HOUR, 30 * HOUR))
def test_a_running_day_waits_for_its_next_row(since: timedelta, ahead: timedelta) -> None:
    """A running day is due when its next row can exist, not within half a minute, and at its end at the latest."""
    asked = END + since
    found = next_look(day_end=END, asked_at=asked, settle_after=SETTLE, next_row=asked + ahead)

    assert since == timedelta(0) or found == min(asked + max(ahead, timedelta(seconds=30)), END)


def test_failures_wait_longer_and_longer() -> None:
    """A failed day is due again after a quarter of an hour, then twice that, at most a day."""
    minutes = [(next_try(failed_at=END, attempts=n) - END) / MINUTE for n in range(1, 10)]

    assert minutes == [15, 30, 60, 120, 240, 480, 960, 1440, 1440]


@FIXED
@given(attempts=st.integers(-5, 10**6))
def test_any_number_of_failures_has_a_next_try(attempts: int) -> None:
    """However often it failed, a day is due again within a day, and not at once."""
    assert 15 * MINUTE <= next_try(failed_at=END, attempts=attempts) - END <= 24 * HOUR
