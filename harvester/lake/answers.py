"""Raw answers to rows, exactly, their stamps as the plant's clock showed them: the first half of decoding.

Knows no file.

The rows of as many answers as possible are read into one frame: what is done to the rows of one answer costs more in
calls than in rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
import polars as pl

from harvester.lake.columns import Reader
from harvester.lake.registry import Registry
from harvester.lake.rows import Walked, walk
from harvester.lake.schema import TableSchema
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
_SET = b'"set":'
_CUT = b"[%d]" % secrets.randbits(128)
"""Stands for the rows of an answer that were cut out; no server can know it."""


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
    """Columns `time` (as an answer has it, on the plant's clock) and, of the table's scalars, its arrays as
    `array_column` names them, and `other`, those that were found."""

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


@dataclass(frozen=True, slots=True)
class _Opened:
    """One answer: what surrounds its rows, and their text."""

    payload: Payload
    envelope: Envelope
    rows: memoryview
    """A part of the payload's body."""


_Read = tuple[Payload, Envelope, int | Walked]
"""One answer and its rows: how many they are in the frame of what is known, or each of them."""


def read_all(
    payloads: Sequence[Payload], registry: Registry, table: TableSchema
) -> tuple[TableSchema, list[Stack], list[Bad]]:
    """Read the rows of answers that belong into *table*, not placed in time yet.

    Returns *table* with the channels that were met for the first time, which are recorded; the answers, those with
    new or odd content in stacks of one; and the answers that could not be read.
    """
    opened, bad = _open_each(payloads)
    heights, known = Reader.of(table).read([each.rows for each in opened])
    read, spoiled = _walk_refused(opened, heights)
    read, crowded = _few_enough(read, table)
    bad += [*spoiled, *crowded]
    found = (channel for _, _, rows in read if isinstance(rows, Walked) for channel in rows.found)
    table = registry.learn(table, found)
    stacks: list[Stack] = []
    for walked, some in groupby(read, key=lambda each: isinstance(each[2], Walked)):
        if walked:
            alone, odd = _alone(list(some), table)
            stacks += alone
            bad += odd
        else:
            replies = [Reply(payload, envelope, rows) for payload, envelope, rows in some if isinstance(rows, int)]
            height = sum(reply.height for reply in replies)
            stacks.append(Stack(replies, known.head(height)))
            known = known.slice(height)
    return table, stacks, bad


def _open_each(payloads: Sequence[Payload]) -> tuple[list[_Opened], list[Bad]]:
    opened: list[_Opened] = []
    bad: list[Bad] = []
    for payload in payloads:
        try:
            opened.append(_Opened(payload, *(_cut(payload.body) or _opened(payload.body))))
        except UNREADABLE as error:
            bad.append(Bad(payload, str(error)))
    return opened, bad


def _walk_refused(opened: Sequence[_Opened], heights: Sequence[int | None]) -> tuple[list[_Read], list[Bad]]:
    """Return each answer with its height; where there is none it is read the long way, from the beginning."""
    read: list[_Read] = []
    bad: list[Bad] = []
    for each, height in zip(opened, heights, strict=True):
        try:
            if height is None:
                envelope, rows = _opened(each.payload.body)
                read.append((each.payload, envelope, walk(rows)))
            else:
                read.append((each.payload, each.envelope, height))
        except UNREADABLE as error:
            bad.append(Bad(each.payload, str(error)))
    return read, bad


def _cut(body: bytes) -> tuple[Envelope, memoryview] | None:
    """Return what surrounds the rows of an answer, which is read in no time without them, and the rows.

    What lies between the first `set` and the last bracket is the answer's rows if it is an array by itself, and what
    is left is an answer with the mark in their place; otherwise some other way has to be found.
    """
    at, end = body.find(_SET) + len(_SET), body.rfind(b"]") + 1
    if at < len(_SET) or body[at : at + 1] != b"[":
        return None
    try:
        envelope = _ENVELOPE.decode(body[:at] + _CUT + body[end:])
    except UNREADABLE:
        return None
    return (envelope, memoryview(body)[at:end]) if bytes(envelope.rows) == _CUT else None


def _opened(body: bytes) -> tuple[Envelope, memoryview]:
    """Return what surrounds the rows of an answer, and its rows as a list; raise ValueError where there are none."""
    envelope = _ENVELOPE.decode(body)
    raw = bytes(envelope.rows)
    if raw[:1] == b"{":  # SMA's Live API sends a lone object where Monitoring sends a list
        raw = b"[" + raw + b"]"
    if raw[:1] != b"[":
        raise ValueError("`set` is neither a list nor an object")
    return envelope, memoryview(raw)


def _few_enough(read: Sequence[_Read], table: TableSchema) -> tuple[list[_Read], list[Bad]]:
    """Part the answers with which *table* has no more than `MOST_CHANNELS` from the others."""
    known, kept, bad = set(table.names), [], []
    for payload, envelope, rows in read:
        new = set(rows.found) - known if isinstance(rows, Walked) else set()
        if new and len(known) + len(new) > MOST_CHANNELS:
            told = f"{len(new)} channels that nobody has seen before; {table.table} may have {MOST_CHANNELS} in all"
            bad.append(Bad(payload, told))
            continue
        known |= new
        kept.append((payload, envelope, rows))
    return kept, bad


def _alone(read: Sequence[_Read], table: TableSchema) -> tuple[list[Stack], list[Bad]]:
    """Return each of the walked answers as a stack of its own."""
    stacks: list[Stack] = []
    bad: list[Bad] = []
    for payload, envelope, rows in read:
        assert isinstance(rows, Walked)  # noqa: S101 - as the caller grouped them
        try:
            frame = rows.frame(table)
        except (ValueError, OverflowError) as error:
            bad.append(Bad(payload, str(error)))
        else:
            stacks.append(Stack([Reply(payload, envelope, frame.height)], frame))
    return stacks, bad
