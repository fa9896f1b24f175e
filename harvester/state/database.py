"""Opening the ledger's database: made by the first migration, brought up by others, a newer one refused."""

from __future__ import annotations

import contextlib
import errno
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from harvester.errors import LedgerError, LedgerFull
from harvester.state.tables import VERSION

_BUSY_SECONDS = 30
_RIGHTS = (
    "Check owner and mode of the ledger, of its -wal and -shm and of its folder, that the disk is not mounted "
    "read-only, and that nobody has moved the ledger away; then run again."
)
_REMEDIES = {
    "readonly": _RIGHTS,
    "unable to open": _RIGHTS,
    "disk I/O": "Check the disk: its room, its health, and how large a file may be (`ulimit -f`); then run again.",
}
"""What to do, by what SQLite's words contain."""


def connect(file: Path, *, create: bool = True) -> Engine:
    """Open the ledger in the SQLite *file*, migrated to the version of this program; raise `LedgerError`.

    With ``create=False``, for those who only read, a missing file and an older version are errors.
    """
    if not create and not is_there(file):
        raise LedgerError(
            f"{file}: there is no ledger yet. `harvester discover`, `harvester run` and `harvester backfill` make it."
        )
    _make_folder(file)
    _make_private(file)
    engine = sa.create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "handle_error", partial(_translate, file))
    try:
        _migrate(engine, write=create)
    except sa.exc.DBAPIError as error:
        engine.dispose()
        raise refusal(file, error) from error
    except LedgerError:
        engine.dispose()
        raise
    return engine


def refusal(where: Path, error: sa.exc.DBAPIError) -> LedgerError:
    """Say what a failed statement means and what to do about it."""
    facts = str(error.orig)
    if "locked" in facts:
        return LedgerError(f"{where}: the ledger is locked by another program. Close it there and run again.")
    if "malformed" in facts or "not a database" in facts:
        return LedgerError(
            f"{where}: the ledger is damaged ({facts}). Move it away and restore a copy of it, or let `harvester "
            f"ledger rebuild` do both. {where.name}-wal and {where.name}-shm go with it: beside another file they "
            "would bring the old rows back. The lake is whole, and without a ledger its days are asked again."
        )
    if "full" in facts:
        return _full(where)
    return _refused(where, facts, next((words for sign, words in _REMEDIES.items() if sign in facts), ""))


def unusable(where: Path, error: OSError) -> LedgerError:
    """Say what it means that the system refuses something about the ledger's files, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(where)
    rights = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return _refused(where, error.strerror or str(error), _RIGHTS if rights else "")


def _full(where: Path) -> LedgerFull:
    return LedgerFull(f"{where}: no space is left for the ledger. Make room and run again.")


def _refused(where: Path, facts: str, remedy: str = "") -> LedgerError:
    return LedgerError(f"{where}: the ledger cannot be used ({facts}). {remedy}".rstrip())


def knows(version: str) -> bool:
    """Tell whether this program can read a ledger of *version*."""
    return version == VERSION or _migrations().knows(version)


def _translate(file: Path, context: sa.engine.ExceptionContext) -> LedgerError | None:
    """Turn what the database cannot do into one of our errors; a mistake of ours in a statement stays what it is."""
    found = context.sqlalchemy_exception
    if isinstance(found, sa.exc.OperationalError | sa.exc.DatabaseError) and not isinstance(
        found, sa.exc.IntegrityError | sa.exc.ProgrammingError
    ):
        return refusal(file, found)
    return None


def is_there(file: Path) -> bool:
    """Tell whether there is a ledger; raises `LedgerError` where its folder cannot be looked into."""
    try:
        return file.exists()
    except OSError as error:
        raise unusable(file, error) from error


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"{file.parent}: the ledger's folder cannot be made ({error.strerror}). Check ledger.url, and owner and "
            "mode of the folder above."
        ) from error


def _make_private(file: Path) -> None:
    """Let a new ledger be its owner's alone: it holds tokens, if encrypted. What SQLite lays beside it follows suit."""
    with contextlib.suppress(OSError):  # there already, or not to be made, which SQLite will say
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection has no type
    # NORMAL loses at most the last commits at a power cut, never the file: their days are then asked again
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrations() -> ModuleType:
    """Return the module that migrates; importing it costs a fifth of a command's start, and few commands need it."""
    return import_module("harvester.state.upgrade")


def _version(engine: Engine) -> str | None:
    """Return the version of a ledger, None for one that is not made yet."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _migrate(engine: Engine, *, write: bool) -> None:
    """Bring the ledger up to this version; who only reads refuses an older one instead, having no lock."""
    current = _version(engine)
    if current == VERSION:
        return
    if current is not None and not knows(current):
        raise LedgerError(
            f"{engine.url.database}: this ledger was written by a newer harvester (version {current}). "
            "Install that version; nothing was touched."
        )
    if current is None and not write:
        raise LedgerError(
            f"{engine.url.database}: this ledger is being made, or whatever made it was ended in between. Run again; "
            "`harvester run`, or any other command that writes, makes it."
        )
    if not write:
        raise LedgerError(
            f"{engine.url.database}: this ledger was written by an older harvester. `harvester run`, or any other "
            "command that writes, brings it up to date."
        )
    _migrations().upgrade(engine)
