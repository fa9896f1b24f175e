"""From consent to Parquet over real HTTP, compared with the cloud's own truth row for row."""

import asyncio
import hashlib
import signal
from datetime import date
from pathlib import Path

import pytest
from running import accept_all, backfilled, command, configured, environment, started
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.errors import CredentialsRefused
from harvester.sandbox import Faults, Settings, serving

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
"""A week that ends with the day on which Europe's clocks are set back."""
START = date(2026, 10, 1)
"""Plants are young: their Year and Total are sums over every day that there is, which the cloud has to simulate."""


def fingerprints(root: Path) -> dict[str, str]:
    """Return a hash of every file that a reader of the lake sees."""
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in root.rglob("*.parquet")}


async def test_a_backfill_equals_the_truth_row_for_row_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    """Ten plants, seven devices each, seven settled days with a change of the clock: every row and value."""
    settings = Settings(plants=10, devices=7, start=START, zones=("Europe/Berlin", "Europe/Lisbon", "Asia/Kolkata"))
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))
        before, values = fingerprints(config.lake.root), report.requests["values"]
        again = await backfilled(config, FIRST, LAST)

    assert report.exit_code == 0
    assert differences(lake, truth) == []
    assert values <= 0.2 * 7 * report.series
    assert again.requests.get("values", 0) == 0
    assert fingerprints(config.lake.root) == before


@pytest.mark.parametrize("week", ["date", "monday", "sunday"])
async def test_whatever_a_week_covers_every_day_arrives(tmp_path: Path, week: str) -> None:
    """The convention of Week is learned from answers, and the lake is the same under each."""
    first, last = date(2026, 3, 24), date(2026, 4, 13)
    async with serving(Settings(plants=2, devices=4, week=week, start=date(2026, 3, 1))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, first, last)
        lake = lake_tables(config.lake.root)
        truth = truth_tables(running.cloud, days(date(2026, 3, 1), date(2026, 4, 30)))

    assert report.exit_code == 0
    for name, want in truth.items():
        asked = want.filter(want["local_time"].dt.date().is_between(first, last))
        have = lake[name].filter(lake[name]["local_time"].dt.date().is_between(first, last))
        assert differences({name: have}, {name: asked}) == []
    sums = 4 * report.plants  # two Months, a Year, a Total
    assert report.requests["values"] <= 4.2 * report.series + sums


async def test_spoiled_answers_end_with_the_same_lake(tmp_path: Path) -> None:
    """A fifth of all answers is spoiled in one way or another; the lake is whole all the same."""
    spoiled = Faults(cut_json=0.04, html=0.04, empty_body=0.04, reset=0.04, http_500=0.04, http_401=0.02)
    async with serving(Settings(plants=2, devices=5, start=START, faults=spoiled)) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    assert report.misses == []
    assert differences(lake, truth) == []


async def test_a_series_that_always_fails_is_named_and_holds_nobody_up(tmp_path: Path) -> None:
    """Exit code 3, the series and its reason in the report, every other series whole."""
    async with serving(Settings(plants=2, devices=5, start=START, faults=Faults(failing=("PowerAc:404",)))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    failed = truth.pop("device_power_ac")
    assert failed.height > 0
    assert report.exit_code == 3
    assert {miss.what.split()[0].rsplit("/", 1)[1] for miss in report.misses} == {"PowerAc"}
    assert all("404" in miss.reason for miss in report.misses)
    assert differences(lake, truth) == []


async def test_two_backfills_at_once_lose_nothing(tmp_path: Path) -> None:
    """The second is refused with exit code 2, naming the first; the first ends whole."""
    async with serving(Settings(plants=2, devices=5, start=START, latency_seconds=0.05)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        span = ("backfill", "--from", str(FIRST), "--to", str(LAST))
        first = await started(env, *span)
        while not (tmp_path / "lake" / "_harvester" / "lake.json").exists():
            await asyncio.sleep(0.05)
        second = await command(env, *span)
        await first.communicate()
        lake, truth = lake_tables(tmp_path / "lake"), truth_tables(running.cloud, days(FIRST, LAST))

    assert first.returncode == 0
    assert second.code == 2
    assert f"process {first.pid}" in second.err
    assert differences(lake, truth) == []


@pytest.mark.parametrize("asked", [40, 55, 70])
async def test_a_killed_backfill_and_a_second_one_end_with_the_same_lake(tmp_path: Path, asked: int) -> None:
    """SIGKILL in the middle leaves nothing torn; the next run goes on and ends with the truth."""
    async with serving(Settings(plants=3, devices=6, start=START, latency_seconds=0.02)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        span = ("backfill", "--from", str(FIRST), "--to", str(LAST))
        process = await started(env, *span)
        while running.cloud.counts.monitoring < asked and process.returncode is None:
            await asyncio.sleep(0.005)
        process.kill()
        await process.communicate()
        torn = lake_tables(tmp_path / "lake")
        second = await command(env, *span)
        lake, truth = lake_tables(tmp_path / "lake"), truth_tables(running.cloud, days(FIRST, LAST))

    assert process.returncode == -signal.SIGKILL
    assert all(frame.height for frame in torn.values() if frame.width)  # a folder may wait for its first file
    assert second.code == 0
    assert differences(lake, truth) == []


async def test_a_backfill_stops_when_told_and_goes_on_later(tmp_path: Path) -> None:
    """SIGTERM ends within ten seconds with 143, with what was answered in the lake and in the ledger."""
    async with serving(Settings(plants=3, devices=6, start=START, latency_seconds=0.1)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="4")
        span = ("backfill", "--from", str(FIRST), "--to", str(LAST))
        process = await started(env, *span)
        while running.cloud.counts.monitoring < 45:
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.communicate()
        asked = running.cloud.counts.monitoring
        second = await command(env, *span, "--json")
        lake, truth = lake_tables(tmp_path / "lake"), truth_tables(running.cloud, days(FIRST, LAST))

    assert process.returncode == 143
    assert second.code == 0
    assert second.json["requests"]["values"] < second.json["series"]
    assert asked > 0
    assert differences(lake, truth) == []


async def test_credentials_refused_in_mid_run_cost_no_answer(tmp_path: Path) -> None:
    """A secret that is changed while a run is on ends it; what was answered by then is not asked again."""
    settings = Settings(plants=4, devices=4, start=START, token_seconds=1, latency_seconds=0.05)
    first = date(2026, 10, 5)
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, rate__concurrency=4)
        secrets, counts = running.cloud._identity._endpoint.clients._secrets, running.cloud.counts

        async def change() -> None:
            while counts.requests["values"] < 40:
                await asyncio.sleep(0.005)
            secrets[settings.client_id] = "another"

        changing = asyncio.create_task(change())
        with pytest.raises(CredentialsRefused):
            await backfilled(config, first, LAST)
        await changing
        before = counts.requests["values"]
        secrets[settings.client_id] = settings.client_secret
        report = await backfilled(config, first, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(first, LAST))
        both = counts.requests["values"]
        once = await backfilled(configured(running, tmp_path / "undisturbed"), first, LAST)

    assert report.exit_code == 0
    assert differences(lake, truth) == []
    assert 40 <= before < once.requests["values"]
    assert both <= once.requests["values"] + 4  # what was in flight
