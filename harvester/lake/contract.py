"""What each table of a lake looks like now, and what identifies its rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harvester.lake import inventory, naming
from harvester.lake.registry import Registry
from harvester.lake.schema import REVISION_COLUMNS, REVISIONS, Column

_KEYS = {"plant_id", "device_id", "time", "period_start", "index"}


def contract(registry: Registry) -> dict[str, tuple[Column, ...]]:
    """Return the columns of every table, in order: catalogue and *registry*, revisions, master data."""
    found: dict[str, tuple[Column, ...]] = {}
    for table in registry.tables():
        found[table.table] = table.columns
        if table.index_columns:
            found[naming.by_index(table.table)] = table.index_columns
    return {**found, REVISIONS: REVISION_COLUMNS, **inventory.TABLES}


def key_of(table: str, columns: Sequence[Column]) -> list[str]:
    """Return the columns that identify a row of *table*."""
    keys: Mapping[str, list[str]] = {
        REVISIONS: ["table", "plant_id", "device_id", "time", "index", "channel", "old", "new"],
        "plants": ["plant_id"],
        "devices": ["device_id"],
        "aliases": ["level", "old_id"],
    }
    return keys.get(table) or [column.name for column in columns if column.name in _KEYS]
