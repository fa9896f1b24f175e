"""Whether every file of a lake is as the contract says. Reads everything, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from harvester.errors import LakeError
from harvester.lake.atomic import TEMPORARY
from harvester.lake.contract import contract, key_of
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import read
from harvester.lake.raw import Archive
from harvester.lake.registry import Registry
from harvester.lake.schema import REVISIONS, Column


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    path: str
    """Below the lake's root."""
    what: str


def check(places: Places, registry: Registry) -> Iterator[Finding]:
    """Yield what is wrong with the lake at *places*; nothing where it keeps the contract."""
    yield from _foreign(places)
    tables = contract(registry)
    for partition in places.partitions():
        where = str(partition.path)
        if partition.table not in tables:
            yield Finding(where, "a table that neither catalogue nor registry names")
            continue
        try:
            frame = read(places.file(partition))
        except LakeError as error:
            yield Finding(where, str(error))
            continue
        if frame is not None:
            found = _wrong(partition, frame, tables[partition.table])
            yield from (Finding(where, what) for what in found)
    yield from _damaged_packs(places)


def _foreign(places: Places) -> Iterator[Finding]:
    """Yield files among the data that are none; what a writer has not finished is no concern of a reader."""
    for file in sorted(places.root.rglob("*")):
        if file.is_dir() or places.own in file.parents or file.name.endswith(TEMPORARY):
            continue
        path = file.relative_to(places.root).as_posix()
        try:
            Partition.parse(path)
        except ValueError:
            yield Finding(path, "not a file of the lake")


def _wrong(partition: Partition, frame: pl.DataFrame, columns: Sequence[Column]) -> Iterator[str]:
    types = {column.name: column.dtype for column in columns}
    unknown = [name for name in frame.columns if name not in types]
    if unknown:
        yield f"columns that neither catalogue nor registry names: {', '.join(unknown)}"
    odd = [name for name in frame.columns if name in types and frame.schema[name] != types[name]]
    if odd:
        yield f"columns of another type than the contract's: {', '.join(odd)}"
    key = key_of(partition.table, columns)
    lacking = [name for name in key if name not in frame.columns]
    if lacking:
        yield f"key columns are missing: {', '.join(lacking)}"
        return
    if partition.table != REVISIONS and not frame.select(key).equals(frame.select(key).sort(key)):
        yield f"rows are not sorted by {', '.join(key)}"
    doubled = frame.select(pl.struct(key).is_duplicated().sum()).item()
    if doubled:
        yield f"{doubled} rows share their key with another"
    if elsewhere := _elsewhere(partition, frame):
        yield f"{elsewhere} rows belong into another file by their day"


def _elsewhere(partition: Partition, frame: pl.DataFrame) -> int:
    """Count the rows that are not of the partition's day or year."""
    if partition.day is not None and "local_time" in frame.columns:
        return frame.filter(pl.col("local_time").dt.date() != partition.day).height
    if partition.year is not None and "period_start" in frame.columns:
        return frame.filter(pl.col("period_start").dt.year() != partition.year).height
    return 0


def _damaged_packs(places: Places) -> Iterator[Finding]:
    archive = Archive(places)
    for pack in places.packs():
        try:
            hashes = {answer.sha256 for answer in archive.index(pack)}
            for _ in archive.bodies(pack, hashes):
                pass
        except LakeError as error:
            yield Finding(places.pack(pack).relative_to(places.root).as_posix(), str(error))
