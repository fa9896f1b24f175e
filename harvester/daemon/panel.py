"""What the operator's listener shows of a running daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from harvester import __version__
from harvester.compose import scope_of
from harvester.config import Config
from harvester.daemon.daemon import Daemon
from harvester.daemon.lanes import Lane
from harvester.daemon.watchers import Watchers
from harvester.model import Shard
from harvester.ops.health import Health, Readiness, ready, turning
from harvester.ops.standing import Budget, Fleet, Status, Trouble
from harvester.ops.standing import Lane as Row
from harvester.questions.overview import coverage_overview
from harvester.sma.pace import Pace

STILL = timedelta(minutes=2)
"""A daemon that has not turned for so long hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The pages of one daemon; *wall* answers aware UTC, *next_of* when a lane is due next."""

    config: Config
    daemon: Daemon
    pace: Pace
    watch: Watchers
    next_of: Callable[[Lane], datetime | None]
    wall: Callable[[], datetime]
    began_at: datetime

    @property
    def shard(self) -> Shard:
        """Return the daemon's share."""
        return self.daemon.shard

    def metrics(self) -> tuple[bytes, str]:
        """Return the metrics and their content type."""
        return self.watch.metrics.render()

    def health(self) -> Health:
        """Tell whether the daemon turns."""
        return turning(self.daemon.turned_at, self.wall(), patience=STILL)

    def ready(self) -> Health:
        """Tell whether it can do its work; lake and ledger are open as long as it runs."""
        known = Readiness(
            lake_open=True,
            ledger_open=True,
            token_had=self.watch.contact.token_had,
            last_answer=self.watch.contact.last_answer,
            silent_since=self.watch.contact.silent_since,
            pause_left=self.pace.pause_left,
        )
        silence = timedelta(seconds=self.config.alerts.silence_windows * self.config.rate.window_seconds)
        return ready(known, self.wall(), patience=silence)

    def coverage(self) -> str:
        """Return the page about the coverage."""
        return coverage_overview(self.config, scope_of(self.config), self.watch.lookout.seen.shares, now=self.wall())

    def status(self) -> Status:
        """Return how everything stands."""
        seen, stale_hours = self.watch.lookout.seen, self.config.alerts.stale_hours
        free, total = seen.disk or (None, None)
        return Status(
            at=self.wall(),
            began_at=self.began_at,
            version=__version__,
            lake=str(self.config.lake.root),
            fleet=Fleet.of(seen.ages, seen.shares, stale_seconds=3600 * stale_hours),
            budget=Budget(
                limit=self.pace.limit,
                spent=self.pace.spent,
                window_seconds=self.config.rate.window_seconds,
                pause_left=self.pace.pause_left,
            ),
            lanes=[self._row(lane) for lane in Lane],
            runs=tuple(self.watch.watching.runs),
            consents=seen.consents,
            disk_free=free,
            disk_total=total,
            troubles=[
                Trouble(title=e.alert.title, remedy=e.alert.remedy, since=e.since) for e in self.watch.alerts.firing
            ],
            stale_hours=stale_hours,
        )

    def _row(self, lane: Lane) -> Row:
        doing = "at work" if self.daemon.lane is lane else "waits for its turn" if lane in self.daemon.pending else ""
        return Row(work=lane.name.lower(), now=doing, next_at=self.next_of(lane))
