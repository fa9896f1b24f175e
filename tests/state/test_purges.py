"""An owner's rows deleted from a real ledger: exactly those, down to the bytes of its pages, and never forgotten."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.errors import LedgerError
from harvester.model import Device, Plant
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.kinship import Kin
from harvester.state.ledger import LAKE_ID, Failure, Ledger
from harvester.state.orders import Orders
from harvester.state.owners import Owners, Seen
from harvester.state.purges import Purges
from harvester.state.restoration import Restoration
from harvester.state.tables import METADATA, OWNER, PLANT, SECRET

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANN, BEN = "ann@example.org", "ben@example.net"
NAMES = {"1": "Vicarage", "11": "Sawmill", "111": 'Müller\'s "Dairy"', "2": "Mill"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    """Offer a ledger of four plants of two owners."""
    engine = connect(file)
    Ledger(engine).record(LAKE_ID, "lake-of-a-test")
    inventory = Inventory(engine, plants_per_file=2)
    inventory.see_plants([plant(i) for i in NAMES], NOW)
    for number, plant_id in enumerate(NAMES):
        device = Device(
            device_id=f"d-{plant_id}-x", plant_id=plant_id, name=f"Inverter {number}", serial=f"300{number}"
        )
        inventory.explored(plant(plant_id), [device], {None: ["EnergyBalance"], f"d-{plant_id}-x": ["PowerDc"]}, NOW)
    owners = Owners(engine)
    for owner in (ANN, BEN):
        owners.record(Seen(owner=owner, state="Accepted", requested=True), NOW)
    owners.attribute({"1": frozenset({ANN}), "111": frozenset({ANN}), "11": frozenset({BEN})}, NOW)
    yield engine
    engine.dispose()


def plant(plant_id: str) -> Plant:
    """Return a plant."""
    return Plant(plant_id=plant_id, name=NAMES.get(plant_id, "New"), timezone="Europe/Berlin")


def purged(engine: Engine, owner: str, *plants: str) -> Purges:
    """Delete *plants* of *owner* from the ledger."""
    purges = Purges(engine)
    purge = purges.begin(owner, purges.kin(owner, plants), NOW)
    purges.forget(purge, owner, NOW)
    purges.shred(purge)
    purges.finish(purge, NOW)
    return purges


def dump(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table."""
    with engine.connect() as db:
        return {name: [tuple(row) for row in db.execute(sa.select(t))] for name, t in METADATA.tables.items()}


def test_exactly_the_named_plants_go(engine: Engine) -> None:
    """Ids that contain each other are others, whatever table they are in."""
    before = dump(engine)
    purged(engine, ANN, "1", "111")
    after = dump(engine)

    for name in ("plant", "device", "series", "owner_plant"):
        kept = [row for row in before[name] if not {"1", "111"} & set(row)]
        assert after[name] == kept
    assert len(after["plant"]) == 2


def test_no_page_holds_anything_of_them(engine: Engine, file: Path) -> None:
    """Neither the database nor its log has a byte of ids, names or serials; the log is empty."""
    ledger = Ledger(engine)
    ledger.commit((), [Failure(series_id=n, day=NOW.date(), failed_at=NOW, reason=f"no Vicarage {n}") for n in (1, 2)])
    purged(engine, ANN, "1", "111")
    content = b"".join(f.read_bytes() for f in file.parent.glob("ledger.db*"))

    assert [word for word in (b"Vicarage", "Müller".encode(), b"3000", b"3002", b"d-111-x") if word in content] == []
    assert [word for word in (b"Sawmill", b"3001", b"d-11-x") if word not in content] == []


def test_texts_that_name_them_go_and_others_stay(engine: Engine) -> None:
    """Facts and orders: a whole word counts, so that plant 11 is not plant 1; what holds for the lake stays."""
    ledger, orders = Ledger(engine), Orders(engine)
    ledger.record(
        "last_run", json.dumps({"warnings": ["plant 1 is suspended", "plant 2 is", NAMES["111"]], "rows": 11})
    )
    ledger.record("text", "Vicarage, and what is no JSON")
    ledger.record("other", json.dumps({"plant": "11"}))
    gone = orders.place("backfill", {"scope": {"plants": ["111"]}}, ["1/1"], placed_by="x", now=NOW)
    stays = orders.place("backfill", {"scope": {"plants": ["11"]}}, ["1/1"], placed_by="x", now=NOW)
    at_work = orders.place("purge", {"owner": ANN, "scope": {"plants": ["111"]}}, ["1/1"], placed_by="x", now=NOW)
    purged(engine, ANN, "1", "111")
    left = {row[0]: row for row in dump(engine)["work_order"]}

    assert json.loads(str(ledger.fact("last_run"))) == {"warnings": ["plant 2 is"], "rows": 11}
    assert [ledger.fact(key) for key in ("text", "other", LAKE_ID)] == [None, '{"plant": "11"}', "lake-of-a-test"]
    assert gone not in left
    assert stays in left
    assert json.loads(left[at_work][2]) == {"owner": ANN, "scope": {"plants": []}}


def test_of_the_owner_the_name_and_the_day_stay(engine: Engine) -> None:
    """Secrets go; the book tells that this one is not to be asked any more, and nothing else."""
    with engine.begin() as db:
        for owner in (ANN, BEN):
            db.execute(sa.insert(SECRET).values(owner=owner, name="token", sealed=b"sealed", sealed_at=0))
    purged(engine, ANN.upper(), "1")
    known = Owners(engine).find(ANN)
    with engine.connect() as db:
        row = db.execute(sa.select(OWNER).where(OWNER.c.owner == ANN)).mappings().one()

    assert known is not None
    assert known.purged_at == NOW
    assert {name for name, value in row.items() if value is not None} == {
        "owner",
        "grant",
        "state",
        "since",
        "purged_at",
    }
    assert [row[0] for row in dump(engine)["secret"]] == [BEN]


def test_a_place_is_given_to_nobody_else(engine: Engine) -> None:
    """The plant that had the last place is gone: the next one gets one of its own, and a restored one, too."""
    purged(engine, BEN, "2", "11")
    inventory, restoration = Inventory(engine, plants_per_file=2), Restoration(engine, plants_per_file=2)
    inventory.see_plants([plant("9")], LATER)
    restoration.plant(plant("10"), None, first_seen=NOW, last_seen=NOW)
    with engine.connect() as db:
        ordinals = dict(db.execute(sa.select(PLANT.c.plant_id, PLANT.c.ordinal)).all())

    assert ordinals == {"1": 0, "111": 2, "9": 4, "10": 5}


def test_plants_stay_away_until_their_owner_is_asked_after_all_was_done(engine: Engine) -> None:
    """From the beginning of a purge on; reading the consent changes nothing, asking before its end neither."""
    inventory, purges, owners = Inventory(engine, plants_per_file=2), Purges(engine), Owners(engine)
    listed = [plant(i) for i in NAMES]

    def visible() -> list[str]:
        return [each.plant_id for each in inventory.unpurged(listed)]

    purge = purges.begin(ANN, purges.kin(ANN, ["1", "111"]), NOW)
    begun = visible()
    owners.record(Seen(owner=ANN, state="Accepted", requested=True), NOW)
    purges.forget(purge, ANN, LATER)
    purges.shred(purge)
    purges.finish(purge, LATER)
    owners.record(Seen(owner=ANN, state="Accepted"), LATER)
    done = visible()
    owners.record(Seen(owner=ANN, state="Accepted", requested=True), LATER + timedelta(minutes=1))

    assert begun == done == ["11", "2"]
    assert visible() == list(NAMES)


def test_a_book_that_lost_the_owner_lets_nothing_back(engine: Engine) -> None:
    """After the loss of a ledger a consent that is read again is not one that was asked for again."""
    purged(engine, ANN, "1")
    with engine.begin() as db:
        db.execute(sa.delete(OWNER))
    Owners(engine).record(Seen(owner=ANN, state="Accepted"), LATER)

    assert [p.plant_id for p in Inventory(engine, plants_per_file=2).unpurged([plant("1"), plant("11")])] == ["11"]


class TestKin:
    """Ids that a plant and its devices ever had."""

    def test_redirections_are_followed_both_ways(self, engine: Engine) -> None:
        """An older id, the id after it, and those of devices; not what only looks alike."""
        inventory = Inventory(engine, plants_per_file=2)
        for level, old, new in (("plant", "0", "1"), ("plant", "1", "1b"), ("device", "d-1-x", "d1b")):
            inventory.add_alias(level, old, new, NOW)
        inventory.add_alias("device", "1", "x", NOW)

        assert Purges(engine).kin(ANN, ["1"]) == Kin(frozenset({"0", "1", "1b"}), frozenset({"d-1-x", "d1b"}))

    def test_an_id_that_is_certain_to_be_anothers_stays(self, engine: Engine) -> None:
        """Where a plant changed hands with its id, the new owner keeps the new one."""
        Inventory(engine, plants_per_file=2).add_alias("plant", "1", "11", NOW)

        assert Purges(engine).kin(ANN, ["1"]).plants == {"1"}

    def test_a_device_that_went_to_another_plant_stays(self, engine: Engine) -> None:
        """Its redirections are the other plant's."""
        device = Device(device_id="d-1-x", plant_id="11", name="Moved")
        Inventory(engine, plants_per_file=2).explored(plant("11"), [device], {None: None, "d-1-x": None}, LATER)

        assert Purges(engine).kin(ANN, ["1"]).devices == set()


def test_who_reads_for_ever_is_told_of(engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as another program reads, the log cannot be cut off: it is said, and the same call works later."""
    monkeypatch.setattr("harvester.state.database._BUSY_SECONDS", 0.1)
    impatient = connect(file)
    purges = Purges(impatient)
    purge = purges.begin(ANN, purges.kin(ANN, ["1"]), NOW)
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM plant").fetchall()
        purges.forget(purge, ANN, NOW)
        with pytest.raises(LedgerError, match="another program"):
            purges.shred(purge)
    purges.shred(purge)
    impatient.dispose()
    engine.dispose()
    content = b"".join(f.read_bytes() for f in file.parent.glob("ledger.db*"))

    assert b"Vicarage" not in content
