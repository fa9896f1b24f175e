"""Plants that were listed once and are not now: moved to a new id, withdrawn by their owner, or suspended.

An empty or shorter list is a success to SMA, so nothing is concluded from one. A plant is withdrawn when the consent
of its owner reads so, or those of all owners it may have come with; or, where consents cannot be read, after it was
missing from three lists over a day. Until then it is suspended: its days stay open, it is asked for now and then, and
a person is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from harvester.errors import AnswerError
from harvester.owners.consents import ENDED
from harvester.sma.client import Client
from harvester.sma.consent import ConsentState
from harvester.sma.discretion import masked
from harvester.state.inventory import Inventory, KnownPlant
from harvester.state.owners import CUSTOM, KnownOwner, Owners, all_owners
from harvester.state.succession import Succession

TRACE_AGAIN = timedelta(days=1)
MISSING_LISTS = 3
MISSING_FOR = timedelta(days=1)
UNREAD_FOR = timedelta(days=2)
"""A consent that could not be read for so long counts as one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of one plant."""

    known: KnownPlant
    fate: str
    """``moved``, ``withdrawn`` or ``suspended``."""
    words: str
    """For a person."""


async def departures(
    client: Client,
    inventory: Inventory,
    succession: Succession,
    owners: Owners,
    configured: Sequence[str],
    *,
    now: datetime,
) -> list[Departure]:
    """Find out what became of the plants that the newest list lacks; costs a request a day for each at the most.

    Consents are not read here: who compared the lists has read those that matter.
    """
    found: list[Departure] = []
    left: list[KnownPlant] = []
    for known in inventory.plants():
        if not known.missing_count or known.moved_to or known.withdrawn_at:
            continue
        moved = await _traced(client, inventory, succession, owners, known, now)
        found.extend([moved] if moved else [])
        left.extend([] if moved else [known])
    if left:
        came_with, book = owners.came_with(), {each.owner: each for each in owners.known()}
        everybody = all_owners(configured, book.values())
        for known in left:
            candidates = sorted(came_with.get(known.plant.plant_id, everybody))
            found.append(_judged(succession, known, _ended(book, candidates, now), now))
    return found


async def _traced(
    client: Client, inventory: Inventory, succession: Succession, owners: Owners, known: KnownPlant, now: datetime
) -> Departure | None:
    """Ask where a plant went; None where nobody knows, or where it was asked not long ago."""
    old = known.plant.plant_id
    if known.traced_at is not None and now - known.traced_at < TRACE_AGAIN:
        return None
    try:
        new = await client.plant_now(old)
    except AnswerError:
        new = None
    explored = {each.plant.plant_id for each in inventory.plants() if each.explored_at is not None}
    if new is None or new == old or new not in explored:
        succession.traced(old, now)
        return None
    devices = {d.device.device_id: d for d in inventory.devices(known.part) if d.device.plant_id == old}
    renamed = {device_id: name for device_id in devices if (name := await _device_now(client, device_id))}
    inventory.add_alias("plant", old, new, now)
    for device_id, name in renamed.items():
        inventory.add_alias("device", device_id, name, now)
    if origin := owners.came_with().get(old):
        owners.attribute({new: origin}, now)
    carried = succession.moved(old, new, renamed, now)
    return Departure(known, "moved", f"{_named(known)} goes by the id {new} now; {carried} series were carried over")


async def _device_now(client: Client, device_id: str) -> str | None:
    try:
        return await client.device_now(device_id)
    except AnswerError:
        return None


def _ended(book: Mapping[str, KnownOwner], candidates: Sequence[str], now: datetime) -> str | None:
    """Return in words whose consents have ended; None where they cannot be read, empty where one may still hold."""
    known = [book.get(name) for name in candidates]
    ended = [each for each in known if each is not None and each.state in ENDED]
    holding = [each for each in known if each is None or each.state not in {*ENDED, ConsentState.NOT_ASKED}]
    if not holding:
        return ", ".join(f"{masked(each.owner)} ({each.state})" for each in ended) or None
    return None if all(_unreadable(each, now) for each in holding) else ""


def _unreadable(known: KnownOwner | None, now: datetime) -> bool:
    """Tell whether nobody knows where a consent stands: the state has no address, or could not be read for a day."""
    if known is None or known.seen_at is None or known.state == ConsentState.UNKNOWN:
        return True
    return known.grant == CUSTOM and now - known.seen_at > UNREAD_FOR


def _judged(succession: Succession, known: KnownPlant, ended: str | None, now: datetime) -> Departure:
    """Call a plant withdrawn or suspended, by what the consents say or, where they say nothing, by its absence."""
    long_gone = known.missing_since is not None and now - known.missing_since >= MISSING_FOR
    if ended or (ended is None and known.missing_count >= MISSING_LISTS and long_gone):
        succession.withdrawn(known.plant.plant_id, now)
        why = f"the consent of {ended} has ended" if ended else f"it is missing from {known.missing_count} lists"
        return Departure(known, "withdrawn", f"{_named(known)} is withdrawn: {why}. Its rows stay in the lake")
    return Departure(
        known,
        "suspended",
        f"{_named(known)} is not listed any more though no consent reads ended; its days stay open. "
        "`harvester consent request` asks its owner again",
    )


def _named(known: KnownPlant) -> str:
    return f"plant {known.plant.plant_id} ({known.plant.name})"


def told(found: Iterable[Departure], most: int = 10) -> list[str]:
    """Return what a person should know of *found*."""
    words = [each.words for each in found]
    return words if len(words) <= most else [*words[:most], f"… and {len(words) - most} more plants left the list"]
