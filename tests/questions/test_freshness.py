"""How fresh live data can be: the estimate, and a simulated day that bears it out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_day import simulate

from harvester.questions.freshness import LiveSeries, hold


def test_a_budget_with_room_gives_one_request_an_interval() -> None:
    """A hundred plants at five minutes: 288 requests a day each, at most the lag and one interval old."""
    found = hold([LiveSeries(5, 60)] * 100, daily_requests=1000, requests=1000, window_seconds=300)

    assert found.live_requests == 28_800
    assert found.turn_seconds == 300
    assert found.p50_seconds == pytest.approx(60 + 150, abs=10)
    assert found.p95_seconds == pytest.approx(60 + 285, abs=10)
    assert found.share == pytest.approx((28_800 + 1000) / 288_000, abs=0.001)


def test_a_tight_budget_makes_series_take_turns() -> None:
    """Twice as many series as the budget has requests: everybody is asked every other interval."""
    found = hold([LiveSeries(5, 60)] * 200, daily_requests=0, requests=100, window_seconds=300)

    assert found.turn_seconds == 600
    assert found.p95_seconds == pytest.approx(60 + 300 + 600, rel=0.2)
    assert found.share == 1.0


def test_without_a_known_budget_nothing_is_limited() -> None:
    """No share is claimed of a budget that nobody knows."""
    found = hold([LiveSeries(15)] * 10, daily_requests=5, requests=None, window_seconds=300)

    assert found.share is None
    assert found.turn_seconds == 900


@given(
    series=st.lists(
        st.builds(LiveSeries, minutes=st.sampled_from([1, 5, 15, 60]), lag=st.none() | st.integers(0, 9000))
    ),
    daily=st.integers(0, 10_000),
    requests=st.none() | st.integers(1, 5000),
)
def test_the_estimate_is_sound(series: list[LiveSeries], daily: int, requests: int | None) -> None:
    """Half is never older than 95 %; a larger budget never makes anything older."""
    found = hold(series, daily_requests=daily, requests=requests, window_seconds=300)
    richer = hold(series, daily_requests=daily, requests=None if requests is None else 2 * requests, window_seconds=300)

    assert 0 <= found.p50_seconds <= found.p95_seconds
    assert richer.p95_seconds <= found.p95_seconds
    assert found.live_requests <= sum(86_400 / (60 * each.minutes) for each in series) + 1


@pytest.mark.parametrize(("requests", "most_wasted"), [(1000, 0.12), (120, 0.12), (60, 0.05)])
def test_a_day_of_a_hundred_plants_is_as_fresh_as_the_plan_says(requests: int, most_wasted: float) -> None:
    """Simulated with lags that nobody tells the harvester: p95 within a third of the estimate, few calls in vain."""
    day = simulate(plants=100, requests=requests)

    assert day.p95_seconds <= 1.35 * day.estimate_p95_seconds
    assert day.wasted <= most_wasted * day.calls
    assert day.calls <= requests * 288
