"""The coverage page of a daemon: real days of a harvest, and of many plants the ones that lack most."""

from datetime import timedelta
from pathlib import Path

import pytest
from running import accept_all, backfilled, configured

from harvester.compose import readable, scope_of, utc_now
from harvester.questions import overview
from harvester.questions.overview import coverage_overview
from harvester.questions.standing import Share, shares
from harvester.sandbox import Settings, serving

TODAY = utc_now().date()


async def test_the_last_weeks_of_a_harvest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All plants where they are few; else those with the lowest shares, those of which nothing is due last."""
    settings = Settings(plants=3, devices=1, classic_every=0, start=TODAY - timedelta(days=20))
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="15d")
        await backfilled(config, TODAY - timedelta(days=9), TODAY - timedelta(days=5))
    with readable(config) as stores:
        settle_after, scope = timedelta(days=config.harvest.settle_days), scope_of(config)
        found = shares(stores.history, scope, config.harvest.since, settle_after=settle_after, now=utc_now())
        names = {known.plant.plant_id: known.plant.name for known in stores.inventory.plants()}

    assert [0 < (each.share or 0) < 1 for each in found] == [True] * 3
    whole = coverage_overview(config, scope, found, now=utc_now())
    assert "3 plants" in whole
    assert "Shown are" not in whole
    assert all(name in whole for name in names.values())

    monkeypatch.setattr(overview, "MOST", 1)
    first, second, third = (each.plant_id for each in found)
    told = [Share(first, 0, 0), Share(second, 10, 4), Share(third, 10, 5)]
    worst = coverage_overview(config, scope, told, now=utc_now())
    assert "Shown are the 1 of 3 plants" in worst
    assert names[second] in worst
    assert names[first] not in worst
    assert names[third] not in worst
