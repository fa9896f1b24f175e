"""The rows of one answer: the fast way is exact or refuses, and the walk loses nothing."""

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake import schema
from harvester.lake.rows import Reader, Walked, array_column, explode, walk
from harvester.lake.schema import Shape, TableSchema
from harvester.model import Level

FIXED = settings(deadline=None, derandomize=True)

TABLE = schema.build(
    Level.DEVICE,
    "PowerDc",
    "device_power_dc",
    {
        ("foo", Shape.SCALAR): "foo",
        ("both", Shape.SCALAR): "both",
        ("both", Shape.ARRAY): "both",
        ("ullage", Shape.SCALAR): "ullage",
        ("größe", Shape.SCALAR): "x_1",
    },
)
READER = Reader.of(TABLE)
STAMP = '"time":"2024-06-01T12:00:00"'


def row(content: str = "") -> bytes:
    """Return the JSON of one row with a stamp and *content*."""
    return f"[{{{STAMP}{',' if content else ''}{content}}}]".encode()


def fast(raw: bytes) -> pl.DataFrame | None:
    """Return the rows as the fast way reads them, None where it refuses."""
    parsed = READER.parse(raw)
    return parsed.frame if parsed and READER.exact([parsed]) else None


def agree(raw: bytes) -> bool:
    """Tell whether the fast way took *raw*; fail where what it took is not what the walk finds."""
    frame = fast(raw)
    if frame is None:
        return False
    walked = walk(raw)
    names = {name: array_column(column) if name in READER.arrays else column for name, column in READER.rename.items()}
    known = frame.rename(names)

    assert set(walked.found) <= set(TABLE.names)
    assert not any(walked.other)
    assert not any(shape is Shape.ARRAY for name, shape in walked.found if name == "both")
    assert known.equals(walked.frame(TABLE).select(known.columns))
    return True


TAKEN = [
    "",
    '"isolationResistance":1',
    '"isolationResistance":-0.0,"foo":2.5e3',
    '"isolationResistance":18446744073709551615,"foo":123456789012345678901234567890',
    '"isolationResistance":1e-400,"foo":5e-324',
    '"dcPowerInput":[]',
    '"dcPowerInput":[{"index":"A","value":1.5},{"index":"B","value":2}],"foo":7',
    '"dcPowerInput":[{"value":1.5,"index":"B"}],"dcVoltageInput":[{"index":"A"}]',
    '"größe":3,"ullage":4',
    ' "foo" :\n 1 ',
]

REFUSED = [
    '"gap":5',
    '"foo":null',
    '"foo":true',
    '"foo":false',
    '"foo":"5"',
    '"foo":[1]',
    '"foo":{"a":1}',
    '"foo":1,"foo":2',
    '"both":[{"index":"A","value":1}]',
    '"dcPowerInput":5',
    '"dcPowerInput":[5]',
    '"dcPowerInput":[null]',
    '"dcPowerInput":[{}]',
    '"dcPowerInput":[{"value":1}]',
    '"dcPowerInput":[{"index":null,"value":1}]',
    '"dcPowerInput":[{"index":1,"value":1}]',
    '"dcPowerInput":[{"index":1.5,"value":1}]',
    '"dcPowerInput":[{"index":true,"value":1}]',
    '"dcPowerInput":[{"index":"A","value":true}]',
    '"dcPowerInput":[{"index":"A","value":"1"}]',
    '"dcPowerInput":[{"index":"A","value":1,"unit":2}]',
    '"dcPowerInput":[{"index":"A","value":1},{"index":"A","value":2}]',
    '"dcPowerInput":{"index":"A","value":1}',
    '"dcPowerInput":[[{"index":"A","value":1}]]',
    '"fo\\u006f":1',
    '"wo\\"rd":1',
]

DECEIVING = [
    '"dcPowerInput":[{"index":1,"value":2.0}],"gap":5',
    '"dcPowerInput":[{"index":1,"value":2.0},{"index":2,"value":2.0}],"other":"word"',
    '"dcPowerInput":[{"index":1,"value":2.0}],"gap":null',
    '"dcPowerInput":[{"index":-1,"value":2.0}],"dcPowerInput":[]',
    '"dcPowerInput":[{"index":"1","value":2.0},{"index":2,"value":2.0}],"gap":5',
    '"dcPowerInput":[{"index":1.5,"value":2.0},{"index":"A\\"\\"","value":2.0}]',
    '"foo":1,"foo":2,"dcPowerInput":[{"index":7,"value":1}]',
    '"dcPowerInput":[{"index":1,"va\\u006cue":2.0}],"foo":false',
]
"""Rows in which a number taken for a word makes up for the quotation marks of what would be dropped."""


@pytest.mark.parametrize("content", TAKEN)
def test_the_fast_way_takes_what_it_knows(content: str) -> None:
    """Known channels are read the fast way, exactly."""
    assert agree(row(content))


@pytest.mark.parametrize("content", [*REFUSED, *DECEIVING])
def test_the_fast_way_refuses_the_rest(content: str) -> None:
    """What would be dropped or bent is refused, also beside rows that are well."""
    well = row('"foo":1,"dcPowerInput":[{"index":"A","value":1}]')[:-1]

    assert fast(row(content)) is None
    assert fast(well + b"," + row(content)[1:]) is None


@pytest.mark.parametrize(
    "raw", ['[{"time":1,"foo":2}]', '[{"time":1,"gap":2}]', '[{"time":true}]', "[{}]", "[null]", "[[]]"]
)
def test_a_row_without_a_stamp_in_words(raw: str) -> None:
    """A row whose time is missing or is not in words is refused by both ways."""
    assert fast(raw.encode()) is None
    with pytest.raises(ValueError, match="`time` in words"):
        walk(raw.encode())


def test_no_rows() -> None:
    """An empty list is no rows."""
    assert agree(b"[]")
    assert agree(b" [ \n ] ")


@pytest.mark.parametrize(
    "raw", [b"", b"[", b"{}", b"null", b"[{]", row() + b"x", row('"foo":NaN'), row('"foo":01'), b"\xff"]
)
def test_what_is_no_list_of_rows(raw: bytes) -> None:
    """What is no JSON list is refused by the fast way, and a ValueError of the walk."""
    assert fast(raw) is None
    with pytest.raises(ValueError, match=r"."):
        walk(raw)


def test_an_array_that_has_an_index_twice_in_any_row() -> None:
    """An index that comes twice in one array is found among rows of any pattern."""
    patterns = [["A", "B"], ["B", "A"], ["A"], [], ["A", "B", "C"]]
    for seed in range(40):
        chance = random.Random(seed)  # noqa: S311 - rows, not secrets
        rows = [chance.choice(patterns) for _ in range(6)]
        well = json.dumps([with_indexes(indexes) for indexes in rows]).encode()
        spoiled = json.dumps([with_indexes(indexes) for indexes in [*rows, ["B", "A", "B"]]]).encode()

        assert agree(well)
        assert fast(spoiled) is None


def with_indexes(indexes: list[str]) -> dict[str, Any]:
    """Return a row with one array."""
    return {"time": "2024-06-01T12:00:00", "dcPowerInput": [{"index": index, "value": 1.5} for index in indexes]}


FRAGMENTS = [
    *(
        '"',
        '"index"',
        '"value"',
        '"time"',
        '"dcPowerInput"',
        '"foo"',
        '"both"',
        '"ullage"',
        '"unknown"',
        "true",
        "null",
    ),
    *("false", "1", "-0", "1.5", '"A"', '"1"', '""', "{", "}", "[", "]", ",", ":", "\\u0075", "\\u006c", '\\"', "\\\\"),
    *('"2024-06-01T00:05:00"', " ", "\n", '{"index":1,"value":2}', "{}", '{"value":3}', '{"index":"B"}'),
    *('"unknown":5,', '"foo":1,', ',"unknown":7', ',"ullage":null', ',"foo":true', '"word":"u",', "é", "[]"),
]
ROWS = st.lists(
    st.fixed_dictionaries(
        {"time": st.just("2024-06-01T12:00:00")},
        optional={
            "foo": st.floats(allow_nan=False, allow_infinity=False),
            "ullage": st.integers(-(2**64), 2**64),
            "dcPowerInput": st.lists(
                st.fixed_dictionaries({"index": st.sampled_from("AB1")}, optional={"value": st.floats(-9, 9)}),
                max_size=2,
            ),
            "dcVoltageInput": st.lists(st.fixed_dictionaries({"index": st.integers(1, 2), "value": st.just(1)})),
            "unknown": st.integers(0, 9),
        },
    ),
    max_size=3,
)


@given(rows=ROWS, edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(FRAGMENTS)), max_size=4))
@settings(FIXED, max_examples=700)
def test_no_mutation_deceives_the_fast_way(rows: list[Any], edits: list[tuple[float, int, str]]) -> None:
    """However a text is cut and patched, the fast way refuses it or finds what the walk finds."""
    raw = json.dumps(rows, separators=(",", ":"))
    for where, cut, fragment in edits:
        at = int(where * len(raw))
        raw = raw[:at] + fragment + raw[at + cut :]

    assert agree(raw.encode()) in {True, False}


SOUP = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["time", "foo", "both", "dcPowerInput", "index", "value", "ullage", "u", "l", ""]), children
        )
    ),
    max_leaves=12,
)


@given(st.lists(SOUP, max_size=3))
@settings(FIXED, max_examples=200)
def test_no_soup_deceives_the_fast_way(soup: list[Any]) -> None:
    """Any JSON at all is refused by the fast way or read as the walk reads it."""
    assert agree(json.dumps(soup, ensure_ascii=False).encode("utf-8", "surrogatepass")) in {True, False}


@given(st.binary(max_size=60))
@settings(FIXED, max_examples=200)
def test_no_bytes_upset_the_fast_way(raw: bytes) -> None:
    """Any bytes at all are refused, and nothing but a ValueError comes of them."""
    assert not agree(b"[" + raw + b"\xff]")


def _double(chance: random.Random) -> str:
    value = struct.unpack("d", chance.randbytes(8))[0]
    return repr(value) if math.isfinite(value) else "1.0"


NUMBERS: list[Callable[[random.Random], str]] = [
    _double,
    lambda chance: str(chance.getrandbits(chance.randrange(1, 120))),
    lambda chance: f"-{chance.getrandbits(60)}.{chance.getrandbits(60)}",
    lambda chance: f"{chance.random():.40f}",
    lambda chance: f"{chance.getrandbits(64)}e-{chance.randrange(330)}",
    lambda chance: f"{chance.random():.17f}E+{chance.randrange(300)}",
]


@pytest.mark.parametrize("kind", range(len(NUMBERS)))
def test_numbers_are_exact(kind: int) -> None:
    """Both ways read a number to the last bit as Python does, whatever its size and digits."""
    chance = random.Random(kind)  # noqa: S311 - numbers, not secrets
    words = [NUMBERS[kind](chance) for _ in range(600)]
    raw = ("[" + ",".join(f'{{{STAMP},"foo":{word}}}' for word in words) + "]").encode()
    frame = fast(raw)

    assert frame is not None
    assert frame.get_column("foo").to_list() == [float(word) for word in words]
    assert agree(raw)


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
    walked = walk(json.dumps([{"time": "x", "a": value}]).encode())

    assert walked.values == [{("a", Shape.ARRAY): expected}]
    assert walked.other == [None]


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
    walked = walk(json.dumps([{"time": "x", "b": 1, "a": value}]).encode())

    assert walked.values == [{("b", Shape.SCALAR): 1.0}]
    assert [json.loads(words or "") for words in walked.other] == [{"a": value}]


def test_null_is_nothing() -> None:
    """A channel that is null is as one left out."""
    walked = walk(b'[{"time":"x","a":null}]')

    assert (walked.values, walked.other, walked.found) == ([{}], [None], {})


def test_what_is_nested_too_deep_is_a_value_error() -> None:
    """What is nested deeper than can be written again is refused, not an error of another kind."""
    with pytest.raises(ValueError, match="cannot be kept"):
        walk(row('"a":' + "[" * 300 + "]" * 300))


def test_the_last_of_equal_keys_counts() -> None:
    """Of a key that comes twice the last value is taken, and the fast way leaves it to the walk."""
    raw = row('"foo":1,"foo":2')

    assert fast(raw) is None
    assert walk(raw).values == [{("foo", Shape.SCALAR): 2.0}]


def test_exploding_arrays() -> None:
    """Arrays of different indexes come beside each other, one row per index present."""
    walked = Walked(
        times=["x", "y", "z"],
        values=[
            {("dcPowerInput", Shape.ARRAY): [{"index": "B", "value": 2.0}, {"index": "A", "value": 1.0}]},
            {("dcPowerInput", Shape.ARRAY): [], ("dcVoltageInput", Shape.ARRAY): []},
            {("dcVoltageInput", Shape.ARRAY): [{"index": "A", "value": None}, {"index": "C", "value": 3.0}]},
        ],
        other=[None] * 3,
    )
    frame = walked.frame(arrays_only(TABLE)).select("time", pl.selectors.starts_with("[]"))
    exploded = explode(frame, ["[]dc_power_input", "[]dc_voltage_input"], ["time"])

    assert exploded.rows() == [
        ("x", "A", 1.0, None),
        ("x", "B", 2.0, None),
        ("z", "A", None, None),
        ("z", "C", None, 3.0),
    ]


def arrays_only(table: TableSchema) -> TableSchema:
    """Return *table* without its scalars."""
    names = {key: name for key, name in table.names.items() if key[1] is Shape.ARRAY}
    return TableSchema(table.level, table.set, table.table, (), table.arrays, names)
