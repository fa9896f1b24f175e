"""Plants that leave the list: moved to new ids, withdrawn by their owner, suspended; and plants that come back."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from present import Present
from running import accept_all, backfilled, configured, ran
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import writable
from harvester.config import Config
from harvester.errors import NothingToAsk
from harvester.sandbox import Faults, Settings, serving
from harvester.state.inventory import KnownPlant

FIRST, LAST = date(2026, 5, 4), date(2026, 5, 17)


def known_plants(config: Config) -> dict[str, KnownPlant]:
    """Return what the ledger knows of each plant."""
    with writable(config, "look") as stores:
        return {known.plant.plant_id: known for known in stores.inventory.plants()}


async def test_a_migrated_plant_keeps_its_history_and_nothing_is_fetched_twice(tmp_path: Path) -> None:
    """The new ids are aliases of the old ones, settled days are carried over, and only new days are asked."""
    async with serving(Settings(start=date(2026, 4, 1), plants=3, devices=4, classic_every=2)) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, FIRST, LAST)
        old = next(p.plant_id for p in running.cloud.truth.plants() if "-" in p.plant_id)
        renamed = running.cloud.migrate(old)
        again = await backfilled(config, FIRST, LAST)
        with writable(config, "look") as stores:
            aliases = {(a.level, a.old_id): a.new_id for a in stores.inventory.aliases()}
        known = known_plants(config)

    assert again.requests.get("values", 0) == 0
    assert known[old].moved_to == renamed[old]
    assert aliases["plant", old] == renamed[old]
    assert {new for (level, _), new in aliases.items() if level == "device"} <= set(renamed.values())
    assert any("goes by the id" in warning for warning in again.warnings)
    assert again.exit_code == 0


async def test_a_withdrawn_owner_among_several_is_a_warning(tmp_path: Path) -> None:
    """The plants of an owner whose consent reads Revoked are withdrawn, those of others are harvested."""
    settings = Settings(start=date(2026, 4, 1), plants=4, devices=3, owners=("ann@example.org", "bob@example.org"))
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__owners=list(settings.owners))
        await backfilled(config, FIRST, FIRST + timedelta(days=6))
        running.cloud.revoke("bob@example.org")
        report = await backfilled(config, FIRST, LAST)
        withdrawn = [known for known in known_plants(config).values() if known.withdrawn_at]

    assert report.exit_code == 0
    assert report.plants == 2
    assert len(withdrawn) == 2
    assert any("b***@example.org (Revoked)" in warning for warning in report.warnings)


async def test_a_consent_given_again_brings_back_the_days_between(tmp_path: Path) -> None:
    """`run` asks a plant that was away for weeks from where its history ended, not from a week ago."""
    clock = Present(2026, 5, 10, 12)
    async with serving(Settings(start=date(2026, 4, 1), plants=2, devices=3, classic_every=0), now=clock) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__since="3d")
        await ran(config, wall=clock)
        running.cloud.revoke("owner@example.org")
        clock.advance(days=2)
        plant_ids = set(known_plants(config))
        running.cloud.accept("owner@example.org")
        clock.advance(days=30)
        report = await ran(config, wall=clock)
        lake = lake_tables(config.lake.root)
        span = days(date(2026, 5, 10), date(2026, 6, 10))
        truth = truth_tables(running.cloud, span)

    assert report.exit_code == 0
    assert plant_ids
    for name, want in truth.items():
        have = lake[name].filter(lake[name]["local_time"].dt.date().is_in(span))
        assert differences({name: have}, {name: want}) == []


async def test_an_empty_list_withdraws_nobody(tmp_path: Path) -> None:
    """Plants that a faulty list leaves out are suspended while their owner's consent reads Accepted."""
    async with serving(Settings(start=date(2026, 4, 1), plants=2, devices=2)) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, FIRST, FIRST)
        running.cloud.faults = Faults(empty_plants=1.0)
        with pytest.raises(NothingToAsk):
            await backfilled(config, FIRST, FIRST)
        known = known_plants(config)

    assert all(each.missing_count == 1 and each.withdrawn_at is None for each in known.values())


async def test_without_a_readable_consent_three_lists_over_a_day_decide(tmp_path: Path) -> None:
    """A plant of an owner whom nobody configured is suspended at first and withdrawn when it stays away."""
    clock = Present(2026, 5, 10, 12)
    settings = Settings(start=date(2026, 4, 1), plants=2, devices=2, owners=("ann@example.org", "bob@example.org"))
    async with serving(settings, now=clock) as running:
        accept_all(running)
        config = configured(running, tmp_path, sma__owners=["cat@example.org"])
        await backfilled(config, FIRST, FIRST, wall=clock)
        running.cloud.revoke("bob@example.org")
        fates = []
        for _ in range(4):
            clock.advance(hours=13)
            report = await backfilled(config, FIRST, FIRST, wall=clock)
            fates.append((" ".join(report.warnings), report.exit_code))

    assert "its days stay open" in fates[0][0]
    assert "its days stay open" in fates[1][0]
    assert "is withdrawn: it is missing from 3 lists" in fates[2][0]
    assert fates[3] == ("", 0)
