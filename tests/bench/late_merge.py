"""What late rows cost: 5,760 rows of 20 plants into one day's file of 100 plants, which is written whole again.

One file of `device_power_ac` (28,800 rows, one device a plant) and one of seven devices a plant (201,600 rows); of the
20 plants' rows every tenth is new, one in a hundred has changed, the others are as they were. Measured is what a
harvest does with decoded rows: read the file, merge, record revisions, write, fsync, replace. The goal is 0.4 s.

    python tests/bench/late_merge.py [--times 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import publish, read
from harvester.lake.readings import Day
from harvester.lake.registry import Registry
from harvester.lake.schema import INSTANT, WALL_CLOCK, TableSchema
from harvester.model import Level

DAY = date(2026, 6, 3)
PLANTS, LATE_PLANTS, ROWS_OF_A_DAY = 100, 20, 288
GOAL = 0.4
"""Seconds."""


def rows_of(table: TableSchema, plants: int, devices: int, asked_at: datetime) -> pl.DataFrame:
    """Return a whole day of all devices, with the marks of decoded answers."""
    begins = datetime(2026, 6, 2, 22, tzinfo=UTC)
    times = pl.Series("time", [begins + timedelta(minutes=5 * n) for n in range(ROWS_OF_A_DAY)], dtype=INSTANT)
    ids = pl.DataFrame({"plant": range(plants)}).join(pl.DataFrame({"device": range(devices)}), how="cross")
    number = pl.int_range(pl.len())
    keys = {
        "plant_id": pl.format("{}", 1_000_000 + pl.col("plant")),
        "device_id": pl.format("{}", 2_000_000 + 100 * pl.col("plant") + pl.col("device")),
        "local_time": (pl.col("time") + timedelta(hours=2)).dt.replace_time_zone(None).cast(WALL_CLOCK),
        "interval_minutes": pl.lit(5, dtype=pl.Int16),
        "other": pl.lit(None, dtype=pl.String),
        "harvested_at": pl.lit(asked_at, dtype=INSTANT),
        "_date": pl.lit(DAY),
        "_whole": pl.lit(value=True),
        "_repeats": pl.lit(value=False),
    }
    values = {
        column.name: (((number * (n + 3)) % 99_991) / 7).round(3)
        for n, column in enumerate(column for column in table.columns if column.name not in {*keys, "time"})
    }
    frame = ids.join(times.to_frame(), how="cross").with_columns(**keys, **values)
    return frame.select(*(column.name for column in table.columns), "_date", "_whole", "_repeats")


def measure(devices: int, times: int) -> dict[str, float]:
    """Merge late rows into a file of so many devices a plant, *times* over."""
    early, later = datetime(2026, 6, 4, 3, tzinfo=UTC), datetime(2026, 6, 6, 3, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder) / "lake")
        table = Registry(Path(folder) / "registry.json").table(Level.DEVICE, "PowerAc")
        whole = rows_of(table, PLANTS, devices, early)
        number, channel = pl.int_range(pl.len()), table.scalars[0].name
        first = pl.col("device_id").cast(pl.Int64) % 100 == 0
        late = whole.filter(first, pl.col("plant_id").cast(pl.Int64) < 1_000_000 + LATE_PLANTS)
        missing = late.filter(number % 10 == 0).select("device_id", "time")
        changed = pl.when(number % 100 == 1).then(pl.col(channel) + 1).otherwise(channel).alias(channel)
        late = late.with_columns(changed, harvested_at=pl.lit(later, dtype=INSTANT))
        file = places.file(Partition(table.table, DAY, 0))
        publish(places, 0, table, [Day(DAY, whole.join(missing, on=["device_id", "time"], how="anti"), None)])
        content, walls, cpus = file.read_bytes(), [], []
        for _ in range(times):
            file.write_bytes(content)
            walls.append(-perf_counter())
            cpus.append(-process_time())
            written = publish(places, 0, table, [Day(DAY, late, None)])
            cpus[-1] += process_time()
            walls[-1] += perf_counter()
        merged = read(file)
    assert merged is not None
    return {
        "rows": merged.height,
        "columns": merged.width,
        "late": late.height,
        "revisions": written.revisions,
        "files": written.files,
        "wall": median(walls),
        "least": min(walls),
        "most": max(walls),
        "cpu": median(cpus),
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    asked = parser.parse_args()
    found = [measure(devices, asked.times) for devices in (1, 7)]
    for each in found:
        print(
            f"{each['late']:,} late rows into {each['rows']:,} rows of {each['columns']} columns: "
            f"{each['wall']:.3f} s ({each['least']:.3f}..{each['most']:.3f}), CPU {each['cpu']:.3f} s   (goal: {GOAL})"
        )
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
