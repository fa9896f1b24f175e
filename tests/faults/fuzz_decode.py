"""Fuzz the decoder along its branches: ``python tests/faults/fuzz_decode.py -max_total_time=60`` (see `make fuzz`).

Not a test: needs the package atheris, and goes on until its time is over or something is found. What was found lies
as ``crash-*`` in the current folder; give it as the only argument to see it again.
"""

import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import atheris

sys.path.append(str(Path(__file__).parents[1] / "support"))

with atheris.instrument_imports(include=["harvester.lake.decode", "harvester.lake.rows", "harvester.lake.stamps"]):
    from slow_reader import Unreadable, read

    from harvester.lake.decode import decode
    from harvester.lake.registry import Registry
    from harvester.model import Payload, Period, Series, Slice

DAY = date(2024, 6, 1)
SLICE = Slice(series=Series(plant_id="1", set="PowerDc", device_id="7"), period=Period.DAY, date=DAY, days=(DAY,))
HEAD = b'{"plant":{"plantId":"1","timezone":"Europe/Berlin"},"resolution":"FiveMinutes","set":['
FIRST = b'{"time":"2024-06-01T12:00:00"'
LEAP = (b"T24:", b":60")
"""What the decoder reads kindly, and the slow reader not at all."""


def one(data: bytes) -> None:
    """Decode the text that *data* makes of a row, then what *data* says by itself."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder) / "registry.json")
        for body in (data, HEAD + FIRST + b"," + data + b"}]}", HEAD + FIRST + b"}," + data + b"]}"):
            decoded = decode([Payload(slice=SLICE, body=body, asked_at=datetime(2024, 6, 3, tzinfo=UTC))], registry, {})
            if decoded.bad or not body.startswith(HEAD) or any(sign in body for sign in LEAP):
                continue
            _compare(body, decoded.rows.get_column("time").to_list())


def _compare(body: bytes, starts: list[datetime]) -> None:
    """Fail where the decoder has rows that the slow reader has not."""
    try:
        wanted = [row.start for row in read(body)]
    except Unreadable as error:
        if str(error).startswith("stamp"):  # of spaces and signs the decoder's parser is more tolerant
            return
        raise AssertionError(f"rows of what means nothing: {body!r}") from error
    if wanted != starts and b'"set"' not in body[len(HEAD) :] and b'"resolution"' not in body[len(HEAD) :]:
        raise AssertionError(f"{starts} instead of {wanted}: {body!r}")


SEEDS = (
    b'"isolationResistance":1.5e3',
    b'"dcPowerInput":[{"index":"A","value":1.5},{"index":"B"}],"foo":-0',
    b'"foo":{"a":[null,true,"\\u00fc"]},"foo":2',
    b'{"time":"2024-06-01T12:05:00.1234567","foo":1e999}',
    b'{"set":{"time":"2024-06-01T12:05:00"},"plant":{"plantId":1,"timezone":"Europe/Berlin"},"resolution":null}',
)
WORDS = (
    '\\"time\\":',
    '\\"index\\":',
    '\\"value\\":',
    "2024-06-01T",
    "null",
    "true",
    "1e999",
    "\\\\u",
    "},{",
    "[{",
    "NaN",
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        words = Path(corpus).with_suffix(".dict")
        words.write_text("".join(f'"{word}"\n' for word in WORDS), encoding="utf-8")
        atheris.Setup([*sys.argv, f"-dict={words}", "-max_len=400", corpus], one)
        atheris.Fuzz()
