"""How much a lake holds, from the footers of its files."""

from datetime import date
from pathlib import Path

import polars as pl

from harvester.lake.layout import Partition, Places
from harvester.lake.measure import TableSize, measure
from harvester.lake.parquet import write
from harvester.lake.schema import PLANT_ID


def fill(places: Places, partition: Partition, rows: int) -> int:
    """Write *rows* rows and return the size of their file."""
    return write(places.file(partition), pl.DataFrame({"plant_id": ["1"] * rows}), (PLANT_ID,))


def test_sizes(tmp_path: Path) -> None:
    """Each table is told with its files, rows, bytes and days; master data has no days."""
    places = Places(tmp_path)
    days = [date(2024, 6, 1), date(2024, 6, 3)]
    sizes = [
        fill(places, Partition("device_sensor", days[0], 0), 3),
        fill(places, Partition("device_sensor", days[0], 1), 4),
        fill(places, Partition("device_sensor", days[1], 0), 5),
    ]
    master = fill(places, Partition("plants", None, 0), 2)

    assert measure(places) == [
        TableSize("device_sensor", 3, 0, 12, sum(sizes), days[0], days[1]),
        TableSize("plants", 1, 0, 2, master, None, None),
    ]


def test_an_unreadable_file_is_counted_as_such(tmp_path: Path) -> None:
    """A file that cannot be read is told as such, with its bytes but no rows, and stops nothing."""
    places = Places(tmp_path)
    good = fill(places, Partition("plants", None, 0), 2)
    places.file(Partition("plants", None, 1)).write_bytes(b"spoiled")

    assert measure(places) == [TableSize("plants", 2, 1, 2, good + len(b"spoiled"), None, None)]


def test_a_strange_file_is_passed_over(tmp_path: Path) -> None:
    """What is not the lake's, and what is unfinished, does not count and does not upset."""
    places = Places(tmp_path)
    good = fill(places, Partition("plants", None, 0), 2)
    folder = places.file(Partition("plants", None, 0)).parent
    for stray in (
        folder / "part-1.parquet",
        folder / ".part-00000.parquet.1.tmp",
        folder / "date=x" / "part-00000.parquet",
    ):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")

    assert measure(places) == [TableSize("plants", 1, 0, 2, good, None, None)]


def test_no_lake(tmp_path: Path) -> None:
    """Where no lake is there is nothing to measure."""
    assert measure(Places(tmp_path / "none")) == []
