"""The rows of one answer, value by value: whatever an answer holds beyond known numbers, exactly.

The compiled reader (`harvester.lake.columns`) takes what is known; this walk takes everything, tells the channels that
nobody has met before, and keeps what is neither a number nor an index array as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from harvester.lake import stamps
from harvester.lake.schema import Shape, TableSchema

ELEMENTS = pl.List(pl.Struct({"index": pl.String, "value": pl.Float64}))
"""An array channel: one element per string, tracker or stack."""


MOST_ROWS = 120_000
"""Rows of one answer; a year of five-minute values has 105,408. What names rows without end fills no memory."""

MOST_CELLS = 20_000_000
"""Rows times channels of one answer: one row of a thousand channels makes as many columns for all rows."""

_ARRAY = pa.list_(pa.struct([("index", pa.string()), ("value", pa.float64())]))
_NUMBERS = (float, int)

_Elements = tuple[list[str], list[float | None]]
"""Indexes and values of one array."""


@dataclass(slots=True)
class Walked:
    """What a value-by-value walk over the rows of one answer found."""

    times: list[str] = field(default_factory=list)
    """As they came."""
    scalars: dict[str, list[float | None]] = field(default_factory=dict)
    """By SMA's name: the number of each row."""
    arrays: dict[str, list[_Elements | None]] = field(default_factory=dict)
    """By SMA's name: the array of each row."""
    other: list[str | None] = field(default_factory=list)
    """Per row: JSON of what is neither number nor index array."""
    found: list[tuple[str, Shape]] = field(default_factory=list)
    """Channels met, in order."""

    def frame(self, table: TableSchema) -> pl.DataFrame:
        """Return the rows by column of *table*, which must know every channel found; those that are not found lack.

        Raises ValueError where a stamp is none.
        """
        columns = {"time": pa.array(self.times, pa.string())}
        for name, numbers in self.scalars.items():
            columns[table.names[name, Shape.SCALAR]] = pa.array(numbers, pa.float64())
        for name, arrays in self.arrays.items():
            columns[array_column(table.names[name, Shape.ARRAY])] = _nested(arrays)
        columns["other"] = pa.array(self.other, pa.string())
        frame = pl.DataFrame(pa.RecordBatch.from_pydict(columns))
        return frame.with_columns(stamps.parse(frame.get_column("time")))

    def note(self, name: str, value: object, row: int, height: int) -> bool:
        """Take the *value* of a channel into row number *row* of *height*; tell whether it is a number or an array."""
        if type(value) in _NUMBERS:
            if name not in self.scalars:
                self.scalars[name] = self._column(name, Shape.SCALAR, height)
            self.scalars[name][row] = float(value)  # type: ignore[arg-type] # as its type says
            return True
        elements = _elements(value) if isinstance(value, list) else None
        if elements is None:
            return False
        if name not in self.arrays:
            self.arrays[name] = self._column(name, Shape.ARRAY, height)
        self.arrays[name][row] = elements
        return True

    def _column(self, name: str, shape: Shape, height: int) -> list[Any]:
        """Return an empty column for a channel that is met for the first time."""
        self.found.append((name, shape))
        if len(self.found) * height > MOST_CELLS:
            raise ValueError(f"`set` has {len(self.found):,} channels in {height:,} rows; an answer has not so many")
        return [None] * height


def array_column(column: str) -> str:
    """Return the name under which an array travels beside scalars until it goes to its own table."""
    return f"[]{column}"


def walk(raw: bytes | memoryview) -> Walked:
    """Walk the JSON array *raw* value by value; raise ValueError where it is not an array of objects with `time`."""
    rows = orjson.loads(raw)
    if not isinstance(rows, list):
        raise ValueError("`set` is not a list")  # noqa: TRY004 - one error class for a bad body
    if len(rows) > MOST_ROWS:
        raise ValueError(f"`set` has {len(rows):,} rows; an answer may have {MOST_ROWS:,}")
    walked = Walked()
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("time"), str):
            raise ValueError("a row of `set` is not an object with a `time` in words")  # noqa: TRY004 - a bad body
        walked.times.append(row.pop("time"))
        held = ((name, value) for name, value in row.items() if value is not None)
        other = {name: value for name, value in held if not walked.note(name, value, number, len(rows))}
        walked.other.append(_words(other) if other else None)
    return walked


def _words(other: dict[str, Any]) -> str:
    try:
        return orjson.dumps(other, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:  # a TypeError, for what is nested deeper than orjson writes
        raise ValueError(f"a row of `set` cannot be kept: {error}") from error


def _elements(array: list[Any]) -> _Elements | None:
    """Return what an index array holds: each index once, a number or nothing of each; None for any other list."""
    indexes: list[str] = []
    values: list[float | None] = []
    for element in array:
        if not isinstance(element, dict):
            return None
        index, value = element.get("index"), element.get("value")
        if type(index) not in {str, int} or not (value is None or type(value) in _NUMBERS):
            return None
        if len(element) != 1 + ("value" in element):
            return None
        indexes.append(str(index))
        values.append(None if value is None else float(value))
    return (indexes, values) if len(set(indexes)) == len(indexes) else None


def _nested(arrays: Sequence[_Elements | None]) -> pa.Array:
    indexes = [index for array in arrays if array for index in array[0]]
    values = [value for array in arrays if array for value in array[1]]
    ends = [*accumulate((len(array[0]) if array else 0 for array in arrays), initial=0)]
    begins = [end if array else None for end, array in zip(ends, arrays, strict=False)]  # of nothing there is none
    pairs = [pa.array(indexes, pa.string()), pa.array(values, pa.float64())]
    inner = pa.StructArray.from_arrays(pairs, fields=list(_ARRAY.value_type))
    return pa.ListArray.from_arrays(pa.array([*begins, ends[-1]], pa.int32()), inner, type=_ARRAY)


def explode(frame: pl.DataFrame, arrays: Iterable[str], keep: list[str]) -> pl.DataFrame:
    """Return one row per row and index of the array columns *arrays*, beside the columns *keep*."""
    frame = frame.with_row_index("_row")
    pieces = [
        frame.select("_row", column)
        .drop_nulls(column)
        .explode(column, empty_as_null=False)
        .select(
            "_row",
            pl.col(column).struct.field("index"),
            pl.col(column).struct.field("value").alias(column[2:]),
        )
        for column in arrays
    ]
    joined, *rest = pieces
    for piece in rest:
        joined = _beside(joined, piece)
    joined = joined.sort("_row", "index")
    return frame.select(keep)[joined.get_column("_row")].hstack(joined.drop("_row"))


def _beside(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Join two arrays by row and index; arrays of one set nearly always have the same ones, in the same order."""
    key = ["_row", "index"]
    if left.height == right.height and left.select(key).equals(right.select(key)):
        return left.hstack(right.drop(key))
    return left.join(right, on=key, how="full", coalesce=True)


def split(frame: pl.DataFrame, table: TableSchema, marks: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows of *table* and of its companion for arrays, both with *marks*.

    Columns that *frame* lacks are lacking in them; None stands for a companion without rows.
    """
    held = frozenset(frame.columns)
    rows = frame[[*(c.name for c in table.columns if c.name in held), *marks]]
    arrays = [c.name for c in table.arrays if array_column(c.name) in held]
    if not arrays:
        return rows, None
    known = held - {"index", *(c.name for c in table.arrays)}  # a scalar may be called so, but is not for this table
    keep = [*(c.name for c in table.index_columns if c.name in known), *marks]
    exploded = explode(frame, [array_column(name) for name in arrays], keep)
    if exploded.is_empty():
        return rows, None
    return rows, exploded[[*(c.name for c in table.index_columns if c.name in exploded.columns), *marks]]
