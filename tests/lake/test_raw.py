"""The raw archive: what is kept, how, and what a damaged pack costs."""

import asyncio
import gzip
import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import accept_all, backfilled, command, configured, environment, started
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import readable
from harvester.errors import LakeError
from harvester.lake.layout import Pack, Places
from harvester.lake.packing import Encoding, packed, unpacked
from harvester.lake.raw import FORMAT_VERSION, Answer, Archive, answer_of, week_of
from harvester.model import Payload, Period, Series, Slice
from harvester.sandbox import Settings, serving

MONDAY = date(2026, 6, 1)
ASKED = datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC)


def an_answer(plant: str, body: bytes, *, at: date = MONDAY, hours: int = 0, settled: int = 7) -> tuple[Answer, bytes]:
    """Return an answer to a Week of a plant that settled some days."""
    span = tuple(at + timedelta(days=n) for n in range(7))
    piece = Slice(series=Series(plant_id=plant, set="EnergyBalance"), period=Period.WEEK, date=at, days=span)
    payload = Payload(slice=piece, body=body, asked_at=ASKED + timedelta(hours=hours), moved=("old", plant))
    return answer_of(payload, span[:settled], span, "Europe/Berlin"), body


def held(archive: Archive, packs: Sequence[Pack]) -> list[Answer]:
    """Return the index of all *packs*."""
    return [answer for pack in packs for answer in archive.index(pack)]


def bodies(archive: Archive, packs: Sequence[Pack], wanted: set[bytes]) -> dict[bytes, bytes]:
    """Return the *wanted* contents, wherever they lie."""
    return {digest: body for pack in packs for digest, body in archive.bodies(pack, wanted)}


def read_whole(archive: Archive, pack: Pack) -> dict[bytes, bytes]:
    """Return every body of *pack*."""
    return bodies(archive, [pack], {answer.sha256 for answer in archive.index(pack)})


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """Every fact of an answer and its body byte for byte, in one file that only its owner may read."""
    places = Places(tmp_path)
    found = [an_answer(str(n), b"[%d]" % n * 1000) for n in range(5)]

    assert Archive(places).keep(3, "plant_energy_balance", found) == 5

    archive, packs = Archive(places), places.packs()
    assert held(archive, packs) == [answer for answer, _ in found]
    assert bodies(archive, packs, {a.sha256 for a, _ in found}) == {a.sha256: body for a, body in found}
    assert [(pack.table, pack.week, pack.part) for pack in packs] == [("plant_energy_balance", MONDAY, 3)]
    assert [places.pack(pack).stat().st_mode & 0o777 for pack in packs] == [0o600]
    assert not list(tmp_path.rglob("*.parquet"))


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    """Empty ones, equal ones and ones that are no JSON."""
    places = Places(tmp_path_factory.mktemp("lake"))
    found = [an_answer(str(n), body) for n, body in enumerate(contents)]
    Archive(places).keep(0, "plant_energy_balance", found)
    packs = places.packs()

    assert sorted(a.slice.series.plant_id for a in held(Archive(places), packs)) == sorted(map(str, range(len(found))))
    wanted = {hashlib.sha256(body).digest() for body in contents}
    assert bodies(Archive(places), packs, wanted) == {hashlib.sha256(body).digest(): body for body in contents}


def test_the_same_answer_is_not_stored_twice(tmp_path: Path) -> None:
    """Asked again with the same content, it adds nothing; where it settles more days, a line without a body."""
    places = Places(tmp_path)
    archive = Archive(places)
    first = archive.keep(0, "t", [an_answer("1", b"x" * 10_000, settled=3)])
    again = archive.keep(0, "t", [an_answer("1", b"x" * 10_000, hours=1, settled=2)])
    more = archive.keep(0, "t", [an_answer("1", b"x" * 10_000, hours=2, settled=5)])
    changed = archive.keep(0, "t", [an_answer("1", b"y" * 10_000, hours=3, settled=5)])
    stored = [row for pack in places.packs() for row in pq.read_table(places.pack(pack)).column("body").to_pylist()]

    assert (first, again, more, changed) == (1, 0, 1, 1)
    assert sorted(body is None for body in stored) == [False, False, True]


def test_packs_are_as_few_as_publications(tmp_path: Path) -> None:
    """A thousand bodies of one publication are one file, two weeks of dates are two."""
    places = Places(tmp_path)
    Archive(places).keep(0, "t", [an_answer(str(n), b"%d" % n) for n in range(1000)])
    Archive(places).keep(0, "t", [an_answer("1", b"z", at=MONDAY + timedelta(days=6 + n)) for n in range(2)])

    assert [pack.week for pack in places.packs()] == [MONDAY, MONDAY, MONDAY + timedelta(days=7)]
    assert week_of(MONDAY + timedelta(days=6)) == MONDAY
    assert Archive(places).size().answers == 1002


@pytest.mark.parametrize("version", [1, 2])
def test_a_pack_of_an_earlier_format_is_read(tmp_path: Path, version: int) -> None:
    """Those that earlier versions wrote come back: all zstd, and gzip known by the hash of its content."""
    places, body = Places(tmp_path), b'{"plant":{"plantId":"%d"},"set":[]}'
    pack = Pack("plant_energy_balance", MONDAY, 0, "c85013f34d616968")
    places.pack(pack).parent.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("kept") / f"pack-000{version}.pack", places.pack(pack))

    assert [answer.slice.series.plant_id for answer in Archive(places).index(pack)] == ["1", "2"]
    assert sorted(read_whole(Archive(places), pack).values()) == [body % 1, body % 2]


@given(body=st.binary(max_size=2000), came=st.booleans())
def test_a_body_is_kept_as_it_came(body: bytes, came: bool) -> None:  # noqa: FBT001 - drawn
    """What was sent as gzip is not compressed again; either way the body comes back, and a changed one does not."""
    sent = gzip.compress(body, mtime=0) if came else None
    series = Series(plant_id="1", set="EnergyBalance")
    piece = Slice(series=series, period=Period.DAY, date=MONDAY, days=())
    found = packed(Payload(slice=piece, body=body, asked_at=ASKED, gzip=sent))

    assert (found.content == sent) is came
    assert found.encoding is (Encoding.GZIP if came else Encoding.ZSTD)
    assert unpacked(found) == body
    for other in (replace(found, sha256=bytes(32)), replace(found, size=found.size + 1)):
        with pytest.raises(ValueError, match="an archived answer"):
            unpacked(other)


def test_when_a_server_compressed_an_answer_is_no_content(tmp_path: Path) -> None:
    """The same answer, compressed at another second, is not stored twice, and comes back."""
    body, archive = b"x" * 5000, Archive(Places(tmp_path))
    answer, _ = an_answer("1", body)
    kept = []
    for second in (1_600_000_000, 1_700_000_000, 1_700_000_001):
        came = packed(Payload(slice=answer.slice, body=body, asked_at=ASKED, gzip=gzip.compress(body, mtime=second)))
        kept.append(archive.keep(0, "t", [(replace(answer, sha256=came.sha256), came)]))

    assert kept == [1, 0, 0]
    assert [*read_whole(archive, Places(tmp_path).packs()[0]).values()] == [body]


@pytest.mark.parametrize("flag", [0b10, 0b100000, 0b1000000, 0b10000000])
def test_odd_gzip_is_compressed_anew(flag: int) -> None:
    """One whose header has a sum of its own or a reserved flag may be read by one library and not by another."""
    plain = gzip.compress(b"[]", mtime=77)
    odd = plain[:3] + bytes([plain[3] | flag]) + plain[4:]
    answer, _ = an_answer("1", b"[]")
    found = packed(Payload(slice=answer.slice, body=b"[]", asked_at=ASKED, gzip=odd))

    assert found.encoding is Encoding.ZSTD
    assert unpacked(found) == b"[]"


@pytest.mark.parametrize("spoil", ["cut", "bits", "empty", "newer"])
def test_a_damaged_pack_is_an_error_of_ours(tmp_path: Path, spoil: str) -> None:
    """Cut short, with a changed body, empty or of a newer format: told with its path, and counted for its bytes."""
    places = Places(tmp_path)
    archive, found = Archive(places), an_answer("1", bytes(range(256)) * 50)
    archive.keep(0, "t", [found])
    pack = places.packs()[0]
    path, content = places.pack(pack), places.pack(pack).read_bytes()
    body = content.rindex(bytes(range(200, 256)))
    spoilt = {
        "cut": content[:-20],
        "bits": content[:body] + b"\0" + content[body + 1 :],
        "empty": b"",
        "newer": content,
    }
    path.write_bytes(spoilt[spoil])
    if spoil == "newer":
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"harvester_raw": str(FORMAT_VERSION + 1)}), path)

    with pytest.raises(LakeError, match=pack.digest):
        read_whole(archive, pack)
    assert archive.size().bytes == path.stat().st_size


def test_a_damaged_pack_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """What it held is stored again, in another pack."""
    places = Places(tmp_path)
    archive = Archive(places)
    archive.keep(0, "t", [an_answer("1", b"x" * 100)])
    damaged = places.packs()[0]
    places.pack(damaged).write_bytes(b"PAR1")

    assert archive.keep(0, "t", [an_answer("1", b"x" * 100, hours=1)]) == 1
    assert [len(archive.index(pack)) for pack in places.packs() if pack != damaged] == [1]


async def test_settled_days_and_no_others_are_archived(tmp_path: Path) -> None:
    """Every settled series-day has its answer; days that are still open have none; `status` shows how much it is."""
    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=9), today - timedelta(days=1)
    async with serving(Settings(plants=1, devices=2)) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, first, last)
        status = await command(environment(running, tmp_path), "status", "--json")
        shown = await command(environment(running, tmp_path), "status")
    places = Places(config.lake.root)
    answers = held(Archive(places), places.packs())

    assert len({(a.slice.series, day) for a in answers for day in a.slice.days}) == report.days_settled > 0
    assert max(day for a in answers for day in a.slice.days) < today - timedelta(days=3)
    assert report.days_open > 0
    assert status.json["raw"] == {"answers": len(answers), "bytes": Archive(places).size().bytes}
    assert f"Raw archive: {len(answers)} answers" in shown.out


async def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    """`raw.keep = "none"` leaves no trace of an answer."""
    async with serving(Settings(plants=1, devices=2)) as running:
        accept_all(running)
        config = configured(running, tmp_path, raw__keep="none")
        await backfilled(config, MONDAY, MONDAY)

    assert not Places(config.lake.root).raw.exists()


async def test_a_kill_between_archive_and_ledger_leaves_both_consistent(tmp_path: Path) -> None:
    """The ledger is held shut until packs wait for it, then the kill: the next run ends in the truth."""
    last = MONDAY + timedelta(days=6)
    async with serving(Settings(plants=2, devices=4, latency_seconds=0.02)) as running:
        accept_all(running)
        env, places = environment(running, tmp_path), Places(tmp_path / "lake")
        span = ("backfill", "--from", str(MONDAY), "--to", str(last))
        process = await started(env, *span)
        while not places.packs():
            await asyncio.sleep(0.001)
        with closing(sqlite3.connect(tmp_path / "ledger.db", timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(1.5)
            process.kill()
            await process.communicate()
        with readable(configured(running, tmp_path)) as stores:
            known = stores.ledger.summary().settled
        torn = held(Archive(places), places.packs())
        second = await command(env, *span, "--json")
        lake, truth = lake_tables(places.root), truth_tables(running.cloud, days(MONDAY, last))
    answers = held(Archive(places), places.packs())
    stored = [body for pack in places.packs() for body in pq.read_table(places.pack(pack)).column("body").to_pylist()]
    claimed = {(answer.slice.series, day) for answer in answers for day in answer.slice.days}

    assert known < len({(answer.slice.series, day) for answer in torn for day in answer.slice.days})
    assert second.code == 0
    assert differences(lake, truth) == []
    assert len(claimed) == second.json["series"] * 7
    assert len([body for body in stored if body is not None]) == len({answer.sha256 for answer in answers})
