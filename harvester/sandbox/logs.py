"""The event log of a plant or device: a few entries a day (field names from the generated schema)."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from harvester.sandbox.chance import dice
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.zones import midnight, wall_clock

MESSAGES = (
    ("Info", 8100, "Communication established"),
    ("Info", 7320, "The device was successfully updated"),
    ("Warning", 3901, "Waiting for DC start conditions"),
    ("Warning", 501, "Grid frequency disturbance"),
    ("Error", 3501, "Insulation failure"),
)
LEVELS = ("info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What of the log is wanted."""

    first: date
    """First plant-local day."""
    last: date
    """Last plant-local day, inclusive."""
    level: str
    """Lowest level, lower case; an unknown one is read as info (assumption: not documented)."""
    until: float
    """The present, seconds since 1970 UTC."""


def entries(plant: Plant, device: Device | None, span: Span, seed: int) -> list[dict[str, Any]]:
    """Return the entries of the span, oldest first."""
    lowest = LEVELS.index(span.level) if span.level in LEVELS else 0
    found: list[dict[str, Any]] = []
    day = max(span.first, plant.start)
    while day <= span.last and midnight(plant.timezone, day) <= span.until:
        found += (
            entry
            for instant, entry in _day(plant, device, day, seed)
            if instant <= span.until and LEVELS.index(entry["level"].casefold()) >= lowest
        )
        day += timedelta(days=1)
    return found


def _day(plant: Plant, device: Device | None, day: date, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the entries of a plant-local day with their instants."""
    rng = dice(seed, "log", (device or plant).key, day)
    instants = sorted(midnight(plant.timezone, day) + rng.randrange(82_800) for _ in range(rng.randrange(4)))
    found = []
    for instant in instants:
        word, tag, message = MESSAGES[min(rng.randrange(8), rng.randrange(len(MESSAGES)))]
        entry = {
            "logId": str(rng.randrange(10**9)),
            "timestamp": wall_clock(plant.timezone, instant).isoformat(),
            "messageTagId": tag,
            "message": message,
            "level": word,
            "occurrence": "Occurred",
            "counter": 1,
            "plantId": plant.plant_id,
        }
        found.append((instant, entry | ({"deviceId": device.device_id} if device else {})))
    return found
