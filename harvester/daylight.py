"""How long the sun shines on a plant, and whether it is up. Pure; the only importer of astral.

The sun counts as up while its upper rim is above a flat horizon, refraction included. Degrees are north and east.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from math import acos, cos, pi, radians, sin

from astral import Observer
from astral.julian import julianday, julianday_to_juliancentury
from astral.sun import elevation, sun_declination

from harvester import clock

RIM = -0.833
"""Geometric height of the sun's centre in degrees at sunrise: half its width, and what the air bends."""
_WHOLE = timedelta(hours=24)


def daylight(latitude: float, longitude: float, day: date, zone: str) -> timedelta:
    """Return how long the sun is up on the plant-local *day*: 0 in the polar night, 24 h on the polar day.

    Right to some minutes, but for the few days on which a polar day or night begins. *zone* is an IANA name; raises
    `harvester.clock.UnknownZone`.
    """
    del longitude  # moves sunrise and sunset alike; the day is the zone's, whose noon is near enough
    return _length(latitude, day, clock.zone(zone))


def sun_is_up(latitude: float, longitude: float, instant: datetime) -> bool:
    """Tell whether the sun is up at the aware *instant*."""
    return elevation(Observer(latitude, longitude), instant, with_refraction=False) > RIM


@lru_cache(maxsize=8192)
def _length(latitude: float, day: date, where: tzinfo) -> timedelta:
    noon = clock.day_start(day, where) + _WHOLE / 2
    century = julianday_to_juliancentury(julianday(noon.replace(tzinfo=None)))
    height, north = radians(sun_declination(century)), radians(latitude)
    # the sun's hour angle at the rim; astral's own raises where the sun neither rises nor sets
    reach = cos(north) * cos(height)
    missing = sin(radians(RIM)) - sin(north) * sin(height)
    if abs(missing) >= reach:
        return _WHOLE if missing < 0 else timedelta()
    return _WHOLE * (acos(missing / reach) / pi)
