"""Paths: a partition is a value that prints and parses."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake.layout import Pack, Partition, Places
from harvester.model import Shard

FIXED = settings(deadline=None, derandomize=True)

PARTITIONS = st.builds(
    Partition,
    table=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    day=st.none() | st.dates(min_value=date(1, 1, 1)),
    part=st.integers(min_value=0, max_value=10**7),
)


@given(PARTITIONS)
@FIXED
def test_round_trip(partition: Partition) -> None:
    """What a partition prints it parses again."""
    assert Partition.parse(partition.path) == partition
    assert Partition.parse(str(partition.path)).path == partition.path


def test_paths_are_the_contract() -> None:
    """The paths are those that other programs are written against."""
    day = Partition("device_power_ac", date(2024, 6, 1), 12)

    assert str(day.path) == "device_power_ac/date=2024-06-01/part-00012.parquet"
    assert str(Partition("plants", None, 0).path) == "plants/part-00000.parquet"
    assert Places(Path("/lake")).file(day) == Path("/lake/device_power_ac/date=2024-06-01/part-00012.parquet")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "part-00000.parquet",
        "_harvester/part-00000.parquet",
        "Plants/part-00000.parquet",
        "plants/part-0.parquet",
        "plants/part-000001.parquet",
        "plants/part-\N{ARABIC-INDIC DIGIT ZERO}0000.parquet",
        "plants/date=2024-13-01/part-00000.parquet",
        "plants/date=2024-02-30/part-00000.parquet",
        "plants/date=2024-2-3/part-00000.parquet",
        "plants/day=2024-01-01/part-00000.parquet",
        "plants/part-00000.parquet.tmp",
        "a/plants/part-00000.parquet",
        "../plants/part-00000.parquet",
        "plants/part-00000.parquet\n",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """A path that no partition prints is none."""
    with pytest.raises(ValueError, match=r"not a partition|month|day|isoformat"):
        Partition.parse(path)


@given(st.text(max_size=60))
@FIXED
def test_no_text_but_a_path(text: str) -> None:
    """Any text is refused with a ValueError or is the path of what it parses to."""
    try:
        parsed = Partition.parse(text)
    except ValueError:
        parsed = None

    assert parsed is None or str(parsed.path) == text


PACKS = st.builds(
    Pack,
    table=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    week=st.dates(min_value=date(1, 1, 1)),
    part=st.integers(min_value=0, max_value=10**7),
    digest=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
)


@given(PACKS)
@FIXED
def test_round_trip_of_packs(pack: Pack) -> None:
    """What a pack of the raw archive prints it parses again, and no reader of data takes it for data."""
    assert Pack.parse(pack.path) == pack
    assert pack.path.suffix != ".parquet"


def test_places_of_our_own() -> None:
    """What is not data lies below `_harvester`, where no reader of data looks."""
    places = Places(Path("/lake"))
    own = {
        places.identity,
        places.lock(),
        places.lock(Shard(1, 2)),
        places.registry,
        places.quarantine,
        places.raw,
        places.snapshots,
    }

    assert {path.parent for path in own} == {Path("/lake/_harvester")}
    assert len(own) == 7


def test_partitions_are_found_in_order(tmp_path: Path) -> None:
    """All partitions that are there are found, ascending, and nothing else."""
    places = Places(tmp_path)
    expected = [
        Partition("device_sensor", date(2024, 1, 1), 0),
        Partition("device_sensor", date(2024, 1, 1), 1),
        Partition("device_sensor", date(2024, 1, 2), 0),
        Partition("plants", None, 0),
    ]
    strays = ["_harvester/part-00000.parquet", "old/backup/part-00000.parquet", "plants/.part-00000.parquet.1.tmp"]
    for file in [*(places.file(p) for p in reversed(expected)), *(tmp_path / stray for stray in strays)]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    assert places.partitions() == expected
    assert places.partitions("device_sensor") == expected[:3]


def test_tables_of_no_lake(tmp_path: Path) -> None:
    """Where no lake is there are no tables and no partitions."""
    places = Places(tmp_path / "none")

    assert places.tables() == []
    assert places.partitions() == []
