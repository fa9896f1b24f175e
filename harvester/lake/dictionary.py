"""The lake's tables and columns in words, for `harvester schema lake` and `storage/README.md`."""

from __future__ import annotations

from collections.abc import Sequence

from harvester.catalog import SETS
from harvester.lake import inventory, naming, schema
from harvester.lake.schema import REVISION_COLUMNS, REVISIONS, Column


def lake_dictionary() -> str:
    """Return every documented table with its columns, units and meaning, as Markdown."""
    sections = []
    for measurement_set in SETS.values():
        for level in measurement_set.levels:
            table = naming.table_name(level, measurement_set.name)
            built = schema.build(level, measurement_set.name, table, {})
            sections.append(_section(table, measurement_set.description, built.columns))
            if built.index_columns:
                about = f"Array channels of `{table}`: one row per index present."
                sections.append(_section(naming.by_index(table), about, built.index_columns))
    about = "Values that changed or vanished after they were first read; partitioned like the table they are of."
    sections.append(_section(REVISIONS, about, REVISION_COLUMNS))
    for name, columns in inventory.TABLES.items():
        sections.append(_section(name, "Master data, one file.", columns))
    return "\n".join(sections)


def _section(table: str, about: str, columns: Sequence[Column]) -> str:
    lines = [f"### `{table}`", "", about, "", "| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{c.name}` | {_type(c)} | {c.unit} | {c.description} |" for c in columns]
    return "\n".join(lines) + "\n"


def _type(column: Column) -> str:
    words = {"String": "string", "Float64": "double", "Int16": "int16", "Int64": "int64", "Boolean": "boolean"}
    if column.dtype == schema.INSTANT:
        return "timestamp, µs, UTC"
    if column.dtype == schema.WALL_CLOCK:
        return "timestamp, µs, without zone"
    return words[str(column.dtype)]
