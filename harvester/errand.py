"""What a command asks for, as plain values: done by the command itself, or handed to a daemon that has the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from harvester import plan
from harvester.config import Config
from harvester.due import Again, Wanted
from harvester.errors import ConfigError
from harvester.plan import Scope, SpanOf
from harvester.report import Report

_LATE = timedelta(days=7)
"""How far back days are late rather than history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One command with its arguments; raises `ConfigError` for days in the wrong order."""

    command: str
    """run, backfill, repair, replay or purge."""
    scope: Scope = field(default_factory=Scope)
    first: date | None = None
    last: date | None = None
    """Plant-local days, both inclusive; none for `run`."""
    newest_first: bool = False
    force: bool = False
    """Of a repair: the settled days, too."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """Of a replay: plant ids and their right IANA names."""
    owner: str | None = field(default=None, repr=False)
    """Of a purge, whose plants are those of the scope beside the certain ones."""
    not_plants: frozenset[str] = frozenset()
    """Of a purge: plants that are not this owner's, though that is not certain."""

    def __post_init__(self) -> None:
        if self.first and self.last and self.last < self.first:
            raise ConfigError(f"--from {self.first} is after --to {self.last}: give the earlier day first")

    def arguments(self) -> Mapping[str, Any]:
        """Return it as JSON's own values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Errand:
        """Return what `arguments` was of; raises `ConfigError` where another version wrote it."""
        try:
            return msgspec.convert(arguments, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"the order is not one of this version ({error}); give it again") from error

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day; raises `ConfigError` where there are none."""
        if self.first is None or self.last is None:
            raise ConfigError(f"`{self.command}` needs --from and --to")
        return self.first, self.last


def wanted(errand: Errand, config: Config, now: datetime) -> Wanted:
    """Return what `run`, `backfill` and `repair` ask SMA for."""
    if errand.command == "run":
        return recent(config, errand.scope, now)
    span_of: SpanOf = plan.between(*errand.days)
    again = Again.DUE
    if errand.command == "repair":
        again = Again.ALL if errand.force else Again.UNSETTLED
    return Wanted(
        command=errand.command, scope=errand.scope, span_of=span_of, newest_first=errand.newest_first, again=again
    )


def recent(config: Config, scope: Scope, now: datetime, *, command: str = "run") -> Wanted:
    """Return what is wanted without being asked for: everything since `harvest.since`."""
    harvest = config.harvest
    span_of = plan.recent(harvest.since.first_day, harvest.live_sets, now)
    return Wanted(command=command, scope=scope, span_of=span_of, resume=True, reach=harvest.since.first_day)


def live(config: Config, scope: Scope, now: datetime) -> Wanted | None:
    """Return what is worth asking all day: the running day of `harvest.live_sets`; None where none is harvested."""
    sets = frozenset(config.harvest.live_sets) - scope.exclude_sets
    narrowed = replace(scope, sets=sets & scope.sets if scope.sets else sets)
    if not narrowed.sets:
        return None
    return Wanted(command="live", scope=narrowed, span_of=plan.running(now), stalest_first=True)


def late(config: Config, scope: Scope, now: datetime) -> Wanted:
    """Return what is wanted of the days that are not settled yet: the newest ones, and those that were asked before."""
    span_of = plan.recent(lambda day, start: max(day - _LATE, config.harvest.since.first_day(day, start)), (), now)
    reach = config.harvest.since.first_day
    return Wanted(command="settle", scope=scope, span_of=span_of, resume=True, reach=reach)


def failed(config: Config, scope: Scope, now: datetime) -> Wanted:
    """Return what was last asked in vain, without waiting any longer."""
    return replace(recent(config, scope, now, command="repair"), again=Again.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a command."""

    exit_code: int
    facts: Mapping[str, Any]
    """For ``--json``."""
    tell: Callable[[], None]
    """Prints it for a person."""
    report: Report | None = None
    """Of a harvest."""
