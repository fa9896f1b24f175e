"""How much a lake holds, from the footers of its files; reads no row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.lake.layout import Partition, Places

USUAL_BYTES_PER_ROW = 24.0
"""With a dozen channels, sorted, zstd."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table of a lake."""

    table: str
    files: int
    unreadable: int
    """Files whose footer cannot be read; their rows are not counted."""
    rows: int
    bytes: int
    first_day: date | None
    """None for master data."""
    last_day: date | None


def measure(places: Places) -> list[TableSize]:
    """Return the size of every table, by name; a file that is replaced meanwhile counts as it was or as it is."""
    return [_measure(places, table) for table in places.tables()]


def _measure(places: Places, table: str) -> TableSize:
    partitions = places.partitions(table)
    counts = [_rows(places, partition) for partition in partitions]
    days = [partition.day for partition in partitions if partition.day is not None]
    return TableSize(
        table,
        len(partitions),
        counts.count(None),
        sum(rows or 0 for rows in counts),
        sum(_bytes(places, partition) for partition in partitions),
        min(days, default=None),
        max(days, default=None),
    )


def _rows(places: Places, partition: Partition) -> int | None:
    try:
        return int(pq.read_metadata(places.file(partition)).num_rows)
    except (OSError, pa.ArrowException):
        return None


def _bytes(places: Places, partition: Partition) -> int:
    try:
        return places.file(partition).stat().st_size
    except OSError:
        return 0


def bytes_per_row(places: Places) -> float:
    """Return the size of a row on disk, as this lake has it; of an empty lake, as lakes usually do."""
    sizes = [size for size in measure(places) if size.first_day is not None]
    rows = sum(size.rows for size in sizes)
    return sum(size.bytes for size in sizes) / rows if rows else USUAL_BYTES_PER_ROW
