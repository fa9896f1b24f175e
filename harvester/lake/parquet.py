"""Partitions on disk: read one, merge new rows into it, replace its file whole. Blocking: runs in a worker thread."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import LakeError
from harvester.lake import naming
from harvester.lake.atomic import replace_file
from harvester.lake.layout import Partition, Places
from harvester.lake.merge import Merged, merge, merge_periods
from harvester.lake.period_rows import DecodedPeriods
from harvester.lake.readings import Day
from harvester.lake.schema import (
    FORMAT_VERSION,
    REVISION_COLUMNS,
    REVISIONS,
    Column,
    TableSchema,
    arrow_schema,
)

_COMPRESSION_LEVEL = 2
"""As small as with 3, in an eighth less time."""
_PAGE_BYTES = 64 * 1024
"""Small pages halve the time to read one plant's day, at nine per cent more bytes."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a publication changed."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that were published per table, new and known alike."""
    files: int = 0
    revisions: int = 0
    bytes: int = 0


def publish(places: Places, part: int, table: TableSchema, days: Iterable[Day]) -> Written:
    """Merge rows of *table* and its companion, of plants of one part, into the partitions of their days.

    Values that change go to `revisions` before the file that loses them is replaced, so that a crash in between
    loses neither; a file that would not change is not touched. Raises `LakeError`.
    """
    tally = _Tally({})
    for day in days:
        main = Partition(table.table, day.date, part)
        _publish_day(places, main, table.columns, day.rows, tally, ascends=day.ascends)
        if day.by_index is not None:
            companion = Partition(naming.by_index(table.table), day.date, part)
            _publish_day(places, companion, table.index_columns, day.by_index, tally, ascends=day.ascends)
    return tally.written()


def publish_periods(places: Places, part: int, pieces: Sequence[DecodedPeriods]) -> Written:
    """Merge decoded answers to one set and period view into their partitions, as `publish` does."""
    table, tally = pieces[-1].table, _Tally({})
    _publish_years(places, part, table.table, table.columns, [p.rows for p in pieces], tally)
    indexed = [p.by_index for p in pieces if p.by_index is not None]
    if indexed:
        _publish_years(places, part, naming.by_index(table.table), table.index_columns, indexed, tally)
    return tally.written()


@dataclass(slots=True)
class _Tally:
    rows: dict[str, int]
    files: int = 0
    revisions: int = 0
    bytes: int = 0

    def written(self) -> Written:
        """Return what was counted."""
        return Written(self.rows, self.files, self.revisions, self.bytes)


def _publish_day(
    places: Places, partition: Partition, columns: Sequence[Column], new: pl.DataFrame, tally: _Tally, *, ascends: bool
) -> None:
    tally.rows[partition.table] = tally.rows.get(partition.table, 0) + new.height
    path = places.file(partition)
    merged, held = _merged(path, new, columns, ascends=ascends)
    if not merged.revisions.is_empty():
        revisions = Partition(REVISIONS, partition.day, partition.part)
        tally.revisions += _record(places, revisions, partition.table, merged.revisions)
    if merged.changed:
        tally.bytes += write(path, merged.frame, held)
        tally.files += 1


def _merged(
    path: Path, new: pl.DataFrame, columns: Sequence[Column], *, ascends: bool
) -> tuple[Merged, Sequence[Column]]:
    """Merge *new* rows into those of the file at *path*, which are not held any longer than that takes."""
    old = read(path)
    held = columns if old is None else with_those_of(path, old, columns)
    return merge(old, new, held, ascends=ascends), held


def _publish_years(
    places: Places,
    part: int,
    table: str,
    columns: Sequence[Column],
    frames: Sequence[pl.DataFrame],
    tally: _Tally,
) -> None:
    rows = pl.concat(frames, how="diagonal")
    if rows.is_empty():
        return
    tally.rows[table] = rows.height
    for year, new in _by_year(rows):
        path = places.file(Partition(table, None, part, year))
        old = read(path)
        held = columns if old is None else with_those_of(path, old, columns)
        merged = merge_periods(old, new, held)
        for day in merged.revisions.get_column("period_start").unique().sort() if merged.revisions.height else ():
            changed = merged.revisions.filter(pl.col("period_start") == day)
            tally.revisions += _record(places, Partition(REVISIONS, day, part), table, changed)
        if merged.changed:
            tally.bytes += write(path, merged.frame, held)
            tally.files += 1


def _by_year(rows: pl.DataFrame) -> Iterator[tuple[int | None, pl.DataFrame]]:
    """Yield the rows of each file with its year; None stands for the one file of a table by year."""
    for (year,), new in sorted(rows.partition_by("_year", as_dict=True).items(), key=lambda item: str(item[0])):
        yield year, new


def with_those_of(path: Path, old: pl.DataFrame, columns: Sequence[Column]) -> Sequence[Column]:
    """Return *columns* and the channels that the file at *path* has beyond them.

    It has some where they were learned after *columns* were taken from the registry, or where the registry is an
    older copy: to leave them out would lose their values.
    """
    known = {column.name for column in columns}
    if known.issuperset(old.columns):
        return columns
    found = [
        Column(field.name, pl.Float64(), *(_fact(field, name) for name in ("unit", "description", "sma_channel")))
        for field in pq.read_schema(path)
        if field.name not in known and old.schema[field.name] == pl.Float64
    ]
    closing = next((n for n, column in enumerate(columns) if column.name in naming.CLOSING_COLUMNS), len(columns))
    return (*columns[:closing], *found, *columns[closing:])


def _fact(field: pa.Field, name: str) -> str:
    content: bytes = (field.metadata or {}).get(name.encode(), b"")
    return content.decode()


def _record(places: Places, partition: Partition, table: str, found: pl.DataFrame) -> int:
    """Add revisions and return how many are new; one that is known already keeps the moment it became known."""
    names = [c.name for c in REVISION_COLUMNS]
    key = [name for name in names if name != "known_at"]
    found = found.with_columns(table=pl.lit(table)).select(names)
    known = read(places.file(partition))
    together = found if known is None else pl.concat([known.select(names), found])
    together = together.unique(key, keep="first", maintain_order=True)
    added = together.height - (0 if known is None else known.height)
    if added:
        write(places.file(partition), together.sort(names), REVISION_COLUMNS)
    return added


def read(path: Path) -> pl.DataFrame | None:
    """Return the rows of one file, None where there is none yet; raise `LakeError` for an unreadable one."""
    try:
        path.stat()  # asked first, since Arrow takes its time to say that there is none
        with pq.ParquetFile(path) as file:  # as fast as polars, which panics over some spoiled files
            frame = pl.from_arrow(file.read())
    except FileNotFoundError:
        return None
    except (pa.ArrowException, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise LakeError(
            f"{path}: not readable as Parquet ({str(error).strip()}). "
            "It was left as it is; move it away and ask its days again."
        ) from error
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - of a table, not of a column
    return frame


def write(path: Path, frame: pl.DataFrame, columns: Sequence[Column]) -> int:
    """Replace *path* by *frame*, durably, and return its size in bytes; raise `LakeError`."""
    buffer = io.BytesIO()
    frame[[column.name for column in columns]].write_parquet(
        buffer,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        data_page_size=_PAGE_BYTES,
        arrow_schema=_arrow_schema(tuple(columns)),
    )
    content = buffer.getvalue()
    replace_file(path, content)
    return len(content)


@lru_cache(maxsize=256)
def _arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    return arrow_schema(columns, {"harvester_format": str(FORMAT_VERSION)})
