"""Files of the lake: the contract as three readers see it, and the old file whenever the new one cannot be."""

import json
import os
import resource
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoded_rows import put, rows_in
from nobody import open_way, unprivileged

from harvester.errors import LakeError
from harvester.lake.decode import Decoded, decode
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import Written, read, write
from harvester.lake.registry import Registry
from harvester.lake.schema import REVISIONS
from harvester.model import Payload, Period, Series, Slice

DAY = date(2024, 6, 1)
DC = Partition("device_power_dc", DAY, 3)
DC_BY_INDEX = Partition("device_power_dc_by_index", DAY, 3)
AC = Partition("device_power_ac", DAY, 3)


def asked(number: int) -> datetime:
    """Return the moment of request *number*."""
    return datetime(2024, 6, 2, 8, 0, number, tzinfo=UTC)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Name a lake that is not there yet."""
    return Places(tmp_path / "lake")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Offer a registry that knows the catalogue."""
    return Registry(tmp_path / "registry.json")


def answer(registry: Registry, number: int, rows: list[dict[str, Any]], **facts: Any) -> Decoded:
    """Return the decoded answer to request *number* for one day of one device."""
    device, name = facts.pop("device", "7"), facts.pop("name", "PowerDc")
    envelope = {"plant": {"timezone": "Europe/Berlin"}, "resolution": "FiveMinutes", "set": rows} | facts
    series = Series(plant_id="1", set=name, device_id=device)
    piece = Slice(series=series, period=Period.DAY, date=DAY, days=(DAY,))
    body = json.dumps(envelope).encode()
    return decode([Payload(slice=piece, body=body, asked_at=asked(number))], registry, {})


def row(slot: int, resistance: float | None = None, **inputs: float) -> dict[str, Any]:
    """Return one row of PowerDc: its resistance, and the power of the inputs named."""
    stamp = datetime(2024, 6, 1, 12) + timedelta(minutes=5 * slot)  # noqa: DTZ001 - local time has no zone
    cells: dict[str, Any] = {"time": stamp.isoformat()}
    if resistance is not None:
        cells["isolationResistance"] = resistance
    if inputs:
        cells["dcPowerInput"] = [{"index": index, "value": value} for index, value in inputs.items()]
    return cells


def files(places: Places) -> dict[str, tuple[bytes, int]]:
    """Return content and time of change of every file of the lake."""
    found = (file for file in places.root.rglob("*") if file.is_file())
    return {str(f.relative_to(places.root)): (f.read_bytes(), f.stat().st_mtime_ns) for f in found}


CONTRACT = [
    ("plant_id", "VARCHAR"),
    ("device_id", "VARCHAR"),
    ("time", "TIMESTAMP WITH TIME ZONE"),
    ("local_time", "TIMESTAMP"),
    ("interval_minutes", "SMALLINT"),
    ("isolation_resistance", "DOUBLE"),
    ("other", "VARCHAR"),
    ("harvested_at", "TIMESTAMP WITH TIME ZONE"),
]


def test_three_readers_see_the_same(places: Places, registry: Registry) -> None:
    """polars, pyarrow and DuckDB read the same columns, types and rows, in key order, and no `date` inside."""
    rows = [row(2, 3.5), row(1, None), row(0, 1.0) | {"state": "on"}]
    put(places, 3, [answer(registry, 0, rows)])
    path = places.file(DC)
    by_polars = pl.read_parquet(path, hive_partitioning=False)
    by_arrow = pq.ParquetFile(path).read()
    query = f"FROM read_parquet('{path}', hive_partitioning=false)"
    described = duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE {query})").fetchall()

    assert described == CONTRACT
    assert by_polars.schema == pl.Schema(
        {
            "plant_id": pl.String,
            "device_id": pl.String,
            "time": pl.Datetime("us", "UTC"),
            "local_time": pl.Datetime("us"),
            "interval_minutes": pl.Int16,
            "isolation_resistance": pl.Float64,
            "other": pl.String,
            "harvested_at": pl.Datetime("us", "UTC"),
        }
    )
    assert by_arrow.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert by_arrow.schema.field("local_time").type == pa.timestamp("us")
    assert by_arrow.to_pylist() == by_polars.to_dicts()
    as_text = "epoch_us(time), local_time, isolation_resistance, other, epoch_us(harvested_at)"
    epoch = pl.col("time", "harvested_at").dt.epoch("us")
    assert (
        duckdb.sql(f"SELECT {as_text} {query}").fetchall()
        == by_polars.with_columns(epoch)
        .select("time", "local_time", "isolation_resistance", "other", "harvested_at")
        .rows()
    )
    assert by_polars.get_column("isolation_resistance").to_list() == [1.0, None, 3.5]
    assert by_polars.get_column("other").to_list() == ['{"state":"on"}', None, None]


def test_the_date_is_in_the_path(places: Places, registry: Registry) -> None:
    """A query over the lake finds the plant-local day in the path, and files of all ages together."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0)])])
    put(places, 4, [answer(registry, 1, [row(0, 2.0) | {"gained": 7}])])
    lake = f"read_parquet('{places.root}/device_power_dc/**/*.parquet', union_by_name=true)"
    found = duckdb.sql(f"SELECT date, isolation_resistance, gained FROM {lake} ORDER BY 2").fetchall()

    assert found == [(DAY, 1.0, None), (DAY, 2.0, 7.0)]


def test_format(places: Places, registry: Registry) -> None:
    """Columns are compressed with zstd; units, descriptions and SMA's names are in the field metadata."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0, A=2.0)])])
    for partition in (DC, DC_BY_INDEX):
        file = pq.ParquetFile(places.file(partition))
        group = file.metadata.row_group(0)

        assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
        assert all(field.metadata[b"description"] for field in file.schema_arrow)
        assert file.schema_arrow.metadata[b"harvester_format"] == b"1"
    power = pq.read_schema(places.file(DC_BY_INDEX)).field("dc_power_input").metadata

    assert power[b"unit"] == b"W"
    assert power[b"sma_channel"] == b"dcPowerInput"


def test_arrays_go_to_the_companion(places: Places, registry: Registry) -> None:
    """An index present gives a row of the companion; an empty array gives none, but its row all the same."""
    rows = [row(0, 1.0, B=2.0, A=1.0), row(1) | {"dcPowerInput": []}]
    written = put(places, 3, [answer(registry, 0, rows)])
    found = pl.read_parquet(places.file(DC_BY_INDEX), hive_partitioning=False)

    assert found.select("index", "dc_power_input").rows() == [("A", 1.0), ("B", 2.0)]
    assert pl.read_parquet(places.file(DC), hive_partitioning=False).height == 2
    assert written.rows == {"device_power_dc": 2, "device_power_dc_by_index": 2}
    assert written.files == 2
    assert written.bytes == sum(len(content) for content, _ in files(places).values())


def test_an_unchanged_merge_writes_nothing(places: Places, registry: Registry) -> None:
    """The same answer asked again later leaves every file as it is, to the byte and to the moment."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0, A=1.0), row(1, 2.0)])])
    before = files(places)
    written = put(places, 3, [answer(registry, 9, [row(1, 2.0), row(0, 1.0, A=1.0)])])

    assert files(places) == before
    assert (written.files, written.bytes, written.revisions) == (0, 0, 0)


def test_nothing_to_publish(places: Places, registry: Registry) -> None:
    """Answers without rows make no file."""
    assert put(places, 3, [answer(registry, 0, [])]) == Written()
    assert not places.root.exists()


def test_harvested_at_moves_with_values_only(places: Places, registry: Registry) -> None:
    """Only the row whose value changed gets the moment of the later answer."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0), row(1, 2.0)])])
    put(places, 3, [answer(registry, 1, [row(0, 1.0), row(1, 3.0), row(2, 4.0)])])
    found = pl.read_parquet(places.file(DC), hive_partitioning=False)

    assert found.get_column("harvested_at").to_list() == [asked(0), asked(1), asked(1)]


def test_revisions_exactly_once(places: Places, registry: Registry) -> None:
    """What changed and what vanished is in `revisions` once, however often the answer comes again."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0, A=5.0), row(1, 2.0)])])
    pieces = [answer(registry, n, [row(0, 7.0, A=6.0), row(1)]) for n in (1, 2, 3)]
    counted = [put(places, 3, [piece]).revisions for piece in pieces]
    found = pl.read_parquet(places.file(Partition(REVISIONS, DAY, 3)), hive_partitioning=False)

    assert counted == [3, 0, 0]
    assert found.select("table", "index", "channel", "old", "new", "known_at").rows() == [
        ("device_power_dc", None, "isolation_resistance", 1.0, 7.0, asked(1)),
        ("device_power_dc", None, "isolation_resistance", 2.0, None, asked(1)),
        ("device_power_dc_by_index", "A", "dc_power_input", 5.0, 6.0, asked(1)),
    ]
    assert pl.read_parquet(places.file(DC)).get_column("isolation_resistance").to_list() == [7.0, 2.0]


def test_a_repeated_hour_settles(places: Places, registry: Registry) -> None:
    """A day with a repeated hour, though replaced each time, is not written again when nothing is new."""
    rows = [{"time": f"2024-10-27T02:{minute:02d}:00", "isolationResistance": minute} for minute in (5, 10, 5, 10)]
    put(places, 3, [answer(registry, 0, rows)])
    before = files(places)
    put(places, 3, [answer(registry, 1, rows)])

    assert files(places) == before
    assert read(places.file(Partition("device_power_dc", date(2024, 10, 27), 3))) is not None


def test_other_plants_of_the_part_stay(places: Places, registry: Registry) -> None:
    """A merge for one device leaves the rows of the others in the file as they are."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0)], device="8"), answer(registry, 0, [row(0, 2.0)], device="6")])
    put(places, 3, [answer(registry, 1, [row(0, 3.0)], device="7", resolution="OneHour")])
    found = pl.read_parquet(places.file(DC), hive_partitioning=False)

    assert found.select("device_id", "isolation_resistance", "harvested_at").rows() == [
        ("6", 2.0, asked(0)),
        ("7", 3.0, asked(1)),
        ("8", 1.0, asked(0)),
    ]


def test_a_column_gained_later(places: Places, registry: Registry) -> None:
    """A file from before a channel was known gains its column with the next rows."""
    early = answer(registry, 0, [row(0, 1.0)])
    put(places, 3, [early])
    put(places, 3, [answer(registry, 1, [row(1, 2.0) | {"gained": 5}])])
    found = pl.read_parquet(places.file(DC), hive_partitioning=False)

    assert found.columns[-3:] == ["gained", "other", "harvested_at"]
    assert found.get_column("gained").to_list() == [None, 5.0]


def test_an_older_schema_takes_no_column_away(places: Places, registry: Registry) -> None:
    """Rows decoded before a channel was known do not cost a file that has it its values, unit or name."""
    early = answer(registry, 0, [row(0, 1.0, A=1.0)])
    late = answer(registry, 1, [row(1, 2.0) | {"gained": 5, "inputs": [{"index": "A", "value": 6}]}])
    put(places, 3, [late])
    put(places, 3, [early])
    found = pl.read_parquet(places.file(DC), hive_partitioning=False)
    companion = pl.read_parquet(places.file(DC_BY_INDEX), hive_partitioning=False)

    assert found.columns[-3:] == ["gained", "other", "harvested_at"]
    assert found.get_column("gained").to_list() == [None, 5.0]
    assert companion.get_column("inputs").to_list() == [None, 6.0]
    assert pq.read_schema(places.file(DC)).field("gained").metadata[b"sma_channel"] == b"gained"


def test_pieces_of_different_ages(places: Places, registry: Registry) -> None:
    """Answers decoded before and after a channel was found are published together."""
    pieces = [answer(registry, 0, [row(0, 1.0)]), answer(registry, 1, [row(1) | {"gained": 5}])]
    put(places, 3, pieces)

    assert pl.read_parquet(places.file(DC)).get_column("gained").to_list() == [None, 5.0]


def spoiled(whole: bytes) -> dict[str, bytes]:
    """Return ways in which a file can be spoiled."""
    return {
        "empty": b"",
        "text": b"not Parquet at all",
        "cut": whole[: len(whole) // 2],
        "no footer": whole[:-8],
        "footer of another length": whole[:-8] + b"\xff\xff\xff\x7f" + whole[-4:],
        "footer overwritten": whole[:-200] + b"\xff" * 192 + whole[-8:],
    }


@pytest.mark.parametrize("kind", spoiled(b"x"))
def test_an_unreadable_file_is_refused(places: Places, registry: Registry, kind: str) -> None:
    """A file that cannot be read stops the publication with what to do, and stays as it is."""
    piece = answer(registry, 0, [row(0, 1.0)])
    put(places, 3, [piece])
    path = places.file(DC)
    path.write_bytes(spoiled(path.read_bytes())[kind])
    before = files(places)
    with pytest.raises(LakeError, match=r"part-00003\.parquet: not readable as Parquet.*left as it is"):
        put(places, 3, [piece])

    assert files(places) == before


def test_a_folder_in_the_place_of_a_file(places: Places, registry: Registry) -> None:
    """A folder where a file belongs is refused by name."""
    places.file(DC).mkdir(parents=True)
    with pytest.raises(LakeError, match=r"part-00003\.parquet"):
        put(places, 3, [answer(registry, 0, [row(0, 1.0)])])

    assert places.file(DC).is_dir()


def test_links_in_a_circle_in_the_place_of_a_file(places: Places, registry: Registry) -> None:
    """A link that leads to itself is no missing file: it is refused by name, and stays."""
    path = places.file(DC)
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    with pytest.raises(LakeError, match=r"part-00003\.parquet"):
        put(places, 3, [answer(registry, 0, [row(0, 1.0)])])

    assert path.is_symlink()


def test_a_file_in_the_place_of_the_lake(places: Places, registry: Registry) -> None:
    """A file where the lake's folder belongs is refused by name, and stays."""
    places.root.write_bytes(b"a file")
    with pytest.raises(LakeError, match="lake"):
        put(places, 3, [answer(registry, 0, [row(0, 1.0)])])

    assert places.root.read_bytes() == b"a file"


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_lake_that_may_not_be_written(tmp_path: Path, places: Places, registry: Registry, mode: int) -> None:
    """A folder without rights is a clear refusal, and the old file stays."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0)])])
    piece, before = answer(registry, 1, [row(0, 2.0)]), files(places)
    open_way(tmp_path)
    places.file(DC).parent.chmod(mode)
    try:
        with unprivileged(), pytest.raises(LakeError, match=r"Permission denied|not writable"):
            put(places, 3, [piece])
    finally:
        places.file(DC).parent.chmod(0o755)

    assert {path: files(places)[path] for path in before} == before


def test_a_full_disk(places: Places, registry: Registry) -> None:
    """Where a file cannot grow any more the old one stays, whole, and no temporary one is left."""
    put(places, 3, [answer(registry, 0, [row(0, 1.0)])])
    piece, before = answer(registry, 1, [row(1, 2.0)]), files(places)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(LakeError, match="cannot be written"):
            put(places, 3, [piece])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert files(places) == before


WATCHED = """
import sys
events = []
def watch(name, arguments):
    if name == "open" and isinstance(arguments[0], (str, bytes)):
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if flags & 3:
            events.append(("written", str(arguments[0])))
    elif name == "os.rename":
        events.append(("renamed", str(arguments[0])))
sys.addaudithook(watch)
from datetime import date
from pathlib import Path
import polars as pl
from harvester.lake.parquet import write
from harvester.lake.schema import PLANT_ID
for _ in range(2):
    write(Path(sys.argv[1]), pl.DataFrame({"plant_id": ["1"]}), (PLANT_ID,))
for kind, path in events:
    if path.startswith(str(Path(sys.argv[1]).parent)):
        print(kind, path)
"""


def test_no_unfinished_file_looks_like_data(tmp_path: Path) -> None:
    """While a file is written its name matches no pattern of data: only the finished one is given that name."""
    path = tmp_path / "plants" / "part-00000.parquet"
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, str(path)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    events = [line.split(" ", 1) for line in ran.stdout.splitlines()]

    assert [kind for kind, _ in events].count("renamed") == 2
    assert [kind for kind, _ in events].count("written") >= 2
    assert not any(fnmatch(name, "*.parquet") for _, name in events)
    assert [file.name for file in path.parent.iterdir()] == ["part-00000.parquet"]


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    """A file that is not there has no rows."""
    assert read(tmp_path / "part-00000.parquet") is None


def test_what_is_written_is_read(places: Places, registry: Registry) -> None:
    """A frame comes back from its file as it was, and its size is told."""
    decoded = answer(registry, 0, [row(0, 1.0), row(1)])
    columns = decoded.readings.table.columns
    frame = rows_in(decoded).select(column.name for column in columns)
    size = write(places.file(DC), frame, columns)
    found = read(places.file(DC))

    assert found is not None
    assert found.equals(frame)
    assert found.schema == frame.schema
    assert size == places.file(DC).stat().st_size


def test_the_same_lake_in_any_order(tmp_path: Path) -> None:
    """Answers to different days and devices give the same lake in any order, but for when they came."""
    lakes = []
    for order in ((0, 1, 2), (2, 0, 1)):
        registry = Registry(tmp_path / str(order) / "registry.json")
        places = Places(tmp_path / str(order) / "lake")
        for n in order:
            put(places, 3, [answer(registry, n, [row(n, float(n)), row(200 * n, 1.0)], device=str(n), name="PowerAc")])
        frames = {p.path: pl.read_parquet(places.file(p)).drop("harvested_at") for p in places.partitions()}
        lakes.append(frames)

    assert lakes[0].keys() == lakes[1].keys()
    assert AC.path in lakes[0]
    assert all(
        frame.select(sorted(frame.columns)).equals(lakes[1][p].select(sorted(frame.columns)))
        for p, frame in lakes[0].items()
    )
