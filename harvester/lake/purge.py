"""All that a lake holds of some plants, to be counted or deleted, one file at a time.

Whoever deletes holds the lake's lock. Each call can be repeated: what is gone is not found again, and whatever ends it,
every file is the old one or the new one. What belongs to others is written as it was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import Full, LakeError
from harvester.lake.atomic import remove
from harvester.lake.inventory import TABLES
from harvester.lake.layout import Pack, Partition, Places
from harvester.lake.packing import Packed
from harvester.lake.parquet import read, write
from harvester.lake.raw import Answer, Archive, pack_of
from harvester.lake.replays import forget_zones, read_replays
from harvester.lake.schema import Column


@dataclass(slots=True)
class Cut:
    """What was found, or deleted, of some plants."""

    rows: Counter[str] = field(default_factory=Counter)
    """By table."""
    files: Counter[str] = field(default_factory=Counter)
    """By table: files that hold, or held, such rows."""
    answers: int = 0
    """Of the raw archive."""
    bytes: int = 0
    """About how much there is less, compressed."""
    damaged: list[str] = field(default_factory=list)
    """Files that cannot be read, so that nobody can tell what they hold, with the reason."""

    def add(self, more: Cut) -> None:
        """Count *more* as well."""
        self.rows.update(more.rows)
        self.files.update(more.files)
        self.answers += more.answers
        self.bytes += more.bytes
        self.damaged.extend(more.damaged)


Told = Callable[[], None]
"""Called after each file that was looked at."""


def rows_of(
    places: Places, plants: Collection[str], devices: Collection[str], cut: Cut, told: Told, *, master: bool, drop: bool
) -> None:
    """Count the rows of *plants* in every partition of the lake, or *drop* them; raises `LakeError`.

    *master* takes the master data alone, otherwise all other tables are taken.
    """
    for partition in places.partitions():
        if (partition.table in TABLES) is master:
            try:
                _rows_of(places, partition, _Ids(frozenset(plants), frozenset(devices)), cut, drop=drop)
            except Full:
                raise
            except LakeError as error:
                cut.damaged.append(str(error))
            told()


@dataclass(frozen=True, slots=True)
class _Ids:
    plants: frozenset[str]
    devices: frozenset[str]

    def mask(self, frame: pl.DataFrame) -> pl.Series | None:
        """Tell for each row whether it is to go; None where the table names no plants."""
        if "plant_id" in frame.columns:
            return frame.get_column("plant_id").is_in(list(self.plants))
        if {"level", "old_id", "new_id"} <= set(frame.columns):
            named = pl.lit(value=False)
            for level, ids in (("plant", self.plants), ("device", self.devices)):
                either = pl.col("old_id").is_in(list(ids)) | pl.col("new_id").is_in(list(ids))
                named = named | ((pl.col("level") == level) & either)
            return frame.select(named.alias("gone")).to_series()
        return None


def _rows_of(places: Places, partition: Partition, ids: _Ids, cut: Cut, *, drop: bool) -> None:
    path = places.file(partition)
    gone = ids.mask(_keys(places, partition))
    if gone is None or not gone.any():
        return
    number, size = int(gone.sum()), path.stat().st_size
    if not drop:
        cut.bytes += size * number // len(gone)
    elif number == len(gone):
        remove(path, root=places.root)
        cut.bytes += size
    else:
        frame = read(path)
        mask = None if frame is None else ids.mask(frame)
        if frame is not None and mask is not None:
            cut.bytes += size - write(path, frame.filter(~mask), _columns(places, partition, frame))
    cut.rows[partition.table] += number
    cut.files[partition.table] += 1


def _keys(places: Places, partition: Partition) -> pl.DataFrame:
    """Return the columns of a file that name plants: a little of it."""
    path = places.file(partition)
    try:
        with pq.ParquetFile(path) as file:
            names = [n for n in ("plant_id", "level", "old_id", "new_id") if n in file.schema_arrow.names]
            frame = pl.from_arrow(file.read(columns=names))
    except (pa.ArrowException, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise LakeError(f"{path}: not readable as Parquet ({str(error).strip()})") from error
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - of a table, not of a column
    return frame


def _columns(places: Places, partition: Partition, frame: pl.DataFrame) -> Sequence[Column]:
    """Return the columns of a file as it has them, whatever the present schema says."""
    found = []
    for each in pq.read_schema(places.file(partition)):
        facts = {key.decode(): value.decode() for key, value in (each.metadata or {}).items()}
        told = (facts.get("unit", ""), facts.get("description", ""), facts.get("sma_channel"))
        found.append(Column(each.name, frame.schema[each.name], *told))
    return found


def answers_of(places: Places, plants: Collection[str], cut: Cut, told: Told, *, drop: bool) -> None:
    """Count the answers of *plants* in the raw archive, or *drop* them; raises `LakeError`."""
    archive = Archive(places)
    for _, group in groupby(places.packs(), key=lambda pack: (pack.table, pack.week, pack.part)):
        packs = list(group)
        try:
            held = {pack: archive.index(pack) for pack in packs}
            _answers_of(places, archive, held, frozenset(plants), cut, drop=drop)
        except Full:
            raise
        except LakeError as error:
            cut.damaged.append(str(error))
        for _ in packs:
            told()
    if drop:
        forget_zones(places, read_replays(places), plants)


def _answers_of(
    places: Places, archive: Archive, held: dict[Pack, list[Answer]], plants: frozenset[str], cut: Cut, *, drop: bool
) -> None:
    """Count or drop the answers of the packs of one table, week and part: what one names, another may hold."""
    kept = {pack: [a for a in answers if not _names(a, plants)] for pack, answers in held.items()}
    cutting = [pack for pack, answers in held.items() if len(kept[pack]) < len(answers)]
    for pack in cutting:
        size, gone = places.pack(pack).stat().st_size, len(held[pack]) - len(kept[pack])
        cut.bytes += size * gone // len(held[pack])
        cut.answers += gone
    if not (drop and cutting):
        return
    for heir, source, bodies in _bequests(archive, kept, cutting):
        found = [*archive.copies(source, bodies), *archive.copies(heir, archive.stored(heir))]
        archive.put(heir, _paired(held[heir], found))
    for pack in cutting:
        staying = {answer.sha256 for answer in kept[pack]}
        if staying:
            left = pack_of(pack.table, pack.week, pack.part, kept[pack])
            found = list(archive.copies(left, staying)) if left in held else []  # written before a kill
            archive.put(left, _paired(kept[pack], [*found, *archive.copies(pack, staying)]))
        remove(places.pack(pack), root=places.own)


def _names(answer: Answer, plants: frozenset[str]) -> bool:
    """Tell whether an answer is of one of *plants*: asked by its id, or redirected from or to it."""
    moved = answer.moved if answer.slice.series.device_id is None else None
    return not plants.isdisjoint({answer.slice.series.plant_id, *(moved or ())})


def _bequests(
    archive: Archive, kept: dict[Pack, list[Answer]], cutting: Iterable[Pack]
) -> Iterator[tuple[Pack, Pack, frozenset[bytes]]]:
    """Yield packs that need bodies which only a pack to be cut holds: heir, source and hashes.

    Equal answers are stored once, so that the answer of a plant that goes may hold the body of one that stays.
    """
    naming = {pack: {answer.sha256 for answer in answers} for pack, answers in kept.items()}
    stored = {pack: archive.stored(pack) for pack in kept}
    safe = {body for pack, bodies in stored.items() for body in bodies & naming[pack]}
    for source in cutting:
        for heir, named in naming.items():
            wanted = (stored[source] & named) - safe
            if wanted:
                safe |= wanted
                yield heir, source, wanted


def _paired(answers: Iterable[Answer], bodies: Iterable[Packed]) -> list[tuple[Answer, Packed | None]]:
    """Return *answers*, each body with the first that names it."""
    left = {body.sha256: body for body in bodies}
    return [(answer, left.pop(answer.sha256, None)) for answer in answers]
