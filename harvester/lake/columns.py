"""The rows of many answers to one frame: what is known of a table, read by the compiled reader or not at all.

Nearly every answer holds nothing but stamps, numbers and index arrays under known names. These are read by a few
hundred lines of C, exactly or not at all; whatever is refused is walked value by value (`harvester.lake.rows.walk`).
Where the reader was not compiled all is refused, and so all is walked: the rows are the same, at twenty times the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl
import pyarrow as pa

from harvester.lake.rows import array_column
from harvester.lake.schema import WALL_CLOCK, Shape, TableSchema

try:
    from harvester.lake import _columns
except ImportError:  # no C compiler was there when this was installed
    COMPILED = False
else:
    COMPILED = True

_NUMBER, _WORD, _STAMP = pa.float64(), pa.string(), pa.timestamp("us")
_ELEMENT = pa.struct([("index", _WORD), ("value", _NUMBER)])
_ARRAY = pa.list_(_ELEMENT)
_BYTES_OF_A_NUMBER = 8


@dataclass(frozen=True, slots=True)
class Reader:
    """How the rows of one table are read with the channels known so far."""

    scalars: Mapping[bytes, str]
    """SMA's name, as it stands in an answer, to column."""
    arrays: Mapping[bytes, str]
    """The same of index arrays."""

    @classmethod
    def of(cls, table: TableSchema) -> Reader:
        """Prepare to read the rows of *table*; a channel known in both shapes is expected as a number.

        A name that JSON has to escape is not expected, since a text with escapes is refused. Nor would its bytes, as
        they are, stand for it: where a name has a quotation mark in it, they stand for more than a name.
        """
        scalars, arrays = (
            {
                name.encode(): column
                for (name, shape), column in table.names.items()
                if shape is wanted and name != "time" and orjson.dumps(name) == b'"%b"' % name.encode()
            }
            for wanted in (Shape.SCALAR, Shape.ARRAY)
        )
        return cls(scalars, {name: array_column(column) for name, column in arrays.items() if name not in scalars})

    def read(self, texts: Sequence[bytes | memoryview]) -> tuple[list[int | None], pl.DataFrame]:
        """Read JSON arrays of rows; return how many rows each holds, and all of them under one another.

        None stands for a text that was refused, none of whose rows is read. The frame has the column `time` (as on the
        clock on the wall) and the columns that hold something, arrays as `array_column` names them.
        """
        if not COMPILED:
            return [None] * len(texts), pl.DataFrame(schema={"time": WALL_CLOCK})
        heights, stamps, found = _columns.read(texts, tuple(self.scalars), tuple(self.arrays))
        height = sum(each or 0 for each in heights)
        names = (*self.scalars.values(), *self.arrays.values())
        columns = {name: _column(parts, height) for name, parts in zip(names, found, strict=True) if parts}
        times = pa.Array.from_buffers(_STAMP, height, [None, pa.py_buffer(stamps)])
        return heights, pl.DataFrame(pa.RecordBatch.from_pydict({"time": times, **columns}))


def _column(parts: _columns.Numbers | _columns.Arrays, height: int) -> pa.Array:
    if len(parts) == 2:  # noqa: PLR2004 - numbers: which are known, and what they are
        return _numbers(parts, height)
    held, begins, indexes, values = parts
    elements = len(values[1]) // _BYTES_OF_A_NUMBER
    pairs = [_words(indexes, elements), _numbers(values, elements)]
    inner = pa.Array.from_buffers(_ELEMENT, elements, [None], children=pairs)
    return pa.Array.from_buffers(_ARRAY, height, _buffers(held, begins), children=[inner])


def _numbers(parts: _columns.Numbers, height: int) -> pa.Array:
    return pa.Array.from_buffers(_NUMBER, height, _buffers(*parts))


def _words(parts: _columns.Words, height: int) -> pa.Array:
    return pa.Array.from_buffers(_WORD, height, [None, *_buffers(*parts)])


def _buffers(*parts: bytes) -> list[pa.Buffer]:
    return [pa.py_buffer(part) for part in parts]
