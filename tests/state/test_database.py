"""Opening the ledger's file: made, brought up, or refused with words that say what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from nobody import open_way, unprivileged
from sqlalchemy.engine import Engine

from harvester.errors import LedgerError, LedgerFull
from harvester.state import database, tables
from harvester.state.database import connect, refusal, unusable
from harvester.state.ledger import Ledger, Read

RIGHTS = "Check owner and mode of the ledger, of its -wal and -shm .* not mounted read-only"


def described(engine: Engine) -> dict[str, object]:
    """Return columns, keys and indexes of all tables but alembic's own."""
    inspector = sa.inspect(engine)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"], c["primary_key"]) for c in inspector.get_columns(name)],
            sorted(index["column_names"] for index in inspector.get_indexes(name)),
            sorted(unique["column_names"] for unique in inspector.get_unique_constraints(name)),
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def settle(engine: Engine) -> None:
    """Settle one day."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    Ledger(engine).commit([Read(series_id=1, day=date(2026, 1, 1), rows=1, asked_at=now, next_at=None)])


def test_the_migrated_schema_is_that_of_the_tables(tmp_path: Path) -> None:
    """What the migrations make is what the tables of the program say, by column, key and index."""
    engine, fresh = connect(tmp_path / "ledger.db"), sa.create_engine("sqlite://")
    tables.METADATA.create_all(fresh)
    with engine.connect() as db:
        differences = compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), tables.METADATA)

    assert differences == []
    assert described(engine) == described(fresh)
    assert described(engine).keys() == tables.METADATA.tables.keys()
    engine.dispose()
    fresh.dispose()


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """The ledger's folder is made with the ledger."""
    file = tmp_path / "storage" / "data" / "ledger.db"
    connect(file).dispose()

    assert file.is_file()


@pytest.mark.parametrize("name", ["a b", "50 %", "%(here)s", "ä?#x=1"])
def test_odd_folders_are_folders(tmp_path: Path, name: str) -> None:
    """A folder's name is a name, not a pattern or a part of an address."""
    file = tmp_path / name / "ledger.db"
    connect(file).dispose()

    assert file.is_file()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where a folder should be is told with the folder's name."""
    (tmp_path / "data").write_text("a file")

    with pytest.raises(LedgerError, match=r"data: the ledger's folder cannot be made \(.*\)"):
        connect(tmp_path / "data" / "ledger.db")


def test_a_question_makes_no_ledger(tmp_path: Path) -> None:
    """Asked not to make a ledger, a missing one is an error that names the commands, and stays missing."""
    file = tmp_path / "data" / "ledger.db"
    with pytest.raises(LedgerError, match="there is no ledger yet"):
        connect(file, create=False)

    assert not file.parent.exists()


def test_an_existing_ledger_is_opened_for_a_question(tmp_path: Path) -> None:
    """Asked not to make a ledger, the one that is there is opened with what it knows."""
    first = connect(tmp_path / "ledger.db")
    settle(first)
    first.dispose()
    second = connect(tmp_path / "ledger.db", create=False)

    assert Ledger(second).summary().settled == 1
    second.dispose()


def test_a_newer_ledger_is_refused_untouched(tmp_path: Path) -> None:
    """A ledger of an unknown version is refused with that version, and stays as it is."""
    file = tmp_path / "ledger.db"
    connect(file).dispose()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()

    with pytest.raises(LedgerError, match=r"written by a newer harvester \(version 9999\).*nothing was touched"):
        connect(file)

    assert file.read_bytes() == before


@pytest.mark.parametrize("junk", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path, junk: bytes) -> None:
    """Something else in the ledger's place is called damaged, with what to do, and stays as it is."""
    file = tmp_path / "ledger.db"
    file.write_bytes(junk)

    with pytest.raises(LedgerError, match=r"the ledger is damaged .* Move it away"):
        connect(file)

    assert file.read_bytes() == junk


def test_a_ledger_damaged_within_is_told(tmp_path: Path) -> None:
    """Pages overwritten in the middle of the file are found when they are read, and called damaged."""
    file = tmp_path / "ledger.db"
    connect(file).dispose()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))

    with pytest.raises(LedgerError, match="the ledger is damaged"):
        connect(file)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """A folder where the file should be cannot be used, and is not removed."""
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(LedgerError, match="the ledger cannot be used"):
        connect(tmp_path / "ledger.db")

    assert (tmp_path / "ledger.db").is_dir()


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    """A file of no bytes, as a crash may leave it, is a ledger that begins."""
    (tmp_path / "ledger.db").touch()
    engine = connect(tmp_path / "ledger.db")

    assert Ledger(engine).summary().settled == 0
    engine.dispose()


def test_a_locked_ledger_is_refused_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new ledger that another program holds is refused, once waiting for it has not helped."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")

        with pytest.raises(LedgerError, match="Close it there and run again"):
            connect(file)


def test_a_locked_ledger_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process writes, another reads what was there before; writing has to wait for its turn."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    file = tmp_path / "ledger.db"
    first, second = connect(file), connect(file)
    settle(first)
    with first.begin() as writer:
        writer.exec_driver_sql("BEGIN IMMEDIATE")
        writer.exec_driver_sql("DELETE FROM month")

        assert Ledger(second).summary().settled == 1
        with pytest.raises(LedgerError, match="locked by another program"):
            Ledger(second).record("key", "value")
    first.dispose()
    second.dispose()


def test_half_a_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first migration that ends half way leaves no table behind, and the next start makes the whole ledger."""
    prepare = database._prepare_sqlite

    def prepare_to_fail(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        connection.set_authorizer(
            lambda action, name, *_: int(action == sqlite3.SQLITE_CREATE_TABLE and name == "series")
        )

    monkeypatch.setattr(database, "_prepare_sqlite", prepare_to_fail)
    with pytest.raises(LedgerError, match="not authorized"):
        connect(tmp_path / "ledger.db")
    monkeypatch.undo()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        left = db.execute("SELECT name FROM sqlite_master").fetchall()
    engine = connect(tmp_path / "ledger.db")

    assert left == []
    assert described(engine).keys() == tables.METADATA.tables.keys()
    engine.dispose()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("database is locked", "locked by another program"),
        ("database disk image is malformed", r"is damaged .* `harvester ledger rebuild` .* ledger\.db-wal"),
        ("file is not a database", r"is damaged .* Move it away and restore a copy .* ledger\.db-shm"),
        ("database or disk is full", "no space is left"),
        ("attempt to write a readonly database", f"cannot be used .*readonly.* {RIGHTS}"),
        ("unable to open database file", f"cannot be used .*unable to open.* {RIGHTS}"),
        ("disk I/O error", r"cannot be used \(disk I/O error\)\. Check the disk: .* run again"),
        ("not authorized", r"cannot be used \(not authorized\)\.$"),
    ],
)
def test_refusals_say_what_to_do(words: str, told: str) -> None:
    """What SQLite says in its words is told with the file and in ours."""
    error = sa.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError(words))

    with pytest.raises(LedgerError, match=f"^/srv/ledger.db: .*{told}"):
        raise refusal(Path("/srv/ledger.db"), error)


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (errno.ENOSPC, LedgerFull, "no space is left for the ledger"),
        (errno.EDQUOT, LedgerFull, "no space is left for the ledger"),
        (errno.EACCES, LedgerError, RIGHTS),
        (errno.EROFS, LedgerError, RIGHTS),
        (errno.EISDIR, LedgerError, r"cannot be used \(Is a directory\)\.$"),
    ],
)
def test_what_the_system_refuses_is_told_alike(code: int, kind: type[LedgerError], told: str) -> None:
    """A file that cannot be moved or copied is a ledger that cannot be used, with the same words."""
    with pytest.raises(kind, match=f"^/srv/ledger.db: .*{told}") as caught:
        raise unusable(Path("/srv/ledger.db"), OSError(code, os.strerror(code)))

    assert type(caught.value) is kind


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o444), (0o555, 0o444), (0o755, 0o000), (0o000, 0o600)])
def test_a_ledger_without_rights_says_whose_to_check(
    tmp_path: Path, folder_mode: int, file_mode: int, *, create: bool
) -> None:
    """Read-only, unreadable, in a folder that nobody may enter: the file, and what to do; nothing is changed."""
    file = tmp_path / "data" / "ledger.db"
    engine = connect(file)
    settle(engine)
    engine.dispose()
    before = file.read_bytes()
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)
    open_way(tmp_path)
    try:
        with unprivileged(), pytest.raises(LedgerError, match=f"{file}: the ledger cannot be used .*{RIGHTS}"):
            Ledger(connect(file, create=create)).record("key", "value")
    finally:
        file.parent.chmod(0o755)
        file.chmod(0o600)

    assert file.read_bytes() == before


def test_connections_are_prepared(tmp_path: Path) -> None:
    """Every connection writes ahead, so that readers never wait, and checks foreign keys."""
    engine = connect(tmp_path / "ledger.db")
    with engine.connect() as db:
        found = [
            db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert found == ["wal", 1, 1]
    engine.dispose()
