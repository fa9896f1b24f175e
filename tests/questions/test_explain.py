"""`explain` names the cause of each kind of hole, and tells when a day was asked and when it is asked again."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running import accept_all, backfilled, command, configured, environment, ran

from harvester.compose import utc_now
from harvester.config import Config
from harvester.errors import ConfigError, NothingToAsk
from harvester.questions.explaining import explain
from harvester.sandbox import Cloud, Device, Faults, Running, Settings, serving

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
"""A week that ends with the day on which Europe's clocks are set back."""
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that does what `explain --json` does and returns what it prints."""

    def ask(config: Config, *words: object) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert explain(config, [str(word) for word in words], as_json=True) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def story(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return what is told of the set *name*."""
    (of_set,) = [series for each in found for series in each["series"] if series["set"] == name]
    return of_set


def inverter(cloud: Cloud) -> Device:
    """Return the first inverter of the first plant."""
    return next(d for d in cloud.truth.plants()[0].devices if d.product.kind == "inverter")


def change(cloud: Cloud, device: Device, **facts: Any) -> None:
    """Change what the cloud's simulation knows of a device."""
    plant, now = cloud.world._find(device.device_id)
    cloud.world._change(plant, replace(now, **facts))
    cloud._rewrite()


async def harvested_week(running: Running, folder: Path, **more: Any) -> Config:
    """Backfill the week and return the configuration."""
    accept_all(running)
    config = configured(running, folder, **more)
    await backfilled(config, FIRST, LAST)
    return config


async def test_a_settled_day_tells_its_rows_and_its_clock(tmp_path: Path, explained: Ask) -> None:
    """Master data, 25 hours with the change of the clock, rows against plausible ones, and the repeated hour."""
    async with serving(Settings(plants=1, devices=1, classic_every=0)) as running:
        config = await harvested_week(running, tmp_path)
        plant = running.cloud.truth.plants()[0]
        (found,) = explained(config, plant.plant_id, LAST)
        rows = len(next(running.cloud.truth.rows(s, LAST) for s in running.cloud.truth.series() if s.device_id is None))

    told = story([found], "EnergyBalance")
    assert (found["level"], found["zone"], found["clock_change"]) == (
        "plant",
        "Europe/Berlin",
        "2026-10-25T01:00:00+00:00",
    )
    assert (found["utc_from"], found["utc_to"]) == ("2026-10-24T22:00:00+00:00", "2026-10-25T23:00:00+00:00")
    assert "25 h" in found["local_day"]
    assert "back from 03:00 to 02:00" in found["local_day"]
    assert any(plant.name in line for line in found["master_data"])
    assert (told["settlement"], told["rows_received"], told["hole"]) == ("settled", rows, False)
    assert told["rows_plausible"] == 288
    assert told["repeated_hour"] == "the repeated hour was decided: 12 rows of its first pass, 12 of its second"
    assert told["next_at"] is None
    assert "repair --force" in told["next_because"]


async def test_an_hour_that_came_once_cannot_be_decided(tmp_path: Path, explained: Ask) -> None:
    """Where SMA sends the repeated hour once it is taken for the first pass, and that is said."""
    async with serving(Settings(plants=1, devices=1, classic_every=0, autumn="merged")) as running:
        config = await harvested_week(running, tmp_path)
        found = explained(config, running.cloud.truth.plants()[0].plant_id, LAST)

    assert "cannot be decided" in story(found, "EnergyBalance")["repeated_hour"]
    assert "taken for the first" in story(found, "EnergyBalance")["repeated_hour"]


async def test_each_day_without_rows_tells_its_cause(tmp_path: Path, explained: Ask) -> None:
    """Before start-up, failed, never asked, still running, not begun, after deactivation, no longer offered."""
    settings = Settings(plants=1, devices=1, classic_every=0, zones=("UTC",), faults=Faults(failing=("PowerAc:404",)))
    today = utc_now().date()
    async with serving(settings) as running:
        config = await harvested_week(running, tmp_path, harvest__since="3d")
        plant, device = running.cloud.truth.plants()[0].plant_id, inverter(running.cloud).device_id
        before = story(explained(config, plant, "EnergyBalance", "2023-12-30"), "EnergyBalance")
        failed = story(explained(config, device, "PowerAc", FIRST), "PowerAc")
        long_ago = story(explained(config, plant, "EnergyBalance", "2026-09-01"), "EnergyBalance")
        yesterday = story(explained(config, device, "PowerDc", today - timedelta(days=1)), "PowerDc")
        running_day = story(explained(config, device, "PowerDc", today), "PowerDc")
        live = story(explained(config, plant, "EnergyBalance", today), "EnergyBalance")
        future = story(explained(config, plant, "EnergyBalance", today + timedelta(days=2)), "EnergyBalance")
        running.cloud.deactivate(device, FIRST + timedelta(days=3))
        change(running.cloud, inverter(running.cloud), sets=("EnergyAndPowerPv",))
        later = utc_now() + timedelta(days=2)
        await backfilled(config, FIRST, FIRST, sets=frozenset({"EnergyBalance"}), wall=lambda: later)
        off = story(explained(config, device, "EnergyAndPowerPv", LAST), "EnergyAndPowerPv")
        gone = story(explained(config, device, "PowerDc", FIRST), "PowerDc")

    assert (before["applicable"], before["settlement"]) == (False, "not applicable")
    assert "before the plant's start-up on 2024-01-01" in before["because"]
    assert (failed["settlement"], failed["failure"]["attempts"]) == ("failed", 1)
    assert "404" in failed["failure"]["reason"]
    assert failed["asked_at"] is not None
    assert (long_ago["settlement"], long_ago["next_at"]) == ("unasked", None)
    assert "goes back 3d" in long_ago["next_because"]
    assert "the next `run` asks it" in yesterday["next_because"]
    assert "its day is running" in running_day["next_because"]
    assert running_day["next_at"] == f"{today + timedelta(days=1)}T00:00:00+00:00"
    assert "the next `run` asks it" in live["next_because"]
    assert "not begun" in future["because"]
    assert "deactivated at" in off["because"]
    assert "no longer offered since" in gone["because"]


async def test_few_rows_are_explained_by_what_the_others_had(tmp_path: Path, explained: Ask) -> None:
    """A device that fell silent while its siblings went on has a hole; a day on which all are low has none."""
    async with serving(Settings(plants=1, devices=5, classic_every=0)) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyAndPowerPv"])
        cloud = running.cloud
        all_of_them = [d for d in cloud.truth.plants()[0].devices if d.product.kind == "inverter"]
        one, days = all_of_them[0], [FIRST + timedelta(days=n) for n in range(7)]
        await backfilled(config, days[0], days[3])
        change(cloud, one, starved=True)
        await backfilled(config, days[4], days[4])
        for device in all_of_them:
            change(cloud, device, starved=True)
        await backfilled(config, days[5], days[5])
        alone = story(explained(config, one.device_id, days[4]), "EnergyAndPowerPv")
        together = story(explained(config, one.device_id, days[5]), "EnergyAndPowerPv")

    assert len(all_of_them) > 1
    assert (alone["rows_received"], alone["hole"], alone["settlement"]) == (0, True, "settled")
    assert "as others of the set at the plant had" in alone["content"]
    assert (together["rows_received"], together["hole"]) == (0, False)
    assert "had few rows that day, too" in together["content"]


async def test_an_open_day_tells_when_it_is_looked_at_again_and_why(tmp_path: Path, explained: Ask) -> None:
    """Rows still on their way: the next look, the day on which it settles, and the rows so far."""
    now = utc_now()
    yesterday = now.date() - timedelta(days=1)
    settings = Settings(plants=1, devices=1, classic_every=0, zones=("UTC",), late_rows=0.9)
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="9d")
        await ran(config)
        plant = running.cloud.truth.plants()[0].plant_id
        found = story(explained(config, plant, yesterday), "EnergyBalance")
        live = story(explained(config, plant, now.date()), "EnergyBalance")

    settles = yesterday + timedelta(days=4)
    assert found["settlement"] == "open"
    assert found["hole"] is True
    assert datetime.fromisoformat(found["next_at"]) > now
    assert f"a read after {settles} 00:00 UTC settles it" in found["next_because"]
    assert abs(datetime.fromisoformat(found["asked_at"]) - now) < timedelta(minutes=2)
    assert (live["settlement"], live["rows_received"]) == ("open", None)
    assert "its next row can exist then" in live["next_because"]


async def test_a_plant_that_left_the_list_says_why(tmp_path: Path, explained: Ask) -> None:
    """Moved to a new id, withdrawn by its owner, suspended: three causes, three sentences."""
    owners = ("ann@example.org", "bob@example.org")
    async with serving(Settings(plants=2, devices=1, classic_every=2, owners=owners)) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__owners=list(owners))
        await backfilled(config, FIRST, LAST)
        old = next(p for p in running.cloud.truth.plants() if p.classic)
        other = next(p for p in running.cloud.truth.plants() if not p.classic)
        renamed = running.cloud.migrate(old.plant_id)
        await backfilled(config, FIRST, LAST)
        (moved,) = explained(config, old.plant_id, FIRST)
        (new,) = explained(config, renamed[old.plant_id], FIRST)
        running.cloud.revoke(other.owner)
        await backfilled(config, FIRST, LAST)
        (withdrawn,) = explained(config, other.plant_id, FIRST)
        running.cloud.faults = replace(running.cloud.faults, empty_plants=1.0)
        with pytest.raises(NothingToAsk):
            await ran(config)
        (suspended,) = explained(config, renamed[old.plant_id], utc_now().date() - timedelta(days=1))

    assert f"goes by the id {renamed[old.plant_id]} now" in story([moved], "EnergyBalance")["because"]
    assert old.plant_id in {alias["old_id"] for alias in new["aliases"]}
    assert "the plant is withdrawn since" in story([withdrawn], "EnergyBalance")["because"]
    assert story([suspended], "EnergyBalance")["settlement"] == "suspended"
    assert "not listed since" in story([suspended], "EnergyBalance")["because"]
    assert "as soon as the plant is listed again" in story([suspended], "EnergyBalance")["next_because"]


async def test_an_id_of_a_plant_and_of_a_device_explains_both(tmp_path: Path, explained: Ask) -> None:
    """A gateway may carry the id of its plant."""
    faults = Faults(device_equals_plant=1.0)
    async with serving(Settings(plants=1, devices=2, classic_every=0, faults=faults)) as running:
        config = await harvested_week(running, tmp_path)
        plant = running.cloud.truth.plants()[0].plant_id
        found = explained(config, plant, FIRST)
        balance = explained(config, plant, "EnergyBalance", FIRST)
        with pytest.raises(ConfigError, match="has no set 'Nothing'"):
            explained(config, plant, "Nothing", FIRST)

    assert [each["level"] for each in balance] == ["plant"]
    assert [series["set"] for series in balance[0]["series"]] == ["EnergyBalance"]
    assert [(each["level"], each["plant_id"], each["device_id"]) for each in found] == [
        ("plant", plant, None),
        ("device", plant, plant),
    ]
    assert {series["device_id"] for series in found[0]["series"]} == {None}
    assert {series["device_id"] for series in found[1]["series"]} == {plant}


async def test_a_name_that_is_not_known_gets_near_misses(tmp_path: Path, explained: Ask) -> None:
    """Unknown plants, devices and sets, a day that is none, a word too many: code 2, and what would be right."""
    async with serving(Settings(plants=1, devices=1, classic_every=0)) as running:
        config = await harvested_week(running, tmp_path, harvest__sets=["EnergyBalance"])
        plant = running.cloud.truth.plants()[0].plant_id
        refused = await command(environment(running, tmp_path), "explain", f"{plant}9", str(FIRST))
        with pytest.raises(ConfigError, match=f"Near misses: .*{plant}"):
            explained(config, running.cloud.truth.plants()[0].name[:4], FIRST)
        with pytest.raises(ConfigError, match=r"has no set 'EnergyBalanc'\..* EnergyBalance"):
            explained(config, plant, "EnergyBalanc", FIRST)
        with pytest.raises(ConfigError, match="write it as 2026-01-31"):
            explained(config, plant, "EnergyBalance", "19.10.2026")
        with pytest.raises(ConfigError, match="two or three words"):
            explained(config, plant)

    assert refused.code == 2
    assert f"Near misses: {plant}" in refused.err


async def test_a_person_reads_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the same is told in lines, and what the configuration leaves out is named."""
    async with serving(Settings(plants=1, devices=1, classic_every=0)) as running:
        config = await harvested_week(running, tmp_path, harvest__exclude_sets=["GridSettings"])
        assert explain(config, [running.cloud.truth.plants()[0].plant_id, str(FIRST)], as_json=False) == 0
        told = capsys.readouterr().out

    assert f"Plant {running.cloud.truth.plants()[0].plant_id}\n" in told
    assert "Settlement: settled" in told
    assert "Not applicable: the configuration leaves it out" in told
    assert datetime.now(UTC).strftime("%Y-%m-%d") in told
