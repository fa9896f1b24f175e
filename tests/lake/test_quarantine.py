"""The quarantine: bad answers kept for a person, private, for a while, and never without bound."""

import json
import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from harvester.errors import LakeError
from harvester.lake.answers import Bad
from harvester.lake.layout import Places
from harvester.lake.quarantine import KEEP, MOST_BYTES, Quarantine
from harvester.model import Payload, Period, Series, Slice

ASKED = datetime(2024, 6, 1, 12, 30, 5, tzinfo=UTC)


def bad(body: bytes = b"<html>", device: str = "7", reason: str = "not JSON") -> Bad:
    """Return an answer that could not be read."""
    day = date(2024, 6, 1)
    series = Series(plant_id="1", set="PowerDc", device_id=device)
    piece = Slice(series=series, period=Period.DAY, date=day, days=(day,))
    return Bad(Payload(slice=piece, body=body, asked_at=ASKED), reason)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """Offer an empty quarantine."""
    return Quarantine(Places(tmp_path))


def kept(quarantine: Quarantine) -> list[Path]:
    """Return the files of the quarantine."""
    return sorted(quarantine.places.quarantine.iterdir())


def test_keeps_body_and_facts(quarantine: Quarantine) -> None:
    """Body and facts are kept beside each other: which slice, when, why."""
    quarantine.keep(bad(b"\xff\x00", reason="not JSON: ü"))
    body, facts = kept(quarantine)

    assert body.read_bytes() == b"\xff\x00"
    assert json.loads(facts.read_bytes()) == {
        "slice": "1/7/PowerDc Day 2024-06-01",
        "asked_at": ASKED.isoformat(),
        "reason": "not JSON: ü",
        "body": body.name,
    }
    assert facts.name == body.name.replace(".body", ".json")
    assert facts.name.startswith("20240601T123005-")
    assert quarantine.kept == 1


def test_only_the_owner_may_read(quarantine: Quarantine) -> None:
    """What is kept may be personal: its mode is 0600."""
    quarantine.keep(bad())

    assert [stat.S_IMODE(file.stat().st_mode) for file in kept(quarantine)] == [0o600, 0o600]


def test_the_same_page_in_answer_to_many(quarantine: Quarantine) -> None:
    """One error page in answer to several slices is kept with the facts of each."""
    for device in ("7", "8", "9"):
        quarantine.keep(bad(device=device))
    facts = [json.loads(file.read_bytes()) for file in kept(quarantine) if file.suffix == ".json"]

    assert sorted(fact["slice"][:4] for fact in facts) == ["1/7/", "1/8/", "1/9/"]


def test_the_same_answer_twice(quarantine: Quarantine) -> None:
    """The same answer to the same slice takes no second place."""
    quarantine.keep(bad())
    quarantine.keep(bad())

    assert len(kept(quarantine)) == 2


def test_a_full_quarantine_only_counts(quarantine: Quarantine) -> None:
    """Beyond its bound the quarantine counts what it does not keep."""
    quarantine.places.quarantine.mkdir(parents=True)
    with (quarantine.places.quarantine / "old.body").open("wb") as sparse:
        sparse.truncate(MOST_BYTES - 5)
    quarantine.keep(bad(b"123456"))
    quarantine.keep(bad(b"12345"))
    quarantine.keep(bad(b"1"))

    assert (quarantine.kept, quarantine.only_counted) == (1, 2)
    assert len(kept(quarantine)) == 3


def test_what_is_old_is_removed(quarantine: Quarantine) -> None:
    """What is older than thirty days is removed, what is younger stays."""
    quarantine.keep(bad(b"old", device="7"))
    quarantine.keep(bad(b"young", device="8"))
    for file in kept(quarantine):
        age = 1 if b"old" in file.read_bytes() or b"1/7/" in file.read_bytes() else 0
        written = (ASKED - timedelta(seconds=age)).timestamp()
        os.utime(file, (written, written))
    quarantine.clear(ASKED + timedelta(days=30))

    assert timedelta(days=30) == KEEP
    assert [file.read_bytes() for file in kept(quarantine) if file.suffix == ".body"] == [b"young"]
    assert len(kept(quarantine)) == 2


def test_clearing_makes_room(quarantine: Quarantine) -> None:
    """A quarantine that was full keeps answers again once the old ones are gone."""
    quarantine.places.quarantine.mkdir(parents=True)
    old = quarantine.places.quarantine / "old.body"
    with old.open("wb") as sparse:
        sparse.truncate(MOST_BYTES)
    os.utime(old, (0, 0))
    quarantine.keep(bad())
    quarantine.clear(ASKED)
    quarantine.keep(bad())

    assert (quarantine.only_counted, quarantine.kept) == (1, 1)
    assert not old.exists()


def test_nothing_to_clear(quarantine: Quarantine) -> None:
    """A lake without a quarantine has nothing to clear."""
    quarantine.clear(ASKED)

    assert not quarantine.places.quarantine.exists()


def test_a_quarantine_that_cannot_be_written(quarantine: Quarantine) -> None:
    """Where the answer cannot be kept that is an error, and it does not count as kept."""
    quarantine.places.own.parent.mkdir(exist_ok=True)
    quarantine.places.own.write_bytes(b"a file")
    with pytest.raises(LakeError):
        quarantine.keep(bad())

    assert quarantine.kept == 0
