"""Merging: what a partition holds after any answers, told by a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake import schema
from harvester.lake.merge import Merged, merge
from harvester.lake.schema import Column, Shape
from harvester.model import Level

FIXED = settings(deadline=None, derandomize=True)
DAY = date(2024, 6, 1)
MIDNIGHT = datetime(2024, 6, 1, tzinfo=UTC)
TABLE = schema.build(
    Level.DEVICE,
    "Sensor",
    "device_sensor",
    {("gust", Shape.SCALAR): "gust", ("gustNew", Shape.SCALAR): "gust_new", ("x", Shape.ARRAY): "x"},
)
CHANNELS = ("wind_speed", "gust", "gust_new", "other")
Key = tuple[str, int]


@dataclass
class Answer:
    """Rows of devices by device and slot, asked at one moment."""

    asked: int
    rows: dict[Key, dict[str, Any]]
    minutes: int | None = 5
    offset: int = 0
    whole: bool = True
    repeats: bool = False

    def frame(self, columns: Sequence[Column] = TABLE.columns) -> pl.DataFrame:
        """Return the decoded rows, with their marks."""
        names = [column.name for column in columns]
        rows = [
            {
                "plant_id": "1",
                "device_id": device,
                "time": moment(slot),
                "local_time": moment(slot).replace(tzinfo=None) + timedelta(hours=self.offset),
                "interval_minutes": self.minutes,
                **values,
                "harvested_at": asked(self.asked),
                **({"index": "A"} if "index" in names else {}),
            }
            for (device, slot), values in self.rows.items()
        ]
        frame = pl.DataFrame(rows, schema=schema.polars_schema(tuple(columns)), orient="row")
        marks = {"_date": DAY, "_whole": self.whole, "_repeats": self.repeats}
        return frame.with_columns(pl.lit(value).alias(name) for name, value in marks.items())


def moment(slot: int) -> datetime:
    """Return the start of the interval *slot*."""
    return MIDNIGHT + timedelta(minutes=5 * slot)


def asked(number: int) -> datetime:
    """Return the moment of request *number*."""
    return datetime(2024, 6, 2, tzinfo=UTC) + timedelta(seconds=number)


def merged(*answers: Answer) -> Merged:
    """Merge *answers* one after the other into an empty partition and return the last outcome."""
    outcome = merge(None, answers[0].frame(), TABLE.columns)
    for answer in answers[1:]:
        outcome = merge(outcome.frame, answer.frame(), TABLE.columns)
    return outcome


def cells(frame: pl.DataFrame) -> dict[Key, tuple[dict[str, Any], int]]:
    """Return by device and slot the values that are there and the request that last changed them."""
    found = {}
    for row in frame.iter_rows(named=True):
        slot = (row["time"] - MIDNIGHT) // timedelta(minutes=5)
        values = {name: row[name] for name in CHANNELS if row[name] is not None}
        found[row["device_id"], slot] = (values, (row["harvested_at"] - asked(0)) // timedelta(seconds=1))
    return found


def values_of(frame: pl.DataFrame) -> dict[Key, dict[str, Any]]:
    """Return by device and slot the values that are there."""
    return {key: values for key, (values, _) in cells(frame).items()}


@dataclass
class Model:
    """A partition as a dictionary."""

    rows: dict[Key, tuple[dict[str, Any], int]] = field(default_factory=dict)

    def upsert(self, answer: Answer) -> set[tuple[Any, ...]]:
        """Take *answer* and return the revisions that it makes."""
        revisions = set()
        for key, fresh in answer.rows.items():
            new = {name: value for name, value in fresh.items() if value is not None}
            if key not in self.rows:
                self.rows[key] = (new, answer.asked)
                continue
            old, changed = self.rows[key]
            for name, value in old.items():
                if name != "other" and new.get(name) != value:
                    revisions.add((*key, name, value, new.get(name), answer.asked))
            after = old | new
            self.rows[key] = (after, changed if after == old else answer.asked)
        return revisions


def revisions_of(outcome: Merged) -> list[tuple[Any, ...]]:
    """Return the revisions in the words of the model."""
    return [
        (
            row["device_id"],
            (row["time"] - MIDNIGHT) // timedelta(minutes=5),
            row["channel"],
            row["old"],
            row["new"],
            (row["known_at"] - asked(0)) // timedelta(seconds=1),
        )
        for row in outcome.revisions.iter_rows(named=True)
    ]


KEYS = st.tuples(st.sampled_from("abc"), st.integers(0, 4))
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "wind_speed": st.sampled_from([None, 1.0, 2.0]),
        "gust": st.sampled_from([None, 1.0, 2.0]),
        "gust_new": st.sampled_from([None, 1.0, 3.0]),
        "other": st.sampled_from([None, '{"a":1}']),
    },
)
ROWS = st.dictionaries(KEYS, VALUES, max_size=6)
PARTS = st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=4)


@given(PARTS)
@settings(FIXED, max_examples=80)
def test_upsert(parts: list[tuple[dict[Key, dict[str, Any]], bool]]) -> None:
    """After any answers each row, each value, each moment and each revision is what a dictionary says."""
    model, frame = Model(), None
    for number, (rows, whole) in enumerate(parts):
        answer, before = Answer(number, rows, whole=whole), dict(model.rows)
        outcome = merge(frame, answer.frame(), TABLE.columns)
        revisions = model.upsert(answer)

        assert cells(outcome.frame) == model.rows
        assert sorted(revisions_of(outcome), key=str) == sorted(revisions, key=str)
        assert outcome.changed == (model.rows != before)
        assert outcome.frame.height == len(model.rows)
        frame = outcome.frame


@given(PARTS, st.booleans())
@settings(FIXED, max_examples=40)
def test_idempotent(parts: list[tuple[dict[Key, dict[str, Any]], bool]], repeats: bool) -> None:  # noqa: FBT001 - drawn
    """The last answer once more, asked later, changes nothing: no row, no moment, no order."""
    answers = [Answer(n, rows, whole=whole, repeats=repeats) for n, (rows, whole) in enumerate(parts)]
    once = merged(*answers)
    later = Answer(99, answers[-1].rows, whole=answers[-1].whole, repeats=repeats)
    again = merge(once.frame, later.frame(), TABLE.columns)

    assert not again.changed
    assert again.frame.equals(once.frame)
    assert all(new is None for *_, new, _ in revisions_of(again))


@given(ROWS, st.data())
@settings(FIXED, max_examples=40)
def test_consistent_answers_in_any_order(truth: dict[Key, dict[str, Any]], data: st.DataObject) -> None:
    """Answers that do not contradict each other give the same rows and values in any order."""
    names = st.sets(st.sampled_from(CHANNELS))
    views = [
        Answer(
            n,
            {
                k: {c: v for c, v in truth[k].items() if c in data.draw(names)}
                for k in truth
                if data.draw(st.booleans())
            },
        )
        for n in range(3)
    ]
    order = data.draw(st.permutations(views))

    assert values_of(merged(*views).frame) == values_of(merged(*order).frame)


@given(PARTS, st.booleans())
@settings(FIXED, max_examples=40)
def test_sorted_with_one_row_a_key(parts: list[tuple[dict[Key, dict[str, Any]], bool]], repeats: bool) -> None:  # noqa: FBT001 - drawn
    """Rows are sorted by key, and each key has one."""
    frame = merged(*(Answer(n, rows, whole=whole, repeats=repeats) for n, (rows, whole) in enumerate(parts))).frame
    keys = frame.select("plant_id", "device_id", "time").rows()

    assert keys == sorted(set(keys))
    assert frame.columns == [column.name for column in TABLE.columns]


def test_the_later_of_equal_rows_counts() -> None:
    """Of rows of one key in what was asked at once the later one is taken, also into an empty partition."""
    first, second = Answer(0, {("a", 0): {"gust": 1.0}}), Answer(1, {("a", 0): {"gust": 2.0}})
    both = pl.concat([first.frame(), second.frame()])

    assert values_of(merge(None, both, TABLE.columns).frame) == {("a", 0): {"gust": 2.0}}
    assert values_of(merge(first.frame(), both, TABLE.columns).frame) == {("a", 0): {"gust": 2.0}}


def test_a_value_never_becomes_null() -> None:
    """What a later answer lacks stays, and is told as vanished."""
    outcome = merged(Answer(0, {("a", 0): {"gust": 1.0}, ("a", 1): {}}), Answer(1, {("a", 0): {"gust": None}}))

    assert cells(outcome.frame) == {("a", 0): ({"gust": 1.0}, 0), ("a", 1): ({}, 0)}
    assert revisions_of(outcome) == [("a", 0, "gust", 1.0, None, 1)]
    assert not outcome.changed


def test_zero_is_a_value() -> None:
    """Nought is not nothing: it replaces and is kept."""
    outcome = merged(Answer(0, {("a", 0): {"gust": 1.0}}), Answer(1, {("a", 0): {"gust": 0.0}}))

    assert cells(outcome.frame) == {("a", 0): ({"gust": 0.0}, 1)}
    assert revisions_of(outcome) == [("a", 0, "gust", 1.0, 0.0, 1)]


OLD = {("a", 0): {"gust": 1.0}, ("a", 1): {"gust": 2.0}, ("b", 0): {"gust": 9.0}}
NEW = {("a", 0): {"gust": 1.0}, ("a", 3): {"gust": 4.0}}


@pytest.mark.parametrize(
    "change",
    [{"minutes": 15}, {"minutes": None}, {"offset": 2}, {"repeats": True}],
    ids=["resolution", "point samples", "zone", "repeated hour"],
)
def test_a_whole_day_replaces(change: dict[str, Any]) -> None:
    """Where resolution or zone changed or an hour repeats, the newer whole day replaces its series and no other."""
    outcome = merged(Answer(0, OLD), Answer(1, NEW, **change))

    assert values_of(outcome.frame) == {("b", 0): {"gust": 9.0}, **NEW}
    assert revisions_of(outcome) == [("a", 1, "gust", 2.0, None, 1)]
    assert outcome.changed


@pytest.mark.parametrize("change", [{"minutes": 15}, {"offset": 2}, {"repeats": True}])
def test_a_boundary_row_never_replaces(change: dict[str, Any]) -> None:
    """A row of an answer that was not for the whole day goes beside the others."""
    outcome = merged(Answer(0, OLD), Answer(1, {("a", 3): {"gust": 4.0}}, whole=False, **change))

    assert values_of(outcome.frame) == {**OLD, ("a", 3): {"gust": 4.0}}
    assert revisions_of(outcome) == []


@FIXED
@given(
    old=st.integers(1, 40), new=st.integers(1, 40), before=st.sampled_from([5, None]), after=st.sampled_from([15, None])
)
def test_what_covers_less_replaces_nothing(old: int, new: int, before: int | None, after: int | None) -> None:
    """An answer in another resolution takes rows away only where it covers as much time (or has as many rows)."""
    slots = {("a", 3 * n): {"gust": 1.0} for n in range(old)}
    later = {("a", 1 + 3 * n): {"gust": 2.0} for n in range(new)}
    outcome = merged(Answer(0, slots, minutes=before), Answer(1, later, minutes=after))
    as_complete = 15 * new >= 5 * old if before and after else new >= old
    replaced = as_complete and before != after

    assert values_of(outcome.frame) == (later if replaced else {**slots, **later})


def test_a_row_without_resolution_among_others_replaces_nothing() -> None:
    """A whole day with one row of which SMA does not tell the resolution is no day of another one."""
    answer = [Answer(1, {("a", n): {"gust": 5.0}}, minutes=minutes).frame() for n, minutes in ((0, 5), (1, None))]
    old = Answer(0, {("a", n): {"gust": 1.0} for n in range(2, 5)}).frame().drop("_date", "_whole", "_repeats")
    outcome = merge(old, pl.concat(answer), TABLE.columns)

    assert outcome.frame.height == 5


def test_an_empty_answer_never_replaces() -> None:
    """An answer without rows leaves everything as it is."""
    outcome = merged(Answer(0, OLD), Answer(1, {}, minutes=15, repeats=True))

    assert cells(outcome.frame) == cells(Answer(0, OLD).frame())
    assert not outcome.changed


def test_a_day_that_keeps_its_zone_is_not_replaced() -> None:
    """Without a change a shorter answer takes no row away."""
    outcome = merged(Answer(0, OLD), Answer(1, {("a", 0): {"gust": 1.0}}))

    assert values_of(outcome.frame) == OLD
    assert not outcome.changed


def test_what_is_replaced_by_the_same_keeps_its_moment() -> None:
    """On a day with a repeated hour, read again and again, a row's moment moves only when its values do."""
    first = Answer(0, {("a", 0): {"gust": 1.0}, ("a", 1): {"gust": 2.0}}, repeats=True)
    second = Answer(1, {("a", 0): {"gust": 1.0}, ("a", 1): {"gust": 3.0}}, repeats=True)
    outcome = merged(first, second)

    assert cells(outcome.frame) == {("a", 0): ({"gust": 1.0}, 0), ("a", 1): ({"gust": 3.0}, 1)}
    assert revisions_of(outcome) == [("a", 1, "gust", 2.0, 3.0, 1)]


def test_vanished_rows_are_known_when_their_own_series_was_asked() -> None:
    """The moment a replaced row is known to be gone is that of its own series' answer."""
    new = [
        Answer(1, {("a", 0): {"gust": 1.0}}, repeats=True).frame(),
        Answer(5, {("b", 0): {"gust": 9.0}}, repeats=True).frame(),
    ]
    outcome = merge(Answer(0, OLD).frame().drop("_date", "_whole", "_repeats"), pl.concat(new), TABLE.columns)

    assert revisions_of(outcome) == [("a", 1, "gust", 2.0, None, 1)]


@pytest.mark.parametrize("lacking", ["old", "new", "both"])
def test_columns_gained_later(lacking: str) -> None:
    """Rows from before a channel was known lack its column; they merge all the same."""
    old, new = Answer(0, {("a", 0): {}, ("a", 1): {}}).frame(), Answer(1, {("a", 1): {"gust": 1.0}}).frame()
    if lacking != "new":
        old = old.drop("gust_new")
    if lacking != "old":
        new = new.drop("gust_new")
    outcome = merge(merge(None, old, TABLE.columns).frame, new, TABLE.columns)

    assert values_of(outcome.frame) == {("a", 0): {}, ("a", 1): {"gust": 1.0}}
    assert outcome.frame.schema == schema.polars_schema(TABLE.columns)


def test_rows_by_index_have_a_key_of_their_own() -> None:
    """In a companion table the index is part of the key."""
    first = Answer(0, {("a", 0): {"x": 1.0}}).frame(TABLE.index_columns)
    other = first.with_columns(index=pl.lit("B"), x=pl.lit(2.0))
    newer = Answer(1, {("a", 0): {"x": 3.0}}).frame(TABLE.index_columns)
    before = merge(None, pl.concat([other, first]), TABLE.index_columns).frame
    outcome = merge(before, newer, TABLE.index_columns)

    assert outcome.frame.select("index", "x").rows() == [("A", 3.0), ("B", 2.0)]
    assert outcome.revisions.select("index", "channel", "old", "new").rows() == [("A", "x", 1.0, 3.0)]


def test_plant_tables_have_no_device() -> None:
    """A table of plants is keyed by plant and time, and its revisions name no device."""
    table = schema.build(Level.PLANT, "EnergyBalance", "plant_energy_balance", {})
    rows = {("", 0): {"pv_generation": 1.0}}
    names = [c.name for c in table.columns] + ["_date", "_whole", "_repeats"]
    columns = (schema.DEVICE_ID, *table.columns)
    old = Answer(0, rows).frame(columns).select(names)
    new = Answer(1, {("", 0): {"pv_generation": 2.0}}).frame(columns).select(names)
    outcome = merge(merge(None, old, table.columns).frame, new, table.columns)

    assert outcome.frame.get_column("pv_generation").to_list() == [2.0]
    assert outcome.revisions.select("plant_id", "device_id", "index", "new").rows() == [("1", None, None, 2.0)]
