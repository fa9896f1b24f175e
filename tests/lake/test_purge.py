"""Rows and answers of some plants taken out of files that many share: exactly those, whatever ids look like."""

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.errors import LakeError
from harvester.lake import purge
from harvester.lake.layout import Partition, Places
from harvester.lake.packing import Packed, packed
from harvester.lake.parquet import read, write
from harvester.lake.purge import Cut
from harvester.lake.raw import Answer, Archive, answer_of
from harvester.lake.schema import REVISION_COLUMNS
from harvester.model import Payload, Period, Series, Slice

DAY = date(2024, 6, 3)
ASKED = datetime(2024, 6, 10, 12, tzinfo=UTC)
TABLE = "plant_energy_balance"
IDS = ["1", "11", "111", "12", "21", "a-1", "1-a", "01"]


def looked() -> None:
    """Hear of a file."""


def drop_rows(places: Places, plants: set[str]) -> Cut:
    """Delete the rows of *plants* and return what that was."""
    cut = Cut()
    purge.rows_of(places, plants, set(), cut, looked, master=False, drop=True)
    return cut


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.sets(st.sampled_from(IDS), min_size=1), gone=st.sets(st.sampled_from(IDS)))
def test_ids_within_other_ids_are_others(
    there: set[str], gone: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of ids that contain each other exactly the named ones go."""
    places = Places(tmp_path_factory.mktemp("lake"))
    path = places.file(Partition("revisions", DAY, 0))
    rows = [{"table": TABLE, "plant_id": i, "channel": "c", "old": 1.0, "new": 2.0} for i in sorted(there)]
    write(path, pl.DataFrame(rows, schema={c.name: c.dtype for c in REVISION_COLUMNS}), REVISION_COLUMNS)
    cut = drop_rows(places, gone)
    left = read(path)

    assert (set() if left is None else set(left.get_column("plant_id"))) == there - gone
    assert cut.rows["revisions"] == len(there & gone)
    assert path.parent.exists() == bool(there - gone)


def answer(plant: str, body: bytes, *, asked: datetime = ASKED, day: date = DAY) -> tuple[Answer, Packed]:
    """Return an archived answer of one day of *plant*; those of an even length came as gzip."""
    piece = Slice(series=Series(plant_id=plant, set="EnergyBalance"), period=Period.DAY, date=day, days=(day,))
    sent = None if len(body) % 2 else gzip.compress(body, mtime=0)
    payload = Payload(slice=piece, body=body, asked_at=asked, gzip=sent)
    return answer_of(payload, [day], [day], "Europe/Berlin", packed(payload)), packed(payload)


def held(places: Places) -> dict[str, set[bytes]]:
    """Return by plant every content that the archive can give back."""
    archive, found = Archive(places), {}
    for pack in places.packs():
        bodies = {}
        for beside in archive.packs(pack.table, pack.week, pack.part):
            bodies.update(archive.bodies(beside, archive.stored(beside)))
        for each in archive.index(pack):
            found.setdefault(each.slice.series.plant_id, set()).add(bodies[each.sha256])
    return found


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Offer an archive in which plants share content: within a pack, across packs, and not at all."""
    places = Places(tmp_path)
    archive = Archive(places)
    archive.keep(0, TABLE, [answer("1", b"[]"), answer("11", b"[]"), answer("1", b"own"), answer("11", b"its own")])
    later = {"asked": ASKED + timedelta(days=1), "day": DAY + timedelta(days=1)}
    archive.keep(0, TABLE, [answer("2", b"[]", **later), answer("11", b"own", **later), answer("1", b"late", **later)])
    archive.keep(0, TABLE, [answer("3", b"late", **later), answer("1", b"alone", **later)])
    return places


@pytest.mark.parametrize("gone", [{"1"}, {"11"}, {"1", "11"}, {"2", "1"}, {"3"}, {"1", "2", "3", "11"}, {"4"}])
def test_content_that_others_share_stays_with_them(places: Places, gone: set[str]) -> None:
    """Equal answers are stored once: whoever stays has all of its contents, whoever goes is in no index."""
    before = held(places)
    cut = Cut()
    purge.answers_of(places, gone, cut, looked, drop=True)
    again = Cut()
    purge.answers_of(places, gone, again, looked, drop=True)
    left = {body for plant, bodies in before.items() if plant not in gone for body in bodies}
    hashes = {answer("", body)[1].sha256 for body in left}

    assert held(places) == {plant: bodies for plant, bodies in before.items() if plant not in gone}
    assert again.answers == 0
    assert {h for pack in places.packs() for h in Archive(places).stored(pack)} == hashes
    assert all((places.pack(pack).stat().st_mode & 0o777) == 0o600 for pack in places.packs())
    assert places.raw.exists() == bool(before.keys() - gone)


class Killed(BaseException):
    """Stands for the process being gone."""


@pytest.mark.parametrize("writes", range(6))
def test_killed_between_two_packs_no_content_is_lost(
    places: Places, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file was the last, what stays is whole then and after the next try."""
    before = held(places)
    staying = {plant: bodies for plant, bodies in before.items() if plant != "1"}
    real, left = Path.replace, [writes]

    def replace(self: Path, target: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    killed = False
    try:
        purge.answers_of(places, {"1"}, Cut(), looked, drop=True)
    except Killed:
        killed = True
    monkeypatch.undo()
    between = held(places)
    purge.answers_of(places, {"1"}, Cut(), looked, drop=True)

    assert killed == (writes < len(["heir", "heir", "pack", "pack", "pack"]))
    assert {plant: bodies for plant, bodies in between.items() if plant != "1"} == staying
    assert held(places) == staying


def test_a_spoiled_pack_is_named_and_costs_the_others_nothing(places: Places) -> None:
    """Nobody can tell what it holds; the packs of other weeks are done."""
    Archive(places).keep(0, TABLE, [answer("1", b"elsewhere", day=DAY + timedelta(days=30))])
    spoiled = places.packs(week=DAY)[0]
    places.pack(spoiled).write_bytes(b"PAR1")
    cut = Cut()
    purge.answers_of(places, {"1"}, cut, looked, drop=True)

    assert len(cut.damaged) == 1
    assert spoiled.digest in cut.damaged[0]
    assert {pack.week for pack in places.packs()} == {DAY}


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    """It is told as damaged and left as it is."""
    places = Places(tmp_path)
    path = places.file(Partition(TABLE, DAY, 0))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no table")
    cut = drop_rows(places, {"1"})

    assert [str(path) in text for text in cut.damaged] == [True]
    with pytest.raises(LakeError):
        read(path)
