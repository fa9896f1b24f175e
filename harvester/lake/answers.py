"""Raw answers to rows, exactly, their stamps as they came: the first half of decoding. Knows no file.

The rows of as many answers as possible are checked and named together: what is done to the rows of one answer costs
more in calls than in rows. Only parsing stays apart, as polars parses best what fits into the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
import polars as pl

from harvester.lake.registry import Registry
from harvester.lake.rows import ELEMENTS, Parsed, Reader, Walked, array_column, walk
from harvester.lake.schema import TableSchema, polars_schema
from harvester.model import Payload

MOST_CHANNELS = 1000
"""Channels of one table; the largest documented set has 23. A server that makes up names without end fills no lake."""
UNREADABLE = (ValueError, OverflowError, RecursionError)
"""What reading an answer may raise: msgspec's and orjson's errors are ValueErrors, but for what is nested too deep."""


class PlantNamed(msgspec.Struct):
    """The plant that an answer names."""

    plant_id: str | int | None = msgspec.field(default=None, name="plantId")
    timezone: str | None = None


class DeviceNamed(msgspec.Struct):
    """The device that an answer names."""

    device_id: str | int | None = msgspec.field(default=None, name="deviceId")


class Envelope(msgspec.Struct):
    """What surrounds the rows of an answer, as far as it says something."""

    rows: msgspec.Raw = msgspec.field(name="set")
    plant: PlantNamed | None = None
    device: DeviceNamed | None = None
    resolution: str | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope)
_SET, _NO_ROWS = b'"set":', b"[]"


@dataclass(frozen=True, slots=True)
class Bad:
    """An answer that could not be read, wholly or in part."""

    payload: Payload
    reason: str
    partial: bool = False
    """Whether its other rows are kept: to ask again would bring the same."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer whose rows were read."""

    payload: Payload
    envelope: Envelope
    height: int
    """Rows that it held."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Answers in the order in which they came, their rows under one another."""

    replies: Sequence[Reply]
    frame: pl.DataFrame
    """Columns `time` (words), the table's scalars, its arrays as `array_column` names them, `other`."""

    def between(self, first: int, last: int) -> Stack:
        """Return the replies from *first* up to *last*, which is not in it, with their rows."""
        above = sum(reply.height for reply in self.replies[:first])
        some = self.replies[first:last]
        return Stack(some, self.frame.slice(above, sum(reply.height for reply in some)))

    def each(self) -> Iterator[Stack]:
        """Yield every reply as a stack of its own."""
        above = 0
        for reply in self.replies:
            yield Stack((reply,), self.frame.slice(above, reply.height))
            above += reply.height


_Read = tuple[Payload, Envelope, Parsed | Walked]
"""One answer: its envelope, and its rows by SMA's names."""


def read_all(
    payloads: Sequence[Payload], registry: Registry, table: TableSchema
) -> tuple[TableSchema, list[Stack], list[Bad]]:
    """Read the rows of answers that belong into *table*, their stamps as they came.

    Returns *table* with the channels that were met for the first time, which are recorded; the answers, those with
    new or odd content in stacks of one; and the answers that could not be read.
    """
    reader = Reader.of(table)
    read, bad = _read_each(payloads, reader)
    read, spoiled = _checked(read, reader)
    read, crowded = _few_enough(read, table)
    bad += [*spoiled, *crowded]
    found = (channel for _, _, rows in read if isinstance(rows, Walked) for channel in rows.found)
    table = registry.learn(table, found)
    shape, stacks = _shape(table), []
    for walked, some in groupby(read, key=lambda each: isinstance(each[2], Walked)):
        if walked:
            alone, odd = _alone(list(some), table, shape)
            stacks += alone
            bad += odd
        else:
            stacks.append(_stacked(list(some), reader, shape))
    return table, stacks, bad


def _read_each(payloads: Sequence[Payload], reader: Reader) -> tuple[list[_Read], list[Bad]]:
    read: list[_Read] = []
    bad: list[Bad] = []
    for payload in payloads:
        try:
            read.append((payload, *_read(payload.body, reader)))
        except UNREADABLE as error:
            bad.append(Bad(payload, str(error)))
    return read, bad


def _read(body: bytes, reader: Reader) -> tuple[Envelope, Parsed | Walked]:
    cut = _cut(body)
    if cut and (parsed := reader.parse(cut[1])):
        return cut[0], parsed
    envelope, raw = _opened(body)
    return envelope, reader.parse(raw) or walk(raw)


def _cut(body: bytes) -> tuple[Envelope, bytes] | None:
    """Return what surrounds the rows of an answer, which is read in no time without them, and the rows.

    What lies between the first `set` and the last bracket is the answer's rows if it is an array by itself, and what
    is left is an answer without rows; otherwise some other way has to be found.
    """
    at, end = body.find(_SET) + len(_SET), body.rfind(b"]") + 1
    if at < len(_SET) or body[at : at + 1] != b"[":
        return None
    try:
        envelope = _ENVELOPE.decode(body[:at] + _NO_ROWS + body[end:])
    except UNREADABLE:
        return None
    return (envelope, body[at:end]) if bytes(envelope.rows) == _NO_ROWS else None


def _opened(body: bytes) -> tuple[Envelope, bytes]:
    """Return what surrounds the rows of an answer, and its rows as a list; raise ValueError where there are none."""
    envelope = _ENVELOPE.decode(body)
    raw = bytes(envelope.rows)
    if raw[:1] == b"{":  # SMA's Live API sends a lone object where Monitoring sends a list
        raw = b"[" + raw + b"]"
    if raw[:1] != b"[":
        raise ValueError("`set` is neither a list nor an object")
    return envelope, raw


def _checked(read: Sequence[_Read], reader: Reader) -> tuple[list[_Read], list[Bad]]:
    """Return *read* with those walked that the fast way did not read exactly."""
    parsed = [rows for _, _, rows in read if isinstance(rows, Parsed)]
    if not parsed or reader.exact(parsed):
        return list(read), []
    kept: list[_Read] = []
    bad: list[Bad] = []
    for payload, envelope, rows in read:
        try:
            exact = isinstance(rows, Walked) or reader.exact([rows])
            kept.append((payload, envelope, rows if exact else walk(_opened(payload.body)[1])))
        except UNREADABLE as error:
            bad.append(Bad(payload, str(error)))
    return kept, bad


def _few_enough(read: Sequence[_Read], table: TableSchema) -> tuple[list[_Read], list[Bad]]:
    """Part the answers with which *table* has no more than `MOST_CHANNELS` from the others."""
    known, kept, bad = set(table.names), [], []
    for payload, envelope, rows in read:
        new = rows.found.keys() - known if isinstance(rows, Walked) else set()
        if len(known) + len(new) > MOST_CHANNELS:
            told = f"{len(new)} channels that nobody has seen before; {table.table} may have {MOST_CHANNELS} in all"
            bad.append(Bad(payload, told))
            continue
        known |= new
        kept.append((payload, envelope, rows))
    return kept, bad


def _stacked(read: Sequence[_Read], reader: Reader, shape: pl.Schema) -> Stack:
    frames = [rows.frame for _, _, rows in read if isinstance(rows, Parsed)]
    replies = [
        Reply(payload, envelope, frame.height) for (payload, envelope, _), frame in zip(read, frames, strict=True)
    ]
    return Stack(replies, _conform(reader.named(pl.concat(frames)), shape))


def _alone(read: Sequence[_Read], table: TableSchema, shape: pl.Schema) -> tuple[list[Stack], list[Bad]]:
    """Return each of the walked answers as a stack of its own."""
    stacks: list[Stack] = []
    bad: list[Bad] = []
    for payload, envelope, rows in read:
        assert isinstance(rows, Walked)  # noqa: S101 - as the caller grouped them
        try:
            frame = _conform(rows.frame(table), shape)
        except (ValueError, OverflowError) as error:
            bad.append(Bad(payload, str(error)))
        else:
            stacks.append(Stack([Reply(payload, envelope, frame.height)], frame))
    return stacks, bad


def _conform(frame: pl.DataFrame, shape: pl.Schema) -> pl.DataFrame:
    """Return *frame* with the columns *shape*, in that order; those that it lacks hold nothing."""
    known = set(frame.columns)
    lacking = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in shape.items() if name not in known]
    return frame.with_columns(lacking)[shape.names()]


def _shape(table: TableSchema) -> pl.Schema:
    """Return the columns that every answer of *table* has before its stamps are placed."""
    arrays = {array_column(column.name): ELEMENTS for column in table.arrays}
    return pl.Schema({"time": pl.String(), **polars_schema(table.scalars), **arrays, "other": pl.String()})
