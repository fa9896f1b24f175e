"""What the tables look like: catalogue and registry to schemas, units and descriptions in the metadata. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

import polars as pl
import pyarrow as pa

from harvester.catalog import SETS, Channel
from harvester.lake import naming
from harvester.model import Level, Period

INSTANT = pl.Datetime("us", "UTC")
WALL_CLOCK = pl.Datetime("us")

FORMAT_VERSION = 1
"""Version of the lake's format; a lake with a higher one is refused."""


class Shape(StrEnum):
    """How a channel's value comes: a number, or one number per string, tracker or stack."""

    SCALAR = "scalar"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    dtype: pl.DataType
    unit: str
    """Empty where there is none or it is not known."""
    description: str
    channel: str | None = None
    """SMA's name of the channel, None for columns of our own."""


PLANT_ID = Column("plant_id", pl.String(), "", "SMA's id of the plant.")
DEVICE_ID = Column("device_id", pl.String(), "", "SMA's id of the device; unique among devices only.")
TIME = Column("time", INSTANT, "UTC", "Start of the interval; of a point sample its own instant.")
LOCAL_TIME = Column("local_time", WALL_CLOCK, "plant-local", "The plant's wall clock at that start.")
INTERVAL_MINUTES = Column("interval_minutes", pl.Int16(), "min", "Length of the interval; null for a point sample.")
INDEX = Column("index", pl.String(), "", "String, tracker or battery stack, as SMA letters it.")
PERIOD_START = Column("period_start", pl.Date(), "", "The plant-local day, or the first one of the month or year.")
PROVISIONAL = Column("provisional", pl.Boolean(), "", "Whether the period still ran when it was read: the row grows.")
OTHER = Column("other", pl.String(), "", "JSON of what is neither a number nor an index array; usually null.")
HARVESTED_AT = Column("harvested_at", INSTANT, "UTC", "When this row's values last changed in the lake.")

REVISIONS = "revisions"
REVISION_COLUMNS = (
    Column("table", pl.String(), "", "Table whose value changed."),
    PLANT_ID,
    DEVICE_ID,
    TIME,
    INDEX,
    Column("channel", pl.String(), "", "Column whose value changed."),
    Column("old", pl.Float64(), "", "Value before."),
    Column(
        "new",
        pl.Float64(),
        "",
        "Value after; null where a later answer lacks it (the lake keeps the old one).",
    ),
    Column("known_at", INSTANT, "UTC", "When the answer with the new value was asked for."),
)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The table of one measurement set at one level, and its companion for array channels."""

    level: Level
    set: str
    table: str
    scalars: tuple[Column, ...]
    arrays: tuple[Column, ...]
    names: dict[tuple[str, Shape], str] = field(compare=False)
    """(channel, shape) to column."""
    period: Period | None = None
    """The view whose rows it holds; None for the intervals of a day."""

    @property
    def series_key(self) -> tuple[str, ...]:
        """Columns that name a series within the table."""
        return ("plant_id",) if self.level is Level.PLANT else ("plant_id", "device_id")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of the main table, in order."""
        return (*self._opening, *self.scalars, *self._state, OTHER, HARVESTED_AT)

    @property
    def index_columns(self) -> tuple[Column, ...]:
        """All columns of the companion table, in order; empty where the set has no array channel."""
        return (*self._opening, INDEX, *self.arrays, *self._state, HARVESTED_AT) if self.arrays else ()

    @property
    def _opening(self) -> tuple[Column, ...]:
        ids = (PLANT_ID,) if self.level is Level.PLANT else (PLANT_ID, DEVICE_ID)
        return (*ids, TIME, LOCAL_TIME, INTERVAL_MINUTES) if self.period is None else (*ids, PERIOD_START)

    @property
    def _state(self) -> tuple[Column, ...]:
        return () if self.period is None else (PROVISIONAL,)


def polars_schema(columns: tuple[Column, ...]) -> pl.Schema:
    """Return the polars schema of *columns*."""
    return pl.Schema({column.name: column.dtype for column in columns})


def arrow_schema(columns: tuple[Column, ...], partition_metadata: dict[str, str]) -> pa.Schema:
    """Return the Arrow schema of *columns*, units and descriptions in the field metadata."""
    empty = pl.DataFrame(schema=polars_schema(columns)).to_arrow().schema
    fields = []
    for column, plain in zip(columns, empty, strict=True):
        metadata = {"description": column.description}
        if column.unit:
            metadata["unit"] = column.unit
        if column.channel:
            metadata["sma_channel"] = column.channel
        fields.append(plain.with_metadata(metadata))
    return pa.schema(fields, metadata=partition_metadata)


def build(
    level: Level,
    measurement_set: str,
    table: str,
    extra: dict[tuple[str, Shape], str],
    period: Period | None = None,
) -> TableSchema:
    """Return the schema of *measurement_set*: the catalogue's channels first, then *extra* ones as recorded.

    In the view of a *period* powers are energies, and momentary states are absent.
    """
    scalars: list[Column] = []
    arrays: list[Column] = []
    names: dict[tuple[str, Shape], str] = {}
    for channel in _documented(measurement_set, period):
        shape = Shape.ARRAY if channel.array else Shape.SCALAR
        name = naming.channel_column(channel.name)
        names[channel.name, shape] = name
        target = arrays if channel.array else scalars
        target.append(Column(name, pl.Float64(), channel.unit, channel.description, channel.name))
    for (channel_name, shape), name in extra.items():
        if (channel_name, shape) in names:
            continue
        names[channel_name, shape] = name
        target = arrays if shape is Shape.ARRAY else scalars
        target.append(Column(name, pl.Float64(), "", "Found on the wire; not documented.", channel_name))
    return TableSchema(level, measurement_set, table, tuple(scalars), tuple(arrays), names, period)


def _documented(measurement_set: str, period: Period | None) -> Iterator[Channel]:
    """Yield the channels that the catalogue has of *measurement_set*, as they are in the view of *period*."""
    known = SETS.get(measurement_set)
    for channel in known.channels if known else ():
        if period is None:
            yield channel
        elif not channel.momentary:
            yield replace(channel, unit="Wh") if channel.unit == "W" else channel
