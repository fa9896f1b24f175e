"""The compiled reader: exact, or it refuses; one text is nothing to another; no byte that is not the text's."""

import json
import math
import os
import random
import struct
import subprocess
import sys
import sysconfig
import tomllib
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake import columns, schema
from harvester.lake.answers import MOST_CHANNELS
from harvester.lake.columns import Reader
from harvester.lake.rows import ELEMENTS, MOST_ROWS, walk
from harvester.lake.schema import Shape
from harvester.model import Level

FIXED = settings(deadline=None, derandomize=True)
pytestmark = pytest.mark.usefixtures("gcc")

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
        ('foo":1,"ullage', Shape.SCALAR): "x_2",
        ("line\nbreak", Shape.SCALAR): "x_3",
    },
)
READER = Reader.of(TABLE)
AT = "2024-06-01T12:00:00"
STAMP = f'"time":"{AT}"'
NOTHING = f"{{{STAMP}}}".encode()
"""A row without a value."""


def row(content: str = "") -> bytes:
    """Return the JSON of one row with a stamp and *content*."""
    return f"[{{{STAMP}{',' if content else ''}{content}}}]".encode()


def fast(raw: bytes) -> pl.DataFrame | None:
    """Return the rows as the reader reads them, None where it refuses; and what it holds nothing in."""
    (height,), frame = READER.read([raw])
    if height is None:
        assert frame.is_empty()
        return None
    assert frame.height == height
    return complete(frame)


def complete(frame: pl.DataFrame) -> pl.DataFrame:
    """Return *frame* with a column for everything that is known."""
    schema = dict.fromkeys(READER.scalars.values(), pl.Float64()) | dict.fromkeys(READER.arrays.values(), ELEMENTS)
    void = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return frame.with_columns(void).select("time", *schema)


def agree(raw: bytes) -> bool:
    """Tell whether the reader took *raw*; fail where what it took is not what the walk finds."""
    known = fast(raw)
    if known is None:
        return False
    walked = walk(raw)

    assert set(walked.found) <= set(TABLE.names)
    assert not any(walked.other)
    assert not any(shape is Shape.ARRAY for name, shape in walked.found if name == "both")
    assert known.equals(complete(walked.frame(TABLE)))
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
    '"foo":null',
    '"gap":null,"unheard-of":null',
    '"dcPowerInput":null',
    '"dcPowerInput":[{"index":"1","value":null},{"index":"","value":2}]',
]

REFUSED = [
    '"gap":5',
    '"gap":nul',
    '"gäp":null',
    '"foo":+1',
    '"foo":.5',
    '"foo":1.',
    '"foo":1e',
    '"foo":1e999',
    '"foo":-',
    '"foo":Infinity',
    '"foo":0x10',
    '"foo":null,"foo":1',
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
    '"dcPowerInput":[{"index":"A","value":1,"value":1}]',
    '"dcPowerInput":[{"index":"A","index":"B"}]',
    '"dcPowerInput":[{"index":"A","value":null,"value":1}]',
    '"dcPowerInput":[{"index":"A"},]',
    '"dcPowerInput":[{"index":"A\n"}]',
    '"dcPowerInput":[{"index":"Ä"}]',
    '"dcPowerInput":' + json.dumps([{"index": 65 * "A"}]),
    '"dcPowerInput":' + json.dumps([{"index": str(n)} for n in range(65)]),
    '"foo":' + 513 * "1",
    '"time":"2024-06-01T12:00:00"',
    '"dcPowerInput":[{"index":"A","value":1},{"index":"A","value":2}]',
    '"dcPowerInput":{"index":"A","value":1}',
    '"dcPowerInput":[[{"index":"A","value":1}]]',
    '"fo\\u006f":1',
    '"wo\\"rd":1',
]


@pytest.mark.parametrize("content", TAKEN)
def test_it_takes_what_it_knows(content: str) -> None:
    """Known channels are read exactly."""
    assert agree(row(content))


@pytest.mark.parametrize("content", REFUSED)
def test_it_refuses_the_rest(content: str) -> None:
    """What is not known, or odd, is refused, also beside rows that are well."""
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


@given(
    moment=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31, 23, 59, 59)),  # noqa: DTZ001
    digits=st.text("0123456789", max_size=9),
)
@settings(FIXED, max_examples=500)
def test_stamps_are_exact(moment: datetime, digits: str) -> None:
    """Every second of every possible year, with a fraction or without, is what the walk makes of it, and Python."""
    word = f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if digits else ''}{digits}"
    raw = json.dumps([{"time": word}]).encode()
    frame = fast(raw)

    assert frame is not None
    assert frame.item(0, "time") == moment.replace(microsecond=int(digits.ljust(6, "0")[:6]))
    assert agree(raw)


def test_every_day_of_the_calendar() -> None:
    """Leap years and the ends of months are those of the calendar; days that there are not are refused."""
    days = [f"{year}-{month:02}-{day:02}" for year in range(1970, 2200) for month in range(1, 13) for day in range(33)]
    heights, frame = READER.read([json.dumps([{"time": f"{day}T23:59:59"}]).encode() for day in days])
    taken = [day for day, height in zip(days, heights, strict=True) if height]

    assert taken == [
        str(date(1970, 1, 1) + timedelta(days=n)) for n in range((date(2200, 1, 1) - date(1970, 1, 1)).days)
    ]
    assert [str(day) for day in frame.get_column("time").dt.date()] == taken


@pytest.mark.parametrize(
    "word",
    [
        *(
            "",
            "x",
            "2024-06-01",
            "2024-06-01T12:00",
            "2024-06-01T12:00:0",
            "2024-06-01T12:00:00Z",
            "1969-12-31T23:59:59",
        ),
        *(
            "2200-01-01T00:00:00",
            "0000-01-01T00:00:00",
            "9999-12-31T23:59:59",
            "2024-06-01T24:00:00",
            "24-06-01T12:00:00",
        ),
        *(
            "2024-06-01T12:60:00",
            "2024-06-01T12:00:60",
            "2024-00-01T12:00:00",
            "2024-13-01T12:00:00",
            "2024-06-01 12:00:00",
        ),
        *(
            "2024/06/01T12:00:00",
            "2024-06-01T12.00.00",
            "2024-06-01t12:00:00",
            "2024-06-01T12:00:00.",
            "2024-06-01T12:00:00,5",
        ),
        *(
            "2024-06-01T12:00:00.1234567890",
            "2024-06-01T12:00:00.12a",
            "2024-06-01T12:00:00+02:00",
            " 2024-06-01T12:00:00",
        ),
        *(
            "2024-06-01T1 :00:00",
            "2024-06-01T-1:00:00",
            "2024-06-01T12:00:+5",
            "+024-06-01T12:00:00",
            "2024-06-01T12:00:00 ",
        ),
    ],
)
def test_odd_stamps_are_left_to_the_walk(word: str) -> None:
    """What is no stamp of a possible year is refused."""
    assert fast(json.dumps([{"time": word}]).encode()) is None


@given(at=st.integers(0, len(AT)), cut=st.integers(0, 3), put=st.text("0123456789-:T. +Z", max_size=3))
@settings(FIXED, max_examples=500)
def test_no_spoiled_stamp_deceives_it(at: int, cut: int, put: str) -> None:
    """However a stamp is cut and patched, it is refused or what the walk reads."""
    assert agree(json.dumps([{"time": AT[:at] + put + AT[at + cut :]}]).encode()) in {True, False}


def test_a_name_that_looks_like_more_than_one_is_not_taken_for_them() -> None:
    """A server may make up a channel whose name is a piece of a row; rows that have that piece are read as they are."""
    assert agree(row('"foo":1,"ullage":2'))
    assert not agree(row('"foo\\":1,\\"ullage":2'))
    assert fast(row('"line\nbreak":1')) is None


def test_no_rows() -> None:
    """An empty list is no rows."""
    assert agree(b"[]")
    assert agree(b" [ \n ] ")


@pytest.mark.parametrize(
    "raw", [b"", b"[", b"{}", b"null", b"[{]", row() + b"x", row('"foo":NaN'), row('"foo":01'), b"\xff"]
)
def test_what_is_no_list_of_rows(raw: bytes) -> None:
    """What is no JSON list is refused by the reader, and a ValueError of the walk."""
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
def test_no_mutation_deceives_it(rows: list[Any], edits: list[tuple[float, int, str]]) -> None:
    """However a text is cut and patched, the reader refuses it or finds what the walk finds."""
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
def test_no_soup_deceives_it(soup: list[Any]) -> None:
    """Any JSON at all is refused by the reader or read as the walk reads it."""
    assert agree(json.dumps(soup, ensure_ascii=False).encode("utf-8", "surrogatepass")) in {True, False}


@given(st.binary(max_size=60))
@settings(FIXED, max_examples=200)
def test_no_bytes_upset_it(raw: bytes) -> None:
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


@pytest.mark.parametrize("word", ["-0", "-0.0", "-0e5", "0", "-1e-400", "-0.0000", "0e-99"])
def test_the_sign_of_nothing(word: str) -> None:
    """A zero has the sign that the walk gives it."""
    frame = fast(row(f'"foo":{word}'))
    walked = walk(row(f'"foo":{word}')).frame(TABLE)

    assert frame is not None
    assert math.copysign(1, frame.item(0, "foo")) == math.copysign(1, walked.item(0, "foo"))


@given(st.lists(st.tuples(ROWS, st.none() | st.floats(0, 1)), max_size=6))
@settings(FIXED, max_examples=300)
def test_texts_read_together_are_as_if_alone(given_texts: list[tuple[list[Any], float | None]]) -> None:
    """Of a text that ends in the middle of a row nothing is left, whatever was read before and comes after."""
    texts = []
    for rows, end in given_texts:
        text = json.dumps(rows).encode()
        texts.append(text if end is None else text[: int(end * len(text))])
    heights, frame = READER.read(texts)
    alone = [READER.read([text]) for text in texts]

    assert heights == [height for (height,), _ in alone]
    assert complete(frame).equals(pl.concat([complete(READER.read([])[1]), *(complete(one) for _, one in alone)]))


def test_rows_without_end_are_refused() -> None:
    """As many as the walk takes are taken, and not one more."""
    most = b"[" + NOTHING + (b"," + NOTHING) * (MOST_ROWS - 1)

    assert READER.read([most + b"]", most + b"," + NOTHING + b"]", most + b"]"])[0] == [MOST_ROWS, None, MOST_ROWS]


def test_one_odd_row_makes_no_columns_for_all_others() -> None:
    """Where a row of many channels comes after many of none, there would be cells without end: it is refused."""
    names = {f"c{n}".encode(): f"c{n}" for n in range(400)}
    empty = b"[" + NOTHING + (b"," + NOTHING) * (MOST_ROWS // 2 - 1)
    odd = empty + b"," + NOTHING[:-1] + b"".join(b',"%b":1' % name for name in names) + b"}]"
    heights, frame = Reader(names, {}).read([empty + b"]", odd, row('"c7":7')])

    assert heights == [MOST_ROWS // 2, None, 1]
    assert frame.get_column("c7").tail(2).to_list() == [None, 7.0]
    with pytest.raises(ValueError, match="channels"):
        walk(odd)


def test_names_that_are_looked_for_without_end_are_left_to_the_walk() -> None:
    """Nearly always the next name is the one that came there before; where it never is, the search ends."""
    names = {f"c{n:03}".encode(): f"c{n:03}" for n in range(MOST_CHANNELS)}
    reader = Reader(names, {})
    forth = b"[" + NOTHING[:-1] + b"".join(b',"%b":1' % name for name in names) + b"}]"
    strange = b"[" + NOTHING[:-1] + b',"zzzz":null' * 1000 + b"}]"

    assert reader.read([forth, strange])[0] == [1, None]


def test_others_run_meanwhile() -> None:
    """Threads that read at once, and give way to one another for numbers of many digits, read what one reads."""
    chance = random.Random(1)  # noqa: S311 - numbers, not secrets
    numbers = [chance.random() for _ in range(5000)]
    text = json.dumps([{"time": AT, "foo": number, "ullage": -number} for number in numbers]).encode()
    with ThreadPoolExecutor(4) as pool:
        found = [frame for _, frame in pool.map(READER.read, [[text] * 4] * 8)]

    assert all(frame.get_column("foo").to_list() == numbers * 4 for frame in found)


def test_without_it_everything_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was not compiled every text is refused; here it is compiled."""
    assert columns.COMPILED
    monkeypatch.setattr(columns, "COMPILED", False)

    heights, frame = READER.read([row(), b"[]"])

    assert heights == [None, None]
    assert frame.equals(READER.read([])[1])


def test_a_part_of_an_answer_is_read_as_if_it_were_all() -> None:
    """What stands around the rows in an answer's body is not looked at."""
    text = row('"foo":1.5')
    body = memoryview(b'{"set":' + text + b"7}")

    assert READER.read([body[7 : 7 + len(text)]])[1].equals(READER.read([text])[1])
    assert READER.read([body[7 : 8 + len(text)]])[0] == [None]


@pytest.mark.parametrize(
    "arguments",
    [
        ([bytearray(b"[]")], (), ()),
        (["[]"], (), ()),
        ([b"[]"], ("foo",), ()),
        ([b"[]"], 5, ()),
        (5, (), ()),
        ([], (), "foo"),
    ],
)
def test_what_is_not_bytes_is_a_type_error(arguments: tuple[Any, Any, Any]) -> None:
    """Words, and what is no sequence, are refused as Python's own functions do."""
    with pytest.raises(TypeError):
        columns._columns.read(*arguments)


def test_every_header_travels_with_the_source() -> None:
    """A source distribution holds all that the reader is compiled from: one that is forgotten costs it, silently."""
    root = Path(__file__).parents[2]
    (extension,) = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    named = {*extension["sources"], *extension["depends"]}

    assert named == {str(file.relative_to(root)) for file in (root / "harvester/lake/compiled").iterdir()}


def test_it_keeps_no_memory() -> None:
    """Whatever it reads, refuses or fails on, all memory is given back."""
    texts = [row('"foo":1,"dcPowerInput":[{"index":"A","value":0.30000000000000004}]') * n for n in (1, 2)] * 20

    def all_kinds() -> None:
        READER.read(texts)
        with pytest.raises(TypeError):
            columns._columns.read([*texts, None], (b"foo",), (b"dcPowerInput",))

    all_kinds()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            all_kinds()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert kept < 20_000  # one kilobyte of each reading would be twice as much


def test_no_byte_is_touched_that_is_not_its_own(gcc: Path, tmp_path: Path) -> None:
    """Under the compiler's sanitizers tens of thousands of mutilated texts are read without a word."""
    source = Path(columns.__file__).with_name("compiled") / "columns.c"
    module = tmp_path / f"_columns{sysconfig.get_config_var('EXT_SUFFIX')}"
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-DEXACT"]
    include = f"-I{sysconfig.get_paths()['include']}"
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-shared", "-fPIC"]
    subprocess.run([gcc, *strict, *checks, include, str(source), "-o", str(module)], check=True)
    library = subprocess.run(
        [gcc, "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    env = {**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    child = [sys.executable, str(Path(__file__).parents[1] / "support/mutilated.py"), str(module), "20000"]
    done = subprocess.run(child, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    taken, refused = (int(word) for word in done.stdout.split())
    assert taken > 2000
    assert refused > 2000
