"""Each fault alone, at every request of one series.

The series is named as failed, the others are whole, and once the fault is over the same days end with the truth.
"""

import re
from datetime import date
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from holes import days_of, lacking, listed_gaps, wrong_rows
from impatient import harvested_soon
from present import Present
from running import accept_all, configured
from truth_frames import days, truth_tables

from harvester.compose import scope_of
from harvester.config import Config
from harvester.errand import Errand, wanted
from harvester.report import Report
from harvester.sandbox import Cloud, Faults, Settings, serving

FIRST, LAST = date(2026, 5, 12), date(2026, 5, 13)
CLOUD = Settings(plants=1, devices=1, classic_every=0, start=date(2026, 5, 10))
SETS = ["PowerAc", "PowerDc"]
HARMFUL = {
    "hang": "no whole answer in time",
    "circle": "circle",
    "elsewhere": "another host",
    "http_401": "401",
    "http_403": "403",
    "http_404": "404",
    "http_408": "408",
    "http_425": "425",
    "http_429": "429",
    "http_429_bare": "429",
    "http_500": "500",
    "http_502": "502",
    "http_503": "503",
    "http_504": "504",
    "html": "HTML instead of a JSON object",
    "empty_body": "an empty body instead of a JSON object",
    "cut_json": "cut JSON instead of a JSON object",
    "octets": "cannot be decoded: JSON is malformed",
    "reset": "broke off",
    "stall": "no whole answer in time",
    "drip": "no whole answer in time",
    "endless": "more than 2000000 bytes",
    "bomb": "more than 2000000 bytes",
    # of what is wrong behind the first 128 KiB aiohttp's parser in C tells nothing, and the wait has its end
    "chunks": "HTTP or its encoding promise|broke off|no whole answer in time",
}
"""Each fault that costs an answer, and words of the reason that a person reads, as a pattern."""
HARMLESS = ("http_308", "wrong_type", "no_resolution", "no_set_type")


@cache
def truth() -> dict[str, pl.DataFrame]:
    """Return every row of these sets that the cloud ever serves."""
    served = truth_tables(Cloud(CLOUD), days(date(2026, 5, 10), date(2026, 5, 21)))
    return {name: frame for name, frame in served.items() if name.startswith(("device_power_ac", "device_power_dc"))}


async def asked(config: Config, command: str, now: Present) -> Report:
    """Backfill or repair the days."""
    errand = Errand(command=command, scope=scope_of(config), first=FIRST, last=LAST)
    return await harvested_soon(config, wanted(errand, config, now()), now)


def test_every_fault_has_words() -> None:
    """A pattern that fits anything would prove nothing."""
    assert [fault for fault, words in HARMFUL.items() if re.search(words, "")] == []


def test_no_fault_is_forgotten() -> None:
    """Every fault of an answer that the local cloud knows is tried here or lies elsewhere for a reason."""
    shapes = {"missing_rows", "missing_plant_rows", "spikes", "negative_first", "empty_arrays", "surplus"}
    plants = {"deactivated", "device_equals_plant", "shared_serials", "vanishing_plants", "empty_plants"}
    rates = {name for name in Faults.__slots__ if isinstance(getattr(Faults(), name), float)}

    assert rates - shapes - plants == HARMFUL.keys() | set(HARMLESS)


@pytest.mark.parametrize("fault", HARMFUL)
async def test_a_fault_is_named_and_ends_with_the_truth(tmp_path: Path, fault: str) -> None:
    """Exit code 3 and the reason while it lasts, `gaps` lists both days; afterwards nothing is left of it."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        more = {"sma__timeout_seconds": 0.3, "rate__window_seconds": 0.3}
        config = configured(running, tmp_path, harvest__sets=SETS, **more)
        running.cloud.faults = Faults(only=("powerac/",), **{fault: 1.0})
        report = await asked(config, "backfill", now)
        meanwhile = wrong_rows(config.lake.root, truth())
        gaps = [gap for gap in listed_gaps(config, FIRST, LAST) if gap["period"] == "Day"]
        lacked = lacking(config.lake.root, truth(), FIRST, LAST)
        running.cloud.faults = Faults()
        patient = configured(running, tmp_path, harvest__sets=SETS)
        repaired = await asked(patient, "repair", now)
        left = lacking(config.lake.root, truth(), FIRST, LAST)

    assert report.exit_code == 3
    assert report.misses
    assert all("PowerAc" in miss.what and re.search(HARMFUL[fault], miss.reason) for miss in report.misses)
    assert {day for gap in gaps for day in days_of(gap)} == {FIRST, LAST}
    assert {(gap["set"], gap["settlement"]) for gap in gaps} == {("PowerAc", "failed")}
    assert meanwhile == []
    assert {(table, day) for table, _, _, day in lacked} == {("device_power_ac", day) for day in (FIRST, LAST)}
    assert (repaired.exit_code, repaired.misses) == (0, [])
    assert left == set()
    assert wrong_rows(config.lake.root, truth()) == []


@pytest.mark.parametrize("fault", HARMLESS)
async def test_what_costs_nothing_changes_nothing(tmp_path: Path, fault: str) -> None:
    """Another spelling, another content type, an envelope with less in it: the truth all the same."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=SETS)
        running.cloud.faults = Faults(**{fault: 1.0})
        report = await asked(config, "backfill", now)

    assert (report.exit_code, report.misses) == (0, [])
    assert wrong_rows(config.lake.root, truth()) == []
    assert lacking(config.lake.root, truth(), FIRST, LAST) == set()
