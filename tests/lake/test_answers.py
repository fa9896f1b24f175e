"""Whole answers: rows are found the quick way or the long one, alone or with others, and are always the same."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake import columns
from harvester.lake.answers import MOST_CHANNELS, read_all
from harvester.lake.registry import Registry
from harvester.model import Level, Payload, Period, Series, Slice

FIXED = settings(deadline=None, derandomize=True, max_examples=200)
ASKED = datetime(2024, 6, 3, 8, 0, tzinfo=UTC)
DAY = date(2024, 6, 1)
ROW = '{"time":"2024-06-01T12:00:00","isolationResistance":5}'
ROWS = f"[{ROW}]"
PLANT = '"plant":{"plantId":"1","timezone":"Europe/Berlin"}'
HELD = [
    f'{{{PLANT},"resolution":"FiveMinutes","set":{ROWS}}}',
    f'{{"set":{ROWS},{PLANT},"resolution":"FiveMinutes"}}',
    f'{{"set":{ROWS},"tags":["a","]"],{PLANT}}}',
    f'{{"tags":[{{"set":[1]}}],"set":{ROWS},{PLANT}}}',
    f'{{"tags":{{"set":{ROWS}}},"set" :[{ROW},{ROW}]}}',
    f'{{"x\\"set":[1],"set":{ROWS}}}',
    f'{{"note":"\\"set\\":[]","set":{ROWS}}}',
    f'{{"set":[],"set":{ROWS}}}',
    f'{{"set" :[],"set":{ROWS}}}',
    f'{{"set":[],"set" :{ROWS}}}',
    f'{{"set":5,"set":{ROWS}}}',
    f'{{"set":{ROWS},"plant":null,"device":{{"deviceId":7}}}}',
    f'{{"set":{ROWS},"device":{{"set":[]}}}}',
    f'{{\n "set": [\n  {ROW}\n ],\n {PLANT}\n}}\n',
    f'{{"set":[{ROW}  ,\n{ROW} ]   }}',
    f'{{"set":{ROW}}}',
    f'{{"s\\u0065t":{ROWS},{PLANT}}}',
    '{"set":[],"resolution":"FiveMinutes"}',
    f'{{"set" :[],"plant":{{"plantId":"1","timezone":"Europe/Berlin","set":{ROWS}}}}}',
    f'{{"s\\u0065t":[],"x":{{"set":{ROWS}}}}}',
    f'{{"set" :[],"a\\"set":{ROWS}}}',
    '{"set":[{"time":"2024-06-01T12:00:00","mystery":{"set":[1]}}]}',
    '{"set":[{"time":"2024-06-01T12:00:00","mystery":"]"}],"resolution":"]"}',
]
"""Answers whose rows a search for the first `set` and the last bracket finds, and others where it would be wrong."""
SPOILED = [
    "",
    "[]",
    f"[{ROWS}]",
    "{}",
    '{"set":null}',
    '{"set":"[]"}',
    '{"set":[]',
    f'{{"set":{ROWS}',
    f'{{"set":{ROWS}}}]',
    f'{{"set":{ROWS},}}',
    f'{{"set":{ROWS},"set":5}}',
    f'{{"set":{ROWS},"set":null}}',
    f'{{"set":[{ROW},],{PLANT}}}',
    f'{{"set":[{ROW}]],{PLANT}}}',
    f'{{"set":[[{ROW}],{PLANT}}}',
    f'{{"set":{ROWS},"plant":[]}}',
    f'{{"set":{ROWS},"plant":{{"plantId":[]}}}}',
    f'{{"other":{{"set":{ROWS}}}}}',
    '{"set":[{"isolationResistance":5}]}',
    '{"set":[5]}',
]
Found = tuple[dict[str, Any], list[dict[str, Any]]]


def payload(body: str) -> Payload:
    """Return an answer of PowerDc."""
    piece = Slice(series=Series(plant_id="1", set="PowerDc", device_id="7"), period=Period.DAY, date=DAY, days=(DAY,))
    return Payload(slice=piece, body=body.encode(), asked_at=ASKED)


def read(bodies: Sequence[str]) -> list[Found | None]:
    """Return what surrounds the rows of each of *bodies*, and what the rows hold; None for what is bad."""
    with tempfile.TemporaryDirectory() as folder:
        registry, payloads = Registry(Path(folder) / "registry.json"), [payload(body) for body in bodies]
        _, stacks, bad = read_all(payloads, registry, registry.table(Level.DEVICE, "PowerDc"))
    found: dict[int, Found | None] = {id(one.payload): None for one in bad}
    for stack in stacks:
        for one in stack.each():
            (reply,) = one.replies
            assert reply.height == one.frame.height
            assert id(reply.payload) not in found
            found[id(reply.payload)] = (about(reply.envelope), held(one.frame))
    return [found[id(one)] for one in payloads]


def held(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what each row of *frame* holds."""
    return [{name: value for name, value in row.items() if value is not None} for row in frame.to_dicts()]


def about(envelope: Any) -> dict[str, Any]:
    """Return what an envelope says, without the rows."""
    plant, device = envelope.plant, envelope.device
    return {
        "plant": (plant.plant_id, plant.timezone) if plant else None,
        "device": device.device_id if device else None,
        "resolution": envelope.resolution,
    }


def expected(body: str) -> Found:
    """Return what Python's own reader makes of an answer."""
    document = json.loads(body)
    rows = document["set"] if isinstance(document["set"], list) else [document["set"]]
    plant, device = document.get("plant"), document.get("device")
    said = {
        "plant": (plant.get("plantId"), plant.get("timezone")) if plant else None,
        "device": device.get("deviceId") if device else None,
        "resolution": document.get("resolution"),
    }
    return said, rows


@pytest.mark.parametrize("body", HELD)
def test_the_rows_are_those_of_the_answer(body: str) -> None:
    """Whatever stands around the rows, and wherever else a `set` or a bracket is, the answer's own rows are found."""
    (found,) = read([body])
    said, rows = expected(body)

    assert found is not None
    assert found[0] == said
    assert len(found[1]) == len(rows)
    for have, want in zip(found[1], rows, strict=True):
        assert have["time"] == datetime.fromisoformat(want["time"])
        assert have.get("isolation_resistance") == want.get("isolationResistance")
        assert json.loads(have.get("other", "{}")) == ({"mystery": want["mystery"]} if "mystery" in want else {})


@pytest.mark.parametrize("body", SPOILED)
def test_what_is_no_answer_is_told(body: str) -> None:
    """What is not one whole answer is bad, though rows may be found in it."""
    assert read([body, HELD[0]]) == [None, *read([HELD[0]])]


def pieces() -> Iterator[st.SearchStrategy[str]]:
    """Yield what answers are made of."""
    yield st.sampled_from(['"set":', '"set" :', '{"', '"', "[", "]", "{", "}", ",", ":", "5", "null", "\\", " "])
    yield st.sampled_from([ROW, ROWS, PLANT, '"resolution":"FiveMinutes"', '"set":[]', f'"set":{ROWS}'])


@given(st.lists(st.one_of(*pieces()), max_size=12).map("".join))
@FIXED
def test_the_quick_way_finds_what_the_long_one_does(middle: str) -> None:
    """A space before the colon hides `set` from the quick way; whatever is read is the same either way."""
    body = f'{{"set":{ROWS}{middle}}}'
    hidden = body.replace('"set":', '"set" :')

    assert read([body]) == read([hidden])


@given(st.lists(st.sampled_from([*HELD, *SPOILED]), max_size=8))
@FIXED
def test_answers_read_together_are_as_if_alone(bodies: list[str]) -> None:
    """No answer changes what is read of another one."""
    assert read(bodies) == [read([body])[0] for body in bodies]


def test_without_the_compiled_reader_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no compiler was there rows are found more slowly, and are the same."""
    compiled = read([*HELD, *SPOILED])
    monkeypatch.setattr(columns, "COMPILED", False)

    assert read([*HELD, *SPOILED]) == compiled


def test_a_table_has_no_more_channels_than_it_may(tmp_path: Path) -> None:
    """The answer that makes up names without end is bad; those before and after it are kept."""
    many = {"time": "2024-06-01T12:00:00", **{f"made{n}up": n for n in range(MOST_CHANNELS + 1)}}
    registry = Registry(tmp_path / "registry.json")
    bodies = [HELD[0], json.dumps({"set": [many]}), HELD[1]]
    table, stacks, bad = read_all([payload(body) for body in bodies], registry, registry.table(Level.DEVICE, "PowerDc"))

    assert [str(MOST_CHANNELS) in one.reason for one in bad] == [True]
    assert sum(len(stack.replies) for stack in stacks) == 2
    assert len(table.names) < MOST_CHANNELS


def test_a_table_that_has_too_many_channels_already_is_read_on(tmp_path: Path) -> None:
    """Two daemons may each have learned many; answers that hold nothing new are read all the same."""
    file = tmp_path / "registry.json"
    first, second = Registry(file), Registry(file)
    for registry, letter in ((first, "a"), (second, "b")):
        some = {"time": "2024-06-01T12:00:00", **{f"{letter}{n}": n for n in range(MOST_CHANNELS * 2 // 3)}}
        read_all([payload(json.dumps({"set": [some]}))], registry, registry.table(Level.DEVICE, "PowerDc"))
    registry = Registry(file)
    bodies = [json.dumps({"set": [{"time": "2024-06-01T12:00:00", name: 5}]}) for name in ("a7", "made up", "b7")]
    table, stacks, bad = read_all([payload(body) for body in bodies], registry, registry.table(Level.DEVICE, "PowerDc"))

    assert len(table.names) > MOST_CHANNELS
    assert [one.payload.body for one in bad] == [bodies[1].encode()]
    rows = pl.concat([stack.frame for stack in stacks], how="diagonal")
    assert rows.select("a7", "b7").rows() == [(5.0, None), (None, 5.0)]
