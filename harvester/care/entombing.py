"""What the audit trail tells of deletions on an owner's wish, and how a ledger that is made again learns of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harvester.lake import audit
from harvester.lake.layout import Places
from harvester.state.purges import Purge, Purges

BEGUN, STEP, DONE = "purge.begun", "purge.step", "purge.done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One deletion as the trail tells it."""

    owner: str
    """Digest of the owner."""
    plants: tuple[str, ...]
    """Digests of the plants."""
    begun_at: datetime
    done_at: datetime | None


def tell(
    places: Places, what: str, purge: Purge, *, by: str, now: datetime, counts: Mapping[str, Any] | None = None
) -> None:
    """Add to the trail *what* was done of *purge*, and *by* which user of this machine; raises `LakeError`."""
    entry: dict[str, Any] = {
        "at": now.isoformat(),
        "by": by,
        "what": what,
        "owner": purge.owner,
        "begun_at": purge.begun_at.isoformat(),
    }
    if what == BEGUN:
        entry["plants"] = list(purge.digests)
    if counts is not None:
        entry["counts"] = dict(counts)
    audit.record(places, entry)


def told(places: Places) -> list[Told]:
    """Return the deletions that the trail tells of, in the order in which they were begun; raises `LakeError`."""
    return list(_told(audit.entries(places)).values())


def _told(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Told]:
    found: dict[tuple[str, str], Told] = {}
    for entry in entries:
        key = (str(entry.get("owner")), str(entry.get("begun_at")))
        if entry.get("what") == BEGUN:
            begun_at = datetime.fromisoformat(key[1])
            found[key] = Told(owner=key[0], plants=tuple(entry["plants"]), begun_at=begun_at, done_at=None)
        elif entry.get("what") == DONE and key in found:
            done_at = datetime.fromisoformat(entry["at"])
            begun = found[key]
            found[key] = Told(owner=begun.owner, plants=begun.plants, begun_at=begun.begun_at, done_at=done_at)
    return found


def entomb(places: Places, purges: Purges, now: datetime, *, done: bool) -> int:
    """Have a ledger know the deletions that were *done*, or those that were not, and return how many those are."""
    some = [each for each in told(places) if (each.done_at is not None) is done]
    for each in some:
        purges.entomb(each.owner, each.plants, begun_at=each.begun_at, done_at=each.done_at, now=now)
    return len(some)
