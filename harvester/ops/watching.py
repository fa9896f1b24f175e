"""Hears what a daemon does and tells it on: to the metrics, to the status page, and to the log once per trouble."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

from harvester.errand import Done
from harvester.errors import HarvestError
from harvester.log import mask_secrets
from harvester.ops.conditions import Conditions
from harvester.ops.metrics import Metrics
from harvester.ops.standing import Run
from harvester.report import OK

KEPT = 20
"""Ended pieces of work that a status shows."""


class Watching:
    """The ear of the operator's side; *wall* answers aware UTC."""

    def __init__(
        self, metrics: Metrics, wall: Callable[[], datetime], *, on_purged: Callable[[], None] = lambda: None
    ) -> None:
        self._metrics = metrics
        self._wall = wall
        self._on_purged = on_purged
        self._conditions = Conditions(wall)
        self._began: dict[str, datetime] = {}
        self.runs: deque[Run] = deque(maxlen=KEPT)
        """What ended, the newest first."""
        self.turns = 0
        """How many pieces of work have ended."""

    def began(self, work: str) -> None:
        """Hear that a piece of *work* takes its turn; one that was halted goes on."""
        self._began.setdefault(work, self._wall())

    def ended(self, work: str, done: Done) -> None:
        """Hear that it is done, and durable."""
        self.turns += 1
        if work == "purge":
            self._on_purged()
        now = self._wall()
        began = self._began.pop(work, now)
        if done.report is not None:
            self._metrics.ran(work, done.report)
            run = Run.of(work, done.report)
        else:
            seconds = (now - began).total_seconds()
            self._metrics.did(work, seconds, now, exit_code=done.exit_code)
            run = Run(work=work, ended_at=now, seconds=seconds, exit_code=done.exit_code)
        self.runs.appendleft(run)
        self._conditions.over(f"work.{work}")

    def broke(self, work: str, error: Exception) -> None:
        """Hear that it ended with an error."""
        self.turns += 1
        now = self._wall()
        began = self._began.pop(work, now)
        known = isinstance(error, HarvestError)
        reason = mask_secrets(str(error)) if known else f"unexpected error: {type(error).__name__}"
        code = error.exit_code if isinstance(error, HarvestError) and error.exit_code != OK else 1
        self._metrics.broke(work)
        seconds = (now - began).total_seconds()
        self.runs.appendleft(Run(work=work, ended_at=now, seconds=seconds, exit_code=code, error=reason))
        self._conditions.began(f"work.{work}", reason=reason)
