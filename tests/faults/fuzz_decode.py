"""Fuzz the decoder along its branches: ``python tests/faults/fuzz_decode.py -max_total_time=60`` (see `make fuzz`).

Not a test: needs the extra `fuzz`, and goes on until its time is over or something is found. What was found lies
as ``crash-*`` in the current folder; give it as the only argument to see it again.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

sys.path.append(str(Path(__file__).parents[1] / "support"))
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # for a row or two, threads cost more than they do
DECODER = ("answers", "columns", "decode", "period_rows", "readings", "rows", "stamps")

with atheris.instrument_imports(include=[f"harvester.lake.{name}" for name in DECODER]):
    from slow_reader import Unreadable
    from wire_answers import Asked, difference, forgiven, payload, slowly

    from harvester.lake.decode import decode
    from harvester.lake.period_rows import decode_periods
    from harvester.lake.registry import Registry
    from harvester.model import Payload, Period

CASES = (
    Asked("PowerDc", "7"),
    Asked("EnergyBalance", None),
    Asked("PowerAc", "7", Period.WEEK),
    Asked("Unheard", "7"),
    Asked("EnergyBalance", None, Period.MONTH),
    Asked("EnergyAndPowerPv", "7", Period.YEAR),
    Asked("EnergyBalance", None, Period.TOTAL),
)
"""What was asked, by the first byte: sets with arrays and without, of plants and of devices, one in no document."""
PLANT = b'{"plant":{"plantId":"1","timezone":"Europe/Berlin"},'
GOOD = b'"set":[{"time":"2024-06-01T00:00:00","foo":7,"dcPowerInput":[{"index":"A","value":3}]}]}'
ZONES = {"1": "Europe/Berlin"}
LEAP = (b"T24:", b":60")
"""What the decoder reads kindly, and the slow reader not at all."""
MEMORY = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)  # noqa: S108 - no secret
"""Where what is learned of channels is written without a disk; None: wherever temporary files lie."""


def one(data: bytes) -> None:
    """Decode what *data* makes of a row, of rows, or of an answer: the first two bytes say what is asked, and which."""
    asked, form, text = CASES[data[0] % len(CASES) if data else 0], data[1:2], data[2:]
    head = PLANT + (b'"set":[' if asked.period.summed else b'"resolution":"FiveMinutes","set":[')
    first = b'{"time":"2024-06-01T00:00:00"'
    bodies = (head + first + b"," + text + b"}]}", head + first + b"}," + text + b"]}", text)
    compare(bodies[form[0] % len(bodies) if form else 0], asked)


def compare(body: bytes, asked: Asked) -> None:
    """Fail where decoder and slow reader differ: on the answer alone, and beside one whose channels are learned."""
    if any(sign in body for sign in LEAP) or not alike(body, summed=asked.period.summed):
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        registry = Registry(Path(folder) / "registry.json")
        for answers in ([body], [PLANT + GOOD, body, PLANT + GOOD]):
            told([payload(each, asked) for each in answers], registry)


def told(payloads: list[Payload], registry: Registry) -> None:
    """Fail where what is decoded is not what the slow reader reads."""
    read = decode_periods if payloads[0].slice.period.summed else decode
    found = difference(payloads, read(payloads, registry, ZONES), strict=False)
    if found and not forgiven(found, payloads):
        raise AssertionError(f"{found}: {[each.body for each in payloads]!r}")


def alike(body: bytes, *, summed: bool) -> bool:
    """Tell whether both readers take *body* for an answer of the same zone, whose offset the slow reader knows.

    Of a name that comes twice they may believe another one; the slow reader knows nothing of zones and of winter.
    """
    envelope: list[tuple[str, Any]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        envelope[:] = pairs  # the outermost object is the last one that ends
        found = dict(pairs)
        return found if len(found) == len(pairs) else {**found, "twice": True}

    try:
        answer = json.loads(body, object_pairs_hook=note)
        rows = slowly(body)
    except OverflowError:  # a stamp at the ends of the calendar, before which the slow reader knows nothing
        return False
    except (ValueError, RecursionError, Unreadable):
        return True
    if not isinstance(answer, dict) or "twice" in answer or len(dict(envelope)) != len(envelope):
        return False
    plant = answer.get("plant")
    if not isinstance(plant, dict) or "twice" in plant or plant.get("timezone") != "Europe/Berlin":
        return False
    return summed or all(row.start.year == 2024 and 4 <= row.start.month <= 9 for row in rows)


SEEDS = (
    b'\x00\x00"isolationResistance":1.5e3',
    b'\x00\x00"dcPowerInput":[{"index":"A","value":1.5},{"index":"B"}],"foo":-0',
    b'\x01\x00"pvGeneration":2,"foo":{"a":[null,true,"\\u00fc"]},"foo":2',
    b'\x02\x01{"time":"2024-06-01T12:05:00.1234567","foo":1e999}',
    b'\x03\x02{"set":{"time":"2024-06-01T12:05:00"},"plant":{"plantId":1,"timezone":"Europe/Berlin"},"resolution":null}',
    b'\x04\x01{"time":"2024-06-02T00:00:00","pvGeneration":1.5},{"time":"2024-06-03T01:00:00"}',
    b'\x05\x00"pvGeneration":1}],"resolution":"OneDay","set":[{"time":"2024-07-01T00:00:00"',
    b'\x06\x01{"time":"2023-01-01T00:00:00","foo":[{"index":1,"value":2}]},{"time":"1969-01-01T00:00:00"}',
)
WORDS = (
    '\\"time\\":',
    '\\"index\\":',
    '\\"value\\":',
    '\\"resolution\\":',
    "2024-06-01T",
    "T00:00:00",
    "FifteenMinutes",
    "null",
    "true",
    "1e999",
    "\\\\u",
    "},{",
    "[{",
    "NaN",
)


def main(arguments: list[str]) -> None:
    """Look at one file again, or look for more."""
    if any(Path(name).is_file() for name in arguments[1:]):
        atheris.Setup(arguments, one)
        atheris.Fuzz()
        return
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        words = Path(corpus).with_suffix(".dict")
        words.write_text("".join(f'"{word}"\n' for word in WORDS), encoding="utf-8")
        atheris.Setup([*arguments, f"-dict={words}", "-max_len=400", corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
