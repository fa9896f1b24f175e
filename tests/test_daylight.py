"""How long the sun shines: against the sun's own height, at the poles, and through the year."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import clock
from harvester.daylight import daylight, sun_is_up

DAYS = st.dates(date(2000, 1, 1), date(2060, 12, 31))
ZONES = st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "UTC"])
STEP = timedelta(minutes=10)


def shone(latitude: float, longitude: float, day: date, zone: str) -> timedelta:
    """Return the daylight of a local day by looking up every ten minutes."""
    where = clock.zone(zone)
    start, end = clock.day_start(day, where), clock.day_end(day, where)
    moments = (start + STEP * n for n in range((end - start) // STEP))
    return STEP * sum(sun_is_up(latitude, longitude, moment) for moment in moments)


@given(latitude=st.floats(-58, 58), longitude=st.floats(-20, 40), day=DAYS)
def test_daylight_is_how_long_the_sun_is_up(latitude: float, longitude: float, day: date) -> None:
    """Within a quarter of an hour of counting every ten minutes."""
    assert abs(daylight(latitude, longitude, day, "UTC") - shone(latitude, longitude, day, "UTC")) <= STEP * 1.5


@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), day=DAYS, zone=ZONES)
def test_no_day_is_darker_than_night_or_longer_than_a_turn_of_the_earth(
    latitude: float, longitude: float, day: date, zone: str
) -> None:
    """Every place on every day: 0 to 24 hours, and never an error."""
    assert timedelta() <= daylight(latitude, longitude, day, zone) <= timedelta(hours=24)


@given(latitude=st.floats(0, 58), day=DAYS)
def test_what_the_north_gets_the_south_lacks(latitude: float, day: date) -> None:
    """Both together make a whole day, and the few minutes that the air and the sun's width add."""
    both = daylight(latitude, 10, day, "UTC") + daylight(-latitude, 10, day, "UTC")

    assert timedelta(hours=24) <= both <= timedelta(hours=24, minutes=40)


@pytest.mark.parametrize(
    ("latitude", "day", "hours"),
    [
        (69.65, date(2026, 6, 21), 24),
        (69.65, date(2026, 12, 21), 0),
        (-75.0, date(2026, 12, 21), 24),
        (90.0, date(2026, 6, 21), 24),
        (-90.0, date(2026, 6, 21), 0),
    ],
)
def test_polar_days_and_nights_have_no_sunrise(latitude: float, day: date, hours: int) -> None:
    """The midnight sun shines all day, the polar night has none."""
    assert daylight(latitude, 18.96, day, "Europe/Oslo") == timedelta(hours=hours)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_the_clock_moves_the_sun_by_nothing(day: date) -> None:
    """On the days of 23 and 25 hours the sun shines about as long as on the day before."""
    before = daylight(52.5, 13.4, day - timedelta(days=1), "Europe/Berlin")

    assert abs(daylight(52.5, 13.4, day, "Europe/Berlin") - before) < timedelta(minutes=6)


def test_the_sun_is_up_at_noon_and_down_at_midnight() -> None:
    """In Berlin at midsummer and at midwinter."""
    for month in (6, 12):
        assert sun_is_up(52.5, 13.4, datetime(2026, month, 21, 11, tzinfo=UTC))
        assert not sun_is_up(52.5, 13.4, datetime(2026, month, 21, 23, tzinfo=UTC))
