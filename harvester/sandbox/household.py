"""What the people behind the meter use: base load, habits, appliances, and a car that is charged."""

import math
from datetime import date

from harvester.sandbox.chance import dice
from harvester.sandbox.zones import Grid

HOME = ((7.2, 0.9, 1.3), (12.6, 1.0, 1.0), (19.6, 1.8, 2.2))
"""A home's habits on a working day: hour, width in hours, height in multiples of the base load."""

TRADE = ((9.5, 1.8, 2.6), (14.2, 2.2, 3.0))
"""A workshop's habits on a working day; the same triples."""
WEEKEND = (5, 6)
FADED = 3
"""So many widths from its peak a habit is over."""


def consumption(seed: int, plant: str, grid: Grid, *, watts: float, trade: bool) -> list[float]:
    """Return the mean power in W of each interval for a base load of that many watts, without the car."""
    rng = dice(seed, "household", plant, grid.day)
    chance = rng.random
    weekend = is_weekend(grid.day)
    strength = (0.25 if trade else 1.25) if weekend else 1.0
    habits = [
        (hour + rng.uniform(-0.7, 0.7), width, strength * height * rng.uniform(0.7, 1.3))
        for hour, width, height in (TRADE if trade else HOME)
    ]
    result = [watts * (0.85 + 0.3 * chance()) for _ in grid.starts]
    for peak, width, height in habits:
        for position, hour in enumerate(grid.hours):
            away = (hour - peak) / width
            if abs(away) < FADED:
                result[position] += watts * height * math.exp(-away * away) * (0.8 + 0.4 * chance())
    for _ in range(rng.randint(2, 6)):
        _switch_on(result, grid, rng.uniform(6, 21.5), rng.uniform(0.25, 1.5), watts * rng.uniform(2, 8))
    return result


def car(seed: int, charger: str, grid: Grid, watts: float) -> list[float]:
    """Return the mean power in W that a charging station of that rating draws in each interval."""
    result = [0.0] * len(grid.starts)
    rng = dice(seed, "car", charger, grid.day)
    if rng.random() < (0.35 if is_weekend(grid.day) else 0.6):
        _switch_on(result, grid, rng.uniform(16, 20), rng.uniform(0.7, 3.5), watts)
    return result


def is_weekend(day: date) -> bool:
    """Say whether people stay at home."""
    return day.weekday() in WEEKEND


def _switch_on(power: list[float], grid: Grid, hour: float, hours: float, watts: float) -> None:
    """Add a load between two wall clock hours; on a repeated hour it runs in both passes."""
    last = hour + hours
    for position, clock in enumerate(grid.hours):
        if hour <= clock < last:
            power[position] += watts
