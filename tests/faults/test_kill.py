"""Killed at each named step, and started again: nothing torn, nothing twice, nothing lost, nothing spent twice.

`make kill N=1000` does the same at every step of every scene, and with moments and repetitions left to chance.
"""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archived import lone_bodies, quarantine, wrong_quarantine
from harvest_scenes import Backfill
from journeys import SIGKILL, SMALL, Cost, Scene, Tally, staged
from killing import End, World
from quotas import Quota, quotas
from scenes import SCENES
from spent import NOTHING, Asked, bearable

from harvester.sandbox import Settings

NAMED = {
    "backfill": {
        *(f"torn write {place}" for place in ("lake.json", "registry.json", "partition", "index partition")),
        *(f"torn write {place}" for place in ("period partition", "raw pack", "master data", "snapshot")),
        *(f"torn write quarantined {what}" for what in ("body", "facts")),
        *(f"before rename {place}" for place in ("lake.json", "registry.json", "partition", "raw pack", "snapshot")),
        *(f"before fsync folder of {place}" for place in ("partition", "index partition", "period partition")),
        *(f"before commit {what}" for what in ("migration", "inventory", "facts", "days", "sums", "budget", "owners")),
        *("after commit budget", "after commit days", "after rename partition", "after rename raw pack"),
    },
    "repair": {"torn write revisions", "before rename revisions", "before fsync folder of revisions"},
    "code grant": {"before change secret", "before commit secret", "after commit secret"},
    "daemon": {
        *("before commit days", "torn write partition", "before commit budget", "after commit budget"),
        *("before commit facts", "after commit facts"),
    },
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
        *("before commit inventory", "before commit days", "before link ledger moved aside"),
        *("after link ledger moved aside", "torn write ledger", "before rename ledger", "after rename ledger"),
    },
    "lake upgrade": {
        *("torn write partition", "before rename partition", "after rename partition"),
        "before fsync folder of partition",
    },
    "two shards": {
        *("before commit budget", "after commit budget", "before commit facts", "torn write partition"),
        "before commit days",
    },
    "order": {
        *("after commit orders", "torn write partition", "before commit days", "before commit budget"),
        *("after commit budget", "before commit facts"),
    },
}
"""Steps at which a child must have been killed, beside whatever else it passes."""
SPENT_TWICE = 0.01


def chosen(scene: type[Scene], steps: list[str]) -> list[str]:
    """Return where to kill: what lies between two steps is one state, and what scenes share is killed in one."""
    match scene.name:
        case "backfill":
            return [step for step in steps if not step.startswith("after ") or step in NAMED[scene.name]]
        case "repair":
            return [step for step in steps if "revisions" in step]
        case "code grant":
            return [step for step in steps if "secret" in step]
    return sorted(NAMED[scene.name])


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
async def test_killed_at_each_step_it_ends_with_the_truth(scene: type[Scene], tmp_path: Path) -> None:
    """Readers see a consistent lake after each kill, and in the end the truth; no request is spent twice.

    A kill costs the answers of the batches that are open then, and work that is about answers at hand costs none.
    """
    tally = Tally()
    async with staged(scene, tmp_path, tally) as stage:
        steps = await stage.steps()
        left = await stage.at_each(chosen(scene, steps))

    assert tally.problems == []
    assert left == []
    assert NAMED[scene.name] <= tally.kills.keys()
    assert tally.needless <= SPENT_TWICE * tally.requests
    assert all(cost.lost <= cost.bearable for cost in tally.costs)
    assert len(tally.costs) == (0 if scene.forced else tally.kills.total())
    assert tally.requests == 0 or not scene.silent
    assert tally.limited == 0
    assert tally.reconnected <= 2 * sum("secret" in step for step in tally.kills)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[World, dict[str, pl.DataFrame]]]:
    """Return a world that is harvested, and its truth."""
    async with staged(Backfill, tmp_path, Tally()) as stage:
        with stage.place() as world:
            world.listener.spoil = 1
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


async def test_what_is_looked_for_beside_the_rows_would_be_seen(world: tuple[World, dict[str, pl.DataFrame]]) -> None:
    """Packs that are gone, torn, or there twice, quarantined bodies without facts or with those of others: all told."""
    place, truth = world
    pack, told = min(place.lake.glob("_harvester/raw/plant_energy_balance/*/*.pack")), {}
    body, facts = (min(quarantine(place.lake).glob(f"*.{ending}")) for ending in ("body", "json"))
    whole, unread = pack.read_bytes(), body.read_bytes()
    assert (list(wrong_quarantine(place.lake)), lone_bodies(place.lake)) == ([], frozenset())

    twin = pack.with_name(f"part-00000-{'0' * 16}.pack")
    shutil.copy(pack, twin)
    told["twice"] = place.amiss(truth)
    twin.unlink()
    pack.write_bytes(whole[: len(whole) // 2])
    told["torn"] = place.amiss(truth)
    pack.unlink()
    told["gone"] = place.amiss(truth)
    body.write_bytes(unread[:-1])
    told["another's"] = list(wrong_quarantine(place.lake))
    body.unlink()
    told["bodiless"] = list(wrong_quarantine(place.lake))
    body.touch()
    facts.unlink()

    assert any("bodies are stored twice" in problem for problem in told["twice"])
    assert any(pack.name in problem for problem in told["torn"])
    assert any("settled days are in no pack" in problem for problem in told["gone"])
    assert ["does not tell of" in problem for problem in told["another's"]] == [True]
    assert ["has no body" in problem for problem in told["bodiless"]] == [True]
    assert lone_bodies(place.lake) == {body.name}


class Late(Backfill):
    """A program that commits at its end and no sooner: a kill takes all from its ledger that one run has put there."""

    name = "late"

    async def prepare(self, world: World) -> None:
        """Begin with a ledger that knows what there is."""
        await super().prepare(world)
        end = await world.run("discover")
        assert end.code == 0, end.err
        shutil.copy(world.ledger, world.folder / "before.db")

    async def lived(self, world: World, **plan: Any) -> End:
        """Put the ledger back where the child was killed."""
        end = await super().lived(world, **plan)
        if end.code == SIGKILL:
            for file in world.folder.glob("ledger.db*"):
                file.unlink()
            shutil.copy(world.folder / "before.db", world.ledger)
        return end


async def test_a_kill_that_costs_too_much_would_be_seen(tmp_path: Path) -> None:
    """All that was asked has to be asked again, and nobody could tell by what the ledger had."""
    tally = Tally()
    async with staged(Late, tmp_path, tally) as stage:
        left = await stage.at_each(["before commit sums"])

    assert left == []
    assert tally.needless == 0
    assert tally.dear == len(tally.costs) == 1
    assert ["answers have to be asked again" in problem for problem in tally.problems] == [True]


class Talkative(Scene):
    """A command that asks a cloud, where nothing was to be asked."""

    name = "talkative"
    command = ("discover",)
    settings = Settings(**SMALL)
    silent = True

    async def finished(self, _world: World, _end: End) -> list[str]:
        """Say nothing: there are no rows to look at."""
        return []


async def test_a_request_that_was_not_called_for_would_be_seen(tmp_path: Path) -> None:
    """Work that needs no answer and asks for one all the same is told."""
    tally = Tally()
    async with staged(Talkative, tmp_path, tally) as stage:
        await stage.journey(dict)

    assert tally.requests > 0
    assert ["where nothing was to be asked" in problem for problem in tally.problems] == [True]


DAY = date(2026, 6, 1)
NAME = ("1", "", "EnergyBalance")


def asked(period: str = "Day", plant: int = 1, measurement_set: str = "EnergyBalance") -> Asked:
    """Return a request for values that was answered."""
    path = f"/monitoring/v1/plants/{plant}/measurements/sets/{measurement_set}/{period}"
    return Asked(f"{path}?Date={DAY if period == 'Day' else DAY.year}", 200)


def test_a_request_that_is_repeated_would_be_seen() -> None:
    """By one child, of a day that is settled or of a sum; not where the answer could not be read, or the day grows."""
    settled = replace(NOTHING, days={NAME: frozenset({DAY})})
    spoiled = replace(asked(), spoiled=True)

    assert settled.repeated([asked(), asked(), asked()], DAY, DAY) == 2
    assert NOTHING.repeated([asked("Year"), asked("Year")], DAY, DAY) == 1
    assert settled.repeated([spoiled, asked()], DAY, DAY) == 0
    assert NOTHING.repeated([asked(), asked()], DAY, DAY) == 0


def test_what_a_kill_may_cost_is_what_is_open() -> None:
    """Two batches for each worker and two more, the largest; a day that grows is lost until it is read again."""
    sets = [asked(plant=plant, measurement_set=f"Set{n}") for n in range(10) for plant in range(1 + n)]
    open_day = replace(NOTHING, days={NAME: frozenset()}, looked={(NAME, DAY): 1000})

    assert bearable(sets, {}, workers=1) == 10 + 9 + 8 + 7
    assert bearable(sets, {"9": 1}, workers=1) == 9 + 9 + 8 + 7
    assert bearable([], {}, workers=2) == 0
    assert open_day.has(asked(), since=1000.7)
    assert not open_day.has(asked(), since=1001.0)
    assert Tally(costs=[Cost(3, 2), Cost(2, 2), Cost(0, 2)]).dear == 1


def test_kills_are_dealt_out() -> None:
    """Each step of each scene comes first, and what is left is for moments left to chance; too few are shared alike."""
    assert quotas({"a": 30, "b": 10}, 45) == {"a": Quota(30, 3), "b": Quota(10, 2)}
    assert quotas({"a": 30, "b": 10}, 40) == {"a": Quota(30, 0), "b": Quota(10, 0)}
    assert quotas({"a": 30, "b": 10}, 21) == {"a": Quota(16, 0), "b": Quota(5, 0)}
    assert quotas({"a": 0}, 5) == {"a": Quota(0, 5)}
