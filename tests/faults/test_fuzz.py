"""JSON soup for everything that reads it: our own errors or a reason, never a hang, and never a row that is not there.

`make fuzz` does the same with a fuzzer that looks at the code's branches, for as long as one likes.
"""

import contextlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from decoded_rows import rows_in, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_answers import ASKED, Asked, difference, forgiven, payload

from harvester import log
from harvester.errors import BadBody, HarvestError
from harvester.lake.answers import MOST_CHANNELS
from harvester.lake.decode import decode
from harvester.lake.period_rows import decode_periods
from harvester.lake.registry import Registry
from harvester.model import Period
from harvester.sma import answers, consent, discretion, tokens, wire
from harvester.sma.settings import Credentials
from harvester.sma.wire import Good, Request, Response

FIXED = settings(deadline=None, derandomize=True, max_examples=250)
ZONES = {"1": "Europe/Berlin"}
PLANT = '"plant":{"plantId":"1","timezone":"Europe/Berlin"},"device":{"deviceId":"7"}'


@contextlib.contextmanager
def fresh_registry() -> Iterator[Registry]:
    """Offer a registry in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Registry(Path(folder) / "registry.json")


STAMPS = st.datetimes(datetime(2024, 6, 1), datetime(2024, 6, 2)).map(lambda at: at.replace(microsecond=0).isoformat())  # noqa: DTZ001 - local
MIDNIGHTS = st.dates(date(1960, 1, 1), date(2210, 1, 1)).map(lambda day: f"{day.replace(day=1 + day.day % 2)}T00:00:00")
ODD_STAMPS = st.sampled_from(
    ["", "2024-06-01", "2024-06-01T12:00:00Z", "2024-06-01T12:00:00+02:00", "2024-02-30T00:00:00", "x", "\x00"]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(["isolationResistance", "dcPowerInput", "foo", "index", "value", "time", "set", "größe", ""])
INDEXES = st.sampled_from(["A", "B", "1", ""]) | st.integers(-3, 3) | st.none() | st.booleans()
ARRAYS = st.lists(st.fixed_dictionaries({"index": INDEXES}, optional={"value": NUMBERS | st.none()}), max_size=3)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4) | STAMPS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(NAMES, ANYTHING | ARRAYS | NUMBERS, max_size=4), max_size=4)


@st.composite
def documents(draw: st.DrawFn, *, sums: bool = False) -> bytes:
    """Draw an answer that may be good; of *sums*, most of whose stamps begin a day."""
    rows = draw(ROWS)
    stamps = sorted(draw(st.lists(MIDNIGHTS if sums else STAMPS, min_size=len(rows), max_size=len(rows), unique=True)))
    stamped = [{**row, "time": stamp} for row, stamp in zip(rows, stamps, strict=True)]
    if stamped and draw(st.integers(0, 9)) == 0:
        stamped[0]["time"] = draw(STAMPS if sums else ODD_STAMPS | ANYTHING)
    envelope = {"plant": {"plantId": "1", "timezone": "Europe/Berlin"}, "set": stamped}
    envelope |= {} if sums else {"resolution": "FiveMinutes"}
    text = json.dumps(envelope, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


@given(documents())
@FIXED
def test_the_decoder_finds_what_a_slow_reader_finds(body: bytes) -> None:
    """Row for row and value for value; twice, since what is learned of channels changes the way of reading."""
    with fresh_registry() as registry:
        for _ in range(2):
            asked = [payload(body)]
            assert difference(asked, decode(asked, registry, ZONES), strict=b"\\ud" not in body) == ""


@given(documents(sums=True), st.sampled_from([Period.MONTH, Period.YEAR, Period.TOTAL]))
@settings(FIXED, max_examples=150)
def test_sums_are_what_a_slow_reader_finds(body: bytes, period: Period) -> None:
    """Days, months and years with their values; rows that begin none of them are left out, and told."""
    sums = [payload(body, Asked("EnergyBalance", None, period))]
    with fresh_registry() as registry:
        for _ in range(2):
            assert difference(sums, decode_periods(sums, registry, ZONES), strict=b"\\ud" not in body) == ""


@given(documents(), st.integers(0, 2**32))
@FIXED
def test_a_damaged_answer_gives_no_row_that_is_not_there(body: bytes, seed: int) -> None:
    """Bytes changed, cut out, doubled or put in: a reason, or exactly what the damaged text says."""
    chance, octets = random.Random(seed), bytearray(body)  # noqa: S311 - a test's own chance
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(octets))
        piece = chance.choice(
            [b"", b"\x00", b"\xff", b"NaN", b"1e999", b'"', b"{", b"]", b",", octets[at : at + 20] * 2]
        )
        octets[at : at + chance.randint(0, 4)] = piece
    damaged = bytes(octets)
    # another zone or another length of the intervals is another answer, of which the slow reader knows nothing
    if not all(word in damaged for word in (b'"timezone": "Europe/Berlin"', b'"resolution": "FiveMinutes"')):
        return
    spoiled = [payload(damaged)]
    with fresh_registry() as registry:
        decoded = decode(spoiled, registry, ZONES)
    if damaged.count(b"T24:") + damaged.count(b":60") == 0:
        found = difference(spoiled, decoded, strict=False)
        assert found == "" or forgiven(found, spoiled)


def answer(rows: str, head: str = PLANT) -> bytes:
    """Return an answer with *rows* as text."""
    return f'{{{head},"resolution":"FiveMinutes","set":{rows}}}'.encode()


def many(channels: int) -> str:
    """Return that many channels that no document knows."""
    return ",".join(f'"c{number}":1' for number in range(channels))


T = '"time":"2024-06-01T12:00:00"'
NASTY = {
    "infinity by a large exponent": answer(f'[{{{T},"isolationResistance":1e999}}]'),
    "infinity in an unknown channel": answer(f'[{{{T},"foo":-1e999}}]'),
    "NaN": answer(f'[{{{T},"foo":NaN}}]'),
    "Infinity": answer(f'[{{{T},"isolationResistance":Infinity}}]'),
    "a byte order mark": b"\xef\xbb\xbf" + answer("[]"),
    "a NUL after the end": answer("[]") + b"\x00",
    "NUL in a name": answer(f'[{{{T},"a\x00b":1}}]'),
    "no UTF-8 in a name": answer(f'[{{{T},"foo":1}}]').replace(b"foo", b"f\xffo"),
    "no UTF-8 in an id": answer(f"[{{{T}}}]").replace(b'"7"', b'"\xff"'),
    "half a surrogate": answer(f'[{{{T},"foo":"\\ud800"}}]'),
    "a hundred thousand brackets": answer("[" * 100_000 + "]" * 100_000),
    "brackets in a value": answer(f'[{{{T},"foo":{"[" * 100_000}{"]" * 100_000}}}]'),
    "brackets beside the set": answer("[]", f'{PLANT},"foo":{"[" * 100_000}{"]" * 100_000}'),
    "braces in a value": answer(f'[{{{T},"foo":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}]"),
    "a hundred thousand digits": answer(f'[{{{T},"isolationResistance":{"9" * 100_000}}}]'),
    "a row that is a list": answer("[[]]"),
    "a row that is null": answer("[null]"),
    "a set that is a word": answer('"set"'),
    "a stamp that is a number": answer('[{"time":5}]'),
    "a stamp with an offset": answer('[{"time":"2024-06-01T12:00:00Z"}]'),
    "more channels than a table has": answer(f"[{{{T},{many(200_000)}}}]"),
    "a zone that is a path": answer("[]", '"plant":{"plantId":"1","timezone":"../../etc/passwd"}'),
    "nothing": b"",
    "white": b" " * 1_000_000,
}


@pytest.mark.parametrize("body", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("period", [Period.DAY, Period.WEEK, Period.MONTH, Period.TOTAL])
def test_nasty_answers_are_bad_and_end(body: bytes, period: Period) -> None:
    """Each has a reason, keeps no row, costs no other answer anything, and teaches the registry nothing endless."""
    asked = Asked("EnergyBalance", None, period)
    good = payload(answer(f'[{{{T.replace("12:00", "00:00")},"pvGeneration":5}}]'), asked)
    spoiled = payload(body, asked)
    with fresh_registry() as registry:
        decoded = (decode_periods if period.summed else decode)([spoiled, good], registry, ZONES)

    assert [bad.payload for bad in decoded.bad] == [spoiled]
    assert decoded.bad[0].reason
    assert rows_in(decoded).get_column("pv_generation").to_list() == [5.0]
    assert len(table_of(decoded).names) <= MOST_CHANNELS


def test_channels_up_to_the_bound_are_kept(tmp_path: Path) -> None:
    """Many an unknown channel is learned; what goes beyond the bound is told and spoils no later answer."""
    registry = Registry(tmp_path / "registry.json")
    known = len(registry.table(payload(b"").slice.series.level, "PowerDc").names)
    room = MOST_CHANNELS - known
    full = payload(answer(f"[{{{T},{many(room)}}}]"))
    over = payload(answer(f'[{{{T},"one more":1}}]'))
    decoded = decode([full, over], registry, ZONES)
    later = decode([payload(answer(f'[{{{T},"c1":2,"isolationResistance":3}}]'))], registry, ZONES)

    assert [bad.payload for bad in decoded.bad] == [over]
    assert "may have 1000" in decoded.bad[0].reason
    assert rows_in(decoded).height == 1
    assert rows_in(later).get_column("isolation_resistance").to_list() == [3.0]


CREDENTIALS = Credentials(client_id="local", client_secret="very-secret")
READERS: dict[str, Callable[[Response], Any]] = {
    "plants": answers.plants,
    "plant": answers.plant,
    "devices": answers.devices,
    "sets": answers.sets,
    "part": answers.part,
    "token": tokens.token_request("https://auth", CREDENTIALS).read,
    "consent": consent.read_consent("https://auth", "a@example.org").read,
}
SOUP = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "plants",
                    "devices",
                    "sets",
                    "plantId",
                    "deviceId",
                    "name",
                    "timezone",
                    "state",
                    "access_token",
                    "expires_in",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("reader", READERS)
@given(body=SOUP.map(json.dumps).map(str.encode) | st.binary(max_size=60) | st.sampled_from([*NASTY.values()]))
@settings(FIXED, max_examples=120)
def test_every_other_reader_has_a_value_or_a_bad_body(reader: str, body: bytes) -> None:
    """Lists, details, tokens, consents: judged as an answer, whatever it holds."""
    request = Request(method="GET", url="https://a/x", kind=wire.Kind.PLANTS, read=READERS[reader])
    response = Response(method="GET", url="https://a/x", status=200, headers={}, body=body, asked_at=ASKED)
    verdict = wire.judge(request, response)

    assert isinstance(verdict, Good | BadBody)


@pytest.mark.parametrize("id_", ["", " ", "a\x00b", "\x00"])
def test_an_id_that_would_be_taken_for_another_is_refused(id_: str) -> None:
    """Nothing, and what a database cuts at its NUL: the list is a bad body, which is asked again and then told."""
    body = json.dumps({"plants": [{"plantId": id_}]}).encode()
    response = Response(method="GET", url="https://a/plants", status=200, headers={}, body=body, asked_at=ASKED)
    with pytest.raises(BadBody, match="an id is empty or holds a NUL"):
        answers.plants(response)


LONG = {"letters": "a" * 400_000, "commas": "a," * 200_000, "at": "a@" * 200_000, "percent": "a%40" * 100_000}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_of_the_server_is_masked_at_once(text: str) -> None:
    """Quadratic in its length, this would take hours; the bound of the whole test is the proof."""
    body = json.dumps({"message": text}).encode()
    response = Response(method="GET", url="https://a/x", status=500, headers={}, body=body, asked_at=ASKED)
    error: HarvestError = wire.refusal(response)

    assert len(str(error)) < 400
    assert len(discretion.masked(text)) <= 3 * len(text)
    assert len(log.mask(text)) <= 3 * len(text)
