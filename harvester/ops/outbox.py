"""What was said about what needs a person, and what still is to be said; remembered over restarts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import structlog

from harvester.ops.attention import Alert

log = structlog.get_logger()

FACT = "alerts"
"""The ledger's fact about what was said."""
MOST = 500
"""Things that are remembered at once."""


class Facts(Protocol):
    """The facts of a ledger."""

    def fact(self, key: str) -> str | None:
        """Return one, None if it was never recorded."""

    def record(self, key: str, value: str) -> None:
        """Record one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that needs a person, or has just ceased to."""

    alert: Alert
    since: datetime
    """Aware UTC."""
    told: bool = False
    """Whether its begin has been said."""
    over: datetime | None = None
    """When it ended; its end is still to be said."""

    @property
    def state(self) -> str:
        """Return what is to be said next, in the words of alert receivers."""
        return "resolved" if self.told and self.over else "firing"

    @property
    def due(self) -> bool:
        """Tell whether there is something to say."""
        return not self.told or self.over is not None


class Outbox:
    """Entries by key, in the order in which they began; every change is remembered before it is acted upon."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.entries: dict[str, Entry] = _read(facts.fact(FACT))

    def read_again(self) -> None:
        """Take what is remembered for what is so: somebody else has deleted a part of it."""
        self.entries = _read(self._facts.fact(FACT))

    @property
    def firing(self) -> dict[str, Entry]:
        """Return what needs a person now."""
        return {key: entry for key, entry in self.entries.items() if entry.over is None}

    def begin(self, alerts: Iterable[Alert], now: datetime) -> tuple[list[Alert], int]:
        """Take in those of *alerts* that do not fire yet; return them, and how many found no room."""
        begun: list[Alert] = []
        dropped = 0
        for alert in alerts:
            known = self.entries.get(alert.key)
            if known is not None and known.over is None:
                continue
            if known is None and len(self.entries) >= MOST:
                dropped += 1
                continue
            # whose end was not said yet has not ended, as far as anybody knows
            self.entries[alert.key] = replace(known, over=None) if known else Entry(alert=alert, since=now)
            begun.append(alert)
        if begun:
            self._remember()
        return begun, dropped

    def end(self, keys: Iterable[str], now: datetime) -> list[Entry]:
        """Note that *keys* are over; return those that were not before."""
        ended = [self.entries[key] for key in keys if key in self.firing]
        for entry in ended:
            self.entries[entry.alert.key] = replace(entry, over=now)
        if ended:
            self._remember()
        return ended

    def next(self, together: int) -> Sequence[Entry]:
        """Return what is to be said next: one entry, or all of its kind and state where those are over *together*."""
        first = next((entry for entry in self.entries.values() if entry.due), None)
        if first is None:
            return ()
        alike = [
            e for e in self.entries.values() if e.due and (e.alert.kind, e.state) == (first.alert.kind, first.state)
        ]
        return alike if len(alike) > together else (first,)

    def said(self, entries: Iterable[Entry]) -> None:
        """Note that *entries* have been said as they were then; what changed since stays to be said."""
        for entry in entries:
            key, said = entry.alert.key, entry.state
            if said == "firing":
                self.entries[key] = replace(self.entries[key], told=True)
            elif self.entries[key].over is None:
                self.entries[key] = replace(self.entries[key], told=False)
            else:
                del self.entries[key]
        self._remember()

    def forget_ended(self) -> None:
        """Forget what is over, where nobody is to be told of it."""
        if len(self.firing) < len(self.entries):
            self.entries = self.firing
            self._remember()

    def _remember(self) -> None:
        self._facts.record(FACT, json.dumps([_plain(entry) for entry in self.entries.values()]))


def _plain(entry: Entry) -> dict[str, Any]:
    over = entry.over.isoformat() if entry.over else None
    return {"alert": asdict(entry.alert), "since": entry.since.isoformat(), "told": entry.told, "over": over}


def _read(text: str | None) -> dict[str, Entry]:
    """Return what was remembered; nothing where that cannot be read: then at worst something is said twice."""
    try:
        return _entries(text or "[]")
    except (ValueError, KeyError, TypeError) as error:
        log.warning("alerts.forgotten", reason=f"{type(error).__name__}: {error}")
        return {}


def _entries(text: str) -> dict[str, Entry]:
    found = [
        Entry(
            alert=Alert(**each["alert"]),
            since=datetime.fromisoformat(each["since"]),
            told=each["told"],
            over=datetime.fromisoformat(each["over"]) if each["over"] else None,
        )
        for each in json.loads(text)
    ]
    return {entry.alert.key: entry for entry in found}
