"""Why one series and day is as it is, in words: applicable or not, asked when, asked again when. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from harvester import clock
from harvester.clock import Change
from harvester.lake.passes import Passes
from harvester.plan import SpanOf, start_day
from harvester.questions.content import Content
from harvester.questions.survey import SeriesDays, Settlement, suspended, zone_of
from harvester.state.inventory import KnownPlant, KnownSeries
from harvester.state.ledger import OpenDay

_MINUTE = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says about asking."""

    span_of: SpanOf
    """What `run` asks of a plant and set by itself."""
    since: str
    """`harvest.since`, as configured."""
    settle_after: timedelta


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One plant-local day as a piece of UTC."""

    day: date
    zone: str
    start: datetime
    end: datetime
    """Aware UTC, half-open."""
    change: Change | None
    """A change of the clock on that day."""

    @classmethod
    def of(cls, day: date, known: KnownPlant) -> LocalDay:
        """Return *day* where the plant is."""
        where, midnight = zone_of(known.plant), datetime.combine(day, time())
        start, end = clock.day_start(day, where), clock.day_end(day, where)
        name = getattr(where, "key", "UTC")
        near = clock.changes(name, midnight, midnight + timedelta(days=1))
        inside = (c for c in near if start <= c.instant.replace(tzinfo=UTC) < end)
        return cls(day, known.plant.timezone, start, end, next(inside, None))

    @property
    def words(self) -> str:
        """Return it for a person."""
        hours = (self.end - self.start) / timedelta(hours=1)
        text = f"{self.day:%A} {self.day} in {self.zone}: {self.start:{_MINUTE}} to {self.end:{_MINUTE}}, {hours:g} h"
        if self.change is None:
            return text
        before, after = self.change.instant + self.change.before, self.change.instant + self.change.after
        way = "back" if self.change.repeats else "forward"
        return (
            f"{text}; at {self.change.instant:%H:%M} UTC the clock was set {way} from {before:%H:%M} to {after:%H:%M}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one series and day."""

    known: KnownSeries
    applicable: bool
    because: str
    """Why it is applicable, or why not."""
    settlement: Settlement
    asked_at: datetime | None
    """Begin of the last read that did not settle the day, aware UTC; a settled day keeps none."""
    content: Content | None
    next_at: datetime | None
    next_because: str
    failure: str | None = None
    attempts: int = 0
    repeated_hour: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, as ``--json`` prints it."""
        return {
            "level": self.known.series.level.value,
            "device_id": self.known.series.device_id,
            "set": self.known.series.set,
            "applicable": self.applicable,
            "because": self.because,
            "settlement": self.settlement.value if self.applicable else "not applicable",
            "asked_at": self.asked_at.isoformat() if self.asked_at else None,
            "rows_received": self.content.received if self.content else None,
            "rows_plausible": self.content.plausible.rows if self.content else None,
            "content": self.content.why if self.content else None,
            "hole": self.content is not None and self.content.hole,
            "next_at": self.next_at.isoformat() if self.next_at else None,
            "next_because": self.next_because,
            "failure": {"reason": self.failure, "attempts": self.attempts} if self.failure else None,
            "repeated_hour": self.repeated_hour,
        }


def told(each: SeriesDays, where: LocalDay, content: Content | None, rules: Rules, now: datetime) -> Story:
    """Return the story of *each* on one day, but for its repeated hour."""
    day, obstacle = where.day, next(_obstacles(each, where, now), None)
    open_day = each.days.open.get(day)
    settlement = each.settlement(day)
    next_at, because = (None, "it is not asked") if obstacle else _next(each, where, settlement, rules, now)
    failed = open_day if open_day is not None and open_day.failed else None
    return Story(
        known=each.subject.known,
        applicable=obstacle is None,
        because=obstacle or _reason_to_ask(each.subject.plant),
        settlement=settlement,
        asked_at=open_day.asked_at if open_day else None,
        content=content,
        next_at=next_at,
        next_because=because,
        failure=failed.reason if failed else None,
        attempts=failed.attempts if failed else 0,
    )


def repeated_hour(found: Passes) -> str:
    """Say whether the two passes of a repeated hour could be told apart."""
    if not found.first and not found.second:
        return "the repeated hour has no row, so there was nothing to decide"
    if not found.second:
        return (
            f"the repeated hour came once only ({found.first} rows): which pass it was cannot be decided, "
            "so it is taken for the first"
        )
    return f"the repeated hour was decided: {found.first} rows of its first pass, {found.second} of its second"


def _reason_to_ask(plant: KnownPlant) -> str:
    if suspended(plant):
        since = plant.missing_since or plant.last_seen
        return f"the plant is suspended: it is not listed since {since:{_MINUTE}}, its owner's consent may have ended"
    return "the series can have rows on this day"


def _obstacles(each: SeriesDays, where: LocalDay, now: datetime) -> Iterator[str]:
    """Yield why the series has no rows on the day, or is not asked for them, what weighs most first."""
    subject, plant, device = each.subject, each.subject.plant, each.subject.device
    if plant.moved_to:
        yield f"the plant goes by the id {plant.moved_to} now: its days are asked there"
    if plant.withdrawn_at:
        yield f"the plant is withdrawn since {plant.withdrawn_at:{_MINUTE}}: its owner's consent has ended"
    if subject.known.gone_at:
        yield f"the set is no longer offered since {subject.known.gone_at:{_MINUTE}}"
    if not subject.wanted:
        yield "the configuration leaves it out: see harvest.plants, sets, exclude_plants, exclude_sets"
    if not subject.zone_is_known:
        yield f"{plant.plant.timezone!r} is not a time zone that is known, so the plant's days cannot be asked"
    elif (began := start_day(plant.plant)) is not None and where.day < began:
        yield f"it is before the plant's start-up on {began}"
    if device is not None and device.deactivated_at is not None and where.day > device.deactivated_at.date():
        yield f"the device was deactivated at {device.deactivated_at} local time"
    if where.start > now:
        yield "the day has not begun yet"


def _next(
    each: SeriesDays, where: LocalDay, settlement: Settlement, rules: Rules, now: datetime
) -> tuple[datetime | None, str]:
    """Return when the day is asked next, and why then."""
    if settlement is Settlement.SETTLED:
        return None, "it is settled: only `harvester repair --force` asks again"
    if settlement is Settlement.SUSPENDED:
        return None, "it is asked as soon as the plant is listed again"
    if (known := each.days.open.get(where.day)) is not None:
        return known.next_at, _reason_to_wait(known, where, rules)
    span = rules.span_of(each.subject.plant.plant, each.subject.known.series.set)
    if where.day < span.first:
        end = "or to where the series' history ended"
        return None, f"`run` goes back {rules.since} (harvest.since) {end}; `backfill` or `repair` asks it"
    if where.day > span.last:
        return where.end, "its day is running, and it is not among harvest.live_sets: it is asked once that is over"
    return now, "it was never asked: the next `run` asks it"


def _reason_to_wait(known: OpenDay, where: LocalDay, rules: Rules) -> str:
    if known.failed:
        return f"{known.attempts} in a row have failed; the wait doubles each time, up to a day"
    if known.asked_at < where.end:
        return "its next row can exist then, or its day is over"
    settles = where.end + rules.settle_after
    return f"devices report late: it is looked at again until a read after {settles:{_MINUTE}} settles it"
