"""Plant-local days as grids of UTC intervals, from the tzdata package alone, never the system's files."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

GERMANY = ("DE", 51.2, 9.9)
"""Country, latitude, longitude of a zone that has no place, such as Etc/UTC."""


@cache
def zone(name: str) -> ZoneInfo:
    """Return the zone of that IANA name; ValueError when tzdata has none."""
    path = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error


@cache
def place(name: str) -> tuple[str, float, float]:
    """Return country code, latitude and longitude (degrees) of a zone's chief town, after its zone.tab."""
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    for line in table.splitlines():
        country, coordinates, zone_name, *_ = (*line.split("\t"), "", "", "")
        if zone_name == name and not line.startswith("#"):
            cut = max(coordinates.rfind("+"), coordinates.rfind("-"))
            return country, _degrees(coordinates[:cut], 2), _degrees(coordinates[cut:], 3)
    return GERMANY


def _degrees(text: str, width: int) -> float:
    """Read ISO 6709 ±DDMM[SS] or ±DDDMM[SS]."""
    digits = text[1:]
    minutes = float(digits[width : width + 2]) + float(digits[width + 2 :] or 0) / 60
    return (1 if text[0] == "+" else -1) * (float(digits[:width]) + minutes / 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The measuring intervals of one plant-local day, in order."""

    day: date
    minutes: int
    """Length of an interval."""
    starts: tuple[int, ...]
    """Interval starts, seconds since 1970 UTC."""
    stamps: tuple[str, ...]
    """Interval ENDS as the API writes them: plant-local wall clock without offset."""
    hours: tuple[float, ...]
    """Wall clock at the middle of the interval, hours since local midnight."""
    second_pass: frozenset[int]
    """Positions whose stamp lies in the second pass of a repeated hour."""

    @property
    def end(self) -> int:
        """End of the day, seconds since 1970 UTC."""
        return self.starts[-1] + self.minutes * 60 if self.starts else 0


@lru_cache(maxsize=512)
def grid(zone_name: str, day: date, minutes: int) -> Grid:
    """Return the grid of a plant-local day: 288 intervals of 5 min, 276 and 300 on Berlin's clock changes."""
    there = zone(zone_name)
    starts = tuple(range(midnight(zone_name, day), midnight(zone_name, day + timedelta(days=1)), minutes * 60))
    ends = [datetime.fromtimestamp(start + minutes * 60, there) for start in starts]
    middles = [datetime.fromtimestamp(start + minutes * 30, there) for start in starts]
    return Grid(
        day=day,
        minutes=minutes,
        starts=starts,
        stamps=tuple(end.replace(tzinfo=None).isoformat() for end in ends),
        hours=tuple(middle.hour + middle.minute / 60 + middle.second / 3600 for middle in middles),
        second_pass=frozenset(position for position, end in enumerate(ends) if end.fold),
    )


@lru_cache(maxsize=8192)
def midnight(zone_name: str, day: date) -> int:
    """Return when the local day begins, in seconds since 1970 UTC (where midnight is skipped: at the gap)."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone(zone_name)).timestamp())


def wall_clock(zone_name: str, instant: int) -> datetime:
    """Return the naive local time of an instant given in seconds since 1970 UTC."""
    return datetime.fromtimestamp(instant, zone(zone_name)).replace(tzinfo=None, fold=0)


def utc_now() -> datetime:
    """Return the real present, aware, in UTC."""
    return datetime.now(UTC)
