"""How many rows of a series and day are plausible, and why. Pure.

Real days lack single rows for ever, so no count is demanded: a day is a *hole* when less than half of what is
plausible came. Plausible is the least of what the day has room for (daylight only, for sets without night rows),
what the series usually has, and what its siblings had that day. It is never "288".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from harvester.catalog import ENERGY_AND_POWER_PV, ENERGY_DC, GRID_SETTINGS, POWER_AC, POWER_DC, SETS

HOLE = 0.5
"""A day with less than this share of its plausible rows is a hole."""
LEAST = 4
"""So few plausible rows prove nothing."""

_DAYLIGHT = frozenset({ENERGY_AND_POWER_PV.name})
"""Sets that never have a row while the sun is down."""
_MAY_SLEEP = frozenset({POWER_AC.name, POWER_DC.name, ENERGY_DC.name}) | _DAYLIGHT
"""Sets of devices that may sleep at night."""
_EVENTS = frozenset({GRID_SETTINGS.name})
"""Sets whose rows are events: none is as plausible as many."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """The same measurement set of another plant or device on the same day."""

    rows: int
    usual: int | None
    """Median rows of its days around; None where there are none to compare with."""

    @property
    def share(self) -> float | None:
        """Return its rows as a share of its usual ones, 1 at the most."""
        return min(self.rows / self.usual, 1.0) if self.usual else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the rows of one series and day are judged by."""

    set: str
    minutes: int | None
    """Length of the series' intervals; None for point samples, and while no row has come."""
    length: timedelta
    """Of the plant-local day: 23 to 25 h."""
    daylight: timedelta | None
    """How long the sun shone; None where the plant's place is not known."""
    lived: bool = True
    """Whether the series had its first row on this day or before it."""
    usual: int | None = None
    """What the series has on the days around, as `usual` says."""
    siblings: Sequence[Sibling] = ()
    kin: str = "at the plant"
    """Where the siblings are, in words."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """How many rows are plausible, and by what."""

    rows: int
    basis: str
    """What decided, without figures: the same for days that are alike."""
    excused: bool = False
    """Whether a cause outside of the series explains fewer rows, however few."""


@dataclass(frozen=True, slots=True)
class Content:
    """The rows of one series and day, and what they are worth."""

    received: int
    plausible: Plausible

    @property
    def hole(self) -> bool:
        """Tell whether implausibly few rows came."""
        expected = self.plausible
        return not expected.excused and expected.rows >= LEAST and self.received < HOLE * expected.rows

    @property
    def why(self) -> str:
        """Return the judgement in words."""
        if not self.plausible.rows:
            return f"{self.received:,} rows; {self.plausible.basis}"
        return f"{self.received:,} rows where about {self.plausible.rows:,} are plausible: {self.plausible.basis}"


def usual(around: Sequence[int]) -> int | None:
    """Return the median of the rows of the days *around*; None without any day, or where most are empty."""
    return round(_median(around)) or None if around else None


def _median(values: Sequence[int]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def plausible(known: Evidence) -> Plausible:
    """Return how many rows are plausible for a series and day, by what is *known*; 0 where nothing is demanded."""
    if known.set in _EVENTS:
        return Plausible(0, "its rows are events, of which a day may have none")
    if not known.lived:
        return Plausible(0, "the series had no row before")
    bounds = [room] if (room := _room(known)) else []
    expected = _expected(known)
    if expected is None:
        return _without_comparison(known, bounds)
    return replace(min([expected, *bounds], key=lambda bound: bound.rows), excused=expected.excused)


def _room(known: Evidence) -> Plausible | None:
    """Return how many intervals the day has room for; None for point samples."""
    if not known.minutes:
        return None
    interval = timedelta(minutes=known.minutes)
    if known.set in _DAYLIGHT and known.daylight is not None:
        return Plausible(_intervals(min(known.daylight, known.length), interval), "no more fit in the daylight")
    return Plausible(_intervals(known.length, interval), "no more fit in the day")


def _intervals(span: timedelta, interval: timedelta) -> int:
    return -(-span // interval)


def _expected(known: Evidence) -> Plausible | None:
    """Return what the series' own days and its siblings let expect; None where there is nothing to compare with."""
    own = known.usual
    shares = [share for sibling in known.siblings if (share := sibling.share) is not None]
    if own is not None and shares:
        best = max(shares)
        if best < HOLE:
            cause = f"all others of the set {known.kin} had few rows that day, too"
            return Plausible(round(own * best), cause, excused=True)
        return Plausible(round(own * best), f"what it has on the days around, as others of the set {known.kin} had")
    if own is not None:
        return Plausible(own, "what it has on the days around")
    if known.siblings:
        return Plausible(
            round(_median([sibling.rows for sibling in known.siblings])), f"what the same set {known.kin} had that day"
        )
    return None


def _without_comparison(known: Evidence, bounds: Sequence[Plausible]) -> Plausible:
    if not bounds or known.set not in SETS:
        return Plausible(0, "there is nothing to compare them with")
    if known.set in _MAY_SLEEP and known.daylight is not None and known.minutes:
        rows = _intervals(min(known.daylight, known.length), timedelta(minutes=known.minutes))
        return Plausible(rows, "what fits in the daylight; there is no other day or series to compare with")
    return Plausible(bounds[0].rows, "what fits in the day; there is no other day or series to compare with")
