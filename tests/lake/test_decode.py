"""Decoding: no channel, no value and no row is lost, and a bad answer costs no other one anything."""

import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from decoded_rows import indexed_in, rows_in
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake.decode import Decoded, decode
from harvester.lake.readings import MARKS
from harvester.lake.registry import Registry
from harvester.lake.schema import Shape, polars_schema
from harvester.model import Payload, Period, Series, Slice

FIXED = settings(deadline=None, derandomize=True)
ASKED = datetime(2024, 6, 3, 8, 0, tzinfo=UTC)
DAY = date(2024, 6, 1)
FIVE = timedelta(minutes=5)
ZONES = {"1": "Europe/Berlin"}
at = datetime.fromisoformat


@contextmanager
def fresh_registry() -> Iterator[Registry]:
    """Offer a registry in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Registry(Path(folder) / "registry.json")


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Offer a registry that knows the catalogue."""
    with fresh_registry() as found:
        yield found


def payload(
    body: bytes | str | Mapping[str, Any],
    *,
    name: str = "PowerDc",
    device: str | None = "7",
    plant: str = "1",
    period: Period = Period.DAY,
    day: date = DAY,
) -> Payload:
    """Return an answer with *body*, which is written as JSON unless it is text."""
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    series = Series(plant_id=plant, set=name, device_id=device)
    piece = Slice(series=series, period=period, date=day, days=(day,))
    return Payload(slice=piece, body=text.encode() if isinstance(text, str) else text, asked_at=ASKED)


def answer(rows: Any, **envelope: Any) -> dict[str, Any]:
    """Return the envelope of *rows*; a member given as None is left out."""
    facts = {
        "plant": {"plantId": "1", "name": "Barn", "timezone": "Europe/Berlin"},
        "device": {"deviceId": "7", "name": "STP", "timezone": "Europe/Berlin"},
        "setType": "PowerDc",
        "resolution": "FiveMinutes",
        "set": rows,
    }
    return {name: value for name, value in (facts | envelope).items() if value is not None}


def row(stamp: str, **channels: Any) -> dict[str, Any]:
    """Return one row."""
    return {"time": stamp, **channels}


NOON = row("2024-06-01T12:00:00", isolationResistance=5)


# What comes out, told by plain Python over the same model.


def shape_of(value: Any) -> Shape | None:
    """Return how a value that is not null is to be stored; None for what goes to `other`."""
    if type(value) in {int, float}:
        return Shape.SCALAR
    if type(value) is not list:
        return None
    for element in value:
        if type(element) is not dict or "index" not in element or not set(element) <= {"index", "value"}:
            return None
        if type(element["index"]) not in {str, int} or type(element.get("value")) not in {int, float, type(None)}:
            return None
    indexes = [str(element["index"]) for element in value]
    return Shape.ARRAY if len(set(indexes)) == len(indexes) else None


def expected_rows(decoded: Decoded, bodies: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the rows that the main table must have, for the devices and rows of *bodies*."""
    names, found = decoded.readings.table.names, []
    for device, rows in bodies:
        for given_row in rows:
            end = at(given_row["time"])
            cells: dict[str, Any] = {column.name: None for column in decoded.readings.table.columns}
            cells |= keys_of(device, end)
            other = {}
            for channel, value in given_row.items():
                if channel == "time" or value is None:
                    continue
                if (shape := shape_of(value)) is Shape.SCALAR:
                    cells[names[channel, shape]] = float(value)
                elif shape is None:
                    other[channel] = value
            cells["other"] = other or None
            found.append(cells)
    return found


def keys_of(device: str, end: datetime) -> dict[str, Any]:
    """Return the cells that place a five-minute row of a summer's day in Berlin."""
    return {
        "plant_id": "1",
        "device_id": device,
        "time": (end - FIVE - timedelta(hours=2)).replace(tzinfo=UTC),
        "local_time": end - FIVE,
        "interval_minutes": 5,
        "harvested_at": ASKED,
    }


def expected_by_index(decoded: Decoded, bodies: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the rows that the companion table must have."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for device, rows in bodies:
        for given_row in rows:
            for channel, value in given_row.items():
                if channel == "time" or shape_of(value) is not Shape.ARRAY:
                    continue
                for element in value:
                    index, number = str(element["index"]), element.get("value")
                    blank = {column.name: None for column in decoded.readings.table.index_columns}
                    place = keys_of(device, at(given_row["time"])) | {"index": index}
                    cells = found.setdefault((device, given_row["time"], index), blank | place)
                    cells[decoded.readings.table.names[channel, Shape.ARRAY]] = (
                        None if number is None else float(number)
                    )
    return list(found.values())


def table_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of *frame* without marks, with `other` as what it says."""
    rows = frame.drop(MARKS).to_dicts()
    for found in rows:
        if found.get("other") is not None:
            found["other"] = json.loads(found["other"])
    return rows


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return companion rows sorted by key."""
    return sorted(rows, key=lambda cells: (cells["device_id"], cells["time"], cells["index"]))


INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.booleans() | INTEGERS | FLOATS | st.text(max_size=4)
SCALARS = FLOATS | INTEGERS | st.integers(2**63, 2**70) | st.sampled_from([0, -0.0, 1e-320, 1.7e308, 0.1])
ARRAYS = st.lists(
    st.fixed_dictionaries(
        {"index": st.sampled_from(["A", "B", "C", "1", "", "ü", '"', 1, 22])},
        optional={"value": FLOATS | st.integers(-9, 9) | st.none()},
    ),
    max_size=3,
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.none() | SCALARS | ARRAYS | NESTED
CHANNELS = st.sampled_from(
    [
        *("isolationResistance", "dcPowerInput", "dcVoltageInput", "dcCurrentInput", "plantId", "deviceId", "Time"),
        *(
            "localTime",
            "intervalMinutes",
            "index",
            "other",
            "harvestedAt",
            "fooBar",
            "foo_bar",
            "FooBar",
            "foo",
            "fooNew",
        ),
        *("Größe", "\u212a", "k", "", "a b", 'quo"te', "back\\slash", "_date", "_row", "[]dc_power_input", "x" * 70),
    ]
)
KNOWN = st.fixed_dictionaries(
    {}, optional={"isolationResistance": SCALARS, "dcPowerInput": ARRAYS, "dcVoltageInput": ARRAYS}
)
ROWS = st.lists(
    st.dictionaries(CHANNELS | st.text(max_size=3).filter(lambda n: n != "time"), VALUES, max_size=5) | KNOWN,
    max_size=4,
)


def written(document: Any, chance: random.Random) -> bytes:
    """Return JSON of *document* in one of the forms a server may choose: indented, reordered, escaped."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return dict(chance.sample([(name, shuffled(inner)) for name, inner in value.items()], len(value)))
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    escaped, indent = chance.random() < 0.3, chance.choice([None, None, 1, "\t"])
    separators = chance.choice([(",", ":"), (", ", " : ")])
    text = json.dumps(shuffled(document), ensure_ascii=escaped, indent=indent, separators=separators)
    if chance.random() < 0.2:
        text = text.replace("time", "t\\u0069me").replace("foo", "f\\u006fo")
    return text.encode("utf-8", "surrogatepass")


@given(st.lists(ROWS, min_size=1, max_size=3), st.randoms(use_true_random=False))
@settings(FIXED, max_examples=100)
def test_nothing_is_lost(model: list[list[dict[str, Any]]], chance: random.Random) -> None:
    """Every value of every row of every answer stands in its cell, and in no other; also with what was learned."""
    stamped = [
        [{**cells, "time": (at("2024-06-01") + FIVE * (n + 1)).isoformat()} for n, cells in enumerate(rows)]
        for rows in model
    ]
    bodies = [(str(n), rows) for n, rows in enumerate(stamped)]
    payloads = [payload(written(answer(rows, device={"deviceId": d}), chance), device=d) for d, rows in bodies]
    with fresh_registry() as registry:
        for _ in range(2):
            decoded = decode(payloads, registry, {})

            assert decoded.bad == ()
            assert table_of(rows_in(decoded)) == expected_rows(decoded, bodies)
            assert rows_in(decoded).drop(MARKS).schema == polars_schema(decoded.readings.table.columns)
            by_index = indexed_in(decoded)
            assert by_index is not None
            assert in_order(by_index.drop(MARKS).to_dicts()) == in_order(expected_by_index(decoded, bodies))
            assert sum(count.rows for count in decoded.counts) == rows_in(decoded).height


def test_a_plain_answer(registry: Registry) -> None:
    """A plain answer becomes a row with ids, times, interval, values and the moment it was asked for."""
    rows = [row("2024-06-01T00:05:00", dcPowerInput=[{"index": "A", "value": 1.5}], isolationResistance=3)]
    decoded = decode([payload(answer(rows))], registry, {})
    opening = ("1", "7", at("2024-05-31T22:00:00+00:00"), at("2024-06-01"), 5)

    assert rows_in(decoded).rows() == [(*opening, 3.0, None, ASKED, DAY, True, False)]
    by_index = indexed_in(decoded)
    assert by_index is not None
    assert by_index.rows() == [(*opening, "A", 1.5, None, None, ASKED, DAY, True, False)]


def test_a_plant_answer_has_no_device(registry: Registry) -> None:
    """A table of plants has no column for devices and no companion."""
    body = answer([row("2024-06-01T12:00:00", pvGeneration=1)], device=None)
    decoded = decode([payload(body, name="EnergyBalance", device=None)], registry, {})

    assert "device_id" not in rows_in(decoded).columns
    assert rows_in(decoded).get_column("pv_generation").to_list() == [1.0]
    assert indexed_in(decoded) is None


def test_the_midnight_row_belongs_to_the_day_before(registry: Registry) -> None:
    """A row stamped at midnight ends the day before, and is counted there."""
    rows = [row("2024-06-01T00:05:00"), row("2024-06-02T00:00:00"), row("2024-06-02T00:05:00")]
    decoded = decode([payload(answer(rows))], registry, {})

    assert rows_in(decoded).get_column("_date").to_list() == [DAY, DAY, date(2024, 6, 2)]
    assert [(count.day, count.rows, count.minutes, count.newest) for count in decoded.counts] == [
        (DAY, 2, 5, at("2024-06-01T22:00:00+00:00")),
        (date(2024, 6, 2), 1, 5, at("2024-06-01T22:05:00+00:00")),
    ]


def test_a_week_is_counted_by_day(registry: Registry) -> None:
    """The answer to a week tells for each day how many rows it held, beyond the week too."""
    stamps = [at("2024-06-01") + timedelta(hours=h) for h in range(1, 24 * 8, 6)]
    rows = [row(stamp.isoformat()) for stamp in stamps]
    asked = payload(answer(rows, resolution="OneHour"), period=Period.WEEK)
    decoded = decode([asked], registry, {})

    assert {count.day: count.rows for count in decoded.counts} == {DAY + timedelta(days=n): 4 for n in range(8)}
    assert {count.slice for count in decoded.counts} == {asked.slice}


def test_which_days_an_answer_covers(registry: Registry) -> None:
    """A `Day` covers the day asked for; a `Week` each day of which it has more than a boundary row."""
    rows = [row("2024-06-01T00:00:00"), row("2024-06-01T00:05:00"), row("2024-06-01T00:10:00")]
    day, week = (
        rows_in(decode([payload(answer(rows), period=period)], registry, {})).get_column("_whole").to_list()
        for period in (Period.DAY, Period.WEEK)
    )

    assert day == [False, True, True]
    assert week == [False, True, True]


@pytest.mark.parametrize("digits", range(1, 10))
def test_fractional_seconds(registry: Registry, digits: int) -> None:
    """Stamps may have up to nine fractional digits, some of an answer and not others."""
    rows = [row("2024-06-01T12:00:01." + "123456789"[:digits]), row("2024-06-01T12:00:02")]
    decoded = decode([payload(answer(rows, resolution=None))], registry, {})
    fraction = timedelta(microseconds=int("123456789"[:digits][:6].ljust(6, "0")))

    assert rows_in(decoded).get_column("local_time").to_list() == [
        at("2024-06-01T12:00:01") + fraction,
        at("2024-06-01T12:00:02"),
    ]


@pytest.mark.parametrize("resolution", [None, "OneDay", "SevenMinutes"])
def test_a_missing_resolution_is_inferred(registry: Registry, resolution: str | None) -> None:
    """Without a known resolution rows on a grid are intervals of the grid."""
    rows = [row(f"2024-06-01T12:{minute:02d}:00") for minute in (0, 15, 45)]
    decoded = decode([payload(answer(rows, resolution=resolution))], registry, {})

    assert rows_in(decoded).get_column("interval_minutes").to_list() == [15] * 3
    assert rows_in(decoded).get_column("local_time")[0] == at("2024-06-01T11:45:00")


def test_point_samples(registry: Registry) -> None:
    """Without a resolution and a grid a row is a sample at its own stamp; a stub without set type is taken."""
    rows = [row("2024-06-01T00:37:01.2024073"), row("2024-06-01T00:37:01.2024073")]
    decoded = decode([payload(answer(rows, resolution=None, setType=None) | {"total": {"x": 1}})], registry, {})

    assert rows_in(decoded).get_column("interval_minutes").to_list() == [None, None]
    assert rows_in(decoded).get_column("local_time").to_list() == [at("2024-06-01T00:37:01.202407")] * 2
    assert [(count.minutes, count.newest) for count in decoded.counts] == [
        (None, at("2024-05-31T22:37:01.202407+00:00")),
    ]
    assert decoded.bad == ()


def test_a_lone_object_is_one_row(registry: Registry) -> None:
    """A set that is an object instead of a list is one row."""
    decoded = decode([payload(answer(NOON))], registry, {})

    assert rows_in(decoded).get_column("isolation_resistance").to_list() == [5.0]


@pytest.mark.parametrize("rows", ["[]", " [ ] ", "[\n]"])
def test_an_empty_set_is_no_rows(registry: Registry, rows: str) -> None:
    """An empty set is no row and no error, and its tables have all their columns."""
    body = f'{{"plant":{{"timezone":"Europe/Berlin"}},"set":{rows}}}'
    decoded = decode([payload(body)], registry, {})

    assert (rows_in(decoded).height, decoded.counts, decoded.bad) == (0, (), ())
    assert rows_in(decoded).columns == [*polars_schema(decoded.readings.table.columns), *MARKS]
    by_index = indexed_in(decoded)
    assert by_index is not None
    assert by_index.columns == [*polars_schema(decoded.readings.table.index_columns), *MARKS]


@pytest.mark.parametrize(
    ("plant", "device", "expected"),
    [
        (None, None, ("1", "7")),
        ({}, {}, ("1", "7")),
        ({"plantId": None}, {"deviceId": None}, ("1", "7")),
        ({"plantId": 4711}, {"deviceId": 12}, ("4711", "12")),
        ({"plantId": "4711"}, {"deviceId": "12"}, ("4711", "12")),
    ],
)
def test_ids_of_an_answer(registry: Registry, plant: Any, device: Any, expected: tuple[str, str]) -> None:
    """Rows carry the ids that the answer names, in words; where it names none, those asked for."""
    zones = {"1": "Europe/Berlin", "4711": "Europe/Berlin"}
    decoded = decode([payload(answer([NOON], plant=plant, device=device))], registry, zones)

    assert rows_in(decoded).select("plant_id", "device_id").rows() == [expected]


@pytest.mark.parametrize(
    ("named", "zones", "expected"),
    [
        ("Asia/Kolkata", {"1": "Europe/Berlin"}, "2024-06-01T06:25:00+00:00"),
        (None, {"1": "Europe/Berlin"}, "2024-06-01T09:55:00+00:00"),
        (None, {"9": "UTC", "1": "Europe/Berlin"}, "2024-06-01T11:55:00+00:00"),
    ],
)
def test_the_zone_of_an_answer(registry: Registry, named: str | None, zones: dict[str, str], expected: str) -> None:
    """The zone is the answer's, else that of the plant it names, else that of the plant asked for."""
    plant = {"plantId": "9" if "9" in zones else "8", "timezone": named}
    decoded = decode([payload(answer([NOON], plant=plant))], registry, zones)

    assert rows_in(decoded).get_column("time").to_list() == [at(expected)]


@pytest.mark.parametrize(
    ("zone", "reason"),
    [
        ("Mars/Olympus", "not a time zone"),
        ("../etc/passwd", "not the name"),
        (None, "names a time zone"),
        ("", "names a"),
    ],
)
def test_an_unknown_zone(registry: Registry, zone: str | None, reason: str) -> None:
    """An answer whose zone is unknown is bad with the reason, also where it has no rows."""
    for rows in ([NOON], []):
        decoded = decode([payload(answer(rows, plant={"timezone": zone}))], registry, {})

        assert [reason in bad.reason for bad in decoded.bad] == [True]
        assert rows_in(decoded).height == 0


@pytest.mark.parametrize("odd", ["2024-03-31T02:30:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_impossible_stamps_are_partial(registry: Registry, odd: str) -> None:
    """Rows whose stamps cannot be are told and left out; the others are kept, and the answer is partly bad."""
    asked = payload(answer([row("2024-03-31T01:55:00"), row(odd), row("2024-03-31T03:05:00")]))
    decoded = decode([asked], registry, {})

    assert [(bad.payload, bad.partial) for bad in decoded.bad] == [(asked, True)]
    assert odd[:4] in decoded.bad[0].reason
    assert rows_in(decoded).height == 2
    assert [count.rows for count in decoded.counts] == [2]


def test_a_repeated_hour(registry: Registry) -> None:
    """A day with a repeated hour has all its rows, each at its own instant, and is marked."""
    starts = [at("2024-10-26T22:00:00") + FIVE * n for n in range(300)]
    change = at("2024-10-27T01:00:00")
    ends = [s + FIVE + timedelta(hours=2 if s + FIVE < change else 1) for s in starts]
    body = answer([row(end.isoformat()) for end in ends])
    decoded = decode([payload(body, day=date(2024, 10, 27))], registry, {})

    assert rows_in(decoded).get_column("time").dt.replace_time_zone(None).to_list() == starts
    assert [(count.day, count.rows) for count in decoded.counts] == [(date(2024, 10, 27), 300)]
    assert rows_in(decoded).get_column("_repeats").all()


def test_the_last_of_equal_keys_counts(registry: Registry) -> None:
    """Of a key that comes twice in a row or an envelope the last value is taken."""
    body = '{"plant":{"timezone":"UTC"},"set":[],"set":[{"time":"2024-06-01T12:00:00","a":1,"a":2}]}'
    decoded = decode([payload(body)], registry, {})

    assert rows_in(decoded).get_column("a").to_list() == [2.0]


BAD = [
    *(
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"<html>Service Unavailable</html>",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b"{",
    ),
    *(
        b'{"set":null}',
        b'{"set":"x"}',
        b'{"set":5}',
        b'{"set":true}',
        b'{"set":[5]}',
        b'{"set":[null]}',
        b'{"set":[{}]}',
    ),
    *(b'{"set":[[]]}', b'{"set":{}}', b'{"set":[{"time":null}]}', b'{"set":[{"time":1}]}', b'{"set":[{"time":""}]}'),
    *(b'{"set":[{"time":"today"}]}', b'{"set":[{"time":"2024-06-01T12:00:00Z"}]}', b'{"set":[],}', b'{"set":[]}{}'),
    *(b'{"set":[{"time":"0000-01-01T00:00:00"}]}', b'{"set":[{"time":"2024-06-01T12:00:00","a":1e999}]}'),
    *(b'{"plant":5,"set":[]}', b'{"plant":{"plantId":1.5},"set":[]}', b'{"resolution":5,"set":[]}', b'{"set":[}'),
    *(b'{"set":[{"time":"2024-06-01T12:00:00","a":NaN}]}', b'{"set":[{"time":"2024-06-01T12:00:00","a":"\xff"}]}'),
    *(b'{"set":' + b"[" * 99999, b'{"set":[{"time":"2024-06-01T12:00:00","a":' + b"[" * 300 + b"]" * 300 + b"}]}"),
    *(b'{"a":' + b'{"a":' * 99999, b'{"set":[{"time":"2024-06-01T12:00:00","a":"\\ud800"}]}'),
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: body[:40].decode("ascii", "replace"))
def test_a_bad_answer_costs_no_other(registry: Registry, body: bytes) -> None:
    """What cannot be read is bad with a reason, and the answers around it are read as if it were not there."""
    good = [payload(answer([NOON], device={"deviceId": d}), device=d) for d in ("8", "9")]
    alone = decode(good, registry, ZONES)
    decoded = decode([good[0], payload(body), good[1]], registry, ZONES)

    assert [(bad.payload.body, bad.partial, bool(bad.reason)) for bad in decoded.bad] == [(body, False, True)]
    assert rows_in(decoded).equals(rows_in(alone))
    assert decoded.counts == alone.counts


@given(st.floats(0, 1, exclude_max=True), st.booleans())
@settings(FIXED, max_examples=60)
def test_a_truncated_answer_is_bad(where: float, known: bool) -> None:  # noqa: FBT001 - drawn
    """However an answer is cut short, it is bad, and no row of another is lost."""
    extra = {} if known else {"foo": [True]}
    whole = json.dumps(answer([NOON, row("2024-06-01T12:05:00", isolationResistance=1, **extra)])).encode()
    cut = payload(whole[: int(where * len(whole))])
    with fresh_registry() as registry:
        decoded = decode([payload(whole), cut], registry, {})

    assert [bad.payload for bad in decoded.bad] == [cut]
    assert decoded.bad[0].reason
    assert rows_in(decoded).height == 2


SOUP = st.recursive(
    LEAVES | st.none() | st.sampled_from(["2024-06-01T12:00:00", "Europe/Berlin", "FiveMinutes"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["time", "index", "value", "dcPowerInput", "timezone", "plantId", "x"]), inner
        )
    ),
    max_leaves=10,
)
ENVELOPES = st.fixed_dictionaries(
    {"set": SOUP | st.lists(st.fixed_dictionaries({"time": st.just("2024-06-01T12:00:00")}, optional={"x": SOUP}))},
    optional={"plant": SOUP, "device": SOUP, "resolution": SOUP, "setType": SOUP, "total": SOUP},
)


@given(ENVELOPES.map(json.dumps).map(str.encode) | SOUP.map(json.dumps).map(str.encode) | st.binary(max_size=40))
@settings(FIXED, max_examples=100)
def test_soup(body: bytes) -> None:
    """Any JSON, any bytes: rows or a reason, never another exception, never a row of another answer lost."""
    good, soup = payload(answer([NOON])), payload(body, device="9")
    with fresh_registry() as registry:
        decoded = decode([soup, good], registry, ZONES)
    spoiled = [bad for bad in decoded.bad if not bad.partial]

    assert [bad.payload for bad in spoiled] in ([], [soup])
    assert all(bad.reason for bad in decoded.bad)
    assert rows_in(decoded).filter(device_id="7").get_column("isolation_resistance").to_list() == [5.0]
    assert sum(count.rows for count in decoded.counts) == rows_in(decoded).height


def test_what_is_learned_is_recorded_first(registry: Registry) -> None:
    """Channels met for the first time are in the registry on disk when their rows are returned."""
    decoded = decode([payload(answer([NOON | {"new": 1}]))], registry, {})
    recorded = Registry(registry._path).table(decoded.readings.table.level, decoded.readings.table.set)

    assert recorded == decoded.readings.table
    assert rows_in(decoded).get_column("new").to_list() == [1.0]
