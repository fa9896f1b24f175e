"""What needs a person, decided from facts, and what that person should do. Pure.

Each thing has a key under which it begins and ends. What would flap ends later than it began, and where one cause
explains many effects only the cause is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from harvester.questions.ages import PlantAge, words
from harvester.sma.consent import ConsentState
from harvester.state.owners import CODE, KnownOwner

STALE_APART = 50
"""So many stale plants are named one by one; more are one trouble of the fleet."""
FRESH_AGAIN = 0.5
"""A plant is stale no longer once its newest row is younger than this share of the limit."""
DISK_AGAIN = 2.0
"""Percentage points above the limit at which the disk is large enough again."""
SPOILED_A_DAY = 10
"""Answers in the quarantine that are no accident any more."""
_NAMED = 20
"""Plants that a text about many names."""
FLEET = "stale:fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that needs a person."""

    key: str
    """The same as long as it lasts, and for the same thing again later."""
    kind: str
    """consent, credentials, stale, disk, quarantine, rights or unreachable."""
    title: str
    remedy: str
    """What to do."""
    facts: Mapping[str, str | int | float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When something is too much."""

    stale_hours: float = 24.0
    pending_days: float = 3.0
    disk_free_percent: float = 10.0
    silence_seconds: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known at *now* (aware UTC); what is not known is left out."""

    now: datetime
    owners: Sequence[KnownOwner] = ()
    ages: Sequence[PlantAge] = ()
    refused: bool = False
    """Whether the token endpoint last refused the client."""
    silent_since: datetime | None = None
    """Since when no request was answered; None while SMA answers or nothing is asked."""
    disk_free: int | None = None
    disk_total: int | None = None
    quarantined: int = 0
    """Answers that came into the quarantine within a day."""
    forbidden: Mapping[str, int] = field(default_factory=dict)
    """Series that were last refused with 403, by measurement set, of plants whose owner has accepted."""
    firing: frozenset[str] = frozenset()
    """Keys of what needed a person at the last look."""


def needs_a_person(seen: Snapshot, limits: Limits) -> list[Alert]:
    """Return everything that needs a person now."""
    return [
        *_access(seen, limits),
        *(alert for owner in seen.owners if (alert := _consent(owner, seen.now, limits))),
        *_stale(seen, limits),
        *_disk(seen, limits),
        *_quarantine(seen),
        *(_right(name, series) for name, series in sorted(seen.forbidden.items())),
    ]


def _access(seen: Snapshot, limits: Limits) -> Iterator[Alert]:
    if seen.refused:
        yield Alert(
            key="credentials",
            kind="credentials",
            title="SMA refuses the client's credentials",
            remedy="Check HARVESTER_SMA__CLIENT_ID, HARVESTER_SMA__CLIENT_SECRET and sma.environment; where SMA gave "
            "out a new secret, set it and restart the daemon. Nothing is lost: what is missed is asked again.",
        )
    if seen.silent_since is not None and seen.now - seen.silent_since >= timedelta(seconds=limits.silence_seconds):
        yield Alert(
            key="unreachable",
            kind="unreachable",
            title="SMA cannot be reached",
            remedy="Look whether this machine reaches the hosts of sma.monitoring_url and sma.auth_url (`harvester "
            "doctor`: DNS, proxy, firewall, TLS), and whether SMA reports an outage. The daemon goes on trying.",
            facts={"silent_since": seen.silent_since.isoformat(timespec="seconds")},
        )


_LOST = {
    ConsentState.REVOKED: "has revoked the consent",
    ConsentState.REJECTED: "has rejected the request for consent",
    ConsentState.EXPIRED: "has let the request for consent run out",
}


def _consent(known: KnownOwner, now: datetime, limits: Limits) -> Alert | None:
    """Return what is wrong with a consent; one that somebody had deleted everything of is as it should be."""
    state = ConsentState(known.state)
    pending = state is ConsentState.PENDING
    if pending and known.expires_at is not None and known.expires_at <= now:
        state = ConsentState.EXPIRED
    again = (
        "let the owner connect again on the page at web.public_url"
        if known.grant == CODE
        else f"`harvester consent request {known.owner}` asks anew"
    )
    if known.purged_at is None and state in _LOST:
        title = f"{known.owner} {_LOST[state]}"
        remedy = (
            f"Talk to the owner. If consent is to be given again: {again}. If not, `harvester consent purge "
            f"{known.owner}` deletes what came with it, and sma.owners should not name it any more."
        )
        return _about(known, "lost", title, remedy)
    waited = now - known.since
    if known.purged_at is None and pending and waited >= timedelta(days=limits.pending_days):
        title = f"{known.owner} has not answered the request for consent for {waited.days:,} days"
        remedy = f"Ask the owner to look for SMA's e-mail, in spam too, and to answer it; {again}."
        return _about(known, "pending", title, remedy)
    return None


def _about(known: KnownOwner, what: str, title: str, remedy: str) -> Alert:
    facts = {"owner": known.owner, "state": known.state, "since": known.since.isoformat(timespec="seconds")}
    return Alert(key=f"consent:{known.owner}:{what}", kind="consent", title=title, remedy=remedy, facts=facts)


def _stale(seen: Snapshot, limits: Limits) -> Iterator[Alert]:
    """Name stale plants, or the fleet where they are many; while SMA itself is away no plant is blamed anew."""
    limit = limits.stale_hours * 3_600
    away = seen.refused or seen.silent_since is not None
    stale = [age for age in seen.ages if age.age_seconds is not None and _is_stale(age, seen, limit, away=away)]
    fleet = FLEET in seen.firing
    if len(stale) > (STALE_APART * FRESH_AGAIN if fleet else STALE_APART):
        yield _stale_fleet(stale, len(seen.ages), limits.stale_hours)
        stale = [age for age in stale if _key(age) in seen.firing]
    yield from (_stale_plant(age) for age in stale)


def _key(age: PlantAge) -> str:
    return f"stale:{age.plant_id}"


def _is_stale(age: PlantAge, seen: Snapshot, limit: float, *, away: bool) -> bool:
    old = age.age_seconds or 0
    if _key(age) in seen.firing or FLEET in seen.firing:
        return old > limit * FRESH_AGAIN
    return old > limit and not away


def _stale_plant(age: PlantAge) -> Alert:
    return Alert(
        key=_key(age),
        kind="stale",
        title=f"{age.name} ({age.plant_id}) has sent nothing new for {words(age.age_seconds)}",
        remedy="Look at the plant in Sunny Portal: if it has no new values there either, its data manager or its "
        f"internet connection is down; if it has, `harvester gaps --plant {age.plant_id}` says what fails here.",
        facts={"plant_id": age.plant_id, "name": age.name, "newest": age.newest.isoformat() if age.newest else None},
    )


def _stale_fleet(stale: Sequence[PlantAge], plants: int, hours: float) -> Alert:
    named = ", ".join(f"{age.name} ({age.plant_id})" for age in stale[:_NAMED])
    more = f" and {len(stale) - _NAMED:,} more" if len(stale) > _NAMED else ""
    return Alert(
        key=FLEET,
        kind="stale",
        title=f"{len(stale):,} of {plants:,} plants have sent nothing new for {hours:g} hours",
        remedy="So many at once are rarely the plants' own fault: look whether the daemon asks at all (its status "
        "page, `harvester doctor`), whether the budget suffices, and whether SMA reports an outage.",
        facts={"stale": len(stale), "plants": plants, "stalest": f"{named}{more}"},
    )


def _disk(seen: Snapshot, limits: Limits) -> Iterator[Alert]:
    if seen.disk_free is None or not seen.disk_total:
        return
    percent = 100 * seen.disk_free / seen.disk_total
    if percent < limits.disk_free_percent + (DISK_AGAIN if "disk" in seen.firing else 0.0):
        yield Alert(
            key="disk",
            kind="disk",
            title=f"The lake's disk is nearly full: {percent:.1f} % ({seen.disk_free / 1e9:,.1f} GB) is free",
            remedy="Make room on the disk of lake.root, or move the lake to a larger one. Once it is full, nothing is "
            "written until there is room; nothing is lost by that.",
            facts={"free_bytes": seen.disk_free, "total_bytes": seen.disk_total},
        )


def _quarantine(seen: Snapshot) -> Iterator[Alert]:
    if seen.quarantined >= SPOILED_A_DAY or (seen.quarantined and "quarantine" in seen.firing):
        yield Alert(
            key="quarantine",
            kind="quarantine",
            title=f"{seen.quarantined:,} answers of SMA could not be read within a day",
            remedy="SMA may have changed its format: look at the reasons beside the answers in _harvester/quarantine "
            "of the lake, and update the harvester. What they were to fill stays due and is asked again.",
            facts={"quarantined": seen.quarantined},
        )


def _right(name: str, series: int) -> Alert:
    return Alert(
        key=f"rights:{name}",
        kind="rights",
        title=f"A missing API right: SMA refuses the measurement set {name} with 403 for {series:,} series",
        remedy="The plants are listed, so their owners' consent holds, and it is the client that lacks the right: ask "
        "SMA to add the set to the API package, or add it to harvest.exclude_sets.",
        facts={"set": name, "series": series},
    )
