"""Looks every now and then how fleet, owners and disk stand, and tells metrics, alerts and pages."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from harvester.lake.quarantine import Quarantine
from harvester.ops.alerts import Alerts
from harvester.ops.attention import Limits, Snapshot, needs_a_person
from harvester.ops.contact import Contact
from harvester.ops.metrics import Metrics
from harvester.plan import Scope
from harvester.questions.ages import PlantAge, ages
from harvester.questions.standing import Share
from harvester.state.history import History
from harvester.state.inventory import Inventory
from harvester.state.owners import KnownOwner, Owners

_FORBIDDEN = ": 403"
"""How a refusal for want of a right is recorded."""
_RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to look; nothing of it spends a request."""

    inventory: Inventory
    history: History
    owners: Owners
    quarantine: Quarantine
    root: Path
    """Of the lake."""
    scope: Scope
    live_sets: Collection[str]
    shares: Callable[[datetime], Sequence[Share]]
    """What of the days that ought to be settled at a moment (aware UTC) is; asks the ledger."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw."""

    ages: Sequence[PlantAge] = ()
    """Of the visible plants, without a row first and then the stalest."""
    shares: Sequence[Share] = ()
    owners: Sequence[KnownOwner] = ()
    disk: tuple[int, int] | None = None
    """Bytes free and in all; None where the disk cannot be asked."""
    quarantined: int = 0
    forbidden: dict[str, int] = field(default_factory=dict)

    @property
    def consents(self) -> Counter[str]:
        """Owners by state, those left out whose data were deleted."""
        return Counter(owner.state for owner in self.owners if owner.purged_at is None)


def look(sources: Sources, now: datetime) -> Seen:
    """Look at everything as of *now* (aware UTC); blocks for some tenths of a second. Raises `LedgerError`."""
    visible = [known for known in sources.inventory.plants() if sources.scope.takes_plant(known.plant.plant_id)]
    newest = sources.history.newest(sources.live_sets)
    return Seen(
        ages(visible, newest, now),
        sources.shares(now),
        sources.owners.known(),
        _disk(sources.root),
        sources.quarantine.since(now - _RECENT),
        sources.history.failing_sets(_FORBIDDEN),
    )


def _disk(root: Path) -> tuple[int, int] | None:
    try:
        usage = shutil.disk_usage(root)
    except OSError:
        return None
    return usage.free, usage.total


class Lookout:
    """The operator's eye; *wall* answers aware UTC."""

    def __init__(
        self,
        sources: Sources,
        *,
        metrics: Metrics,
        alerts: Alerts,
        contact: Contact,
        limits: Limits,
        wall: Callable[[], datetime],
    ) -> None:
        self._sources = sources
        self._metrics = metrics
        self._alerts = alerts
        self._contact = contact
        self._limits = limits
        self._wall = wall
        self.seen = Seen()
        """What the last look saw."""

    async def look(self) -> None:
        """Look, in a thread, and tell; raises `LedgerError`, and then everything stands as it was told before."""
        now = self._wall()
        self.seen = await asyncio.to_thread(look, self._sources, now)
        self._metrics.fresh(self.seen.ages)
        self._metrics.covered(self.seen.shares)
        self._metrics.consents(self.seen.consents)
        if self.seen.disk is not None:
            self._metrics.disk(*self.seen.disk)
        self._alerts.keep(needs_a_person(self._snapshot(now), self._limits))
        self._metrics.firing(self._alerts.by_kind)

    def _snapshot(self, now: datetime) -> Snapshot:
        free, total = self.seen.disk or (None, None)
        return Snapshot(
            now=now,
            owners=self.seen.owners,
            ages=self.seen.ages,
            refused=self._contact.refused,
            silent_since=self._contact.silent_since,
            disk_free=free,
            disk_total=total,
            quarantined=self.seen.quarantined,
            forbidden=self.seen.forbidden,
            firing=self._alerts.keys,
        )
