"""Files from before a channel was known get its column: rewritten one by one, each replaced whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import LakeError
from harvester.lake.contract import contract
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read, with_those_of, write
from harvester.lake.registry import Registry
from harvester.lake.schema import Column


@dataclass(frozen=True, slots=True)
class Upgraded:
    """One file that lacked columns."""

    partition: Partition
    added: tuple[str, ...]
    """Columns that it has now, all of them null."""
    problem: str = ""
    """Why it could not be upgraded; empty where it was."""


def upgrade(places: Places, registry: Registry) -> Iterator[Upgraded]:
    """Rewrite the files that lack columns of the catalogue or of *registry*, and yield each as it is done.

    A file that is complete is not touched, so an interrupted upgrade goes on where it ended. An unreadable one is
    left as it is. Raises `LakeError` where nothing can be written.
    """
    for table, columns in contract(registry).items():
        for partition in places.partitions(table):
            try:
                missing = _missing(places, partition, columns)
            except LakeError as error:
                yield Upgraded(partition, (), str(error))
                continue
            if missing:
                _rewrite(places, partition, columns)
                yield Upgraded(partition, tuple(column.name for column in missing))


def _missing(places: Places, partition: Partition, columns: Sequence[Column]) -> list[Column]:
    path = places.file(partition)
    try:
        held = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"{path}: not readable as Parquet ({error})") from error
    return [column for column in columns if column.name not in held]


def _rewrite(places: Places, partition: Partition, columns: Sequence[Column]) -> None:
    path = places.file(partition)
    frame = read(path)
    if frame is None:
        return
    every = with_those_of(path, frame, columns)
    new = [pl.lit(None, dtype=column.dtype).alias(column.name) for column in every if column.name not in frame.columns]
    write(path, frame.with_columns(new), every)
