"""How fresh each plant is: the age of the newest row of its live sets, in `status`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running import accept_all, configured, ran

from harvester.commands import status
from harvester.compose import utc_now
from harvester.model import Plant
from harvester.questions.ages import ages, words
from harvester.sandbox import Settings, serving
from harvester.state.inventory import KnownPlant

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def known(plant_id: str, *, withdrawn_at: datetime | None = None, moved_to: str | None = None) -> KnownPlant:
    """Return a plant of the inventory."""
    plant = Plant(plant_id=plant_id, name=f"Plant {plant_id}", timezone="UTC")
    return KnownPlant(plant, 0, NOW, NOW, NOW, withdrawn_at, moved_to=moved_to)


def test_the_stalest_come_first() -> None:
    """A plant without any row before all others; withdrawn and moved ones are not told of."""
    plants = [known("1"), known("2"), known("3"), known("4", withdrawn_at=NOW), known("5", moved_to="1")]
    newest = {"1": NOW - timedelta(minutes=5), "3": NOW - timedelta(days=2), "4": NOW, "5": NOW}

    found = ages(plants, newest, NOW)

    assert [(age.plant_id, age.age_seconds) for age in found] == [("2", None), ("3", 172_800), ("1", 300)]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "never"),
        (-30, "0 min"),
        (250, "4 min"),
        (11_100, "3 h 05 min"),
        (90_000, "25 h 00 min"),
        (9e5, "10 days"),
    ],
)
def test_an_age_is_told_in_words(seconds: int | None, told: str) -> None:
    """Minutes, then hours, then days."""
    assert words(None if seconds is None else int(seconds)) == told


async def test_status_tells_the_age_of_each_plant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The end of the newest interval of the live sets, which the sandbox serves within minutes."""
    async with serving(Settings(plants=2, devices=1, classic_every=0, delay_seconds=(60, 120))) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="1d")
        await ran(config)
        now = utc_now()
        status(config, as_json=True)
        fresh = json.loads(capsys.readouterr().out)["plants_fresh"]
        status(config, as_json=False)
        told = capsys.readouterr().out

    assert [list(age) for age in fresh] == [["plant_id", "name", "newest", "age_seconds"]] * 2
    for age in fresh:
        newest = datetime.fromisoformat(age["newest"])
        assert now - timedelta(minutes=15) < newest <= now
        assert abs((now - newest).total_seconds() - age["age_seconds"]) < 30
        assert age["name"] in told
    assert fresh[0]["age_seconds"] >= fresh[1]["age_seconds"]
    assert "the stalest plants first" in told
