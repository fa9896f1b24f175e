"""What a person sees of owners: where each consent stands, which plants came with it, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from harvester import show
from harvester.owners.consents import Looked, advice, counts, next_look
from harvester.state.owners import KnownOwner

_MOST_ADVICE = 20


def facts(owner: str, known: Mapping[str, KnownOwner]) -> dict[str, Any]:
    """Return what is remembered of *owner* as JSON has it, times as ISO 8601 in UTC; *known* by lower-case name."""
    each = known.get(owner.lower())
    if each is None:
        return {"owner": owner, "state": None}
    interval = (each.look_at - each.seen_at).total_seconds() if each.look_at and each.seen_at else None
    return {
        "owner": each.owner,
        "state": each.state,
        "since": each.since.isoformat(),
        "requested_at": _iso(each.requested_at),
        "expires_at": _iso(each.expires_at),
        "seen_at": _iso(each.seen_at),
        "next_look": _iso(next_look(each)),
        "interval_seconds": None if interval is None else int(interval),
        "purged_at": _iso(each.purged_at),
    }


def failures(looked: Looked) -> list[dict[str, Any]]:
    """Return the owners about whom nothing came, as JSON has them."""
    return [{"owner": owner, "state": None, "error": str(error)} for owner, error in looked.failed.items()]


def say_failures(looked: Looked) -> None:
    """Name the owners about whom nothing came, and why."""
    for owner, error in looked.failed.items():
        show.say(f"{owner}: {error}")


def standing(
    known: KnownOwner | None, came_with: Mapping[str, frozenset[str]], now: datetime, pending_days: float
) -> dict[str, Any]:
    """Return as JSON the ids of the plants that came with an owner, and what a person should do."""
    if known is None:
        return {"plants": {"certain": [], "possible": []}, "attention": None}
    certain, possible = _plants_of(known.owner, came_with)
    return {
        "plants": {"certain": certain, "possible": possible},
        "attention": advice(known, now, pending_days),
    }


def _plants_of(owner: str, came_with: Mapping[str, frozenset[str]]) -> tuple[list[str], list[str]]:
    """Return the ids of the plants that came with *owner* for certain, and of those that may have."""
    mine = sorted(plant for plant, owners in came_with.items() if owner in owners)
    return [p for p in mine if len(came_with[p]) == 1], [p for p in mine if len(came_with[p]) > 1]


def tell_states(book: Iterable[KnownOwner]) -> None:
    """Print the state of each owner who was asked."""
    rows = [(each.owner, each.state, _minute(each.expires_at)) for each in book]
    show.table("Consents", ["owner", "state", "request valid until"], rows)


def tell_standing(
    book: list[KnownOwner], came_with: Mapping[str, frozenset[str]], now: datetime, pending_days: float
) -> None:
    """Print where each consent stands, and below the table whose is stuck and what to do."""
    rows = [
        (
            each.owner,
            each.state,
            _minute(each.since),
            _minute(each.expires_at),
            _numbers(*_plants_of(each.owner, came_with)),
            "never: purged" if each.purged_at else _minute(next_look(each)),
        )
        for each in book
    ]
    heads = ["owner", "state", "since", "request valid until", "plants", "next look"]
    show.table("Consents", heads, rows)
    if len(book) > 1:
        show.tell(", ".join(f"{number:,} {state}" for state, number in counts(book).items()))
    stuck = [(each.owner, words) for each in book if (words := advice(each, now, pending_days))]
    for owner, words in stuck[:_MOST_ADVICE]:
        show.tell(f"{owner}: {words}")
    if len(stuck) > _MOST_ADVICE:
        show.tell(f"… and {len(stuck) - _MOST_ADVICE:,} more consents are stuck (--json names all)")


def _numbers(certain: list[str], possible: list[str]) -> str:
    return f"{len(certain):,} + {len(possible):,} possible" if possible else f"{len(certain):,}"


def _minute(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%MZ}" if instant else ""


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
