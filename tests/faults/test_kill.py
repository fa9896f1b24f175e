"""Killed at each named step, and started again: nothing torn, nothing twice, nothing lost, nothing spent twice.

`make kill N=1000` does the same with steps, moments and repetitions left to chance.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest
from harvest_scenes import Backfill
from journeys import Scene, Tally, staged
from killing import World
from scenes import SCENES

NAMED = {
    "backfill": {
        *(f"torn write {place}" for place in ("lake.json", "registry.json", "partition", "index partition")),
        *(f"torn write {place}" for place in ("period partition", "raw pack", "master data", "snapshot")),
        *(f"torn write quarantined {what}" for what in ("body", "facts")),
        *(f"before rename {place}" for place in ("lake.json", "registry.json", "partition", "raw pack", "snapshot")),
        *(f"before fsync folder of {place}" for place in ("partition", "index partition", "period partition")),
        *(f"before commit {what}" for what in ("migration", "inventory", "facts", "days", "sums", "budget", "owners")),
    },
    "repair": {"torn write revisions", "before rename revisions", "before fsync folder of revisions"},
    "code grant": {"before change secret", "before commit secret", "after commit secret"},
    "daemon": {"before commit days", "torn write partition"},
    "replay": {
        *("after create replays.json", "before rename replays.json", "torn write revisions"),
        *("before rename partition", "torn write index partition", "before fsync folder of index partition"),
    },
    "purge": {
        *("before commit purge", "torn write audit", "before unlink raw pack", "before rename raw pack"),
        *("after unlink quarantined body", "before rename partition", "torn write revisions", "before change secret"),
        *("torn write master data", "before rename snapshot", "before unlink snapshot"),
    },
    "ledger rebuild": {
        *("before commit inventory", "before commit days", "before rename ledger moved aside"),
        *("after rename ledger moved aside", "torn write ledger", "before rename ledger", "after rename ledger"),
    },
    "two shards": {"before commit budget", "torn write partition", "before commit days"},
    "order": {"after commit orders", "torn write partition", "before commit days"},
}
"""Steps at which a child must have been killed, beside whatever else it passes."""
SPENT_TWICE = 0.01


def chosen(scene: type[Scene], steps: list[str]) -> list[str]:
    """Return where to kill: what lies between two steps is one state, and what scenes share is killed in one."""
    match scene.name:
        case "backfill":
            return [step for step in steps if not step.startswith("after ")]
        case "repair":
            return [step for step in steps if "revisions" in step]
        case "code grant":
            return [step for step in steps if "secret" in step]
    return sorted(NAMED[scene.name])


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
async def test_killed_at_each_step_it_ends_with_the_truth(scene: type[Scene], tmp_path: Path) -> None:
    """Readers see a consistent lake after each kill, and in the end the truth; no request is spent twice."""
    tally = Tally()
    async with staged(scene, tmp_path, tally) as stage:
        steps = await stage.steps()
        left = await stage.at_each(chosen(scene, steps))

    assert tally.problems == []
    assert left == []
    assert NAMED[scene.name] <= tally.kills.keys()
    assert tally.needless <= SPENT_TWICE * tally.requests
    assert tally.limited == 0
    assert tally.reconnected <= 2 * sum("secret" in step for step in tally.kills)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[World, dict[str, pl.DataFrame]]]:
    """Return a world that is harvested, and its truth."""
    async with staged(Backfill, tmp_path, Tally()) as stage:
        with stage.place() as world:
            end = await world.run(*Backfill.command)
            assert end.code == 0, end.err
            yield world, dict(stage.scene.truths[0])


async def test_what_is_looked_for_would_be_seen(world: tuple[World, dict[str, pl.DataFrame]]) -> None:
    """A torn file, a row that is there twice, a value that is not the truth, a day that is missing: each is told."""
    place, truth = world
    assert place.amiss(truth) == []
    file = sorted(place.lake.glob("plant_energy_balance/date=*/*.parquet"))[1]
    whole, told = file.read_bytes(), {}

    twin = file.with_name("part-00007.parquet")
    shutil.copy(file, twin)
    told["twice"] = place.amiss(truth)
    twin.unlink()
    pl.read_parquet(file).with_columns(pv_generation=pl.lit(1.5)).write_parquet(file)
    told["wrong"] = place.amiss(truth)
    file.unlink()
    told["missing"] = place.amiss(truth)
    file.write_bytes(whole)
    (file.parent / "leftover").touch()
    told["left"] = place.amiss(truth)

    assert any("keys by DuckDB" in problem for problem in told["twice"])
    assert any("are not the truth" in problem for problem in told["wrong"])
    assert any("is settled with 0 rows" in problem for problem in told["missing"])
    assert any("lies among the data" in problem for problem in told["left"])
