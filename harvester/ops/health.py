"""Whether a daemon turns, and whether it can do its work. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a check."""

    reasons: tuple[str, ...] = ()
    """What is wrong, each a sentence; none where all is well."""

    @property
    def ok(self) -> bool:
        """Tell whether all is well."""
        return not self.reasons


def turning(last_tick: datetime | None, now: datetime, *, patience: timedelta) -> Health:
    """Tell whether the worker's *last_tick* (aware UTC; None: none yet) is younger than *patience*."""
    if last_tick is None:
        return Health(("The worker has not begun to turn.",))
    still = now - last_tick
    if still <= patience:
        return Health()
    return Health((f"The worker has not turned for {still.total_seconds():,.0f} seconds.",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What a daemon needs to do its work."""

    lake_open: bool
    ledger_open: bool
    token_had: bool
    """Whether SMA ever gave a token to this process."""
    last_answer: datetime | None
    """When SMA last answered, aware UTC."""
    silent_since: datetime | None
    """Since when it does not answer; None while it does or while nothing is asked."""
    pause_left: float
    """Seconds that SMA wants to be left alone: then silence is as it should be."""


def ready(known: Readiness, now: datetime, *, patience: timedelta) -> Health:
    """Tell whether work can be done: stores open, a token had, SMA not silent for longer than *patience*."""
    return Health(tuple(_lacking(known, now, patience)))


def _lacking(known: Readiness, now: datetime, patience: timedelta) -> Iterator[str]:
    if not known.lake_open:
        yield "The lake is not open."
    if not known.ledger_open:
        yield "The ledger is not open."
    if not known.token_had:
        yield "SMA has not given a token yet."
    if known.pause_left > 0 or known.silent_since is None:
        return
    silence = now - known.silent_since
    if silence > patience:
        last = f"{known.last_answer:%Y-%m-%d %H:%M} UTC" if known.last_answer else "never"
        yield f"SMA has not answered for {silence.total_seconds():,.0f} seconds; the last answer: {last}."
