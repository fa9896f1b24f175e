"""Copies of the ledger: whole, private, one a day, seven at most; and what a file says of itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from harvester.compose import SNAPSHOTS, keep_snapshot
from harvester.errors import LedgerError
from harvester.lake.layout import Places
from harvester.state.database import connect
from harvester.state.ledger import Ledger, Read
from harvester.state.snapshot import copy_ledger, examine, refuse_newer

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return a ledger that knows a fact and a settled day."""
    engine = connect(tmp_path / "ledger.db")
    Ledger(engine).record("lake_id", "a lake")
    Ledger(engine).commit([Read(series_id=1, day=date(2026, 6, 1), rows=288, asked_at=NOW, next_at=None)])
    yield engine
    engine.dispose()


def test_a_copy_holds_what_was_committed_and_nothing_that_was_not(engine: Engine, tmp_path: Path) -> None:
    """While another connection is in the middle of a change, the copy is of before it."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM month")
        copy_ledger(engine, tmp_path / "copy.db")
    copy = connect(tmp_path / "copy.db")
    known = Ledger(copy).days([1], date(2026, 6, 1), date(2026, 6, 1))
    copy.dispose()

    assert known[1].settled == {date(2026, 6, 1): 288}
    assert examine(tmp_path / "copy.db").facts == {"lake_id": "a lake"}


def test_one_a_day_and_only_the_newest_seven(engine: Engine, tmp_path: Path) -> None:
    """Of ten days with two commands each there are seven copies, one for each of the last days."""
    places = Places(tmp_path / "lake")
    moments = [NOW + timedelta(days=day, hours=hour) for day in range(10) for hour in (0, 6)]
    made = [keep_snapshot(places, engine, moment) for moment in moments]

    assert [file is not None for file in made] == [True, False] * 10
    assert places.snapshot_days() == [date(2026, 11, 1) + timedelta(days=day) for day in range(3, 10)]
    assert len(places.snapshot_days()) == SNAPSHOTS
    assert places.snapshot(date(2026, 11, 10)).name == "ledger-20261110.db"


def test_only_its_owner_reads_a_copy(engine: Engine, tmp_path: Path) -> None:
    """Mode 0600 from the beginning, and no other file beside it."""
    file = keep_snapshot(Places(tmp_path / "lake"), engine, NOW)

    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_copy_that_cannot_be_made_costs_nothing_else(engine: Engine, tmp_path: Path) -> None:
    """A folder in its place: no exception, no half copy, and the copies that are there stay."""
    places = Places(tmp_path / "lake")
    keep_snapshot(places, engine, NOW)
    places.snapshot((NOW + timedelta(days=1)).date()).mkdir()

    assert keep_snapshot(places, engine, NOW + timedelta(days=2)) is not None
    assert keep_snapshot(Places(tmp_path / "ledger.db"), engine, NOW) is None
    assert not list(places.snapshots.glob(".*"))


@pytest.mark.parametrize("spoil", ["absent", "empty", "text", "cut", "bits"])
def test_damage_is_told(engine: Engine, tmp_path: Path, spoil: str) -> None:
    """Whatever is not a whole ledger says so, without an exception."""
    file = tmp_path / "copy.db"
    copy_ledger(engine, file)
    content = file.read_bytes()
    spoilt = {"empty": b"", "text": b"{}" * 5000, "cut": content[:-5000], "bits": content[:4096] + b"\xff" * 4096}
    if spoil == "absent":
        file.unlink()
    else:
        file.write_bytes(spoilt[spoil] + (content[8192:] if spoil == "bits" else b""))

    assert examine(file).damage
    assert not examine(file).newer


def test_a_newer_version_is_refused(engine: Engine, tmp_path: Path) -> None:
    """What a later harvester wrote is whole, and not for this one."""
    file = tmp_path / "copy.db"
    copy_ledger(engine, file)
    refuse_newer(examine(file))
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()

    assert examine(file).damage is None
    with pytest.raises(LedgerError, match="newer harvester"):
        refuse_newer(examine(file))
