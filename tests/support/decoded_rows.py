"""The rows of decoded answers in one frame each, as tests look at them: every column, also what holds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from harvester.lake.decode import Decoded
from harvester.lake.layout import Places
from harvester.lake.parquet import Written, publish
from harvester.lake.period_rows import DecodedPeriods
from harvester.lake.readings import MARKS, by_day
from harvester.lake.schema import Column, TableSchema, polars_schema

_MARKS = pl.Schema({"_date": pl.Date, "_whole": pl.Boolean, "_repeats": pl.Boolean})


def rows_in(decoded: Decoded | DecodedPeriods) -> pl.DataFrame:
    """Return the rows of the table with their marks, by day and series, each as it came."""
    if isinstance(decoded, DecodedPeriods):
        return _whole(decoded.rows, decoded.table.columns)
    return _together([day.rows for day in by_day([decoded.readings])], decoded.readings.table.columns)


def indexed_in(decoded: Decoded | DecodedPeriods) -> pl.DataFrame | None:
    """Return the same of the companion table; None where the set has no array channel."""
    if isinstance(decoded, DecodedPeriods):
        found = decoded.by_index
        return None if found is None else _whole(found, decoded.table.index_columns)
    columns = decoded.readings.table.index_columns
    frames = [day.by_index for day in by_day([decoded.readings]) if day.by_index is not None]
    return _together(frames, columns) if columns else None


def _whole(frame: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=polars_schema(columns)), frame], how="diagonal")


def _together(frames: Sequence[pl.DataFrame], columns: tuple[Column, ...]) -> pl.DataFrame:
    schema = pl.Schema({**polars_schema(columns), **{name: _MARKS[name] for name in MARKS}})
    return pl.concat([pl.DataFrame(schema=schema), *frames], how="diagonal")


def put(places: Places, part: int, pieces: Sequence[Decoded]) -> Written:
    """Publish decoded answers to one set together, as a harvest does."""
    readings = [piece.readings for piece in pieces]
    return publish(places, part, readings[-1].table, by_day(readings))


def table_of(decoded: Decoded | DecodedPeriods) -> TableSchema:
    """Return what the rows look like."""
    return decoded.table if isinstance(decoded, DecodedPeriods) else decoded.readings.table
