"""The lake's tables and columns in words, for `harvester schema lake` and `storage/README.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harvester.catalog import ENERGY_SETS, SETS, MeasurementSet
from harvester.lake import inventory, naming, schema
from harvester.lake.schema import REVISION_COLUMNS, REVISIONS, Column
from harvester.model import Level, Period


@dataclass(frozen=True, slots=True)
class Table:
    """One documented table."""

    name: str
    about: str
    columns: Sequence[Column]


def lake_dictionary() -> str:
    """Return every documented table with its columns, units and meaning, as Markdown."""
    return "\n".join(_section(table) for table in _tables())


def lake_tables() -> list[dict[str, Any]]:
    """Return the same as plain values."""
    return [
        {
            "table": table.name,
            "description": table.about,
            "columns": [
                {"name": c.name, "type": _type(c), "unit": c.unit or None, "description": c.description}
                for c in table.columns
            ],
        }
        for table in _tables()
    ]


def _tables() -> Iterator[Table]:
    for measurement_set in SETS.values():
        for level in measurement_set.levels:
            name = naming.table_name(level, measurement_set.name)
            built = schema.build(level, measurement_set.name, name, {})
            yield Table(name, measurement_set.description, built.columns)
            if built.index_columns:
                about = f"Array channels of `{name}`: one row per index present."
                yield Table(naming.by_index(name), about, built.index_columns)
            if level is Level.PLANT and measurement_set.name in ENERGY_SETS:
                yield from _periods(level, measurement_set, name)
    about = "Values that changed or vanished after they were first read; partitioned by the day of their row."
    yield Table(REVISIONS, about, REVISION_COLUMNS)
    for name, columns in inventory.TABLES.items():
        yield Table(name, "Master data, one file.", columns)


_ABOUT = {
    Period.MONTH: "day of `{}`, as SMA sums it up; partitioned by `year`.",
    Period.YEAR: "month of `{}`, as SMA sums it up; partitioned by `year`.",
    Period.TOTAL: "year of `{}`, as SMA sums it up; one file of each part.",
}


def _periods(level: Level, measurement_set: MeasurementSet, table: str) -> Iterator[Table]:
    """Yield the period tables that go with *table*."""
    for period, about in _ABOUT.items():
        name = naming.by_period(table, period)
        built = schema.build(level, measurement_set.name, name, {}, period)
        yield Table(name, f"Energy of each plant and {about.format(table)}", built.columns)


def _section(table: Table) -> str:
    heads = ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    lines = [f"### `{table.name}`", "", table.about, "", *heads]
    lines += [f"| `{c.name}` | {_type(c)} | {c.unit} | {c.description} |" for c in table.columns]
    return "\n".join(lines) + "\n"


def _type(column: Column) -> str:
    words = {
        "String": "string",
        "Float64": "double",
        "Int16": "int16",
        "Int64": "int64",
        "Boolean": "boolean",
        "Date": "date",
    }
    if column.dtype == schema.INSTANT:
        return "timestamp, µs, UTC"
    if column.dtype == schema.WALL_CLOCK:
        return "timestamp, µs, without zone"
    return words[str(column.dtype)]
