"""Decoded rows that wait to be published, pressed: a fifth of the memory, for a twelfth of what a row costs in all.

The rows of a large fleet's week are more than a harvest may hold. They stay in memory, as a file beside the lake would
be one more thing that a full disk stops and a kill leaves behind.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from harvester.lake.decode import Decoded
from harvester.lake.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Pressed:
    """The rows of a frame with the column `_date`, by that day, in their order."""

    _days: Mapping[date, bytes]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Pressed:
        """Press *frame*."""
        return cls({day: _press(rows_of(frame, day)) for day in days_of(frame)})

    @property
    def days(self) -> Collection[date]:
        """Return the days of which there are rows."""
        return self._days.keys()

    def rows(self, day: date) -> pl.DataFrame:
        """Return the rows of *day*, which is one of `days`, as they were."""
        return pl.read_ipc_stream(io.BytesIO(self._days[day]))


Rows = pl.DataFrame | Pressed


@dataclass(frozen=True, slots=True)
class PressedPiece:
    """What waits of one portion of answers."""

    table: TableSchema
    rows: Rows
    by_index: Rows | None


def press(piece: Decoded) -> PressedPiece:
    """Press the rows of *piece*, which are of days and no sums."""
    by_index = None if piece.by_index is None else Pressed.of(piece.by_index)
    return PressedPiece(piece.table, Pressed.of(piece.rows), by_index)


def days_of(rows: Rows) -> Collection[date]:
    """Return the days of which *rows* holds some."""
    return rows.days if isinstance(rows, Pressed) else set(rows.get_column("_date").unique())


def rows_of(rows: Rows, day: date) -> pl.DataFrame:
    """Return those *rows* that are of *day*, which is one of theirs."""
    if isinstance(rows, Pressed):
        return rows.rows(day)
    return rows.filter(rows.get_column("_date") == day)


def _press(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()
