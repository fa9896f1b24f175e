"""Partitions made anew from archived answers, without a request: a table was lost, a zone or the decoder was wrong.

Week by week, oldest answer first. The ledger is asked which days are settled and is never written to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import structlog

from harvester.care.unarchived import Missing, Settled
from harvester.errors import LakeError
from harvester.gather import DECODE_BYTES
from harvester.intake import Stores
from harvester.lake.answers import Bad
from harvester.lake.decode import Decoded, decode
from harvester.lake.fold import Replaying, fold
from harvester.lake.layout import Pack, Partition
from harvester.lake.parquet import Written, publish, read
from harvester.lake.raw import Answer, Archive
from harvester.lake.readings import Readings
from harvester.lake.replays import Replayed, correction, read_replays, record_replay
from harvester.model import Payload, Series
from harvester.plan import Scope

PORTION_BYTES = 32 * 1024 * 1024
"""Bodies of one table, part and week, before compression, that are in memory together."""
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be replayed."""

    scope: Scope
    first: date
    last: date
    """Plant-local days, both inclusive."""
    zones: Mapping[str, str]
    """Plant ids and the IANA names that hold instead of what their archived answers say."""


@dataclass(slots=True)
class Outcome:
    """What a replay did, counted as it goes."""

    answers: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that were decoded, by table."""
    files: int = 0
    bytes_written: int = 0
    revisions: int = 0
    damaged: dict[Pack, str] = field(default_factory=dict)
    """Packs that could not be read, with the reason."""
    bad: list[Bad] = field(default_factory=list)
    """Answers that could not be decoded, wholly or in part."""
    missing: list[Missing] = field(default_factory=list)
    """Settled days that no usable answer is archived of."""

    @property
    def whole(self) -> bool:
        """Tell whether every settled day was made anew."""
        return not (self.damaged or self.bad or self.missing)

    def add(self, written: Written) -> None:
        """Count one publication."""
        self.rows.update(written.rows)
        self.files += written.files
        self.bytes_written += written.bytes
        self.revisions += written.revisions


@dataclass(frozen=True, slots=True)
class _Found:
    """An archived answer and where it lies."""

    pack: Pack
    answer: Answer


class Replay:
    """One replay, under the lake's lock."""

    def __init__(self, stores: Stores, order: Order, now: datetime) -> None:
        self._stores = stores
        self._places = stores.lake.places
        self._archive = Archive(self._places)
        self._order = order
        self._earlier = read_replays(self._places)
        self._this = Replayed(at=now, first=order.first, last=order.last, zones=dict(order.zones))
        self._replays = [*self._earlier, self._this]
        self._unusable: set[bytes] = set()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Make every partition anew that an archived answer tells of; raises `LakeError`."""
        for _ in self.steps():
            pass
        return self._outcome

    @property
    def outcome(self) -> Outcome:
        """What was done so far."""
        return self._outcome

    def steps(self) -> Iterator[None]:
        """Do what `run` does, a week of one table and part at a time; between two steps others may write."""
        record_replay(self._places, self._earlier, self._this)  # first: the rows to come bear its moment
        kept: dict[tuple[int, str], set[date]] = {}
        for pack in self._places.packs():
            kept.setdefault((pack.part, pack.table), set()).add(pack.week)
        for (part, table), weeks in sorted(kept.items()):
            for week in sorted({w + _WEEK * n for w in weeks for n in (-1, 0, 1)}):
                self._week(part, table, week)
                yield
        settled = Settled(self._stores, self._archive, self._order.scope, self._order.first, self._order.last)
        self._outcome.missing.extend(settled.unarchived(self._unusable))

    def _week(self, part: int, table: str, week: date) -> None:
        first, last = max(week, self._order.first), min(week + 6 * _DAY, self._order.last)
        if first > last:
            return
        found = [each for each in self._found(part, table, week) if _holds(each.answer, first, last)]
        for portion in _portions(found):
            pieces = list(self._decoded(portion))
            if not pieces:
                continue
            replaying = Replaying(
                now=self._this.at,
                earlier=frozenset(each.at for each in self._earlier),
                first=first,
                last=last,
                corrected=frozenset(self._order.zones),
            )
            days = fold(pieces, lambda name, day: read(self._places.file(Partition(name, day, part))), replaying)
            self._outcome.add(publish(self._places, part, pieces[-1][1].table, days))

    def _found(self, part: int, table: str, week: date) -> Iterator[_Found]:
        """Yield the archived answers that may hold rows of *week*: a `Week` reaches into the ones around it."""
        for near in (week - _WEEK, week, week + _WEEK):
            for pack in self._archive.packs(table, near, part):
                try:
                    answers = self._archive.index(pack)
                except LakeError as error:
                    self._damaged(pack, error)
                    continue
                wanted = (a for a in answers if self._order.scope.takes(a.slice.series))
                yield from (_Found(pack, answer) for answer in wanted)

    def _damaged(self, pack: Pack, error: LakeError) -> None:
        if pack not in self._outcome.damaged:
            log.warning("replay.damaged_pack", pack=str(pack.path), reason=str(error))
            self._outcome.damaged[pack] = str(error)

    def _decoded(self, portion: Sequence[_Found]) -> Iterator[tuple[int, Readings]]:
        """Yield the rows of a portion; of each series the oldest answer is in generation 0, the next one in 1."""
        bodies = self._bodies(portion)
        self._unusable |= {each.answer.sha256 for each in portion} - bodies.keys()
        generations: dict[int, list[Answer]] = {}
        seen: Counter[Series] = Counter()
        for answer in sorted((each.answer for each in portion), key=lambda a: a.asked_at):
            if answer.sha256 in bodies:
                generations.setdefault(seen[answer.slice.series], []).append(answer)
                seen[answer.slice.series] += 1
        for number, answers in sorted(generations.items()):
            for some in _alike(answers, self._replays):
                payloads = [_payload(answer, bodies[answer.sha256]) for answer in some.answers]
                decoded = decode(payloads, self._stores.registry, some.zones, some.corrected)
                self._outcome.answers += len(payloads)
                self._tell_bad(decoded, some.answers)
                yield number, decoded.readings

    def _bodies(self, portion: Sequence[_Found]) -> dict[bytes, bytes]:
        wanted = {each.answer.sha256 for each in portion}
        found: dict[bytes, bytes] = {}
        beside = (self._packs_beside(pack) for pack in {each.pack for each in portion})
        for pack in sorted({pack for packs in beside for pack in packs}):
            try:
                found.update(self._archive.bodies(pack, wanted - found.keys()))
            except LakeError as error:
                self._damaged(pack, error)
        return found

    def _packs_beside(self, pack: Pack) -> list[Pack]:
        """Return *pack* and those of its week: what one names, an earlier one may hold."""
        return self._archive.packs(pack.table, pack.week, pack.part)

    def _tell_bad(self, decoded: Decoded, answers: Sequence[Answer]) -> None:
        hashes = {answer.slice: answer.sha256 for answer in answers}
        for bad in decoded.bad:
            self._outcome.bad.append(bad)
            if not bad.partial:
                self._unusable.add(hashes[bad.payload.slice])


@dataclass(slots=True)
class _Alike:
    """Answers that can be decoded together: of one plant all are read with the same zone."""

    answers: list[Answer] = field(default_factory=list)
    zones: dict[str, str] = field(default_factory=dict)
    corrected: dict[str, str] = field(default_factory=dict)
    bytes: int = 0

    def takes(self, answer: Answer, correct: str | None) -> bool:
        """Tell whether *answer*, which a *correct* zone may stand against, goes with the others."""
        plant = answer.slice.series.plant_id
        same = plant not in self.zones or (self.zones[plant], self.corrected.get(plant)) == (answer.zone, correct)
        return same and self.bytes + answer.size <= DECODE_BYTES


def _alike(answers: Iterable[Answer], replays: Sequence[Replayed]) -> Iterator[_Alike]:
    some = _Alike()
    for answer in answers:
        plant = answer.slice.series.plant_id
        correct = correction(replays, plant, answer.asked_at)
        if some.answers and not some.takes(answer, correct):
            yield some
            some = _Alike()
        some.answers.append(answer)
        some.bytes += answer.size
        some.zones[plant] = answer.zone
        if correct is not None:
            some.corrected[plant] = correct
    if some.answers:
        yield some


def _holds(answer: Answer, first: date, last: date) -> bool:
    return answer.rows_of is not None and answer.rows_of[0] <= last and answer.rows_of[1] >= first


def _portions(found: Iterable[_Found]) -> Iterator[list[_Found]]:
    """Yield all answers of some series at a time, so that each file is rewritten once for them."""
    by_series: dict[Series, list[_Found]] = {}
    for each in found:
        by_series.setdefault(each.answer.slice.series, []).append(each)
    portion: list[_Found] = []
    size = 0
    for _, some in sorted(by_series.items(), key=lambda item: str(item[0])):
        more = sum(each.answer.size for each in some)
        if portion and size + more > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.extend(some)
        size += more
    if portion:
        yield portion


def _payload(answer: Answer, body: bytes) -> Payload:
    return Payload(slice=answer.slice, body=body, asked_at=answer.asked_at, moved=answer.moved)
