"""The lake's tables and columns in words, for `harvester schema lake` and `storage/README.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harvester.catalog import ENERGY_SETS, SETS, MeasurementSet
from harvester.lake import inventory, naming, schema
from harvester.lake.schema import REVISION_COLUMNS, REVISIONS, Column
from harvester.model import Level, Period


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
            if level is Level.PLANT and measurement_set.name in ENERGY_SETS:
                sections.extend(_periods(level, measurement_set, table))
    about = "Values that changed or vanished after they were first read; partitioned by the day of their row."
    sections.append(_section(REVISIONS, about, REVISION_COLUMNS))
    for name, columns in inventory.TABLES.items():
        sections.append(_section(name, "Master data, one file.", columns))
    return "\n".join(sections)


_ABOUT = {
    Period.MONTH: "day of `{}`, as SMA sums it up; partitioned by `year`.",
    Period.YEAR: "month of `{}`, as SMA sums it up; partitioned by `year`.",
    Period.TOTAL: "year of `{}`, as SMA sums it up; one file of each part.",
}


def _periods(level: Level, measurement_set: MeasurementSet, table: str) -> Iterator[str]:
    """Yield the sections of the period tables that go with *table*."""
    for period, about in _ABOUT.items():
        name = naming.by_period(table, period)
        built = schema.build(level, measurement_set.name, name, {}, period)
        yield _section(name, f"Energy of each plant and {about.format(table)}", built.columns)


def _section(table: str, about: str, columns: Sequence[Column]) -> str:
    lines = [f"### `{table}`", "", about, "", "| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{c.name}` | {_type(c)} | {c.unit} | {c.description} |" for c in columns]
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
