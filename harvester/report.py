"""What one run planned, spent, wrote and missed; its exit code and its one log line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harvester.model import Slice

OK = 0
INCOMPLETE = 3


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that was asked in vain; its days stay due."""

    what: str
    """Series, period and date; or the plant that could not be enumerated."""
    days: int
    reason: str


@dataclass(slots=True)
class Report:
    """One run, counted as it goes."""

    command: str
    began_at: datetime
    ended_at: datetime | None = None
    plants: int = 0
    series: int = 0
    slices: int = 0
    """Requests for values that were planned, repetitions of spoiled answers included."""
    answered: int = 0
    empty: int = 0
    """Answers without a row: no data, which is not a failure."""
    days_settled: int = 0
    days_open: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that came, by table."""
    files: int = 0
    bytes_written: int = 0
    revisions: int = 0
    quarantined: int = 0
    misses: list[Miss] = field(default_factory=list)
    not_asked: Counter[str] = field(default_factory=Counter)
    """Requests left out after repeated failures, by series."""
    warnings: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """Requests that left, by kind, each try counted."""
    throttled: int = 0
    bytes_read: int = 0
    interrupted: bool = False
    signal: int | None = None
    """Number of the operating system's signal that interrupted it."""

    def miss(self, piece: Slice, reason: str) -> None:
        """Count a slice as failed."""
        self.misses.append(Miss(str(piece), len(piece.days), reason))

    @property
    def exit_code(self) -> int:
        """0: everything planned was asked and is in the lake; 3: something failed and stays due; 130, 143: stopped."""
        if self.signal is not None:
            return 128 + self.signal
        return INCOMPLETE if self.misses or self.not_asked else OK

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return (self.ended_at - self.began_at).total_seconds() if self.ended_at else 0.0

    def facts(self) -> dict[str, Any]:
        """Return the run as plain values, for ``--json`` and for the ledger."""
        return {
            "command": self.command,
            "began_at": self.began_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "interrupted": self.interrupted,
            "plants": self.plants,
            "series": self.series,
            "slices": {"planned": self.slices, "answered": self.answered, "empty": self.empty},
            "days": {"settled": self.days_settled, "open": self.days_open},
            "rows": dict(sorted(self.rows.items())),
            "files_written": self.files,
            "bytes_written": self.bytes_written,
            "revisions": self.revisions,
            "quarantined": self.quarantined,
            "requests": {"total": sum(self.requests.values()), **dict(sorted(self.requests.items()))},
            "throttled": self.throttled,
            "bytes_read": self.bytes_read,
            "failed": [{"what": m.what, "days": m.days, "reason": m.reason} for m in self.misses],
            "not_asked": dict(sorted(self.not_asked.items())),
            "warnings": self.warnings,
        }

    def log_line(self) -> dict[str, Any]:
        """Return the facts of the run's one log line."""
        return {
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
            "plants": self.plants,
            "requests": sum(self.requests.values()),
            "rows": sum(self.rows.values()),
            "files": self.files,
            "failed": len(self.misses),
            "quarantined": self.quarantined,
            "throttled": self.throttled,
        }
