"""A batch on its way into the lake: decoded in portions, published together, forgotten when written."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from harvester.errors import LakeError
from harvester.gather import Gathering
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import Written
from harvester.lake.registry import Registry
from harvester.model import Payload, Period, Series, Slice
from harvester.plan import Batch

DAY, NEXT = date(2024, 6, 1), date(2024, 6, 2)
ASKED = datetime(2024, 6, 3, tzinfo=UTC)
ZONES = {"1": "Europe/Berlin"}


def piece(device: str) -> Slice:
    """Return the slice of one device."""
    series = Series(plant_id="1", set="Sensor", device_id=device)
    return Slice(series=series, period=Period.WEEK, date=DAY, days=(DAY, NEXT))


def answer(device: str, *stamps: str, **channels: float) -> Payload:
    """Return the answer for one device."""
    rows = [{"time": stamp, "windSpeed": 1.0, **channels} for stamp in stamps]
    body = json.dumps({"resolution": "FiveMinutes", "set": rows}).encode()
    return Payload(slice=piece(device), body=body, asked_at=ASKED)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Name a lake that is not there yet."""
    return Places(tmp_path / "lake")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Offer a registry that knows the catalogue."""
    return Registry(tmp_path / "registry.json")


@pytest.fixture
def gathering() -> Gathering:
    """Begin to gather a batch of three slices of part 5."""
    return Gathering.of(Batch(part=5, week=DAY, slices=tuple(piece(device) for device in "789")))


def test_begins_with_nothing(gathering: Gathering, places: Places) -> None:
    """A batch begins with all its slices open, and nothing to publish makes no file."""
    published = gathering.publish(places)

    assert (gathering.left, gathering.bytes, gathering.rows) == (3, 0, 0)
    assert published.written == Written()
    assert published.by_slice() == {}
    assert not places.root.exists()


def test_answers_are_taken_and_decoded(gathering: Gathering, registry: Registry) -> None:
    """Bytes are counted until decoded, rows until published."""
    payloads = [answer("7", "2024-06-01T12:00:00"), answer("8", "2024-06-01T12:00:00", "2024-06-01T12:05:00")]
    for payload in payloads:
        gathering.take(payload)
    taken = gathering.bytes
    gathering.decode(registry, ZONES)

    assert taken == sum(len(payload.body) for payload in payloads)
    assert (gathering.bytes, gathering.payloads, gathering.rows) == (0, [], 3)
    assert [payload.slice for payload in gathering.answered] == [payload.slice for payload in payloads]
    assert {payload.body for payload in gathering.answered} == {b""}
    assert {s: body.size for s, body in gathering.packed.items()} == {p.slice: len(p.body) for p in payloads}


def test_to_decode_nothing_is_nothing(gathering: Gathering, registry: Registry) -> None:
    """Decoding without new answers changes nothing."""
    gathering.decode(registry, ZONES)

    assert gathering.pieces == []


def test_portions_are_published_together(gathering: Gathering, registry: Registry, places: Places) -> None:
    """Portions decoded one after the other, a new channel between them, go into one file of the batch's part."""
    for payload in (answer("7", "2024-06-01T12:00:00"), answer("8", "2024-06-01T12:00:00", gust=4.0)):
        gathering.take(payload)
        gathering.decode(registry, ZONES)
    published = gathering.publish(places)
    found = pl.read_parquet(places.file(Partition("device_sensor", DAY, 5)), hive_partitioning=False)

    assert found.select("device_id", "wind_speed", "gust").rows() == [("7", 1.0, None), ("8", 1.0, 4.0)]
    assert published.written.files == 1
    assert [payload.slice for payload in published.answered] == [piece("7"), piece("8")]


def test_rows_by_day(gathering: Gathering, registry: Registry, places: Places) -> None:
    """Each answer's rows are told by plant-local day; an empty answer has none but is answered."""
    gathering.take(answer("7", "2024-06-01T12:00:00", "2024-06-02T00:00:00", "2024-06-02T00:05:00"))
    gathering.take(answer("8"))
    gathering.decode(registry, ZONES)
    published = gathering.publish(places)

    assert {s: [(c.day, c.rows) for c in counts] for s, counts in published.by_slice().items()} == {
        piece("7"): [(DAY, 2), (NEXT, 1)]
    }
    assert len(published.answered) == 2


def test_bad_answers_are_told(gathering: Gathering, registry: Registry, places: Places) -> None:
    """An answer that cannot be read is told with the others' rows published."""
    spoiled = Payload(slice=piece("8"), body=b"<html>", asked_at=ASKED)
    for payload in (answer("7", "2024-06-01T12:00:00"), spoiled):
        gathering.take(payload)
    gathering.decode(registry, ZONES)
    published = gathering.publish(places)

    assert [bad.payload for bad in published.bad] == [spoiled]
    assert published.written.rows == {"device_sensor": 1}


def test_what_is_published_is_forgotten(gathering: Gathering, registry: Registry, places: Places) -> None:
    """After publication nothing is held, and to publish again writes nothing."""
    gathering.take(answer("7", "2024-06-01T12:00:00"))
    gathering.decode(registry, ZONES)
    gathering.publish(places)

    assert (gathering.pieces, gathering.answered, gathering.packed, gathering.rows) == ([], [], {}, 0)
    assert gathering.publish(places).written == Written()


def test_what_could_not_be_written_is_kept(gathering: Gathering, registry: Registry, places: Places) -> None:
    """Where the lake cannot be written nothing is forgotten: once it can be, all is there."""
    gathering.take(answer("7", "2024-06-01T12:00:00"))
    gathering.decode(registry, ZONES)
    places.root.write_bytes(b"a file where the lake belongs")
    with pytest.raises(LakeError):
        gathering.publish(places)
    places.root.unlink()
    published = gathering.publish(places)

    assert published.written.rows == {"device_sensor": 1}
    assert list(published.by_slice()) == [piece("7")]
