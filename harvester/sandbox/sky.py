"""Sun and clouds over one place for one day: what falls onto the modules, and how warm it is."""

import math
from dataclasses import dataclass
from datetime import date

from harvester.sandbox.chance import dice
from harvester.sandbox.zones import Grid

J2000 = 946_728_000
"""2000-01-01T12:00Z in seconds since 1970, the epoch of the almanac's formulae."""


DUSK = 0.01
"""Sine of the sun's height below which nothing is generated."""


def sun_angles(start: int, longitude: float) -> tuple[float, float]:
    """Return declination and hour angle (radians) at an instant, after the Almanac's short formulae."""
    days = (start - J2000) / 86_400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    mean = 280.459 + 0.98564736 * days
    ecliptic = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439)
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians((18.697374558 + 24.06570982441908 * days) * 15 + longitude)
    return declination, sidereal - ascension


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where the modules are and how they lie, degrees."""

    latitude: float
    longitude: float
    azimuth: float
    """Compass; 180 is south."""
    slope: float
    """From the horizontal."""


def insolation(grid: Grid, transparency: list[float], plane: Plane) -> list[float]:
    """Return W/m² on the modules at the middle of each interval."""
    step = grid.minutes * 60
    noon = (grid.starts[0] + grid.end) // 2
    declination, noon_angle = sun_angles(noon, plane.longitude)
    phi, beta, gamma = (
        math.radians(plane.latitude),
        math.radians(plane.slope),
        math.radians(plane.azimuth - 180),
    )
    sin_d, cos_d, sin_p, cos_p = math.sin(declination), math.cos(declination), math.sin(phi), math.cos(phi)
    # cosine of the angle of incidence, Duffie and Beckman 1.6.2, sorted by powers of the hour angle
    flat = sin_d * (sin_p * math.cos(beta) - cos_p * math.sin(beta) * math.cos(gamma))
    by_cos = cos_d * (cos_p * math.cos(beta) + sin_p * math.sin(beta) * math.cos(gamma))
    by_sin = cos_d * math.sin(beta) * math.sin(gamma)
    high, swing = sin_d * sin_p, cos_d * cos_p
    cos, sin, exp = math.cos, math.sin, math.exp
    first = noon_angle + (grid.starts[0] + step / 2 - noon) * math.tau / 86_400
    turn = step * math.tau / 86_400
    result = []
    for position, clear in enumerate(transparency):
        angle = first + position * turn
        height = high + swing * cos(angle)
        if height <= DUSK:
            result.append(0.0)
            continue
        beam = 1000 * exp(-0.13 / (height + 0.05))
        incidence = flat + by_cos * cos(angle) + by_sin * sin(angle)
        direct = beam * incidence * clear if incidence > 0 else 0.0
        result.append(direct + (60 + 60 * height) * min(1.0, 5 * height) + 0.25 * beam * height * (1 - clear))
    return result


def clouds(seed: int, zone_name: str, grid: Grid, plant: str, latitude: float) -> list[float]:
    """Return the sky's transparency 0-1 for each interval; plants of one zone share the kind of day."""
    gloom = 0.30 - 0.18 * summerliness(grid.day, latitude)
    kind = dice(seed, "weather", zone_name, grid.day).random()
    rng = dice(seed, "clouds", plant, grid.day)
    chance, uniform = rng.random, rng.uniform
    if kind < gloom:
        low, high, change = 0.02, 0.25, 0.04
    elif kind < gloom + 0.35:
        low, high, change = 0.05, 1.0, 0.22
    else:
        low, high, change = 0.88, 1.0, 0.03
    target = level = uniform(low, high)
    pull = min(1.0, 0.35 * grid.minutes / 5)
    result = []
    for _ in grid.starts:
        if chance() < change:
            target = uniform(low, high)
        level += pull * (target - level) + 0.03 * (chance() - 0.5) * (high - low)
        result.append(min(1.0, max(0.0, level)))
    return result


def summerliness(day: date, latitude: float) -> float:
    """Return -1 in the depth of the local winter and 1 at the height of the local summer."""
    wave = math.cos(math.tau * (day.timetuple().tm_yday - 196) / 365.25)
    return wave if latitude >= 0 else -wave


def ambient(seed: int, plant: str, grid: Grid, latitude: float, light: list[float]) -> list[float]:
    """Return the air temperature in °C for each interval: season, hour of the day, and a little sun."""
    mean = 27 - 0.35 * abs(latitude) + 0.2 * abs(latitude) * summerliness(grid.day, latitude)
    mean += dice(seed, "temperature", plant, grid.day).uniform(-4, 4)
    return [
        mean - 4.5 * math.cos(math.tau * (hour - 3.5) / 24) + watts / 400
        for hour, watts in zip(grid.hours, light, strict=True)
    ]
