"""Owners' consents over time: read at the pace that SMA names, remembered, and held against the plant lists.

A Pending consent is read when its interval has passed, one that holds or has ended once a day; and right after a
plant list that shows or lacks plants, those consents are read that may tell whose they are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from harvester.attribution import Comparison, Standing, decided, proven
from harvester.discover import NO_PLANT, reached
from harvester.errors import AnswerError, NothingToAsk, TimedOut, Unreachable
from harvester.fetch import Failed, fetching
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.wire import masked
from harvester.state.inventory import Inventory, KnownPlant
from harvester.state.owners import CUSTOM, KnownOwner, Owners, Seen, all_owners

LOOK_AGAIN = timedelta(days=1)
"""An answered consent changes rarely, and what changed shows in the plant list too: so often it is read anyway."""
WELL_BEFORE = timedelta(hours=1)
"""So long after a consent ended a plant list may show its plants still."""
ROUNDS = 3
"""Plant lists asked for at most, one after the other, while consents turn out to be accepted meanwhile."""
WORKERS = 8
HOPELESS = 3
"""Owners without any answer, none with one, after which nobody else is tried."""
NAMED = 5
"""Owners named in a message; of more, their number."""

ENDED = {ConsentState.REVOKED, ConsentState.REJECTED, ConsentState.EXPIRED}
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """A consent that reads another state than before; *before* is None of an owner who is new."""

    owner: str = field(repr=False)
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of reading some consents."""

    read: list[Consent]
    changes: list[Change]
    failed: dict[str, AnswerError]

    @property
    def silence(self) -> Unreachable | TimedOut | None:
        """The reason why nobody answered at all; None where anybody did."""
        reasons = (error for error in self.failed.values() if isinstance(error, Unreachable | TimedOut))
        return None if self.read else next(reasons, None)


def next_look(known: KnownOwner) -> datetime | None:
    """Return when a consent is read next; None for at once."""
    if known.seen_at is None or known.look_at is None:
        return None
    return known.look_at if known.state == ConsentState.PENDING else max(known.look_at, known.seen_at + LOOK_AGAIN)


def due(known: KnownOwner | None, now: datetime) -> bool:
    """Tell whether the consent of an owner may and should be read *now*."""
    at = next_look(known) if known else None
    return at is None or now >= at


def note(owners: Owners, consent: Consent, now: datetime, *, requested: bool = False) -> Change | None:
    """Remember what the service said of one owner; return the change if there is one, and log it."""
    seen = Seen(
        owner=consent.owner,
        state=consent.state.value,
        grant=CUSTOM,
        look_at=now + timedelta(seconds=consent.interval),
        expires_at=consent.expires_at,
        requested=requested,
    )
    before = owners.record(seen, now)
    if before == seen.state:
        return None
    log.info("consent.changed", owner=masked(consent.owner), before=before, after=seen.state)
    return Change(consent.owner, before, seen.state)


async def look(
    client: Client,
    owners: Owners,
    configured: Iterable[str],
    now: datetime,
    *,
    everybody: bool = False,
    workers: int = WORKERS,
) -> list[Change]:
    """Read the consents that are due, or *everybody*'s, and return those that changed; trouble is logged."""
    book = {each.owner: each for each in owners.known()}
    names = [name for name in all_owners(configured, book.values()) if everybody or due(book.get(name), now)]
    return _warned(await ask_each(client.consent_state, owners, names, now, workers=workers)).changes


async def ask_each(
    pull: Callable[[str], Awaitable[Consent]],
    owners: Owners,
    names: Sequence[str],
    now: datetime,
    *,
    requested: bool = False,
    keep: Callable[[Consent], bool] = lambda _consent: True,
    advanced: Callable[[], None] = lambda: None,
    workers: int = WORKERS,
) -> Looked:
    """Do *pull* for each of *names*, several at once, and remember what comes of it, where it is one to *keep*.

    Trouble with one owner costs the others nothing. Where nobody answers at all, it ends after a few, and the others
    count as failed too. Raises `Stop` errors.
    """
    found, silent = Looked([], [], {}), 0
    async with fetching(names, pull, workers=workers, stop=asyncio.Event()) as outcomes:
        async for outcome in outcomes:
            advanced()
            if isinstance(outcome, Failed):
                found.failed[outcome.item] = outcome.error
                silent += isinstance(outcome.error, Unreachable | TimedOut)
                if not found.read and silent >= HOPELESS:
                    found.failed.update({name: outcome.error for name in names if name not in found.failed})
                    break
                continue
            found.read.append(outcome.answer)
            if keep(outcome.answer):
                change = note(owners, outcome.answer, now, requested=requested)
                found.changes.extend([change] if change else [])
    return found


def _warned(looked: Looked) -> Looked:
    for owner, error in looked.failed.items():
        log.warning("consent.unread", owner=masked(owner), reason=str(error))
    return looked


async def list_plants_of(
    client: Client, inventory: Inventory, owners: Owners, configured: Sequence[str], now: datetime
) -> list[KnownPlant]:
    """Ask for the plant list, record it and whose its plants are; raise `NothingToAsk` where there is no plant.

    A plant that nobody knows yet, or one that is gone, makes it read the consents that may explain it. Who accepted
    meanwhile may have plants to show, so the list is then asked for once more.
    """
    visible: list[KnownPlant] = []
    for _ in range(ROUNDS):
        mark, start = owners.latest_occasion(), owners.known()
        before = inventory.plants()
        visible = await reached(client, inventory, now)
        if not await _compare(client, owners, configured, _Lists(mark, start, before, visible), now):
            break
    if not visible:
        raise NothingToAsk(NO_PLANT)
    return visible


@dataclass(frozen=True, slots=True)
class _Lists:
    mark: int
    """The newest occasion when the list was asked for."""
    start: list[KnownOwner]
    """The book at that time."""
    before: list[KnownPlant]
    """Every plant known at that time."""
    visible: list[KnownPlant]

    @property
    def listed(self) -> frozenset[str]:
        return frozenset(each.plant.plant_id for each in self.visible)

    @property
    def listed_before(self) -> frozenset[str]:
        return frozenset(each.plant.plant_id for each in self.before if not each.missing_count)

    @property
    def missing(self) -> frozenset[str]:
        away = (p for p in self.before if p.missing_count and not p.withdrawn_at and not p.moved_to)
        return frozenset(each.plant.plant_id for each in away)


async def _compare(client: Client, owners: Owners, configured: Sequence[str], lists: _Lists, now: datetime) -> set[str]:
    """Attribute the plants of a new list; return the owners who accepted and whose plants it may lack."""
    came_with = owners.came_with()
    told = {plant_id: owner for plant_id in lists.listed if (owner := client.owner_of(plant_id))}
    names = _worth_reading(lists, came_with, told, configured, now)
    looked = _warned(await ask_each(client.consent_state, owners, names, now))
    comparison = Comparison(
        before=lists.listed_before,
        listed=lists.listed,
        missing=lists.missing,
        standings=_standings(owners, configured, lists.start, looked, now),
        known=came_with,
        told=told,
    )
    changed = decided(comparison)
    owners.attribute(changed, now)
    suspects = {change.owner for change in looked.changes if change.after == ConsentState.ACCEPTED}
    sure = proven(comparison, changed, suspects)
    owners.account(lists.mark if comparison.credible else 0, sure)
    return suspects.difference(sure)


def _worth_reading(
    lists: _Lists,
    came_with: dict[str, frozenset[str]],
    told: dict[str, str],
    configured: Sequence[str],
    now: datetime,
) -> list[str]:
    """Return the owners whose consents may tell whose plants are new, and why others are gone."""
    book = {each.owner: each for each in lists.start}
    ended = {name for name, each in book.items() if each.state in ENDED}
    accepted = {name for name, each in book.items() if each.state == ConsentState.ACCEPTED}
    unreadable = {name for name, each in book.items() if each.state == ConsentState.UNKNOWN}
    askable = all_owners(configured, lists.start)
    names: set[str] = set()
    for origin in {came_with.get(plant_id, frozenset()) for plant_id in lists.listed - told.keys()}:
        names |= origin & ended
        if not origin & accepted:
            names |= origin
        if not origin - ended:  # nobody's yet, or not of whom it seemed
            names |= set(askable) - accepted - unreadable
    names = names.union(*(came_with.get(plant_id, names) - accepted for plant_id in lists.listed - lists.listed_before))
    everybody = frozenset(askable)
    vanished = {came_with.get(plant_id, everybody) for plant_id in lists.listed_before - lists.listed}
    missing = {came_with.get(plant_id, everybody) for plant_id in lists.missing - lists.listed}
    again = {o for o in missing if any(n not in book or _interval_passed(book[n], now) for n in o)}
    names = names.union(*vanished, *again)
    return [name for name in askable if name in names]


def _interval_passed(known: KnownOwner, now: datetime) -> bool:
    return known.look_at is None or now >= known.look_at


def _standings(
    owners: Owners, configured: Sequence[str], start: list[KnownOwner], looked: Looked, now: datetime
) -> dict[str, Standing]:
    """Return how each owner stands after the list came and some consents were read."""
    before = {each.owner: each for each in start}
    after = {each.owner: each for each in owners.known()}
    fresh = {consent.owner for consent in looked.read}
    found = {name: Standing(accepted=None) for name in all_owners(configured, after.values())}
    for name, each in after.items():
        readable = name not in looked.failed and each.seen_at is not None and each.state != ConsentState.UNKNOWN
        ended = readable and each.state in ENDED
        old = before.get(name)
        was, had = (old.state, old.occasion) if old else (None, None)
        # who has revoked, or was asked anew, since the list was asked for may have accepted just before it
        revoked = each.state == ConsentState.REVOKED and was not in {ConsentState.REVOKED, ConsentState.ACCEPTED}
        asked = each.requested_at != (old.requested_at if old else None)
        found[name] = Standing(
            accepted=each.state == ConsentState.ACCEPTED if readable else None,
            kept=name in fresh and each.state == was == ConsentState.ACCEPTED and each.occasion == had,
            held=ended and was not in ENDED,
            ended=ended,
            ended_before=ended and old is not None and was in ENDED and now - old.since >= WELL_BEFORE,
            released=revoked or asked or each.occasion is not None,
            purged=each.purged_at is not None,
        )
    return found


def counts(book: Iterable[KnownOwner]) -> dict[str, int]:
    """Return how many owners there are in each state, purged ones left out."""
    return dict(sorted(Counter(each.state for each in book if each.purged_at is None).items()))


def overdue(book: Iterable[KnownOwner], now: datetime, pending_days: float) -> list[KnownOwner]:
    """Return the owners who have not answered for *pending_days*, or whose request has run out."""
    return [each for each in book if advice(each, now, pending_days)]


def advice(known: KnownOwner, now: datetime, pending_days: float) -> str | None:
    """Say what a person should do about a consent that is stuck; None where nothing is to be done."""
    if known.purged_at is not None or known.grant != CUSTOM:
        return None
    pending = known.state == ConsentState.PENDING
    if known.state == ConsentState.EXPIRED or (pending and known.expires_at is not None and known.expires_at <= now):
        return "the request has run out unanswered: `harvester consent request` sends another"
    if pending and now - known.since >= timedelta(days=pending_days):
        days = (now - known.since).days
        return (
            f"no answer for {days} days: ask the owner to look for SMA's mail (spam folder too), and whether this is "
            "the address of the system owner in the portal; `harvester consent request` sends another mail"
        )
    return None


async def explained(
    work: Callable[[], Awaitable[T]], client: Client, owners: Owners, configured: Sequence[str], now: datetime
) -> T:
    """Do *work*; where nothing may be asked, say for each owner why, or for many how many stand where."""
    try:
        return await work()
    except NothingToAsk as error:
        names = all_owners(configured, owners.known())
        if not names:
            raise
        book = {each.owner: each for each in owners.known()}
        doubtful = [n for n in names if due(book.get(n), now) or book[n].state == ConsentState.ACCEPTED]
        _warned(await ask_each(client.consent_state, owners, doubtful, now))
        raise NothingToAsk(f"{error} Now: {_told(names, owners.known())}.") from error


def _told(names: Sequence[str], known: Sequence[KnownOwner]) -> str:
    states = {each.owner: each.state for each in known}
    told = [f"{name}: {states.get(name, ConsentState.UNKNOWN.value)}" for name in names]
    if len(told) <= NAMED:
        return ", ".join(told)
    numbers = Counter(states.get(name, ConsentState.UNKNOWN.value) for name in names)
    summed = ", ".join(f"{number} {state}" for state, number in sorted(numbers.items()))
    return f"of {len(told)} owners {summed}; {', '.join(told[:NAMED])}, … (`harvester consent status` lists all)"
