"""All that can go wrong on the wire, dealt into groups: whatever strikes together, the end is the truth.

Which kinds meet is drawn by a seed, so that each run of the tests plays the same groups; `test_wire` plays others.
"""

import random
import shutil
from datetime import date
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from holes import lacking, listed_gaps
from impatient import harvested_soon
from present import Present
from running import accept_all, configured
from truth_frames import days, truth_tables
from wire_word import Asked, broken_words, untrue

from harvester.compose import scope_of
from harvester.config import Config
from harvester.errand import Errand, wanted
from harvester.errors import HarvestError
from harvester.report import Report
from harvester.sandbox import Cloud, Faults, Running, Settings, serving

SHAPES = {"missing_rows", "missing_plant_rows", "spikes", "negative_first", "empty_arrays", "surplus"}
"""Rates that make another truth, and spoil no answer."""
PLANTS = {"deactivated", "device_equals_plant", "shared_serials", "vanishing_plants"}
"""Rates that single out plants, and not answers."""
KINDS = sorted(
    name
    for name, rate in ((name, getattr(Faults(), name)) for name in Faults.__slots__)
    if isinstance(rate, float) and name not in SHAPES | PLANTS
)
RATES = (0.3, 0.4, 0.5)
DEAL = 3
"""Which deal of the kinds into groups is played."""
LEAST, MOST = 4, 12
"""Commands in one game that comes to no end by itself, before all is well again."""

FIRST, LAST = date(2026, 5, 12), date(2026, 5, 14)
CLOUD = Settings(plants=2, devices=1, classic_every=2, start=date(2026, 5, 10))


def dealt(number: int) -> list[dict[str, float]]:
    """Deal all kinds into groups of three or four, each kind with its rate."""
    chance = random.Random(number)  # noqa: S311 - a game
    kinds = chance.sample(KINDS, len(KINDS))
    groups = -(-len(kinds) // 4)
    return [{kind: chance.choice(RATES) for kind in kinds[first::groups]} for first in range(groups)]


GROUPS = dealt(DEAL)


@cache
def truth() -> dict[str, pl.DataFrame]:
    """Return every row that the cloud ever serves of the days around."""
    return truth_tables(Cloud(CLOUD), days(date(2026, 5, 10), date(2026, 5, 21)))


async def asked(config: Config, command: str, now: Present) -> Report | None:
    """Backfill or repair the days; None where that ended with an error that says that something failed."""
    errand = Errand(command=command, scope=scope_of(config), first=FIRST, last=LAST)
    try:
        report = await harvested_soon(config, wanted(errand, config, now()), now)
    except HarvestError as error:
        assert error.exit_code in {3, 4}, error  # noqa: PT017 - which of ours it may be
        return None
    assert report.exit_code == (3 if report.misses or report.not_asked else 0)
    return report


def holds(config: Config, running: Running, report: Report | None) -> None:
    """Fail where a row is wrong or there twice, or a hole has no name."""
    plants = frozenset(plant.plant_id for plant in running.cloud.truth.plants())
    denied = running.cloud.counts.struck["http_404"] > 0
    told = Asked(first=FIRST, last=LAST, plants=plants, truth=truth(), denied=denied)

    assert untrue(config.lake.root, truth()) == []
    assert broken_words(config, told, report) == []


def test_every_kind_is_dealt_once() -> None:
    """Into groups of three or four, at rates that leave some answers whole; a kind that is new is dealt as well."""
    assert sorted(kind for group in GROUPS for kind in group) == KINDS
    assert {len(group) for group in GROUPS} <= {3, 4}
    assert len(KINDS) >= 29


@pytest.mark.parametrize("group", GROUPS, ids="-".join)
async def test_whatever_strikes_together_the_end_is_the_truth(tmp_path: Path, group: dict[str, float]) -> None:
    """After each command all holes have a name; once one ends with 0, or all is well again, nothing is lacking."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__timeout_seconds=0.25, rate__window_seconds=0.2)
        struck = running.cloud.counts.struck
        running.cloud.faults = Faults(**group)
        for number in range(MOST):
            report = await asked(config, "repair" if number else "backfill", now)
            holds(config, running, report)
            done = number + 1 >= LEAST or (report is not None and report.exit_code == 0)
            if done and group.keys() <= struck.keys():
                break
        spared = group.keys() - struck.keys()
        running.cloud.faults = Faults()
        now.advance(days=1)  # so that lists of sets are asked again that were denied, as if there were none
        patient = configured(running, tmp_path, rate__window_seconds=0.2)
        last = await asked(patient, "repair", now)

    assert spared == set()
    assert last is not None
    assert (last.exit_code, last.misses) == (0, [])
    assert lacking(config.lake.root, truth(), FIRST, LAST) == set()
    assert untrue(config.lake.root, truth()) == []
    assert [gap for gap in listed_gaps(config, FIRST, LAST) if gap["settlement"] == "failed"] == []


async def test_a_plant_that_only_the_list_knows_is_named(tmp_path: Path) -> None:
    """One of two plants answers nothing but 404: the other is whole, and afterwards so is this one."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        running.cloud.faults = Faults(vanishing_plants=0.7)
        report = await asked(config, "backfill", now)
        holds(config, running, report)
        meanwhile = {plant for _, plant, _, _ in lacking(config.lake.root, truth(), FIRST, LAST)}
        running.cloud.faults = Faults()
        repaired = await asked(config, "repair", now)

    assert report is not None
    assert report.exit_code == 3
    assert [miss.what.partition(" ")[0] for miss in report.misses] == [*meanwhile]
    assert len(meanwhile) == 1
    assert running.cloud.counts.struck["vanishing_plants"] > 0
    assert repaired is not None
    assert (repaired.exit_code, repaired.misses) == (0, [])
    assert lacking(config.lake.root, truth(), FIRST, LAST) == set()


async def test_a_hole_that_nobody_names_is_found(tmp_path: Path) -> None:
    """Where files are lost that the ledger calls settled, and where a row is not the truth's: the looks bite."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await asked(config, "backfill", now)
        holds(config, running, report)
        plants = frozenset(plant.plant_id for plant in running.cloud.truth.plants())
    told = Asked(first=FIRST, last=LAST, plants=plants, truth=truth())
    other = {name: frame.with_columns(pl.col("interval_minutes") + 1) for name, frame in truth().items()}
    strange = untrue(config.lake.root, other)
    shutil.rmtree(config.lake.root / "device_power_ac" / f"date={FIRST}")
    found = broken_words(config, told, report)

    assert len(strange) == len(other)
    assert len(found) == len(plants)
    assert all(f"device_power_ac of {plant}/" in "".join(found) and str(FIRST) in found[0] for plant in plants)
