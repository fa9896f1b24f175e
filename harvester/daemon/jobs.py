"""The daemon's pieces of work: each can be told to halt, and goes on later where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from harvester import show
from harvester.due import Wanted
from harvester.errand import Done
from harvester.harvest import Harvest
from harvester.intake import Progress
from harvester.report import Report


class Job(Protocol):
    """One piece of work."""

    halt: asyncio.Event
    """Set by who needs the daemon for something more urgent."""

    @property
    def report(self) -> Report | None:
        """What a harvest has come to so far."""

    async def go_on(self) -> Done | None:
        """Work until it is done; return None where it was halted before. Raises the errors of ``harvester.errors``."""


@dataclass(slots=True)
class HarvestJob:
    """Asks SMA for what is due of what is wanted."""

    harvest: Harvest
    wanted: Wanted
    halt: asyncio.Event
    """The one that *harvest* stops at."""
    begins_with: Callable[[Wanted], Awaitable[Report]]
    """What it does first: `run`, which discovers, or `go_on`."""
    noted: Callable[[Report], None]
    """Called with what it came to in the end."""
    _begun: bool = False

    @property
    def report(self) -> Report:
        """What it has come to so far."""
        return self.harvest.report

    async def go_on(self) -> Done | None:
        """Harvest; the report is of all turns together."""
        self.halt.clear()
        first, self._begun = not self._begun, True
        report = await (self.begins_with if first else self.harvest.go_on)(self.wanted)
        if report.interrupted:
            return None
        self.noted(report)
        return harvested(report)


def harvested(report: Report) -> Done:
    """Return what a harvest came to."""
    return Done(exit_code=report.exit_code, facts=report.facts(), tell=lambda: show.report(report), report=report)


@dataclass(slots=True)
class OneGo:
    """Work that is over in a moment, or that only asks what it must: it is not halted."""

    work: Callable[[], Awaitable[Done]]
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    report: None = None

    async def go_on(self) -> Done | None:
        """Do it."""
        return await self.work()


@dataclass(slots=True)
class Steps:
    """Work on files, step by step in a worker thread."""

    steps: Iterator[object]
    done: Callable[[], Done]
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    report: None = None

    async def go_on(self) -> Done | None:
        """Take steps."""
        self.halt.clear()
        while not self.halt.is_set():
            if await asyncio.to_thread(next, self.steps, self) is self:
                return self.done()
        return None


@dataclass(slots=True)
class _Halting:
    """Progress that ends the work which tells it, where that is to halt."""

    progress: Progress
    halt: asyncio.Event

    def planned(self, slices: int) -> None:
        """Pass it on."""
        self.progress.planned(slices)

    def advanced(self) -> None:
        """Pass it on, or end the work."""
        self.progress.advanced()
        if self.halt.is_set():
            raise InterruptedError


@dataclass(slots=True)
class Resumable:
    """Work on files in a worker thread that goes on where it ended when it is called again."""

    work: Callable[[Progress], Done]
    progress: Progress
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    report: None = None

    async def go_on(self) -> Done | None:
        """Work, until it is done or halted."""
        self.halt.clear()
        try:
            return await asyncio.to_thread(self.work, _Halting(self.progress, self.halt))
        except InterruptedError:
            return None
