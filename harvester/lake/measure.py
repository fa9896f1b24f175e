"""How much a lake holds, from the footers of its files; reads no row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.lake.layout import Partition, Places


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table of a lake."""

    table: str
    files: int
    rows: int
    bytes: int
    first_day: date | None
    """None for master data."""
    last_day: date | None


def measure(places: Places) -> list[TableSize]:
    """Return the size of every table, by name; a file that is replaced meanwhile counts as it was or as it is."""
    return [_measure(places, table) for table in places.tables()]


def _measure(places: Places, table: str) -> TableSize:
    rows = size = 0
    partitions = places.partitions(table)
    for partition in partitions:
        more, large = _file(places, partition)
        rows, size = rows + more, size + large
    days = [partition.day for partition in partitions if partition.day is not None]
    return TableSize(table, len(partitions), rows, size, min(days, default=None), max(days, default=None))


def _file(places: Places, partition: Partition) -> tuple[int, int]:
    path = places.file(partition)
    try:
        return int(pq.read_metadata(path).num_rows), path.stat().st_size
    except (OSError, pa.ArrowException):
        return 0, 0
