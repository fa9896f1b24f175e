"""Copies of the ledger, whole at one instant, taken while it is in use; and what a file that may be a ledger holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from harvester.errors import LedgerError
from harvester.state.database import knows, refusal

_BUSY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a file says of itself, without being changed or migrated."""

    file: Path
    damage: str | None
    """What is wrong with it, None where it is whole."""
    version: str | None = None
    """Its revision; None where it has none."""
    facts: dict[str, str] | None = None
    """Facts about the ledger as a whole; None where they cannot be read."""

    @property
    def newer(self) -> bool:
        """Tell whether a newer harvester wrote it."""
        return self.damage is None and self.version is not None and not knows(self.version)


def copy_ledger(engine: Engine, file: Path) -> None:
    """Write the ledger behind *engine*, as it is at this instant, to the empty or missing *file*.

    Raises `LedgerError`. A writer may go on meanwhile; what it commits then is not in the copy.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.execute(sa.text("VACUUM INTO :file"), {"file": str(file)})
    except sa.exc.DBAPIError as error:
        raise refusal(file, error) from error


def examine(file: Path) -> Condition:
    """Read every page of *file* and say what it holds; whatever is wrong is in the answer."""
    if not file.is_file():
        return Condition(file=file, damage="there is no such file")
    try:
        with _reading(file) as db:
            problems = [str(text) for (text,) in db.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                return Condition(file=file, damage="; ".join(problems))
            versions = [str(version) for (version,) in db.execute("SELECT version_num FROM alembic_version")]
            facts = {str(key): str(value) for key, value in db.execute("SELECT key, value FROM meta")}
    except sqlite3.Error as error:
        return Condition(file=file, damage=str(error))
    return Condition(file=file, damage=None, version=versions[0] if versions else None, facts=facts)


def refuse_newer(condition: Condition) -> None:
    """Raise `LedgerError` for what a newer harvester wrote: an older one would misread it."""
    if condition.newer:
        raise LedgerError(
            f"{condition.file}: written by a newer harvester (version {condition.version}). "
            "Install that version; nothing was touched."
        )


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    address = f"file:{quote(str(file.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as db:
        yield db
