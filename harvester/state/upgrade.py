"""The ledger's migrations: which versions are known, and how a ledger gets to the newest. Sole importer of alembic."""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Engine


def knows(version: str) -> bool:
    """Tell whether there is a migration to *version*."""
    try:
        return ScriptDirectory.from_config(_config()).get_revision(version) is not None
    except CommandError:
        return False


def newest() -> str | None:
    """Return the version that the last migration leads to."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(engine: Engine) -> None:
    """Bring the ledger to the newest version, wholly or not at all."""
    config = _config()
    with engine.begin() as connection:
        # begun by hand: left to itself, sqlite3 commits each CREATE TABLE, and a kill leaves half a ledger
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    scripts = str(resources.files("harvester.state").joinpath("migrations"))
    config.set_main_option("script_location", scripts.replace("%", "%%"))
    return config
