"""The rows of one answer, value by value: the walk loses nothing."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from harvester.lake import schema
from harvester.lake.rows import MOST_ROWS, explode, walk
from harvester.lake.schema import Shape
from harvester.model import Level

TABLE = schema.build(
    Level.DEVICE,
    "PowerDc",
    "device_power_dc",
    {("a", Shape.SCALAR): "a", ("b", Shape.SCALAR): "b", ("a", Shape.ARRAY): "a_1"},
)
STAMP = "2024-06-01T12:00:00"


def walked(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Return *rows* as they come out of the walk, by column, without stamps and what is nothing."""
    frame = walk(json.dumps([{"time": STAMP, **row} for row in rows]).encode()).frame(TABLE)
    return [{name: value for name, value in row.items() if value is not None} for row in frame.drop("time").to_dicts()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], []),
        ([{"index": "A", "value": 1}], [{"index": "A", "value": 1.0}]),
        ([{"index": 1, "value": 1.5}, {"index": "A"}], [{"index": "1", "value": 1.5}, {"index": "A", "value": None}]),
    ],
)
def test_what_an_array_is(value: object, expected: object) -> None:
    """A list of indexes with numbers is an array; an index that is a whole number is taken as a word."""
    assert walked({"a": value}, {}, {"a": value}) == [{"[]a_1": expected}, {}, {"[]a_1": expected}]


@pytest.mark.parametrize(
    "value",
    [
        True,
        "",
        "12",
        {},
        {"index": "A", "value": 1},
        [1],
        [None],
        [{}],
        [{"value": 1}],
        [{"index": "A", "value": 1}, {"index": "A", "value": 2}],
        [{"index": 1, "value": 1}, {"index": "1", "value": 2}],
        [{"index": True, "value": 1}],
        [{"index": 1.5, "value": 1}],
        [{"index": "A", "value": "1"}],
        [{"index": "A", "value": False}],
        [{"index": "A", "value": 1, "unit": "W"}],
    ],
)
def test_what_goes_to_other(value: object) -> None:
    """What is neither number nor index array is kept whole, as JSON."""
    found, after = walked({"b": 1, "a": value}, {"b": 2})

    assert json.loads(found.pop("other")) == {"a": value}
    assert (found, after) == ({"b": 1.0}, {"b": 2.0})


def test_null_is_nothing() -> None:
    """A channel that is null is as one left out."""
    assert walked({"a": None}) == [{}]
    assert walk(b'[{"time":"x","a":null}]').found == []


def test_channels_are_told_in_the_order_of_their_coming() -> None:
    """One that comes as a number and as an array is told twice; what goes to `other` is none."""
    rows = [{"time": "x", "b": 1, "odd": "word"}, {"time": "x", "a": [], "b": 2}, {"time": "x", "a": 3}]

    assert walk(json.dumps(rows).encode()).found == [("b", Shape.SCALAR), ("a", Shape.ARRAY), ("a", Shape.SCALAR)]


def test_what_is_nested_too_deep_is_a_value_error() -> None:
    """What is nested deeper than can be written again is refused, not an error of another kind."""
    with pytest.raises(ValueError, match="cannot be kept"):
        walk(b'[{"time":"x","a":' + b"[" * 300 + b"]" * 300 + b"}]")


def test_the_last_of_equal_keys_counts() -> None:
    """Of a key that comes twice the last value is taken."""
    assert walk(b'[{"time":"x","a":1,"a":2}]').scalars == {"a": [2.0]}


def test_rows_without_end_are_refused() -> None:
    """An answer has no more rows than any period can have."""
    with pytest.raises(ValueError, match="120,001 rows"):
        walk(b"[" + b'{"time":""},' * MOST_ROWS + b'{"time":""}]')


def test_exploding_arrays() -> None:
    """Arrays of different indexes come beside each other, one row per index present."""
    one, two = {"index": "A", "value": 1.0}, {"index": "B", "value": 2.0}
    rows = [
        {"time": STAMP, "dcPowerInput": [two, one]},
        {"time": f"{STAMP}.1", "dcPowerInput": [], "dcVoltageInput": []},
        {"time": f"{STAMP}.2", "dcVoltageInput": [{"index": "A"}, {"index": "C", "value": 3.0}]},
    ]
    frame = walk(json.dumps(rows).encode()).frame(TABLE)
    exploded = explode(frame, ["[]dc_power_input", "[]dc_voltage_input"], ["time"])
    at = datetime.fromisoformat(STAMP)

    assert exploded.rows() == [
        (at, "A", 1.0, None),
        (at, "B", 2.0, None),
        (at + timedelta(milliseconds=200), "A", None, None),
        (at + timedelta(milliseconds=200), "C", None, 3.0),
    ]
