"""Purged plants that SMA lists still: not harvested again, until their owner is asked by name to share again."""

from pathlib import Path

import pytest
from owned_lake import (
    ANN,
    BEN,
    FIRST,
    LAST,
    SETTINGS,
    Interrupting,
    attribute,
    furnished,
    known_plants,
    plants_of,
    present,
    terms_of,
    traces,
)
from running import backfilled, command, environment, ran
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.care import purging
from harvester.care.purge import Asked
from harvester.compose import utc_now, writable
from harvester.errors import Locked
from harvester.sandbox import serving
from harvester.state.owners import Seen

SETS = ("plant_energy_balance", "device_power_dc")
WANTED = (*SETS, *(f"{name}_by_index" for name in SETS))


async def test_purged_plants_stay_away_until_their_owner_is_asked_again(tmp_path: Path) -> None:
    """No run brings listed plants back, nor in the middle of a purge; asked by name, the owner has all back."""
    async with serving(SETTINGS, now=present) as running:
        config = await furnished(running, tmp_path)
        anns, bens = plants_of(running, ANN), plants_of(running, BEN)
        with pytest.raises(InterruptedError), writable(config, "consent purge") as stores:
            purging.carried_out(config, stores, Asked(owner=ANN), Interrupting(40))
        between = await ran(config, wall=present)
        await purging.purge(config, Asked(owner=ANN), wait=True, as_json=True)
        after = await ran(config, wall=present)
        left = traces(tmp_path, terms_of(running, ANN))
        known = known_plants(config)
        with writable(config, "consent request") as stores:
            stores.owners.record(Seen(owner=ANN, state="Accepted", requested=True), utc_now())
        await backfilled(config, FIRST, LAST, wall=present)
        back = known_plants(config)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))

    assert (between.plants, after.plants) == (len(bens), len(bens))
    assert left == set()
    assert known == bens
    assert back == anns | bens
    lake = {name: frame for name, frame in lake.items() if name in WANTED}
    assert differences(only(lake), only({n: f for n, f in truth.items() if n in WANTED})) == []


def only(tables: dict) -> dict:
    """Return the rows of the days that were asked for."""
    return {n: f.filter(f.get_column("local_time").dt.date().is_between(FIRST, LAST)) for n, f in tables.items()}


async def test_the_command_lists_refuses_and_deletes(tmp_path: Path) -> None:
    """Without --yes it lists and ends 0; doubt is refused with 2; a lock that is held, too; with --yes all goes."""
    async with serving(SETTINGS, now=present) as running:
        config = await furnished(running, tmp_path)
        env = environment(running, tmp_path, HARVESTER_SMA__OWNERS=f'["{ANN}", "{BEN}"]')
        listed = await command(env, "consent", "purge", ANN)
        with writable(config, "run"), pytest.raises(Locked, match="harvester run"):
            await purging.purge(config, Asked(owner=ANN), wait=True, as_json=True)
        doubtful = min(plants_of(running, ANN))
        attribute(running, config, doubtful=doubtful)
        refused = await command(env, "consent", "purge", ANN, "--yes")
        done = await command(env, "consent", "purge", ANN, "--plant", doubtful, "--yes", "--json")

    assert (listed.code, Locked.exit_code, refused.code, done.code) == (0, 2, 2, 0)
    assert "--yes" in listed.out
    assert "Barn South 1" in listed.out
    assert doubtful in refused.err
    assert BEN in refused.err
    assert done.json["deleted"] is True
    assert traces(tmp_path, terms_of(running, ANN)) == set()
