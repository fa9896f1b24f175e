"""The frozen values that travel between the rooms; no behaviour beyond themselves."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Where a measurement set is asked: of a plant as a whole or of one device."""

    PLANT = "plant"
    DEVICE = "device"


class Period(StrEnum):
    """The span one request covers; the spelling is the path segment of SMA's Monitoring API."""

    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"
    YEAR = "Year"
    TOTAL = "Total"

    @property
    def summed(self) -> bool:
        """Tell whether its rows are energies of days, months or years instead of intervals of a day."""
        return self in {Period.MONTH, Period.YEAR, Period.TOTAL}


EVER = dt.date(1970, 1, 1)
"""Stands where the first day of a `Total` is asked for: it covers whatever there is."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Which share of the lake's parts, and of the budget, a process takes: the *index*-th *of* so many."""

    index: int
    """From 1."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``2/3``; raises `ValueError`."""
        found = re.fullmatch(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})", text)
        if not found or int(found[1]) > int(found[2]):
            raise ValueError(f"{text!r} is no share; write the second of three as 2/3")
        return cls(int(found[1]), int(found[2]))

    @property
    def first(self) -> bool:
        """Tell whether it is the one that also does what is done once for all of them."""
        return self.index == 1

    @property
    def whole(self) -> bool:
        """Tell whether it is all there is."""
        return self.of == 1

    def takes(self, part: int) -> bool:
        """Tell whether *part* is one of its own."""
        return part % self.of == self.index - 1

    def every(self) -> list[Shard]:
        """Return all the shares that there are beside it, and itself."""
        return [Shard(index, self.of) for index in range(1, self.of + 1)]

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


WHOLE = Shard(1, 1)
"""What a process takes that is alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One PV plant as the API describes it."""

    plant_id: str
    """SMA's id: decimal digits (ennexOS) or a GUID (Classic)."""
    name: str
    timezone: str
    """IANA name of the zone whose wall clock the plant's stamps follow."""
    peak_power: float | None = None
    """Installed DC power in W, as delivered."""
    start_up: dt.datetime | None = None
    """Commissioning, aware UTC. SMA writes it without a zone although it is UTC."""
    latitude: float | None = None
    """Degrees north."""
    longitude: float | None = None
    """Degrees east."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a plant."""

    device_id: str
    """Unique among devices only: a device may carry the id of its plant."""
    plant_id: str
    name: str
    type: str | None = None
    """SMA's product family in words; informative, never branched on."""
    product: str | None = None
    product_id: int | None = None
    vendor: str | None = None
    serial: str | None = None
    """Not unique: the same serial can appear under two plants."""
    generator_power: float | None = None
    """Nominal power in W; PV inverters only."""
    is_active: bool = True
    deactivated_at: dt.datetime | None = None
    """Naive plant-local time from which the device delivers nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One measurement set of one plant or device: the unit of everything the ledger knows."""

    plant_id: str
    set: str
    device_id: str | None = None
    """None for a set of the plant as a whole."""

    @property
    def level(self) -> Level:
        """Plant or device."""
        return Level.PLANT if self.device_id is None else Level.DEVICE

    def __str__(self) -> str:
        owner = self.plant_id if self.device_id is None else f"{self.plant_id}/{self.device_id}"
        return f"{owner}/{self.set}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one request is about: a day, seven days, a calendar month, a calendar year, or all time."""

    period: Period
    start: dt.date
    """Plant-local day; of a Month and Year their first, of a Total `EVER`."""

    @property
    def asked(self) -> str:
        """The ``Date`` as SMA spells it: a day, 2026-10 for a month, 2026 for a year, nothing for Total."""
        match self.period:
            case Period.MONTH:
                return f"{self.start:%Y-%m}"
            case Period.YEAR:
                return f"{self.start:%Y}"
            case Period.TOTAL:
                return ""
        return self.start.isoformat()

    def __str__(self) -> str:
        return f"{self.period.value} {self.asked}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One request for values, and the days it is made for."""

    series: Series
    period: Period
    date: dt.date
    """The ``Date`` of the request, a plant-local day; of a Month and Year their first, of a Total `EVER`."""
    days: tuple[dt.date, ...]
    """Plant-local days that are due and that this request is hoped to cover, ascending; none where it asks sums."""

    @property
    def asked(self) -> str:
        """The ``Date`` as SMA spells it."""
        return self.stretch.asked

    @property
    def stretch(self) -> Stretch:
        """What it is about."""
        return Stretch(self.period, self.date)

    def __str__(self) -> str:
        return f"{self.series} {self.stretch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The undecoded answer to one slice."""

    slice: Slice
    body: bytes
    asked_at: dt.datetime
    """When the request began, aware UTC: what settles a day is a read begun late enough after it."""
    gzip: bytes | None = None
    """The body as it was sent, where that was one gzip member."""
    moved: tuple[str, str] | None = None
    """Old and new id, where SMA redirected the request to another one."""
