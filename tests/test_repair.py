"""`repair` asks now what is not settled, with --force what is; every day at most once, and then it ends."""

import json
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import accept_all, backfilled, command, configured, environment, harvested
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import readable, scope_of, utc_now, writable
from harvester.config import Config
from harvester.due import Asked
from harvester.errand import Errand, wanted
from harvester.model import Series
from harvester.report import Report
from harvester.sandbox import Cloud, Faults, Settings, serving
from harvester.state.ledger import Summary

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
DAYS = st.sets(st.dates(date(1999, 12, 1), date(2032, 3, 1)), max_size=30)


async def repaired(config: Config, first: date, last: date, *, force: bool = False) -> Report:
    """Do what `repair` does and return the report."""
    errand = Errand(command="repair", scope=scope_of(config), first=first, last=last, force=force)
    return await harvested(config, wanted(errand, config, utc_now()))


def summary(config: Config) -> Summary:
    """Return how many days are settled, open and failed."""
    with readable(config) as stores:
        return stores.ledger.summary()


def lacking(config: Config, cloud: Cloud, first: date, last: date) -> list[str]:
    """Say how the lake differs from the truth on the days from *first* to *last*; a Week may bring others as well."""
    lake = lake_tables(config.lake.root)
    truth = truth_tables(cloud, days(first, last))
    asked = {n: f.filter(f["local_time"].dt.date().is_between(first, last)) for n, f in lake.items() if n in truth}
    return differences(asked, truth)


@given(asked=DAYS, wanted=DAYS)
def test_a_day_that_was_asked_is_left_out_of_the_rest_of_the_run(asked: set[date], wanted: set[date]) -> None:
    """Of its own series, and of no other."""
    one, other = Series(plant_id="1", set="PowerAc"), Series(plant_id="1", set="PowerDc")
    seen = Asked()
    seen.add(one, asked)

    assert set(seen.without(one, wanted)) == wanted - asked
    assert set(seen.without(other, wanted)) == wanted


async def test_rows_that_come_days_late_are_found_at_once(tmp_path: Path) -> None:
    """A backfill waits for its next look, a repair does not; it takes no more requests than series were open."""
    today = utc_now().date()
    first, last = today - timedelta(days=3), today - timedelta(days=1)
    shift = timedelta()

    def now() -> datetime:
        return utc_now() + shift

    settings = Settings(plants=2, devices=3, classic_every=0, zones=("UTC",), late_rows=0.4)
    async with serving(settings, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__settle_days=5)
        await backfilled(config, first, last)
        early = lacking(config, running.cloud, first, last)
        shift = timedelta(days=3)
        again = await backfilled(config, first, last)
        found = await repaired(config, first, last)
        late = lacking(config, running.cloud, first, last)

    assert early != []
    assert again.requests.get("values", 0) == 0
    assert late == []
    assert found.exit_code == 0
    assert 0 < found.requests["values"] <= found.series


async def test_a_failed_day_is_asked_again_at_once(tmp_path: Path) -> None:
    """A backfill leaves it to its own clock; a repair does not, and ends with nothing failed."""
    async with serving(Settings(plants=1, devices=1, faults=Faults(failing=("PowerAc:404",)))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, FIRST, LAST)
        failed = summary(config).failed
        running.cloud.faults = Faults()
        again = await backfilled(config, FIRST, LAST)
        found = await repaired(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    assert failed == 7
    assert again.requests.get("values", 0) == 0
    assert found.requests["values"] == 1
    assert (found.exit_code, found.days_settled, summary(config).failed) == (0, 7, 0)
    assert differences({"t": lake["device_power_ac"]}, {"t": truth["device_power_ac"]}) == []


async def test_without_force_a_settled_day_costs_nothing(tmp_path: Path) -> None:
    """Nothing is open, so nothing is asked; with it, each day is asked once, settled again, and the run ends."""
    async with serving(Settings(plants=1, devices=1, week="monday")) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance", "PowerAc"])
        first = await backfilled(config, FIRST, LAST)
        plain = await repaired(config, FIRST, LAST)
        forced = await repaired(config, FIRST, LAST, force=True)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    assert plain.requests.get("values", 0) == 0
    assert forced.days_settled == first.days_settled == 14
    assert forced.revisions == 0
    assert differences({"t": lake["device_power_ac"]}, {"t": truth["device_power_ac"]}) == []


async def test_a_settled_day_stays_settled_when_it_is_asked_again_in_vain(tmp_path: Path) -> None:
    """Exit code 3 and the reason in the report; the ledger still knows what it knew, and the run ends."""
    async with serving(Settings(plants=1, devices=1)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["PowerAc"])
        await backfilled(config, FIRST, LAST)
        before = summary(config)
        running.cloud.faults = Faults(failing=("PowerAc:404",))
        forced = await repaired(config, FIRST, LAST, force=True)

    assert forced.exit_code == 3
    assert "404" in forced.misses[0].reason
    assert summary(config) == before


@pytest.mark.parametrize("force", [False, True])
async def test_a_repair_of_spoiled_answers_reads_each_day_once(tmp_path: Path, *, force: bool) -> None:
    """What cannot be decoded is asked again in the same run, what was read is not: the run ends, the lake is whole."""
    spoiled = Faults(cut_json=0.15, html=0.1, empty_body=0.05)
    async with serving(Settings(plants=1, devices=2, faults=spoiled)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance", "PowerAc"])
        if force:
            await backfilled(config, FIRST, LAST)
        found = await repaired(config, FIRST, LAST, force=force)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    assert found.misses == []
    assert Counter(settled=found.days_settled) == Counter(settled=14)
    assert differences({"t": lake["device_power_ac"]}, {"t": truth["device_power_ac"]}) == []


async def test_a_repair_takes_the_lock_and_reports_like_a_backfill(tmp_path: Path) -> None:
    """While another writes it ends with 2; alone it prints the report of a run named repair."""
    async with serving(Settings(plants=1, devices=1)) as running:
        accept_all(running)
        config, env = configured(running, tmp_path), environment(running, tmp_path)
        span = ("repair", "--from", str(FIRST), "--to", str(LAST), "--set", "EnergyBalance")
        with writable(config, "test"):
            refused = await command(env, *span)
        done = await command(env, *span, "--json")

    assert refused.code == 2
    assert done.code == 0
    assert done.json["command"] == "repair"
    assert done.json["days"] == {"settled": 7, "open": 0}
    assert json.loads(done.out)["exit_code"] == 0
