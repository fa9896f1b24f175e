"""The raw archive: the answers that settled days, as they came, so that a lake can be made again without asking.

The answers of one publication are one pack: a Parquet file of an index and compressed bodies, written once and whole,
readable by its owner alone. A pack names what it holds, so the archive needs no ledger to be read. Blocking: runs in
a worker thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import LakeError
from harvester.lake.atomic import replace_with
from harvester.lake.layout import Pack, Places
from harvester.lake.packing import Encoding, Packed, compressed, unpacked
from harvester.model import Payload, Period, Series, Slice

FORMAT_VERSION = 3
"""Version of a pack; one with a higher one is not read. The first had no `encoding`: all was zstd. In the second the
hash of what came as gzip was that of its content."""

_FORMAT = b"harvester_raw"
_GROUP_BYTES = 8 * 1024 * 1024
"""Bodies, before compression, that are read together."""
_INSTANT = pa.timestamp("us", "UTC")
_SCHEMA = pa.schema(
    [
        pa.field("plant_id", pa.string(), nullable=False),
        pa.field("device_id", pa.string()),
        pa.field("set", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        pa.field("settled", pa.list_(pa.date32()), nullable=False),
        pa.field("first_day", pa.date32()),
        pa.field("last_day", pa.date32()),
        pa.field("asked_at", _INSTANT, nullable=False),
        pa.field("zone", pa.string(), nullable=False),
        pa.field("moved_from", pa.string()),
        pa.field("moved_to", pa.string()),
        pa.field("sha256", pa.binary(32), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("encoding", pa.string()),
        pa.field("body", pa.binary()),
    ],
    metadata={_FORMAT: str(FORMAT_VERSION).encode()},
)
_BODY = ("encoding", "body")
_INDEX = [name for name in _SCHEMA.names if name not in _BODY]
_COMPRESSION = dict.fromkeys([*_INDEX, "encoding"], "zstd") | {"settled.list.element": "zstd", "body": "none"}
_DICTIONARIES = ["plant_id", "device_id", "set", "period", "zone", "moved_from", "moved_to", "encoding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the index says of one archived answer."""

    slice: Slice
    """As it was asked; its days are the ones that the read settled."""
    rows_of: tuple[date, date] | None
    """First and last plant-local day of its rows, None where it held none."""
    asked_at: datetime
    """When the request began, aware UTC."""
    zone: str
    """IANA name that the plant list had for the plant; what the answer itself says comes first."""
    moved: tuple[str, str] | None
    sha256: bytes
    size: int
    """Bytes of the body before compression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much an archive holds."""

    answers: int
    bytes: int


def answer_of(
    payload: Payload, settled: Iterable[date], held: Collection[date], zone: str, packed: Packed | None = None
) -> Answer:
    """Describe *payload*, which *settled* some days and *held* rows of some, for the index.

    *packed* is its body where it does not hold it itself any more.
    """
    piece = payload.slice
    return Answer(
        slice=Slice(series=piece.series, period=piece.period, date=piece.date, days=tuple(sorted(settled))),
        rows_of=(min(held), max(held)) if held else None,
        asked_at=payload.asked_at,
        zone=zone,
        moved=payload.moved,
        sha256=packed.sha256 if packed else hashlib.sha256(payload.body).digest(),
        size=packed.size if packed else len(payload.body),
    )


class Archive:
    """The raw archive of one lake; written by the process that holds the lake's lock, read by any."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def keep(self, part: int, table: str, found: Iterable[tuple[Answer, bytes | Packed]]) -> int:
        """Archive answers to one measurement set, of plants of one part, and return how many were new.

        What is there already, the same content of a series settling the same days, is left out; content is the same
        if it also came in the same way. Raises `LakeError`.
        """
        weeks: dict[date, list[tuple[Answer, bytes | Packed]]] = {}
        for answer, body in found:
            weeks.setdefault(week_of(answer.slice.date), []).append((answer, body))
        return sum(self._keep_week(part, table, week, some) for week, some in sorted(weeks.items()))

    def packs(self, table: str, week: date, part: int) -> list[Pack]:
        """Return the packs of answers that were asked for dates of *week*, which begins on a Monday."""
        return self._places.packs(table, week, part)

    def index(self, pack: Pack) -> list[Answer]:
        """Return what *pack* holds, in its order, without reading a body; raises `LakeError` for a damaged one."""
        with _reading(self._places.pack(pack)) as file:
            return [_answer(row) for row in file.read(columns=_INDEX).to_pylist()]

    def bodies(self, pack: Pack, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield hash and content of those *wanted* bodies that are stored in *pack*; raises `LakeError`.

        A little of the pack is in memory at a time. What does not have the content that its hash says is damaged.
        """
        for stored, body in self._found(pack, wanted):
            yield stored.sha256, body

    def copies(self, pack: Pack, wanted: Collection[bytes]) -> Iterator[Packed]:
        """Yield those *wanted* bodies as they are stored in *pack*, to be stored elsewhere; raises as `bodies` does."""
        for stored, _ in self._found(pack, wanted):
            yield stored

    def _found(self, pack: Pack, wanted: Collection[bytes]) -> Iterator[tuple[Packed, bytes]]:
        path = self._places.pack(pack)
        with _reading(path) as file:
            hashes = file.read(columns=["sha256"]).column(0).to_pylist()
            first = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if not set(wanted).isdisjoint(hashes[first : first + rows]):
                    columns = [name for name in ("sha256", "size", *_BODY) if name in file.schema_arrow.names]
                    yield from _unpacked(path, file.read_row_group(group, columns=columns), wanted)
                first += rows

    def stored(self, pack: Pack) -> frozenset[bytes]:
        """Return the hashes of the bodies that are in *pack* itself; raises `LakeError`."""
        with _reading(self._places.pack(pack)) as file:
            rows = file.read(columns=["sha256", "body"])
            return frozenset(rows.filter(rows["body"].is_valid()).column("sha256").to_pylist())

    def size(self) -> Size:
        """Count answers and bytes; a damaged pack counts for its bytes alone."""
        answers = size = 0
        for pack in self._places.packs():
            path = self._places.pack(pack)
            try:
                size += path.stat().st_size
                answers += int(pq.read_metadata(path).num_rows)
            except (OSError, pa.ArrowException):
                continue
        return Size(answers=answers, bytes=size)

    def _keep_week(self, part: int, table: str, week: date, found: Sequence[tuple[Answer, bytes | Packed]]) -> int:
        known = self._known(part, table, week)
        new: list[tuple[Answer, bytes | Packed | None]] = []
        for answer, body in sorted(found, key=lambda each: (str(each[0].slice), each[0].asked_at)):
            stored = answer.sha256 in known
            claims = {(answer.slice.series, day) for day in answer.slice.days}
            if not claims <= known.setdefault(answer.sha256, set()):
                known[answer.sha256] |= claims
                new.append((answer, None if stored else body))
        if new:
            self.put(pack_of(table, week, part, [answer for answer, _ in new]), new)
        return len(new)

    def put(self, pack: Pack, answers: Sequence[tuple[Answer, bytes | Packed | None]]) -> None:
        """Write *pack* whole; a body that is None is in another pack of the same folder. Raises `LakeError`."""
        replace_with(self._places.pack(pack), lambda file: _write(file, answers), mode=0o600)

    def _known(self, part: int, table: str, week: date) -> dict[bytes, set[tuple[Series, date]]]:
        """Return which content is stored and which days it settled; a damaged pack holds nothing to rely on."""
        known: dict[bytes, set[tuple[Series, date]]] = {}
        for pack in self.packs(table, week, part):
            try:
                answers = self.index(pack)
            except LakeError:
                continue
            for answer in answers:
                claims = known.setdefault(answer.sha256, set())
                claims.update((answer.slice.series, day) for day in answer.slice.days)
        return known


def week_of(day: date) -> date:
    """Return the Monday on or before *day*: packs are grouped by it, whatever a ``Week`` of SMA covers."""
    return day - timedelta(days=day.weekday())


def pack_of(table: str, week: date, part: int, answers: Iterable[Answer]) -> Pack:
    """Return the pack that holds exactly *answers*: it is called by what they say, so the same are the same."""
    told = "\n".join(f"{a.slice} {a.asked_at} {a.sha256.hex()}" for a in answers)
    return Pack(table, week, part, hashlib.sha256(told.encode()).hexdigest()[:16])


@contextmanager
def _reading(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a pack; what is wrong with it, now or while it is read, is a `LakeError`."""
    try:
        with pq.ParquetFile(path) as file:
            version = int((file.schema_arrow.metadata or {}).get(_FORMAT, b"0"))
            if version > FORMAT_VERSION:
                raise LakeError(f"{path}: this pack has format {version}, this harvester knows {FORMAT_VERSION}.")
            yield file
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise LakeError(f"{path}: the pack of archived answers cannot be read ({error}).") from error


def _write(file: Path, answers: Sequence[tuple[Answer, bytes | Packed | None]]) -> None:
    options = {"compression": _COMPRESSION, "use_dictionary": _DICTIONARIES, "write_statistics": False}
    with pq.ParquetWriter(file, _SCHEMA, **options) as writer:
        for some in _groups(answers):
            rows = [_row(answer, compressed(body) if isinstance(body, bytes) else body) for answer, body in some]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _groups(
    answers: Sequence[tuple[Answer, bytes | Packed | None]],
) -> Iterator[Sequence[tuple[Answer, bytes | Packed | None]]]:
    first = size = 0
    for at, (answer, _) in enumerate(answers):
        if size and size + answer.size > _GROUP_BYTES:
            yield answers[first:at]
            first, size = at, 0
        size += answer.size
    yield answers[first:]


def _row(answer: Answer, body: Packed | None) -> dict[str, Any]:
    series = answer.slice.series
    first, last = answer.rows_of or (None, None)
    old, new = answer.moved or (None, None)
    return {
        "plant_id": series.plant_id,
        "device_id": series.device_id,
        "set": series.set,
        "period": answer.slice.period.value,
        "date": answer.slice.date,
        "settled": answer.slice.days,
        "first_day": first,
        "last_day": last,
        "asked_at": answer.asked_at,
        "zone": answer.zone,
        "moved_from": old,
        "moved_to": new,
        "sha256": answer.sha256,
        "size": answer.size,
        "encoding": body.encoding.value if body else None,
        "body": body.content if body else None,
    }


def _answer(row: dict[str, Any]) -> Answer:
    return Answer(
        slice=Slice(
            series=Series(plant_id=row["plant_id"], device_id=row["device_id"], set=row["set"]),
            period=Period(row["period"]),
            date=row["date"],
            days=tuple(row["settled"]),
        ),
        rows_of=(row["first_day"], row["last_day"]) if row["first_day"] else None,
        asked_at=row["asked_at"],
        zone=row["zone"],
        moved=(row["moved_from"], row["moved_to"]) if row["moved_from"] else None,
        sha256=row["sha256"],
        size=row["size"],
    )


def _unpacked(path: Path, table: pa.Table, wanted: Collection[bytes]) -> Iterator[tuple[Packed, bytes]]:
    for row in table.to_pylist():
        if row["body"] is None or row["sha256"] not in wanted:
            continue
        encoding = Encoding(row.get("encoding") or Encoding.ZSTD)
        stored = Packed(content=row["body"], encoding=encoding, sha256=row["sha256"], size=row["size"])
        try:
            yield stored, unpacked(stored)
        except ValueError as error:
            raise LakeError(f"{path}: {error}.") from error
