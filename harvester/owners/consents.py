"""Owners' consents over time: read at the pace that SMA names, and remembered.

A Pending consent is read when its interval has passed, one that holds or has ended once a day.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from harvester.errors import AnswerError, NothingToAsk, TimedOut, Unreachable
from harvester.fetch import Failed, fetching
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.discretion import masked
from harvester.state.owners import CUSTOM, KnownOwner, Owners, Seen, all_owners

LOOK_AGAIN = timedelta(days=1)
"""An answered consent changes rarely, and what changed shows in the plant list too: so often it is read anyway."""
WORKERS = 8
"""Owners asked at once."""
HOPELESS = 3
"""Owners without any answer in a row, none with one before, after which nobody else is tried."""
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


async def look(client: Client, owners: Owners, configured: Iterable[str], now: datetime) -> list[Change]:
    """Read the consents that are due and return those that changed; trouble is logged."""
    book = {each.owner: each for each in owners.known()}
    names = [name for name in all_owners(configured, book.values()) if due(book.get(name), now)]
    return warned(await ask_each(client.consent_state, owners, names, now)).changes


async def ask_each(
    pull: Callable[[str], Awaitable[Consent]],
    owners: Owners,
    names: Sequence[str],
    now: datetime,
    *,
    requested: bool = False,
    keep: Callable[[Consent], bool] = lambda _consent: True,
    advanced: Callable[[], None] = lambda: None,
) -> Looked:
    """Do *pull* for each of *names*, several at once, and remember what comes of it, where it is one to *keep*.

    Trouble with one owner costs the others nothing. Where nobody answers any more, it ends, and those who are left
    count as failed too. Raises `Stop` errors.
    """
    found, silent, stop = Looked([], [], {}), 0, asyncio.Event()
    async with fetching(names, pull, workers=WORKERS, stop=stop) as outcomes:
        async for outcome in outcomes:
            advanced()
            if isinstance(outcome, Failed):
                found.failed[outcome.item] = outcome.error
                silent = silent + 1 if isinstance(outcome.error, Unreachable | TimedOut) else 0
                if silent >= (2 * WORKERS if found.read else HOPELESS):
                    stop.set()  # what is in flight may be answered still
                continue
            silent = 0
            found.read.append(outcome.answer)
            if keep(outcome.answer):
                change = note(owners, outcome.answer, now, requested=requested)
                found.changes.extend([change] if change else [])
    left = set(names) - found.failed.keys() - {consent.owner for consent in found.read}
    reason = found.silence or Unreachable("not tried: the service answered nobody any more")
    found.failed.update(dict.fromkeys(sorted(left), reason))
    return found


def warned(looked: Looked) -> Looked:
    """Log whose consents could not be read, and return the same."""
    for owner, error in looked.failed.items():
        log.warning("consent.unread", owner=masked(owner), reason=str(error))
    return looked


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
        warned(await ask_each(client.consent_state, owners, doubtful, now))
        raise NothingToAsk(f"{error} Now: {_told(names, owners.known())}.") from error


def _told(names: Sequence[str], known: Sequence[KnownOwner]) -> str:
    states = {each.owner: each.state for each in known}
    told = [f"{name}: {states.get(name, ConsentState.UNKNOWN.value)}" for name in names]
    if len(told) <= NAMED:
        return ", ".join(told)
    numbers = Counter(states.get(name, ConsentState.UNKNOWN.value) for name in names)
    summed = ", ".join(f"{number} {state}" for state, number in sorted(numbers.items()))
    return f"of {len(told)} owners {summed}; {', '.join(told[:NAMED])}, … (`harvester consent status` lists all)"
