"""Anything that can go wrong on the wire, in any order and mixed: the lake ends with the truth, and lies at no moment.

A state machine over the local cloud and whole harvests. `make faults` lets it play longer.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from holes import days_of, lacking, listed_gaps, still_due, wrong_rows
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from impatient import harvested_soon
from present import Present
from running import configured
from truth_frames import days, snake, truth_tables

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
BEGINS, ADDED = (2026, 5, 13, 10), date(2026, 5, 10)
"""Some of the days that are asked have not come in as a whole, some have not begun."""
SERVED = days(date(2026, 5, 1), date(2026, 6, 20))
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
    ("poweraC",),
    ("energybalance",),
    ("/devices",),
    ("/week",),
    ("/measurements/sets?", "/lean"),
    ("/plants?",),
)
FAULTS = st.dictionaries(st.sampled_from(KINDS), st.sampled_from((0.2, 0.5, 1.0)), min_size=1, max_size=4)


@cache
def truth(*, added: bool) -> dict[str, pl.DataFrame]:
    """Return every row that the cloud ever serves, with or without the device that is added."""
    cloud = Cloud(SETTINGS)
    if added:
        add_device(cloud)
    return truth_tables(cloud, SERVED)


def add_device(cloud: Cloud) -> str:
    """Build an inverter into the first plant and return its id."""
    return cloud.add_device(cloud.truth.plants()[0].plant_id, "inverter", since=ADDED).device_id


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

    def _play(self, scene: Callable[[], Awaitable[Any]]) -> Any:
        async def played() -> Any:
            return await scene()

        return self.runner.run(played())

    def _config(self, *, timeout: float) -> Config:
        more = {"sma__timeout_seconds": timeout, "rate__window_seconds": 0.3, "harvest__since": "2026-05-11"}
        return configured(self.running, Path(self.folder.name), sma__owners=[ANN, BEN], **more)

    def _do(self, task: Wanted, config: Config | None = None) -> Report | None:
        """Run a harvest; None where it ended with one of our own errors that is no crash."""
        try:
            report: Report = self._play(lambda: harvested_soon(config or self.config, task, self.now))
        except HarvestError as error:
            assert error.exit_code in {3, 4}, error  # noqa: PT017 - which of ours it may be
            return None
        assert report.exit_code == (3 if report.misses or report.not_asked else 0)
        assert all(miss.what and miss.reason for miss in report.misses)
        return report

    def _errand(self, command: str, first: date, last: date) -> Wanted:
        return wanted(
            Errand(command=command, scope=scope_of(self.config), first=first, last=last), self.config, self.now()
        )

    @initialize()
    def consent(self) -> None:
        """Begin with both owners' consent."""
        for owner in (ANN, BEN):
            self.accept(owner)

    @rule(kinds=FAULTS, only=st.sampled_from(PLACES))
    def misbehave(self, kinds: dict[str, float], only: tuple[str, ...]) -> None:
        """Let things go wrong from now on."""
        self.cloud.faults = Faults(only=only, **kinds)

    @rule()
    def heal(self) -> None:
        """Let all be well from now on."""
        self.cloud.faults = Faults()

    @rule(owner=st.sampled_from((ANN, BEN)))
    def accept(self, owner: str) -> None:
        """Let an owner consent."""
        self.cloud.accept(owner)
        self.accepted.add(owner)

    @rule(owner=st.sampled_from((ANN, BEN)))
    def revoke(self, owner: str) -> None:
        """Let an owner take the consent back."""
        self.cloud.revoke(owner)
        self.accepted.discard(owner)

    @rule(hours=st.sampled_from((1, 8, 26)))
    def wait(self, hours: int) -> None:
        """Let time pass."""
        self.now.advance(hours=hours)

    @precondition(lambda self: self.added is None)
    @rule()
    def build(self) -> None:
        """Add a device that has measured for a while."""
        self.added = add_device(self.cloud)

    @rule(start=st.integers(0, 9), length=st.integers(1, 10))
    def backfill(self, start: int, length: int) -> None:
        """Ask some days; what exit code 0 promises is there, or the ledger and `gaps` name it."""
        first = FIRST + timedelta(days=start)
        last = min(first + timedelta(days=length - 1), LAST)
        report = self._do(self._errand("backfill", first, last))
        if report is None:
            return
        self.asked = (min(first, (self.asked or (first,))[0]), max(last, (self.asked or (last, last))[1]))
        if report.exit_code == 0:
            self._keeps_its_word(first, last)

    @rule()
    def run(self) -> None:
        """Do one pass over what is due."""
        self._do(recent(self.config, scope_of(self.config), self.now()))

    @rule(start=st.integers(0, 9))
    def repair(self, start: int) -> None:
        """Ask again what is not settled."""
        self._do(self._errand("repair", FIRST + timedelta(days=start), LAST))

    def _keeps_its_word(self, first: date, last: date) -> None:
        """Nothing that is over was left unasked; what is lacking is open in the ledger, or in `gaps`, or is new."""
        visible = {plant.plant_id for plant in self.cloud.truth.plants() if plant.owner in self.accepted}
        gaps = [gap for gap in listed_gaps(self.config, first, last) if gap["period"] == "Day"]
        over = self.now().date() - timedelta(days=1)
        unasked = [gap for gap in gaps if gap["settlement"] == "unasked" and gap["plant_id"] in visible]
        assert [gap for gap in unasked if days_of(gap)[0] < over] == []
        due = still_due(self.config, first, last).items()
        named = {(gap["plant_id"], gap["device_id"] or "", snake(gap["set"]), d) for gap in gaps for d in days_of(gap)}
        named |= {(plant, device, snake(name), day) for (plant, device, name), days in due for day in days}
        for table, plant_id, device_id, day in lacking(self.config.lake.root, self._truth, first, last):
            if plant_id in visible and device_id != self.added:
                assert (plant_id, device_id, table.partition("_")[2], day) in named

    @property
    def _truth(self) -> dict[str, pl.DataFrame]:
        return truth(added=self.added is not None)

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Find nothing but the truth in the lake, and nothing twice."""
        assert wrong_rows(self.config.lake.root, self._truth) == []

    def teardown(self) -> None:
        """Once all is well again, a few passes end with the whole truth and with nothing failed."""
        try:
            self.heal()
            for owner in (ANN, BEN):
                self.accept(owner)
            self.now.advance(days=8)
            patient = self._config(timeout=30.0)
            first, last = self.asked or (FIRST, LAST)
            self._do(self._errand("backfill", first, last), patient)
            report = self._do(self._errand("repair", first, last), patient)
            assert report is not None
            assert (report.exit_code, report.misses) == (0, [])
            self.nothing_is_wrong()
            assert lacking(self.config.lake.root, self._truth, first, last) == set()
            assert not [gap for gap in listed_gaps(patient, first, last) if gap["settlement"] == "failed"]
        finally:
            self._play(self.stack.aclose)
            self.runner.close()
            self.folder.cleanup()


TestWire = Wire.TestCase
TestWire.settings = PLAYED
