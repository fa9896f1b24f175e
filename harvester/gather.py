"""The answers of one batch on their way into the lake: decoded in portions, published together, then committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter

from harvester.lake.answers import Bad
from harvester.lake.decode import DayCount, Decoded, decode
from harvester.lake.layout import Places
from harvester.lake.packing import Packed, packed
from harvester.lake.parquet import Written, publish, publish_periods
from harvester.lake.period_rows import DecodedPeriods, decode_periods
from harvester.lake.readings import Readings, by_day
from harvester.lake.registry import Registry
from harvester.model import Payload, Slice
from harvester.plan import Batch

DECODE_BYTES = 6 * 1024 * 1024
"""Raw answers that are decoded at once: enough to share the overhead, little enough to be forgotten soon."""
PUBLISH_ROWS = 600_000
"""Rows that may wait for the rest of their batch, and would have to be asked again after a kill."""


@dataclass(slots=True)
class Gathering:
    """What has come of one batch. Its blocking methods run in a worker thread, one at a time."""

    batch: Batch
    left: int
    """Slices of the batch whose outcome is not known yet."""
    bodies: bool = True
    """Whether the answers are wanted as they came, for the archive."""
    payloads: list[Payload] = field(default_factory=list)
    """Answers not decoded yet."""
    pieces: list[Readings] = field(default_factory=list)
    """Rows decoded but not published."""
    sums: list[DecodedPeriods] = field(default_factory=list)
    """The same of a batch of sums."""
    counts: list[DayCount] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    """What else is known of them."""
    answered: list[Payload] = field(default_factory=list)
    """Answers decoded but not committed, without their bodies but for the spoiled ones."""
    packed: dict[Slice, Packed] = field(default_factory=dict)
    """Their bodies for the archive: as they came, they would be a third of all memory."""
    bytes: int = 0
    rows: int = 0

    @classmethod
    def of(cls, batch: Batch, *, bodies: bool = True) -> Gathering:
        """Begin to gather the answers of *batch*, their *bodies* too if they are to be archived."""
        return cls(batch, left=len(batch.slices), bodies=bodies)

    def take(self, payload: Payload) -> None:
        """Add one answer."""
        self.payloads.append(payload)
        self.bytes += len(payload.body)

    def decode(self, registry: Registry, zones: Mapping[str, str]) -> None:
        """Decode what came since the last time."""
        if not self.payloads:
            return
        piece = self._decoded(registry, zones)
        self.counts += piece.counts
        self.bad += piece.bad
        spoiled = {id(bad.payload) for bad in piece.bad}
        good = [payload for payload in self.payloads if id(payload) not in spoiled]
        if self.bodies and not self.batch.summed:
            self.packed.update((payload.slice, packed(payload)) for payload in good)
        self.answered.extend(p if id(p) in spoiled else replace(p, body=b"", gzip=None) for p in self.payloads)
        self.payloads, self.bytes = [], 0

    def _decoded(self, registry: Registry, zones: Mapping[str, str]) -> Decoded | DecodedPeriods:
        if self.batch.summed:
            sums = decode_periods(self.payloads, registry, zones)
            self.sums.append(sums)
            return sums
        piece = decode(self.payloads, registry, zones)
        self.pieces.append(piece.readings)
        self.rows += piece.readings.rows.height
        return piece

    def publish(self, places: Places) -> Published:
        """Write what is decoded, and forget it; raises `LakeError` with nothing forgotten."""
        if not (self.pieces or self.sums):
            return Published(Written(), (), (), (), {})
        written = self._written(places)
        done = Published(written, tuple(self.answered), tuple(self.counts), tuple(self.bad), self.packed)
        self.pieces, self.sums, self.counts, self.bad = [], [], [], []
        self.answered, self.packed, self.rows = [], {}, 0
        return done

    def _written(self, places: Places) -> Written:
        if self.batch.summed:
            return publish_periods(places, self.batch.part, self.sums)
        return publish(places, self.batch.part, self.pieces[-1].table, by_day(self.pieces))


@dataclass(frozen=True, slots=True)
class Published:
    """What one publication put into the lake, for the ledger."""

    written: Written
    answered: tuple[Payload, ...]
    counts: tuple[DayCount, ...]
    bad: tuple[Bad, ...]
    packed: Mapping[Slice, Packed]
    """The bodies of good answers where they are wanted for the archive."""

    def by_slice(self) -> dict[Slice, list[DayCount]]:
        """Return what each answer held, day by day; an empty answer is not in it."""
        found: dict[Slice, list[DayCount]] = {}
        for piece, some in groupby(self.counts, key=attrgetter("slice")):  # which come together
            found.setdefault(piece, []).extend(some)
        return found
