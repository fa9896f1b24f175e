"""How a daemon and its fleet stand at one moment: what the status page and `/status.json` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from harvester.log import mask_secrets
from harvester.questions.ages import PlantAge
from harvester.questions.standing import Share
from harvester.report import Report

STALEST = 15
"""Plants that a status names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One kind of work."""

    work: str
    now: str = ""
    """What it does at the moment, for a person; nothing while it rests."""
    next_at: datetime | None = None
    """When it is due next, aware UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One piece of work that ended."""

    work: str
    ended_at: datetime
    seconds: float
    exit_code: int
    rows: int = 0
    failed: int = 0
    error: str = ""
    """What ended it, where it gave no report."""

    @classmethod
    def of(cls, work: str, report: Report) -> Run:
        """Return what a *report* tells of *work*."""
        return cls(
            work=work,
            ended_at=report.ended_at or report.began_at,
            seconds=report.seconds,
            exit_code=report.exit_code,
            rows=sum(report.rows.values()),
            failed=len(report.misses) + report.not_asked.total(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The present window."""

    limit: int | None
    """None while it is not known."""
    spent: int
    window_seconds: float
    pause_left: float
    """Seconds that SMA wants to be left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All visible plants."""

    plants: int
    stale: int
    without_rows: int
    median_seconds: int | None
    """Half of the plants with rows have a newest row that is younger."""
    oldest_seconds: int | None
    stalest: Sequence[PlantAge]
    due: int
    """Series-days of the last 7 days due."""
    settled: int

    @classmethod
    def of(cls, ages: Sequence[PlantAge], shares: Sequence[Share], *, stale_seconds: float) -> Fleet:
        """Sum up *ages*, without a row first and then the stalest, and *shares*."""
        known = [age.age_seconds for age in ages if age.age_seconds is not None]
        return cls(
            plants=len(ages),
            stale=sum(1 for age in known if age > stale_seconds),
            without_rows=len(ages) - len(known),
            median_seconds=sorted(known)[len(known) // 2] if known else None,
            oldest_seconds=max(known, default=None),
            stalest=tuple(ages[:STALEST]),
            due=sum(share.due for share in shares),
            settled=sum(share.settled for share in shares),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that needs a person."""

    title: str
    remedy: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How everything stands *at* one moment; all times are aware UTC."""

    at: datetime
    began_at: datetime
    """When the daemon started."""
    version: str
    lake: str
    fleet: Fleet
    budget: Budget
    lanes: Sequence[Lane]
    runs: Sequence[Run]
    """The newest first."""
    consents: Mapping[str, int] = field(default_factory=dict)
    disk_free: int | None = None
    disk_total: int | None = None
    troubles: Sequence[Trouble] = ()
    stale_hours: float = 24.0

    def facts(self) -> dict[str, Any]:
        """Return it as plain values without secrets, as ``/status.json`` has it."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {mask_secrets(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return mask_secrets(value) if isinstance(value, str) else value
