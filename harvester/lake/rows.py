"""The rows of one answer: raw JSON to one frame, exactly.

The fast way hands the raw array to polars with the channels known so far, which drops unknown keys, keeps the
first of equal keys, and takes ``true`` for 1.0 and a number for a word without a word. So its result is checked
by counting, at a fraction of its cost: in a text without escapes every key and every string has two quotation
marks, and the words ``true``, ``false`` and ``null`` have a ``u`` or an ``l``. If the values found account for all
of these, and no word found can have been a number, nothing was dropped or bent. If not, the answer is walked value
by value, and what it holds beyond the known channels is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from harvester.lake.schema import Shape, TableSchema

ELEMENTS = pl.List(pl.Struct({"index": pl.String, "value": pl.Float64}))
"""An array channel: one element per string, tracker or stack."""

_QUOTE, _U, _L = b'"'[0], b"u"[0], b"l"[0]
_NUMBERS_BEGIN = tuple("-0123456789")


@dataclass(frozen=True, slots=True)
class Reader:
    """How the rows of one table are read with the channels known so far."""

    wire: pl.Schema
    """By SMA's names: `time`, scalars, arrays."""
    rename: dict[str, str]
    """SMA's name to column."""
    arrays: tuple[str, ...]
    """SMA's names of the array channels."""

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Name the columns of what was read as they travel, arrays as `array_column` says."""
        names = self.rename | {name: array_column(self.rename[name]) for name in self.arrays}
        rows.columns = [names.get(name, name) for name in self.wire]
        return rows

    @classmethod
    def of(cls, table: TableSchema) -> Reader:
        """Prepare to read the rows of *table*; a channel known in both shapes is expected as a number."""
        wire: dict[str, pl.DataType] = {"time": pl.String()}
        rename: dict[str, str] = {}
        for (channel, shape), column in sorted(table.names.items(), key=lambda item: item[0][1] is Shape.SCALAR):
            if channel != "time":
                wire[channel] = pl.Float64() if shape is Shape.SCALAR else ELEMENTS
                rename[channel] = column
        arrays = tuple(name for name, dtype in wire.items() if dtype == ELEMENTS)
        return cls(pl.Schema(wire), rename, arrays)

    def parse(self, raw: bytes) -> Parsed | None:
        """Read the JSON array *raw* the fast way; None where its rows surely are not what is known."""
        if b"\\" in raw:  # an escaped quotation mark or letter would deceive the count
            return None
        try:
            frame = pl.read_json(raw, schema=self.wire)
        except pl.exceptions.PolarsError:
            return None
        octets = pl.Series(pa.Array.from_buffers(pa.uint8(), len(raw), [None, pa.py_buffer(raw)]))
        quotes, us, ls = (int(octets.eq(octet).sum()) for octet in (_QUOTE, _U, _L))
        return Parsed(frame, quotes, us, ls)

    def exact(self, parsed: Sequence[Parsed]) -> bool:
        """Tell whether the rows of all of *parsed* are exactly what was sent.

        Many answers are counted at once, for no answer can make up for another: once no number was taken for a
        word, nothing is found that is not in the text, so none has less in its text than was found in it.
        """
        frame = pl.concat([each.frame for each in parsed])
        found = self._found(frame)
        sent = sum(p.quotes for p in parsed), sum(p.us for p in parsed), sum(p.ls for p in parsed)
        return found == sent and _are_words(frame.get_column("time"))

    def _found(self, frame: pl.DataFrame) -> tuple[int, int, int] | None:
        """Return the quotation marks and letters that *frame* accounts for; None where some rows cannot be right."""
        height = frame.height
        values = {name: height - frame.get_column(name).null_count() for name in self.wire}
        if values["time"] != height:
            return None
        quotes = 2 * height + 2 * sum(values.values())
        us, ls = (sum(n * name.count(letter) for name, n in values.items()) for letter in "ul")
        for name in self.arrays:
            if values[name]:
                column = frame.get_column(name)
                held = _index_arrays(column if values[name] == height else column.drop_nulls())
                if held is None:
                    return None
                indexes, numbers = held
                quotes += 4 * indexes + 2 * numbers
                us, ls = us + numbers, ls + numbers  # of the key "value"
        return quotes, us, ls


@dataclass(frozen=True, slots=True)
class Parsed:
    """The rows of one answer as polars reads them, and what its text has, by which that is checked."""

    frame: pl.DataFrame
    """By SMA's names."""
    quotes: int
    us: int
    """Letters u."""
    ls: int
    """Letters l."""


def _are_words(stamps: pl.Series) -> bool:
    """Tell whether none of *stamps* was a number, of which polars makes a word."""
    first, last = str(stamps.min()), str(stamps.max())
    if first[:5] == last[:5] and first[:4].isdecimal() and first[4:5] == "-":
        return True  # what lies between them begins as they do, and no number begins with a year and a hyphen
    return stamps.str.contains(":", literal=True).all()


def _index_arrays(arrays: pl.Series) -> tuple[int, int] | None:
    """Return how many indexes and values *arrays* hold; None unless they surely are what `walk` takes for arrays."""
    indexes, values = arrays.explode(empty_as_null=False).struct.unnest().get_columns()
    if any(index is None or index.startswith(_NUMBERS_BEGIN) for index in indexes.unique().to_list()):
        return None
    if _has_twice(indexes, arrays.list.len()):
        return None
    return indexes.len(), indexes.len() - values.null_count()


def _has_twice(indexes: pl.Series, lengths: pl.Series) -> bool:
    """Tell whether one of the arrays that *indexes* come from, of *lengths* elements each, has an index twice.

    Nearly always each begins as the longest does, which then answers for all of them.
    """
    places = pl.int_ranges(0, lengths, eager=True).explode(empty_as_null=False)
    at = lengths.arg_max() or 0
    longest = indexes.slice(int(lengths.head(at).sum()), lengths[at])
    if (longest.gather(places) == indexes).all():
        return bool(longest.is_duplicated().any())
    rows = pl.arange(lengths.len(), eager=True).repeat_by(lengths).explode(empty_as_null=False)
    return bool(pl.DataFrame({"row": rows, "index": indexes}).is_duplicated().any())


@dataclass(slots=True)
class Walked:
    """What a value-by-value walk over the rows of one answer found."""

    times: list[str] = field(default_factory=list)
    values: list[dict[tuple[str, Shape], Any]] = field(default_factory=list)
    """Per row: the numbers and arrays by (channel, shape)."""
    other: list[str | None] = field(default_factory=list)
    """Per row: JSON of what is neither number nor index array."""
    found: dict[tuple[str, Shape], None] = field(default_factory=dict)
    """Channels met, in order."""

    def frame(self, table: TableSchema) -> pl.DataFrame:
        """Return the rows by column of *table*, which must know every channel found."""
        columns: dict[str, pl.Series] = {"time": pl.Series(self.times, dtype=pl.String)}
        for key, column in table.names.items():
            dtype: pl.DataType = pl.Float64() if key[1] is Shape.SCALAR else ELEMENTS
            name = column if key[1] is Shape.SCALAR else array_column(column)
            columns[name] = pl.Series([row.get(key) for row in self.values], dtype=dtype)
        columns["other"] = pl.Series(self.other, dtype=pl.String)
        return pl.DataFrame(columns)


def array_column(column: str) -> str:
    """Return the name under which an array travels beside scalars until it goes to its own table."""
    return f"[]{column}"


def walk(raw: bytes) -> Walked:
    """Walk the JSON array *raw* value by value; raise ValueError where it is not an array of objects with `time`."""
    rows = orjson.loads(raw)
    if not isinstance(rows, list):
        raise ValueError("`set` is not a list")  # noqa: TRY004 - one error class for a bad body
    walked = Walked()
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("time"), str):
            raise ValueError("a row of `set` is not an object with a `time` in words")  # noqa: TRY004 - a bad body
        values: dict[tuple[str, Shape], Any] = {}
        other = {}
        for name, value in row.items():
            if name == "time" or value is None:
                continue
            if (taken := _take(value)) is None:
                other[name] = value
            else:
                shape, content = taken
                values[name, shape] = content
                walked.found.setdefault((name, shape))
        walked.times.append(row["time"])
        walked.values.append(values)
        walked.other.append(_words(other) if other else None)
    return walked


def _words(other: dict[str, Any]) -> str:
    try:
        return orjson.dumps(other, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:  # a TypeError, for what is nested deeper than orjson writes
        raise ValueError(f"a row of `set` cannot be kept: {error}") from error


def _take(value: object) -> tuple[Shape, object] | None:
    """Return the shape and content of a channel's value, None for what is neither number nor index array."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Shape.SCALAR, float(value)
    if isinstance(value, list) and all(isinstance(e, dict) and set(e) <= {"index", "value"} for e in value):
        elements = [_element(e) for e in value]
        indexes = {e["index"] for e in elements if e}
        if None not in elements and len(indexes) == len(elements):
            return Shape.ARRAY, elements
    return None


def _element(element: dict[str, Any]) -> dict[str, Any] | None:
    index, value = element.get("index"), element.get("value")
    if isinstance(index, bool) or not isinstance(index, (str, int)):
        return None
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return {"index": str(index), "value": None if value is None else float(value)}
    return None


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
    return frame.select("_row", *keep).join(joined.sort("_row", "index"), on="_row", how="right").drop("_row")


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
