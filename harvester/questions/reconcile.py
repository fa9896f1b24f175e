"""Do the powers in the lake add up to the energies that SMA bills by? Reads the lake only, and spends no request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from harvester import clock, show
from harvester.config import Config
from harvester.errors import ConfigError, LakeError
from harvester.lake.energy import Energy, EnergyTables, PlantLife
from harvester.lake.lake import read_identity
from harvester.lake.layout import Places
from harvester.questions.accounts import Compared, Difference, Tolerance, Verdict, compare_day, compare_month
from harvester.report import INCOMPLETE, OK

_DAY = timedelta(days=1)
_MOST_LISTED = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reconciliation is about; raises `ConfigError` for days in the wrong order."""

    first: date
    """Plant-local day, inclusive; months are compared that it and *last* lie in, and those between."""
    last: date
    plants: frozenset[str]
    """None means all."""
    tolerance: Tolerance

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ConfigError(f"--from {self.first} is after --to {self.last}: give the earlier day first")

    def months(self) -> Iterator[date]:
        """Yield the first days of the months, ascending."""
        month = self.first.replace(day=1)
        while month <= self.last:
            yield month
            month = clock.month_after(month)

    def days(self, month: date) -> Iterator[date]:
        """Yield the days of *month* that are asked about."""
        first, last = max(self.first, month), min(self.last, clock.month_after(month) - _DAY)
        return (first + _DAY * n for n in range((last - first).days + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCompared:
    """Days or months of one plant, one after the other, that could not be compared, and why."""

    of: str
    plant_id: str
    first: date
    last: date
    reason: str

    def follows(self, other: NotCompared) -> bool:
        """Tell whether it goes on where *other* ends, for the same reason."""
        after = other.last + _DAY if self.of == "day" else clock.month_after(other.last)
        same = (self.of, self.plant_id, self.reason) == (other.of, other.plant_id, other.reason)
        return same and self.first == after

    def facts(self) -> dict[str, str]:
        """Return it as plain values."""
        of_days = {"from": self.first.isoformat(), "to": self.last.isoformat()}
        return {"of": self.of, "plant_id": self.plant_id, **of_days, "reason": self.reason}


@dataclass(slots=True)
class Findings:
    """What a reconciliation found."""

    compared: Counter[str] = field(default_factory=Counter)
    """Plant-days under ``day``, plant-months under ``month``."""
    differences: list[Difference] = field(default_factory=list)
    missing: list[NotCompared] = field(default_factory=list)

    def take(self, of: str, plant_id: str, start: date, found: Compared) -> None:
        """Add what came of one day or month."""
        self.compared[of] += found.done
        self.differences.extend(found.differences)
        for reason in found.missing:
            self.missing.append(NotCompared(of=of, plant_id=plant_id, first=start, last=start, reason=reason))

    def with_verdict(self, verdict: Verdict) -> list[Difference]:
        """Return the differences with *verdict*, by plant and start; days before months."""
        chosen = (d for d in self.differences if d.verdict is verdict)
        return sorted(chosen, key=lambda d: (d.of, d.plant_id, d.start))

    def not_compared(self) -> list[NotCompared]:
        """Return what could not be compared; days and months that follow each other for one reason are one."""
        joined: list[NotCompared] = []
        for each in sorted(self.missing, key=lambda m: (m.of, m.plant_id, m.reason, m.first)):
            if joined and each.follows(joined[-1]):
                joined[-1] = replace(joined[-1], last=each.last)
            else:
                joined.append(each)
        return joined

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, energies in Wh."""
        by_verdict = {v.value: [d.facts() for d in self.with_verdict(v)] for v in Verdict}
        compared = {"days": self.compared["day"], "months": self.compared["month"]}
        return {"compared": compared, **by_verdict, "not_compared": [m.facts() for m in self.not_compared()]}


def reconcile(config: Config, asked: Asked, *, check: bool, as_json: bool) -> int:
    """Compare the lake's accounts of energy, print what differs, and return the exit code; raises `LakeError`."""
    places = Places(config.lake.root)
    if read_identity(places) is None:
        raise LakeError(f"{places.root}: there is no lake yet. `harvester run` or `harvester backfill` makes it.")
    found = compare(EnergyTables(places), asked)
    if as_json:
        show.as_json({"from": asked.first.isoformat(), "to": asked.last.isoformat(), **found.facts()})
    else:
        _tell(found)
    return INCOMPLETE if check and found.with_verdict(Verdict.DIFFERS) else OK


def compare(tables: EnergyTables, asked: Asked) -> Findings:
    """Compare powers with days and days with months; raises `ConfigError` for a plant that the lake does not have."""
    plants = tables.plants()
    if unknown := asked.plants - plants.keys():
        raise ConfigError(f"the lake has no plant {', '.join(sorted(unknown))}; `harvester discover` lists them")
    wanted = {name: life for name, life in plants.items() if not asked.plants or name in asked.plants}
    found, seen = Findings(), set[tuple[str, date]]()
    for part in tables.parts:
        for month in asked.months():
            seen.update((name, month) for name in _compare_part(tables, part, month, asked, wanted, found))
    for name, life in wanted.items():
        for month in asked.months():
            if (name, month) not in seen:
                found.missing.extend(_nothing(name, life, asked, month))
    return found


def _compare_part(
    tables: EnergyTables, part: int, month: date, asked: Asked, wanted: Mapping[str, PlantLife], found: Findings
) -> set[str]:
    """Compare a month of the plants of one part, and return the plants that have something in it."""
    powers = _by_plant(tables.from_powers(part, month, asked.plants))
    days = _by_plant(tables.by_day(part, month, asked.plants))
    months = _by_plant(tables.by_month(part, month.replace(month=1), asked.plants))
    with_month = {name for name, sums in months.items() if month in sums}
    seen = (powers.keys() | days.keys() | with_month) & wanted.keys()
    for name in sorted(seen):
        born = start_of(wanted[name])
        sums, read_at = days.get(name, {}), _newest(days.get(name, {}))
        for day in asked.days(month):
            if day >= born:
                ours, length = powers.get(name, {}).get(day), _minutes(day, wanted[name])
                one = compare_day(ours, sums.get(day), length=length, read_at=read_at, tolerance=asked.tolerance)
                found.take("day", name, day, one)
        length = (clock.month_after(month) - max(month, born)).days
        year = months.get(name, {})
        whole = compare_month(list(sums.values()), year.get(month), length=length, read_at=_newest(year))
        found.take("month", name, month, whole)
    return seen


def _by_plant(energies: Iterable[Energy]) -> dict[str, dict[date, Energy]]:
    found: dict[str, dict[date, Energy]] = {}
    for energy in energies:
        found.setdefault(energy.plant_id, {})[energy.start] = energy
    return found


def _newest(sums: Mapping[date, Energy]) -> datetime | None:
    return max((each.changed_at for each in sums.values()), default=None)


def start_of(life: PlantLife) -> date:
    """Return the plant-local day of start-up; the first of all days where it is not known."""
    where = _zone(life)
    if life.start_up is None or where is None:
        return date.min
    return clock.local_day(life.start_up, where)


def _minutes(day: date, life: PlantLife) -> int:
    """Return how long *day* is at the plant; 0, so that no day is called incomplete, where its zone is not known."""
    where = _zone(life)
    return 0 if where is None else (clock.day_end(day, where) - clock.day_start(day, where)) // timedelta(minutes=1)


def _zone(life: PlantLife) -> tzinfo | None:
    try:
        return clock.zone(life.timezone)
    except clock.UnknownZone:
        return None


def _nothing(plant_id: str, life: PlantLife, asked: Asked, month: date) -> Iterator[NotCompared]:
    days = [day for day in asked.days(month) if day >= start_of(life)]
    if days:
        reason = compare_day(None, None, length=0, read_at=None, tolerance=asked.tolerance).missing[0]
        yield NotCompared(of="day", plant_id=plant_id, first=days[0], last=days[-1], reason=reason)
        yield NotCompared(of="month", plant_id=plant_id, first=month, last=month, reason=reason)


def _tell(found: Findings) -> None:
    heads = ["plant", "day", "channel", "intraday Wh", "SMA's Wh", "difference", "share"]
    for verdict, title in _TITLES.items():
        some = found.with_verdict(verdict)
        for of in ("day", "month"):
            rows = [_row(d) for d in some if d.of == of]
            if rows:
                named = heads if of == "day" else [heads[0], "month", heads[2], "days added up, Wh", *heads[4:]]
                show.table(f"{title}: {of}s", named, rows[:_MOST_LISTED])
                if len(rows) > _MOST_LISTED:
                    show.tell(f"  … and {len(rows) - _MOST_LISTED:,} more (--json lists all)")
    for each in found.not_compared()[:_MOST_LISTED]:
        span = str(each.first) if each.first == each.last else f"{each.first} to {each.last}"
        show.tell(f"Not compared: {each.of} {each.plant_id} {span}: {each.reason}")
    differing = len(found.with_verdict(Verdict.DIFFERS))
    days, months = found.compared["day"], found.compared["month"]
    show.tell(f"{days:,} plant-days and {months:,} plant-months compared; {differing:,} channels differ")


_TITLES = {
    Verdict.DIFFERS: "Beyond the tolerance",
    Verdict.PROVISIONAL: "Provisional, not counted",
    Verdict.INCOMPLETE: "Incomplete, not counted",
}


def _row(found: Difference) -> tuple[str, str, str, str, str, str, str]:
    facts = found.facts()
    start = facts["start"] if found.of == "day" else facts["start"][:7]
    share = "" if facts["share"] is None else f"{facts['share']:+.1%}"
    ours, theirs, apart = (f"{facts[name]:,.0f}" for name in ("ours_wh", "sma_wh", "difference_wh"))
    return found.plant_id, start, found.channel, ours, theirs, apart, share
