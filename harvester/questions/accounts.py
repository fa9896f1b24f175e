"""Whether two accounts of the same energy agree: ours from powers and SMA's of a day, days and SMA's month. Pure.

Sums do not close between SMA's levels: in a published week seven intraday sums differ from the Month rows by up to
14 Wh and 9 %, while 31 Month rows add up exactly to the Year row. So a day is held against an absolute and a relative
tolerance together, a month against half a Wh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from harvester.lake.energy import Energy


class Verdict(StrEnum):
    """What a difference beyond the tolerance means."""

    DIFFERS = "differs"
    PROVISIONAL = "provisional"
    """SMA's sum was read while its period ran, or before the rows that it is compared with last changed."""
    INCOMPLETE = "incomplete"
    """Rows, or days, are missing on our side."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two sums may lie apart: a difference must be beyond both limits to count."""

    absolute: float
    """Wh."""
    relative: float
    """Share of SMA's sum."""

    def allows(self, ours: float, theirs: float) -> bool:
        """Tell whether two sums in Wh agree."""
        return abs(ours - theirs) <= max(self.absolute, self.relative * abs(theirs))


OF_A_DAY = Tolerance(absolute=15.0, relative=0.02)
OF_A_MONTH = Tolerance(absolute=0.5, relative=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One channel of one plant and day, or month, on which two accounts do not agree."""

    of: str
    """``day`` or ``month``."""
    plant_id: str
    start: date
    channel: str
    ours: float
    """Wh, from powers; of a month, SMA's days added up."""
    theirs: float
    """Wh, as SMA sums it up."""
    verdict: Verdict

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, energies in Wh."""
        return {
            "of": self.of,
            "plant_id": self.plant_id,
            "start": self.start.isoformat(),
            "channel": self.channel,
            "ours_wh": round(self.ours, 3),
            "sma_wh": round(self.theirs, 3),
            "difference_wh": round(self.ours - self.theirs, 3),
            "share": round((self.ours - self.theirs) / self.theirs, 4) if self.theirs else None,
            "verdict": self.verdict.value,
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of comparing two accounts."""

    differences: tuple[Difference, ...] = ()
    missing: tuple[str, ...] = ()
    """Why something could not be compared; each reason in words."""
    done: bool = True
    """Whether anything was compared."""


def compare_day(
    ours: Energy | None, theirs: Energy | None, *, length: int, read_at: datetime | None, tolerance: Tolerance
) -> Compared:
    """Compare a day's powers with SMA's sum.

    *length* is that of the day in minutes; *read_at* is when SMA's sums of its month last brought news.
    """
    if ours is None or theirs is None:
        return Compared(missing=(_absent(ours, theirs, "row", "its Month"),), done=False)
    if ours.minutes is None:
        return Compared(missing=("some of its rows do not tell how long their interval is",), done=False)
    verdict = Verdict.DIFFERS
    if theirs.provisional or (read_at is not None and read_at < ours.changed_at):
        verdict = Verdict.PROVISIONAL
    elif ours.minutes < length:
        verdict = Verdict.INCOMPLETE
    return _compare("day", ours.wh, theirs, tolerance, verdict)


def compare_month(days: Sequence[Energy], theirs: Energy | None, *, length: int, read_at: datetime | None) -> Compared:
    """Compare SMA's sums of the days of a month with its sum of the month.

    *length* is the number of its days, from the plant's start-up on; *read_at* is when its Year last brought news.
    """
    if not days or theirs is None:
        return Compared(missing=(_absent(days or None, theirs, "sum of a day", "its Year"),), done=False)
    verdict = Verdict.DIFFERS
    newest = max(day.changed_at for day in days)
    if theirs.provisional or any(day.provisional for day in days) or (read_at is not None and read_at < newest):
        verdict = Verdict.PROVISIONAL
    elif len(days) < length:
        verdict = Verdict.INCOMPLETE
    channels = dict.fromkeys(channel for day in days for channel in day.wh)
    ours = {channel: math.fsum(day.wh.get(channel, 0.0) for day in days) for channel in channels}
    return _compare("month", ours, theirs, OF_A_MONTH, verdict)


def _compare(of: str, ours: Mapping[str, float], theirs: Energy, tolerance: Tolerance, verdict: Verdict) -> Compared:
    differences = [
        Difference(
            of=of,
            plant_id=theirs.plant_id,
            start=theirs.start,
            channel=channel,
            ours=value,
            theirs=theirs.wh[channel],
            verdict=verdict,
        )
        for channel, value in ours.items()
        if channel in theirs.wh and not tolerance.allows(value, theirs.wh[channel])
    ]
    missing = [f"SMA's sum lacks {channel}" for channel in ours if channel not in theirs.wh]
    missing += [f"only SMA's sum has {channel}" for channel in theirs.wh if channel not in ours]
    return Compared(tuple(differences), tuple(missing))


def _absent(ours: object | None, theirs: object | None, row: str, answer: str) -> str:
    if ours is None and theirs is None:
        return "nothing of it is in the lake"
    return f"no {row} is in the lake" if ours is None else f"SMA's sum is not in the lake: {answer} brought none"
