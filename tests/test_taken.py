"""What an answer tells of its series: the lag is learned from what could bring the next row, and from nothing else."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from harvester import live
from harvester.lake.decode import DayCount
from harvester.model import Payload, Period, Series, Slice
from harvester.state.inventory import KnownSeries
from harvester.taken import Taken

BERLIN = ZoneInfo("Europe/Berlin")
SERIES = Series(plant_id="1", set="EnergyBalance")
TODAY = date(2026, 6, 10)
NEWEST = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
LAG = 600


def taken(
    *, days: tuple[date, ...], newest: datetime, asked_at: datetime, lag: int = LAG, before: datetime = NEWEST
) -> Taken:
    """Return an answer about *days* that held a row until *newest*, of a series with a row until *before*."""
    period = Period.DAY if len(days) == 1 else Period.WEEK
    piece = Slice(series=SERIES, period=period, date=days[0], days=days)
    known = KnownSeries(series=SERIES, series_id=7, part=0, minutes=5, newest=before, lag=lag)
    held = [DayCount(piece, days[-1], 288, 5, newest)]
    return Taken(Payload(slice=piece, body=b"", asked_at=asked_at), held, known)


def lag_of(answer: Taken) -> int | None:
    """Return the lag that is learned of it."""
    learned = answer.learned(BERLIN)
    assert learned is not None
    return learned.lag


def test_answers_about_other_days_teach_no_lag() -> None:
    """Weeks of the past are asked beside live data, again and again: that no new row comes with them means nothing."""
    week = tuple(TODAY - timedelta(days=n) for n in range(20, 13, -1))
    asked_at = NEWEST + timedelta(minutes=20)

    assert lag_of(taken(days=week, newest=datetime(2026, 5, 28, 22, tzinfo=UTC), asked_at=asked_at)) is None
    yesterday = (TODAY - timedelta(days=1),)
    assert lag_of(taken(days=yesterday, newest=datetime(2026, 6, 9, 22, tzinfo=UTC), asked_at=asked_at)) is None


def test_a_row_that_did_not_come_makes_the_lag_longer() -> None:
    """Asked for the running day, alone or within a Week."""
    asked_at = NEWEST + timedelta(minutes=15)
    week = tuple(TODAY - timedelta(days=n) for n in range(6, -1, -1))

    assert lag_of(taken(days=(TODAY,), newest=NEWEST, asked_at=asked_at)) == 750
    assert lag_of(taken(days=week, newest=NEWEST, asked_at=asked_at)) == 750


def test_the_row_after_midnight_is_the_next_day_s() -> None:
    """A series whose newest row ends the day learns from the next one alone."""
    midnight = datetime(2026, 6, 10, 22, 0, tzinfo=UTC)
    asked_at = midnight + timedelta(minutes=15)
    tomorrow = (TODAY + timedelta(days=1),)

    assert lag_of(taken(days=(TODAY,), newest=midnight, asked_at=asked_at, before=midnight)) is None
    came = midnight + timedelta(minutes=5)
    assert lag_of(taken(days=tomorrow, newest=came, asked_at=asked_at, before=midnight)) == 588


@pytest.mark.parametrize("lag", [live.MOST_LAG, 4000])
def test_a_lag_that_is_too_long_is_soon_forgotten(lag: int) -> None:
    """No lag is longer than the age of the newest row that was served: within a few answers it is near the true one."""
    asked_at, before = NEWEST, NEWEST - timedelta(minutes=5, seconds=lag)
    for _ in range(6):
        newest = asked_at - timedelta(seconds=400)
        found = lag_of(taken(days=(TODAY,), newest=newest, asked_at=asked_at, lag=lag, before=before))
        assert found is not None
        lag, before = found, newest
        asked_at = newest + timedelta(minutes=5, seconds=lag)

    assert 350 <= lag <= 400
