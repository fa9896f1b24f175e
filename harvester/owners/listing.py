"""The plant list, held against the owners' consents: what is visible, and whose it is.

SMA names no owner of a plant. So a list that shows or lacks plants makes it read the consents that may explain it,
whether their interval has passed or not: that is rare, and later the answer would say less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from harvester.discover import NO_PLANT, reached
from harvester.errors import NothingToAsk
from harvester.owners.attribution import Comparison, Origin, Standing, decided, proven
from harvester.owners.consents import ENDED, Looked, ask_each, warned
from harvester.sma.client import Client
from harvester.sma.consent import ConsentState
from harvester.state.inventory import Inventory, KnownPlant
from harvester.state.owners import KnownOwner, Owners, all_owners

WELL_BEFORE = timedelta(hours=1)
"""So long after a consent ended a plant list may show its plants still."""
ROUNDS = 3
"""Plant lists asked for at most, one after the other, while consents turn out to be accepted meanwhile."""


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
        here = (p for p in self.before if not p.missing_count and not p.withdrawn_at)
        return frozenset(each.plant.plant_id for each in here)

    @property
    def missing(self) -> frozenset[str]:
        away = (p for p in self.before if p.missing_count and not p.withdrawn_at and not p.moved_to)
        return frozenset(each.plant.plant_id for each in away)


async def _compare(client: Client, owners: Owners, configured: Sequence[str], lists: _Lists, now: datetime) -> set[str]:
    """Attribute the plants of a new list; return the owners who accepted and whose plants it may lack."""
    came_with = owners.came_with()
    told = {plant_id: owner for plant_id in lists.listed if (owner := client.owner_of(plant_id))}
    names = _worth_reading(lists, came_with, told, configured, now)
    looked = warned(await ask_each(client.consent_state, owners, names, now))
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
    came_with: Mapping[str, Origin],
    told: Mapping[str, str],
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
    # of what was listed before and is nobody's, because it may be anybody's, no consent tells more
    unclear = lists.listed - told.keys() - (lists.listed_before - came_with.keys() if book else frozenset())
    for origin in {came_with.get(plant_id, frozenset()) for plant_id in unclear}:
        names |= origin & ended
        if not origin & accepted:
            names |= origin
        if not origin - ended:  # nobody's yet, or not of whom it seemed
            names |= set(askable) - accepted - unreadable
    names = names.union(*(came_with.get(plant_id, names) - accepted for plant_id in lists.listed - lists.listed_before))
    everybody = frozenset(askable)
    vanished = {came_with.get(plant_id, everybody) for plant_id in lists.listed_before - lists.listed}
    missing = {came_with[plant_id] for plant_id in (lists.missing - lists.listed) & came_with.keys()}
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
