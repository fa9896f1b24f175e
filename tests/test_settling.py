"""Days settle, late rows arrive, and clocks change: runs over days of virtual time, compared with the truth."""

from datetime import date
from pathlib import Path

import pytest
from present import Present
from running import accept_all, backfilled, configured, ran
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.sandbox import Faults, Settings, serving

SEVEN_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/St_Johns",
    "Pacific/Chatham",
    "Asia/Beirut",
)


WINDOWS = (
    (date(2026, 3, 7), date(2026, 3, 9)),  # New York, Havana, St. John's
    (date(2026, 3, 28), date(2026, 3, 30)),  # Berlin, Beirut
    (date(2026, 4, 4), date(2026, 4, 6)),  # Lord Howe, Chatham
    (date(2026, 9, 26), date(2026, 9, 28)),  # Chatham
    (date(2026, 10, 3), date(2026, 10, 5)),  # Lord Howe
    (date(2026, 10, 24), date(2026, 10, 26)),  # Berlin, Beirut
    (date(2026, 10, 31), date(2026, 11, 2)),  # New York, Havana, St. John's
)


@pytest.mark.parametrize("autumn", ["twice", "merged"])
async def test_seven_zones_through_both_changes(tmp_path: Path, autumn: str) -> None:
    """Every row on its instant: half-hour changes, changes at midnight, both hemispheres, rows missing."""
    now = Present(2026, 11, 20)
    gaps = Faults(missing_rows=0.01, missing_plant_rows=0.01)
    settings = Settings(
        start=date(2026, 2, 1), plants=7, devices=1, zones=SEVEN_ZONES, classic_every=0, autumn=autumn, faults=gaps
    )
    async with serving(settings, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        codes = [(await backfilled(config, *window, wall=now)).exit_code for window in WINDOWS]
        wanted = [day for window in WINDOWS for day in days(*window)]
        truth = truth_tables(running.cloud, wanted)["plant_energy_balance"]

    lake = lake_tables(config.lake.root)["plant_energy_balance"]
    asked = lake.filter(lake["local_time"].dt.date().is_in(wanted))
    assert codes == [0] * len(WINDOWS)
    assert differences({"rows": asked}, {"rows": truth}) == []


async def test_late_rows_are_found_at_one_request_a_day_and_series(tmp_path: Path) -> None:
    """`run` once a day: the looks at several open days fall together, and after three days all is there."""
    clock = Present(2026, 5, 4, 23)
    settings = Settings(start=date(2026, 2, 1), plants=2, devices=3, classic_every=0, late_rows=0.1, late_days=2)
    async with serving(settings, now=clock) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__since="1d", harvest__live_sets=[], harvest__exclude_sets=[])
        spent, series = [], 0
        for _ in range(9):
            report = await ran(config, wall=clock)
            spent.append(report.requests["values"])
            series = report.series
            clock.advance(days=1)
        first, last = date(2026, 5, 4), date(2026, 5, 9)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(first, last))

    sums = 2 * 2  # Month and now and then Year of each plant
    assert max(spent[2:]) <= series + sums
    for name, want in truth.items():
        have = lake[name].filter(lake[name]["local_time"].dt.date().is_between(first, last))
        assert differences({name: have}, {name: want}) == []


async def test_a_settled_day_is_never_asked_again(tmp_path: Path) -> None:
    """A read begun three days after a day's end settles it: no later run spends a request on it."""
    clock = Present(2026, 5, 20, 12)
    async with serving(Settings(start=date(2026, 2, 1), plants=1, devices=3, classic_every=0), now=clock) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        first = await backfilled(config, date(2026, 5, 1), date(2026, 5, 19), wall=clock)
        clock.advance(days=40)
        second = await backfilled(config, date(2026, 5, 1), date(2026, 5, 16), wall=clock)
        third = await backfilled(config, date(2026, 5, 1), date(2026, 5, 19), wall=clock)

    open_days = 3 * first.series
    assert first.days_open == open_days
    assert second.days_settled == second.days_open == 0
    assert second.requests.get("values", 0) <= 3  # Month, Year and Total, which the running periods left open
    assert third.days_settled == open_days
    assert third.requests["values"] <= third.series


async def test_live_sets_are_asked_when_a_row_can_exist(tmp_path: Path) -> None:
    """Run every minute for two hours: the live series costs about one request per five minutes, not per minute."""
    clock = Present(2026, 5, 20, 9)
    async with serving(Settings(start=date(2026, 2, 1), plants=1, devices=1, classic_every=0), now=clock) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__since="1d")
        spent = []
        for _ in range(120):
            report = await ran(config, wall=clock)
            spent.append(report.requests.get("values", 0))
            clock.advance(minutes=1)
        rows = lake_tables(config.lake.root)["plant_energy_balance"]
        served = running.cloud.truth.rows(running.cloud.truth.series()[0], date(2026, 5, 20), at=clock.now)

    newest = max(reading.start_utc for reading in served)
    assert sum(spent[1:]) <= 45
    assert (newest - rows["time"].max()).total_seconds() <= 900
