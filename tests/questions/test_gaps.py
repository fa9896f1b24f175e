"""What `gaps` lists: failed, never asked, suspended, and with --content days with too few rows; and what not."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import accept_all, backfilled, configured, harvested, ran

from harvester import periods, plan
from harvester.compose import scope_of, utc_now
from harvester.config import Config
from harvester.due import Again, Wanted
from harvester.errors import ConfigError, NothingToAsk
from harvester.model import Series
from harvester.questions.asking import Question, gaps
from harvester.questions.gaps import Gap, joined
from harvester.questions.survey import Settlement
from harvester.sandbox import Cloud, Device, Faults, Settings, serving
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.period_ledger import PeriodLedger, StretchFailure

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
KEYS = ["level", "plant_id", "device_id", "set", "from", "to", "settlement", "reason", "period"]


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that does what `gaps --json --check` does and returns exit code and list."""

    def ask(config: Config, first: date | None = None, last: date | None = None, **more: Any) -> tuple[int, list[Any]]:
        content = more.pop("content", False)
        capsys.readouterr()
        question = Question(scope_of(config, **more), first, last)
        code = gaps(config, question, content=content, check=True, as_json=True)
        return code, json.loads(capsys.readouterr().out)

    return ask


def between(found: Iterable[dict[str, Any]], settlement: str) -> set[tuple[str, str, str]]:
    """Return set, first and last day of what is listed as *settlement*."""
    return {(gap["set"], gap["from"], gap["to"]) for gap in found if gap["settlement"] == settlement}


def inverters(cloud: Cloud) -> list[Device]:
    """Return the inverters of the cloud's first plant."""
    plant = cloud.truth.plants()[0]
    return [device for device in plant.devices if device.product.kind == "inverter"]


def starve(cloud: Cloud, device: Device, *, starved: bool) -> None:
    """Let a device fall silent, or speak again, without a word in the master data."""
    plant, now = cloud.world._find(device.device_id)
    cloud.world._change(plant, replace(now, starved=starved))
    cloud._rewrite()


DAYS = st.sets(st.dates(date(2026, 1, 1), date(2026, 2, 28)), max_size=40)


@given(failed=DAYS, unasked=DAYS)
def test_joined_ranges_hold_the_same_days_and_touch_nothing_alike(failed: set[date], unasked: set[date]) -> None:
    """Every day is in exactly one range of its cause, and no range could be longer."""
    series, unasked = Series(plant_id="1", set="EnergyBalance"), unasked - failed
    wanted = dict.fromkeys(failed, Settlement.FAILED) | dict.fromkeys(unasked, Settlement.UNASKED)
    single = [Gap(series=series, first=d, last=d, settlement=s, cause=s.value) for d, s in wanted.items()]
    found = joined(single)
    back = {gap.first + timedelta(days=n): gap.settlement for gap in found for n in range(gap.days)}

    assert back == wanted
    assert sum(gap.days for gap in found) == len(wanted)
    assert joined(found) == found
    for before, after in pairwise(found):
        assert after.first > before.last
        assert after.first > before.last + timedelta(days=1) or after.settlement != before.settlement


def test_ranges_of_holes_add_up_their_rows() -> None:
    """Two days of three and five rows where ten each are plausible are one hole of eight rows where twenty are."""
    series = Series(plant_id="1", device_id="2", set="PowerAc")
    days = [
        Gap(series=series, first=d, last=d, settlement=Settlement.SETTLED, cause="why", received=n, plausible=10)
        for d, n in ((date(2026, 1, 1), 3), (date(2026, 1, 2), 5))
    ]

    (gap,) = joined(days)

    assert gap.reason == "8 rows where about 20 are plausible: why"
    assert list(gap.facts()) == KEYS


async def test_a_set_that_always_fails_is_listed_with_its_reason(tmp_path: Path, listed: Any) -> None:
    """Seven failed days are one range, on any day and whatever harvest.since says; nothing else is listed."""
    settings = Settings(plants=1, devices=1, classic_every=0, faults=Faults(failing=("PowerAc:404",)))
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, FIRST, LAST)
        code, found = listed(config, FIRST, LAST)
        by_default = listed(config, sets=frozenset({"PowerAc"}))[1]

    assert code == 3
    assert [list(gap) for gap in found] == [KEYS]
    assert between(found, "failed") == {("PowerAc", str(FIRST), str(LAST))}
    assert "404" in found[0]["reason"]
    assert ("PowerAc", str(FIRST), str(LAST)) in between(by_default, "failed")


async def test_what_was_never_asked_is_listed_from_start_up_or_since(tmp_path: Path, listed: Any) -> None:
    """In scope of the plant's life and of harvest.since, up to yesterday; what was asked is not listed."""
    today = utc_now().date()
    start = today - timedelta(days=5)
    async with serving(Settings(plants=1, devices=1, classic_every=0, start=start, zones=("UTC",))) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="9d")
        await backfilled(config, start + timedelta(days=2), start + timedelta(days=2))
        code, found = listed(config)
        since = listed(configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="1d"))[1]
        await ran(config)
        after = listed(config)

    yesterday = str(today - timedelta(days=1))
    assert code == 3
    assert between(found, "unasked") == {
        ("EnergyBalance", str(start), str(start + timedelta(days=1))),
        ("EnergyBalance", str(start + timedelta(days=3)), yesterday),
    }
    assert between(since, "unasked") == {("EnergyBalance", yesterday, yesterday)}
    assert after == (0, [])


async def test_a_suspended_plant_is_listed_with_its_open_days(tmp_path: Path, listed: Any) -> None:
    """A plant that the newest list lacks, though nobody says that it is withdrawn."""
    day = utc_now().date() - timedelta(days=1)
    async with serving(Settings(plants=1, devices=1, classic_every=0, zones=("UTC",))) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="3d")
        await backfilled(config, day, day)
        before = listed(config, day, day)
        running.cloud.faults = replace(running.cloud.faults, empty_plants=1.0)
        with pytest.raises(NothingToAsk):
            await ran(config)
        code, found = listed(config)

    assert before == (0, [])
    assert code == 3
    assert between(found, "suspended") == {("EnergyBalance", str(day - timedelta(days=2)), str(day))}
    assert "not listed since" in found[0]["reason"]


async def test_days_that_do_not_apply_are_not_listed(tmp_path: Path, listed: Any) -> None:
    """Before start-up, after deactivation, of a withdrawn owner, of a set that is no longer offered."""
    owners = ("ann@example.org", "bob@example.org")
    start = FIRST + timedelta(days=1)
    async with serving(Settings(plants=2, devices=2, classic_every=0, owners=owners, start=start)) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__owners=list(owners), harvest__exclude_sets=["GridSettings"])
        inverter = inverters(running.cloud)[0]
        await backfilled(config, start, start, sets=frozenset({"EnergyBalance"}))
        off = running.cloud.deactivate(inverter.device_id, FIRST + timedelta(days=3))
        plant, now = running.cloud.world._find(off.device_id)
        running.cloud.world._change(plant, replace(now, sets=("EnergyAndPowerPv",)))
        running.cloud.revoke("bob@example.org")
        later = utc_now() + timedelta(days=2)
        await backfilled(config, start, start, sets=frozenset({"EnergyBalance"}), wall=lambda: later)
        found = listed(config, FIRST - timedelta(days=3), LAST)[1]

    mine = [gap for gap in found if gap["device_id"] == inverter.device_id]
    assert {gap["plant_id"] for gap in found} == {inverter.plant_id}
    assert {gap["from"] for gap in mine} == {str(start)}
    assert {gap["set"] for gap in mine} == {"EnergyAndPowerPv"}
    assert {gap["to"] for gap in mine} <= {str(FIRST + timedelta(days=2)), str(FIRST + timedelta(days=3))}


async def test_a_silent_device_among_others_is_a_hole_and_open_days_wait_unlisted(tmp_path: Path, listed: Any) -> None:
    """Two days without a row, settled like all others: listed with --content alone, and in words."""
    async with serving(Settings(plants=1, devices=5, classic_every=0)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyAndPowerPv"])
        one = inverters(running.cloud)[0]
        await backfilled(config, FIRST, FIRST + timedelta(days=3))
        starve(running.cloud, one, starved=True)
        await backfilled(config, FIRST + timedelta(days=4), FIRST + timedelta(days=5))
        starve(running.cloud, one, starved=False)
        await backfilled(config, FIRST + timedelta(days=6), LAST)
        without, with_content = listed(config, FIRST, LAST), listed(config, FIRST, LAST, content=True)

    hole = ("EnergyAndPowerPv", str(FIRST + timedelta(days=4)), str(FIRST + timedelta(days=5)))
    assert without == (0, [])
    assert with_content[0] == 3
    assert between(with_content[1], "settled") == {hole}
    assert with_content[1][0]["device_id"] == one.device_id
    assert with_content[1][0]["reason"].startswith("0 rows where about ")


async def test_a_device_built_in_later_has_no_hole_before(tmp_path: Path, listed: Any) -> None:
    """The days before its first row were asked and are empty, its siblings' are not."""
    async with serving(Settings(plants=1, devices=1, classic_every=0)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyAndPowerPv"])
        running.cloud.add_device(running.cloud.truth.plants()[0].plant_id, "inverter", since=FIRST + timedelta(days=3))
        report = await backfilled(config, FIRST, LAST)
        found = listed(config, FIRST, LAST, content=True)

    assert report.series == 2
    assert found == (0, [])


async def test_rows_that_are_still_on_their_way_are_an_open_hole(tmp_path: Path, listed: Any) -> None:
    """Nine of ten rows come two days late: the days before show what is plausible, the last ones are open holes."""
    now = datetime(2026, 10, 26, 0, 40, tzinfo=UTC)
    settings = Settings(plants=1, devices=1, classic_every=0, zones=("UTC",), late_rows=0.9)
    async with serving(settings, now=lambda: now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        await backfilled(config, FIRST, LAST, wall=lambda: now)
        code, found = listed(config, FIRST, LAST, content=True)

    assert code == 3
    assert between(found, "open") == {("EnergyBalance", "2026-10-24", "2026-10-25")}


async def test_a_selection_that_fits_nothing_is_refused(tmp_path: Path, listed: Any) -> None:
    """A misspelt id is a mistake, not a fleet without gaps; and so are days in the wrong order."""
    async with serving(Settings(plants=1, devices=1)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        await backfilled(config, FIRST, FIRST)
        with pytest.raises(ConfigError, match="plant 42"):
            listed(config, plants=frozenset({"42"}))
        with pytest.raises(ConfigError, match="earlier day first"):
            listed(config, LAST, FIRST)


async def test_sums_that_failed_are_listed_and_repaired(tmp_path: Path, listed: Any) -> None:
    """A Month, Year and Total in vain: each with its days and its period; `repair` asks them at once, and again."""
    async with serving(Settings(plants=1, devices=1, classic_every=0, start=FIRST)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        await backfilled(config, FIRST, FIRST)
        engine = connect(config.ledger.path)
        (known,) = Inventory(engine, plants_per_file=100).offered_series(0)[:1]
        touched = periods.touched(plan.Span(FIRST, FIRST))
        number, now = known.series_id, utc_now()
        failed = [StretchFailure(series_id=number, stretch=s, failed_at=now, reason="503") for s in touched]
        PeriodLedger(engine).commit((), failed)
        engine.dispose()
        code, found = listed(config, FIRST, FIRST)
        elsewhere = listed(config, date(2025, 12, 30), date(2025, 12, 31))
        failed_now = Wanted(
            command="repair", scope=scope_of(config), span_of=plan.between(FIRST, FIRST), again=Again.UNSETTLED
        )
        await harvested(config, failed_now)
        after = listed(config, FIRST, FIRST)

    assert code == 3
    assert str(known.series).endswith("EnergyBalance")
    assert [(gap["period"], gap["from"], gap["to"]) for gap in found] == [
        ("Month", "2026-10-01", "2026-10-31"),
        ("Total", str(FIRST), str(utc_now().date())),
        ("Year", "2026-01-01", "2026-12-31"),
    ]
    assert {(gap["settlement"], gap["reason"], gap["set"]) for gap in found} == {("failed", "503", "EnergyBalance")}
    assert elsewhere == (0, [])
    assert after == (0, [])
