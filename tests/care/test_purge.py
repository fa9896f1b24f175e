"""Everything of one owner deleted: not a byte of it is left anywhere, and not a value of anybody else's is lost."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from owned_lake import (
    ANN,
    BEN,
    FIRST,
    LAST,
    NOW,
    SETTINGS,
    Interrupting,
    archived,
    attribute,
    config_of,
    contents,
    furnished,
    known_plants,
    plants_of,
    present,
    rows_of,
    schemas,
    terms_of,
    traces,
)
from running import environment

from harvester.care import purging
from harvester.care.purge import Asked
from harvester.care.rebuild import rebuild
from harvester.care.replay import Order, Replay
from harvester.compose import writable
from harvester.config import Config
from harvester.errors import ConfigError, LakeError
from harvester.lake import audit
from harvester.lake.layout import Places
from harvester.plan import Scope
from harvester.sandbox import Running, serving
from harvester.show import Quiet

TOMBSTONES = {"ledger.db", "lake/_harvester/snapshots"}
"""Where the owner's address alone stays: whom not to ask any more."""


class House:
    """A furnished lake, and what is known of it."""

    def __init__(self, folder: Path, running: Running) -> None:
        self.folder, self.running = folder, running
        self.config = config_of(running, folder)
        self.terms = terms_of(running, ANN)
        self.anns, self.bens = plants_of(running, ANN), plants_of(running, BEN)
        self.root = folder / "lake"

    def copy(self, folder: Path) -> "House":
        """Return the same at another place."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return House(folder, self.running)

    def of_ben(self) -> tuple[object, ...]:
        """Return all that there is of the other owner."""
        frames = {path: frame.to_dicts() for path, frame in contents(self.root, self.bens).items()}
        bodies = [file.read_bytes() for file in sorted(Places(self.root).quarantine.glob("*"))]
        kept = [body for body in bodies if any(plant_id.encode() in body for plant_id in self.bens)]
        return frames, archived(self.root, self.bens), kept, rows_of(self.config, self.bens)

    def left(self) -> set[str]:
        """Return the files in which anything of the purged owner's plants is found."""
        return traces(self.folder, self.terms)


@pytest.fixture(scope="module")
def furnished_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Return a lake of two owners; its cloud is gone, which deleting needs none of."""
    folder = tmp_path_factory.mktemp("house")

    async def furnish() -> Running:
        async with serving(SETTINGS, now=present) as running:
            await furnished(running, folder)
            return running

    return House(folder, asyncio.run(furnish()))


@pytest.fixture
def house(furnished_house: House, tmp_path: Path) -> House:
    """Return a copy of it."""
    return furnished_house.copy(tmp_path / "house")


def purge(config: Config, owner: str = ANN, **more: frozenset[str]) -> dict[str, object]:
    """Delete everything of *owner* and return what was deleted."""
    with writable(config, "consent purge") as stores:
        return dict(purging.carried_out(config, stores, Asked(owner=owner, **more), Quiet()).facts)


def test_not_a_byte_is_left_and_nothing_of_others_is_lost(house: House) -> None:
    """Every file is searched as it lies and unpacked: before there is something in each corner, afterwards nowhere."""
    before, of_ben, columns = house.left(), house.of_ben(), schemas(house.root)
    done = purge(house.config)
    address = traces(house.folder, {ANN})

    corners = ("raw/", "raw/replays.json", "quarantine/", "snapshots/", "revisions/", "plants/", "devices/", ".tmp")
    corners += ("aliases/", "ledger.db", ".aside-", "_daily/", "_monthly/", "_yearly/", "_by_index/")
    assert [corner for corner in corners if not any(corner in file for file in before)] == []
    assert house.left() == set()
    assert {file for file in address if not file.startswith(tuple(TOMBSTONES))} == set()
    assert house.of_ben() == of_ben
    assert {path: schema for path, schema in schemas(house.root).items() if schema != columns[path]} == {}
    assert done["deleted"] is True
    assert known_plants(house.config) == house.bens


def test_files_of_nobody_else_go_with_their_folders(house: House) -> None:
    """Once both are deleted no table is left, nor an empty folder, and the ledger knows no plant."""
    purge(house.config)
    purge(house.config, BEN)
    places = Places(house.root)

    assert places.partitions() == []
    assert places.tables() == []
    assert places.packs() == []
    assert known_plants(house.config) == set()


def test_listing_touches_nothing(house: House) -> None:
    """It names plants, tables and counts, needs no lock, and changes not a byte of lake and ledger."""

    def digests() -> dict[str, str]:
        files = (f for f in house.folder.rglob("*") if f.is_file() and not f.name.endswith(("-wal", "-shm")))
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = digests()
    with writable(house.config, "daemon"):
        locked = digests()
        facts = dict(purging.preview(house.config, Asked(owner=ANN.upper())).facts)
        after = digests()
    deleted = purge(house.config)

    assert after == locked
    assert after.keys() == before.keys()
    assert facts["deleted"] is False
    assert {p["plant_id"] for p in facts["plants"] if p["certain"]} == house.anns
    assert {k: facts[k] for k in ("tables", "raw_answers", "quarantined", "ledger", "ledgers_aside")} == {
        k: deleted[k] for k in ("tables", "raw_answers", "quarantined", "ledger", "ledgers_aside")
    }


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8, 0.9, 1.0])
def test_interrupted_anywhere_it_goes_on_to_the_same_end(house: House, share: float) -> None:
    """Whatever is done by then: the same call finishes, though the plants are another's meanwhile."""
    of_ben, places = house.of_ben(), Places(house.root)
    points = len(places.packs()) + len(places.partitions()) + 7
    with pytest.raises(InterruptedError), writable(house.config, "consent purge") as stores:
        purging.carried_out(house.config, stores, Asked(owner=ANN), Interrupting(1 + round(share * (points - 1))))
    attribute_all_to_ben(house)
    done = purge(house.config)

    assert done["resumed"] is True
    assert house.left() == set()
    assert house.of_ben() == of_ben
    assert [entry["what"] for entry in audit.entries(places)][-1] == "purge.done"


def attribute_all_to_ben(house: House) -> None:
    """Let the other owner be the one whose every known plant is."""
    with writable(house.config, "test") as stores:
        plants = {known.plant.plant_id for known in stores.inventory.plants()}
        stores.owners.attribute({plant_id: frozenset({BEN}) for plant_id in plants}, NOW)


KILLED = """
import os, signal, sys
from harvester import config
from harvester.care import purging
from harvester.care.purge import Asked
from harvester.compose import writable

class Killing:
    left = int(sys.argv[2])
    def planned(self, slices): ...
    def advanced(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

loaded = config.load(None, environ=os.environ)
with writable(loaded, "consent purge") as stores:
    purging.carried_out(loaded, stores, Asked(owner=sys.argv[1]), Killing())
"""


@pytest.mark.parametrize("step", [-3, -12])
def test_killed_it_goes_on_to_the_same_end(house: House, step: int) -> None:
    """SIGKILL between two files, and after each of the last steps; the same call finishes."""
    of_ben, places = house.of_ben(), Places(house.root)
    points = len(places.packs()) + len(places.partitions()) + 7
    env = environment(house.running, house.folder, HARVESTER_SMA__OWNERS=json.dumps([ANN, BEN]))
    child = subprocess.run([sys.executable, "-c", KILLED, ANN, str(points + step)], env=env, check=False)
    done = purge(house.config)

    assert child.returncode == -signal.SIGKILL
    assert done["resumed"] is True
    assert house.left() == set()
    assert house.of_ben() == of_ben


def test_the_trail_tells_who_did_what_and_names_nobody(house: House) -> None:
    """Begun, every step with its counts, done; private, and without an address or an id."""
    purge(house.config)
    places = Places(house.root)
    entries = list(audit.entries(places))
    steps = {entry["counts"]["step"]: entry["counts"] for entry in entries if entry["what"] == "purge.step"}

    assert [entry["what"] for entry in entries] == ["purge.begun", *["purge.step"] * 7, "purge.done"]
    assert all(entry["by"] and entry["at"] for entry in entries)
    assert steps["raw"]["raw_answers"] > 0
    assert steps["tables"]["tables"]["plant_energy_balance"]["rows"] > 0
    assert steps["quarantine"]["quarantined"] == len(house.anns)
    assert stat.S_IMODE(places.audit.stat().st_mode) == 0o600
    assert "@" not in places.audit.read_text()


def lost(house: House) -> None:
    """Lose the ledger."""
    for file in house.folder.glob("ledger.db*"):
        file.unlink()


def rebuilt(house: House) -> int:
    """Make it again, and return how many purges are to be finished."""
    return rebuild(Places(house.root), house.config.ledger.path, force=False, now=NOW).purges


def test_an_old_copy_of_the_ledger_brings_nothing_back(house: House) -> None:
    """A copy of before the purge that somebody puts back is restored without what was deleted."""
    places = Places(house.root)
    day = places.snapshot_days()[-1]
    old = places.snapshot(day).read_bytes()
    purge(house.config)
    lost(house)
    places.snapshot(day).write_bytes(old)
    left = rebuilt(house)

    assert left == 0
    assert traces(house.folder, house.terms) == {places.snapshot(day).relative_to(house.folder).as_posix()}
    assert known_plants(house.config) == house.bens


def test_a_replay_brings_nothing_back(house: House) -> None:
    """Neither after the purge, nor where it comes between an interruption and the end."""
    order = Order(scope=Scope(), first=FIRST, last=LAST, zones={})
    with writable(house.config, "test") as stores, pytest.raises(InterruptedError):
        purging.carried_out(house.config, stores, Asked(owner=ANN), Interrupting(len(Places(house.root).packs()) // 2))
    with writable(house.config, "replay") as stores:
        between = Replay(stores, order, NOW).run()
    purge(house.config)
    with writable(house.config, "replay") as stores:
        after = Replay(stores, order, NOW).run()

    assert between.answers > after.answers > 0
    assert house.left() == set()


@pytest.mark.parametrize("snapshots", [True, False])
def test_a_ledger_lost_in_the_middle_does_not_forget_the_purge(house: House, *, snapshots: bool) -> None:
    """The trail tells the new ledger what was begun, and the same command finishes it."""
    with pytest.raises(InterruptedError), writable(house.config, "consent purge") as stores:
        purging.carried_out(house.config, stores, Asked(owner=ANN), Interrupting(15))
    lost(house)
    if not snapshots:
        shutil.rmtree(Places(house.root).snapshots)
    left = rebuilt(house)
    done = purge(house.config)

    assert left == 1
    assert done["resumed"] is True
    assert house.left() - {f for f in house.left() if f.startswith("lake/aliases")} == set()
    assert known_plants(house.config) == house.bens


def test_a_file_that_cannot_be_read_stops_it_until_it_is_gone(house: House) -> None:
    """Nobody can tell what it holds: it is named, all others are done, and without it the same call finishes."""
    places = Places(house.root)
    broken = places.file(places.partitions("plant_energy_balance")[0])
    broken.write_bytes(b"PAR1 spoiled")
    with pytest.raises(LakeError, match=broken.name):
        purge(house.config)
    broken.unlink()
    purge(house.config)

    assert house.left() == set()


def test_a_full_disk_leaves_it_to_be_finished(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file cannot be written nothing is lost, and the same call goes on when there is room."""
    of_ben = house.of_ben()
    failing(monkeypatch, after=5)
    with pytest.raises(LakeError, match="no space"):
        purge(house.config)
    monkeypatch.undo()
    purge(house.config)

    assert house.left() == set()
    assert house.of_ben() == of_ben


def failing(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let the operating system's fsync say that the disk is full from a certain call on."""
    real: Callable[[int], None] = os.fsync
    calls = [after]

    def fsync(descriptor: int) -> None:
        calls[0] -= 1
        if calls[0] < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


class TestDoubt:
    """Plants whose owner is not certain are for a person to decide."""

    def doubtful(self, house: House) -> str:
        """Make one plant of Ann's one that may be of both."""
        plant_id = min(house.anns)
        attribute(house.running, house.config, doubtful=plant_id)
        return plant_id

    def test_they_are_refused_by_name_with_the_other_candidates(self, house: House) -> None:
        """Nothing is deleted as long as nobody has decided."""
        plant_id = self.doubtful(house)
        with pytest.raises(ConfigError, match=rf"{plant_id}: or of {BEN}"):
            purge(house.config)

        assert known_plants(house.config) == house.anns | house.bens

    def test_named_as_the_owners_they_go_too(self, house: House) -> None:
        """--plant decides that it is."""
        purge(house.config, plants=frozenset({self.doubtful(house)}))

        assert house.left() == set()

    def test_named_as_somebody_elses_they_stay(self, house: House) -> None:
        """--not-plant decides that it is not, and everything else goes."""
        plant_id = self.doubtful(house)
        kept = contents(house.root, {plant_id})
        purge(house.config, not_plants=frozenset({plant_id}))

        assert known_plants(house.config) == {plant_id, *house.bens}
        assert {k: f.to_dicts() for k, f in contents(house.root, {plant_id}).items()} == {
            k: f.to_dicts() for k, f in kept.items()
        }

    def test_what_is_certain_cannot_be_named_otherwise(self, house: House) -> None:
        """Neither another's plant as this owner's, nor this owner's as another's, nor one that is not there."""
        for more in ({"plants": min(house.bens)}, {"not_plants": min(house.anns)}, {"plants": "1"}):
            with pytest.raises(ConfigError, match=next(iter(more.values()))):
                purge(house.config, **{name: frozenset({plant_id}) for name, plant_id in more.items()})

        assert known_plants(house.config) == house.anns | house.bens

    def test_an_owner_nobody_knows_is_refused_with_names_that_are_alike(self, house: House) -> None:
        """Most likely a slip."""
        with pytest.raises(ConfigError, match=rf"2 others.*Did you mean {ANN}"):
            purge(house.config, "anne@example.org")


def test_an_owner_without_plants_leaves_a_tombstone(house: House) -> None:
    """Nothing is there to be deleted, and the owner is not to be asked any more."""
    with writable(house.config, "test") as stores:
        stores.owners.attribute(dict.fromkeys(house.bens, frozenset[str]()), NOW)
    done = purge(house.config, BEN)
    with writable(house.config, "test") as stores:
        known = stores.owners.find(BEN)

    assert (done["plants"], done["tables"]) == (0, {})
    assert known is not None
    assert known.purged_at is not None
    assert contents(house.root, house.bens)
