"""Anything that can go wrong on the wire, in any order and mixed: the lake ends with the truth, and lies at no moment.

A state machine over the local cloud and whole harvests. `make faults` lets it play longer.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from holes import lacking, listed_gaps
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from impatient import harvested_soon
from present import Present
from running import configured
from truth_frames import days, truth_tables
from wire_word import Asked, broken_words, over, untrue

from harvester.compose import scope_of
from harvester.config import Config
from harvester.due import Wanted
from harvester.errand import Errand, recent, wanted
from harvester.errors import HarvestError
from harvester.report import Report
from harvester.sandbox import Cloud, Faults, Settings, serving

EXAMPLES = int(os.environ.get("WIRE_EXAMPLES", "0"))
PLAYED = settings(
    max_examples=EXAMPLES or 4,
    stateful_step_count=12,
    derandomize=not EXAMPLES,
    phases=list(Phase) if EXAMPLES else [Phase.generate],
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
"""The same few games each time in CI; more, others each time, made short, where WIRE_EXAMPLES says how many."""

ANN, BEN = "ann@example.org", "ben@example.net"
FIRST, LAST = date(2026, 5, 6), date(2026, 5, 15)
SINCE = date(2026, 5, 11)
BEGINS, ADDED = (2026, 5, 13, 10), date(2026, 5, 10)
"""Some of the days that are asked have not come in as a whole, some have not begun."""
SERVED = days(date(2026, 5, 1), date(2026, 6, 10))
SETTINGS = Settings(
    plants=2, devices=2, owners=(ANN, BEN), classic_every=2, start=SERVED[0], late_rows=0.1, late_days=2
)

KINDS = (
    *("hang", "http_308", "circle", "elsewhere", "http_401", "http_429", "http_429_bare", "http_403", "http_404"),
    *("http_408", "http_425", "http_500", "http_502", "http_503", "http_504", "html", "empty_body", "cut_json"),
    *("octets", "wrong_type", "reset", "stall", "drip", "endless", "bomb", "chunks", "empty_plants"),
    *("no_resolution", "no_set_type"),
)
PLACES = (
    (),
    (),
    (),
    ("poweraC",),
    ("energybalance",),
    ("/devices",),
    ("/week",),
    ("/measurements/sets$", "/lean"),
    ("/plants?",),
)
DEALS = st.integers(0, 9999)
"""Numbers of what goes wrong, see `Deck`."""
HOURS = st.sampled_from((0, 1, 8, 26))
"""How long nobody does anything before a harvest."""
CALM = 0.2
"""Share of harvests in which nothing goes wrong."""
STRUCK: Counter[str] = Counter()
"""Which faults had an effect in all games of this process."""


@cache
def served() -> tuple[dict[str, pl.DataFrame], str]:
    """Return every row that the cloud ever serves with the device that is added, and the id of that device."""
    cloud = Cloud(SETTINGS)
    new = add_device(cloud)
    return truth_tables(cloud, SERVED), new


@cache
def truth(*, added: bool) -> dict[str, pl.DataFrame]:
    """Return every row that the cloud ever serves, with or without the device that is added."""
    tables, new = served()
    if added:
        return tables
    return {
        name: frame.filter(pl.col("device_id") != new) if "device_id" in frame.columns else frame
        for name, frame in tables.items()
    }


def add_device(cloud: Cloud) -> str:
    """Build an inverter into the first plant and return its id."""
    return cloud.add_device(cloud.truth.plants()[0].plant_id, "inverter", since=ADDED).device_id


class Deck:
    """Deals three or four kinds and a place, or a good day; each kind once before any comes again."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def deal(self, number: int) -> Faults:
        """Deal by a number, so that no kind is likelier for being named first."""
        chance = random.Random(number)  # noqa: S311 - a game
        if chance.random() < CALM:
            return Faults()
        self._left = self._left or [*KINDS]
        kinds = chance.sample(self._left, min(chance.choice((3, 4)), len(self._left)))
        self._left = [kind for kind in self._left if kind not in kinds]
        only = chance.choice(PLACES)
        # where everything is spoiled too often, nothing but the first request is ever made
        rates = (0.4, 1.0) if only else (0.2, 0.3)
        return Faults(only=only, **{kind: chance.choice(rates) for kind in kinds})


class Wire(RuleBasedStateMachine):
    """A harvester, its cloud, and whatever comes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.now = Present(*BEGINS)
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.running = self._play(lambda: self.stack.enter_async_context(serving(SETTINGS, now=self.now)))
        self.cloud = self.running.cloud
        self.config = self._config(timeout=0.4)
        self.accepted: set[str] = set()
        self.asked: tuple[date, date] | None = None
        self.added: str | None = None
        self.deck = Deck()

    def _play(self, scene: Callable[[], Awaitable[Any]]) -> Any:
        async def played() -> Any:
            return await scene()

        return self.runner.run(played())

    def _config(self, *, timeout: float) -> Config:
        more = {"sma__timeout_seconds": timeout, "rate__window_seconds": 0.3, "harvest__since": str(SINCE)}
        return configured(self.running, Path(self.folder.name), sma__owners=[ANN, BEN], **more)

    def _do(self, task: Wanted, first: date, last: date, deal: int) -> Report | None:
        """Run a harvest while something goes wrong, and hold it to its word on the days from *first* to *last*.

        None where it ended with one of our own errors that is no crash.
        """
        self.cloud.faults = self.deck.deal(deal)
        report = self._harvested(self.config, task)
        self.nothing_is_wrong()
        assert broken_words(self.config, self._asked(first, last), report) == []
        return report

    def _harvested(self, config: Config, task: Wanted) -> Report | None:
        try:
            report: Report = self._play(lambda: harvested_soon(config, task, self.now))
        except HarvestError as error:
            assert error.exit_code in {3, 4}, error  # noqa: PT017 - which of ours it may be
            return None
        assert report.exit_code == (3 if report.misses or report.not_asked else 0)
        assert all(miss.what and miss.reason for miss in report.misses)
        return report

    def _asked(self, first: date, last: date) -> Asked:
        """Return what lake, ledger and report must account for."""
        return Asked(
            first=first,
            last=min(last, over(self.now())),
            plants=frozenset(p.plant_id for p in self.cloud.truth.plants() if p.owner in self.accepted),
            truth=self._truth,
            new=frozenset({self.added} if self.added else ()),
            denied=self.cloud.counts.struck["http_404"] > 0,
        )

    def _errand(self, command: str, first: date, last: date) -> Wanted:
        return wanted(
            Errand(command=command, scope=scope_of(self.config), first=first, last=last), self.config, self.now()
        )

    @initialize()
    def consent(self) -> None:
        """Begin with both owners' consent."""
        for owner in (ANN, BEN):
            self.accept(owner)

    @rule(owner=st.sampled_from((ANN, BEN)), accepts=st.booleans())
    def say(self, owner: str, *, accepts: bool) -> None:
        """Let an owner take the consent back, or give it again."""
        (self.accept if accepts else self.revoke)(owner)

    def accept(self, owner: str) -> None:
        """Let an owner consent."""
        self.cloud.accept(owner)
        self.accepted.add(owner)

    def revoke(self, owner: str) -> None:
        """Let an owner take the consent back."""
        self.cloud.revoke(owner)
        self.accepted.discard(owner)

    @precondition(lambda self: self.added is None)
    @rule()
    def build(self) -> None:
        """Add a device that has measured for a while."""
        self.added = add_device(self.cloud)

    @rule(start=st.integers(0, 9), length=st.integers(1, 10), deal=DEALS, hours=HOURS)
    def backfill(self, start: int, length: int, deal: int, hours: int) -> None:
        """Ask some days."""
        self.now.advance(hours=hours)
        first = FIRST + timedelta(days=start)
        last = min(first + timedelta(days=length - 1), LAST)
        if self._do(self._errand("backfill", first, last), first, last, deal):
            self.asked = (min(first, (self.asked or (first,))[0]), max(last, (self.asked or (last, last))[1]))

    @rule(deal=DEALS, hours=HOURS)
    def run(self, deal: int, hours: int) -> None:
        """Do one pass over what is due."""
        self.now.advance(hours=hours)
        self._do(recent(self.config, scope_of(self.config), self.now()), SINCE, LAST, deal)

    @rule(start=st.integers(0, 9), deal=DEALS, hours=HOURS)
    def repair(self, start: int, deal: int, hours: int) -> None:
        """Ask again what is not settled."""
        self.now.advance(hours=hours)
        first = FIRST + timedelta(days=start)
        self._do(self._errand("repair", first, LAST), first, LAST, deal)

    @property
    def _truth(self) -> dict[str, pl.DataFrame]:
        return truth(added=self.added is not None)

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Find nothing but the truth in the lake, and nothing twice."""
        assert untrue(self.config.lake.root, self._truth) == []

    def teardown(self) -> None:
        """Once all is well again, a few passes end with the whole truth and with nothing failed."""
        try:
            self.cloud.faults = Faults()
            for owner in (ANN, BEN):
                self.accept(owner)
            self.now.advance(days=8)
            patient = self._config(timeout=30.0)
            first, last = self.asked or (FIRST, LAST)
            self._harvested(patient, self._errand("backfill", first, last))
            report = self._harvested(patient, self._errand("repair", first, last))
            assert report is not None
            assert (report.exit_code, report.misses) == (0, [])
            self.nothing_is_wrong()
            assert lacking(self.config.lake.root, self._truth, first, last) == set()
            assert not [gap for gap in listed_gaps(patient, first, last) if gap["settlement"] == "failed"]
        finally:
            STRUCK.update(self.cloud.counts.struck)
            self._play(self.stack.aclose)
            self.runner.close()
            self.folder.cleanup()


class TestWire(Wire.TestCase):  # type: ignore[misc, name-defined]  # made by Hypothesis
    """The games, and whether anything went wrong in them at all."""

    settings = PLAYED

    def runTest(self) -> None:  # noqa: N802 - as unittest calls it
        """Play, and count what struck."""
        super().runTest()

        assert len(STRUCK) > len(KINDS) // 2, STRUCK
