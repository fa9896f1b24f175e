"""When the next row of a running day can exist."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from harvester import live

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@given(st.none() | st.integers(0, live.MOST_LAG), st.booleans())
def test_the_lag_stays_within_what_devices_need(lag: int | None, came: bool) -> None:  # noqa: FBT001 - drawn
    """A row that came makes it shorter, one that did not longer, three hours at most."""
    found = live.lag_after(lag, came=came)
    before = live.FIRST_LAG if lag is None else lag

    assert 0 <= found <= live.MOST_LAG
    assert found <= before if came else found >= before


@given(st.integers(30, 3600))
def test_the_lag_is_learned(true_lag: int) -> None:
    """After a day of asking it is near the true one, and few questions were in vain."""
    lag, vain = None, 0
    for _ in range(288):
        while (live.FIRST_LAG if lag is None else lag) < true_lag:
            lag, vain = live.lag_after(lag, came=False), vain + 1
        lag = live.lag_after(lag, came=True)

    assert vain <= 288
    assert lag is not None
    assert 0.85 * true_lag - 1 <= lag <= 1.3 * true_lag + 30


@given(
    st.timedeltas(timedelta(), timedelta(days=40)), st.sampled_from([1, 5, 15, 60]), st.none() | st.integers(0, 9000)
)
def test_the_next_question_is_ahead_and_silence_is_not_chased(
    silence: timedelta, minutes: int, lag: int | None
) -> None:
    """Never at once, never after more than an interval, its lag, and an hour."""
    asked_at = NOW + silence
    found = live.next_row_at(NOW, minutes, lag, asked_at)

    assert found > asked_at
    assert found <= asked_at + timedelta(minutes=minutes, seconds=live.FIRST_LAG if lag is None else lag, hours=1)
