"""The sun over a place."""

import math
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from harvester.sandbox.sky import Plane, clouds, insolation, summerliness, sun_angles
from harvester.sandbox.zones import grid


@pytest.mark.parametrize(
    ("day", "declination"), [((2024, 6, 20), 23.44), ((2024, 12, 21), -23.44), ((2024, 3, 20), 0.0)]
)
def test_declination(day: tuple[int, int, int], declination: float) -> None:
    """At solstices and equinoxes the sun stands where the almanac says."""
    found, _ = sun_angles(int(datetime(*day, 12, tzinfo=UTC).timestamp()), 0.0)

    assert math.degrees(found) == pytest.approx(declination, abs=0.2)


def test_noon_is_when_the_hour_angle_is_zero() -> None:
    """At Greenwich the sun is due south within a quarter of an hour of 12:00 UTC, by the equation of time."""
    _, angle = sun_angles(int(datetime(2024, 11, 3, 12, tzinfo=UTC).timestamp()), 0.0)
    minutes = (math.degrees(angle) + 180) % 360 - 180

    assert minutes * 4 == pytest.approx(16.4, abs=0.5)


def test_light_falls_by_day_alone() -> None:
    """A clear summer day has no light at night, a smooth rise, a peak under 1200 W/m² near noon."""
    day = grid("Europe/Berlin", date(2024, 6, 20), 5)
    plane = Plane(latitude=52.5, longitude=13.4, azimuth=180, slope=30)
    light = insolation(day, [1.0] * 288, plane)
    peak = light.index(max(light))

    assert light[0] == light[30] == light[-1] == 0
    assert 900 < max(light) < 1200
    assert 12.7 < day.hours[peak] < 13.5
    assert all(b >= a for a, b in pairwise(light[60:peak]))


def test_east_roofs_peak_before_west_roofs() -> None:
    """Azimuth counts clockwise from north."""
    day = grid("Europe/Berlin", date(2024, 6, 20), 5)
    east, west = (
        insolation(day, [1.0] * 288, Plane(latitude=52.5, longitude=13.4, azimuth=azimuth, slope=40))
        for azimuth in (90, 270)
    )

    assert east.index(max(east)) + 30 < west.index(max(west))


def test_southern_summers_are_in_january() -> None:
    """The season turns with the hemisphere."""
    assert summerliness(date(2024, 1, 15), 52) < -0.9
    assert summerliness(date(2024, 1, 15), -33) > 0.9


def test_clouds_stay_between_none_and_all() -> None:
    """Transparency lies between 0 and 1 and depends on seed, place and day alone."""
    day = grid("Europe/Berlin", date(2024, 6, 20), 5)
    skies = [clouds(seed, "Europe/Berlin", day, "plant-0", 52) for seed in (1, 1, 2)]

    assert skies[0] == skies[1] != skies[2]
    assert all(0 <= level <= 1 for sky in skies for level in sky)
