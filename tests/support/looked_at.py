"""What a reader sees of a lake that something happened to: torn files, doubled rows, wrong ones, and wrong answers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
from holes import days_of, lacking, listed_gaps, still_due
from spent import made
from truth_frames import KEY, snake

from harvester.catalog import ENERGY_SETS
from harvester.compose import readable
from harvester.config import Config
from harvester.lake.layout import Partition
from harvester.sandbox import Cloud
from harvester.sandbox import Period as Sum

Tables = Mapping[str, pl.DataFrame]
Name = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set or table."""
Sums = dict[tuple[str, str, date], dict[str, float]]
"""Channels that have a value, in Wh, by table, plant and start of the period."""
BESIDE = {"plant_id", "period_start", "provisional", "other", "harvested_at"}


def rows_a_day(tables: Tables) -> Counter[tuple[Name, date]]:
    """Count the rows of each series, which is called by its table, and day."""
    found: Counter[tuple[Name, date]] = Counter()
    for table, frame in tables.items():
        if table.endswith("_by_index") or not frame.columns:
            continue
        key = ["plant_id", *(["device_id"] if "device_id" in frame.columns else [])]
        for row in frame.group_by(*key, pl.col("local_time").dt.date().alias("day")).len().rows():
            found[(row[0], row[1] if len(key) > 1 else "", table), row[-2]] += row[-1]
    return found


def unreadable(root: Path) -> Iterator[str]:
    """Read every file that a reader's pattern finds, each by itself, as a reader would."""
    for file in sorted(root.rglob("*.parquet")) if root.exists() else []:
        try:
            Partition.parse(file.relative_to(root).as_posix())
            pq.read_table(file, partitioning=None)
        except (OSError, ValueError) as error:
            yield f"{file}: {error}"
    for file in root.rglob("*") if root.exists() else []:
        data = file.is_file() and "_harvester" not in file.parts and file.suffix != ".parquet"
        if data and not (file.name.startswith(".") and file.name.endswith(".tmp")):
            yield f"{file} lies among the data"


def wrong_rows(root: Path, truths: Sequence[Tables], tables: Tables, *, still: bool = True) -> Iterator[str]:
    """Look for rows that are there twice, and rows that are not the truth; with both readers.

    *tables* is what pyarrow reads; *still* is whether nobody is at work, so that both see the same.
    """
    with duckdb.connect() as db:
        for table, frame in tables.items():
            key = [name for name in KEY if name in frame.columns]
            if not key:  # its first file was not finished
                continue
            query = f"SELECT count(*), count(DISTINCT ({', '.join(key)})) FROM read_parquet(?, union_by_name = true)"
            rows, keys = db.execute(query, [f"{root}/{table}/**/*.parquet"]).fetchone() or (0, 0)
            twice = rows != keys or frame.select(key).is_duplicated().any()
            if twice or (still and rows != frame.height):
                yield f"{table}: {frame.height} rows by pyarrow, {(rows, keys)} rows and keys by DuckDB"
            left = frame
            for truth in truths:
                if table in truth:
                    columns = [name for name in truth[table].columns if name in left.columns]
                    left = left.join(truth[table], on=columns, how="anti", nulls_equal=True)
            if left.height:
                yield f"{table}: {left.height} rows are not the truth"


def sums_of(root: Path) -> Sums:
    """Return what the tables of periods hold; a key that comes twice is a `ValueError`."""
    found: Sums = {}
    for file in sorted(root.glob("plant_*/**/*.parquet")) if root.exists() else []:
        table = file.relative_to(root).parts[0]
        if not table.endswith(("_daily", "_monthly", "_yearly")):
            continue
        for row in pl.read_parquet(file, hive_partitioning=False).iter_rows(named=True):
            key = (table, row["plant_id"], row["period_start"])
            if key in found:
                raise ValueError(f"{key} comes twice")
            found[key] = {name: v for name, v in row.items() if name not in BESIDE and v is not None}
    return found


def true_sums(cloud: Cloud, wanted: Sequence[date], at: datetime) -> Sums:
    """Return what the cloud serves at an instant of the months and years of the *wanted* days, and of all time."""
    found: Sums = {}
    months = sorted({day.replace(day=1) for day in wanted})
    for series in cloud.truth.series():
        if series.level != "plant" or series.set not in ENERGY_SETS:
            continue
        served: dict[str, list[Sum]] = {
            "daily": [row for month in months for row in cloud.truth.month(series, month.year, month.month, at=at)],
            "monthly": [row for y in sorted({m.year for m in months}) for row in cloud.truth.year(series, y, at=at)],
            "yearly": cloud.truth.total(series, at=at),
        }
        for ending, rows in served.items():
            table = f"plant_{snake(series.set)}_{ending}"
            found |= {(table, series.plant_id, r.start): {snake(c): v for c, v in r.scalars.items()} for r in rows}
    return found


def wrong_sums(root: Path, truth: Sums, *, whole: bool) -> Iterator[str]:
    """Look for sums that are not the truth; with *whole* also for those that are missing."""
    try:
        have = sums_of(root)
    except ValueError as error:
        yield str(error)
        return
    wrong = sorted(key for key, values in have.items() if truth.get(key) != values)
    missing = sorted(truth.keys() - have.keys()) if whole else []
    if wrong:
        yield f"{len(wrong)} sums are not the truth, such as {wrong[0]}: {have[wrong[0]]}"
    if missing:
        yield f"{len(missing)} sums are missing, such as {missing[0]}"


def wrong_gaps(config: Config, truth: Tables, first: date, last: date) -> Iterator[str]:
    """Look for days that the lake lacks and nobody lists or keeps open, and for days that are said to have failed.

    Of a plant whose devices and sets are not all known yet nothing can be listed: that it is explored is due.
    """
    if not made(config.ledger.path):
        return
    with readable(config) as stores:
        explored = {p.plant.plant_id for p in stores.inventory.plants() if p.explored_at is not None}
    listed: dict[tuple[Name, date], str] = {}
    for gap in listed_gaps(config, first, last):
        if gap["period"] == "Day":
            name = (gap["plant_id"], gap["device_id"] or "", f"{gap['level']}_{snake(gap['set'])}")
            listed |= {(name, day): gap["settlement"] for day in days_of(gap)}
    due = {
        ((plant, device, f"{'device' if device else 'plant'}_{snake(name)}"), day)
        for (plant, device, name), found in still_due(config, first, last).items()
        for day in found
    }
    holes = {
        ((plant, device, table), day) for table, plant, device, day in lacking(config.lake.root, truth, first, last)
    }
    known = {entry for entry in holes if entry[0][0] in explored}
    if silent := sorted(known - listed.keys() - due):
        yield f"{len(silent)} days are missing that nobody lists, such as {silent[0]}"
    there = {entry for entry in rows_a_day(truth) if entry not in holes}
    if failed := sorted(e for e, settlement in listed.items() if settlement == "failed" and e in there):
        yield f"{len(failed)} days are there and listed as failed, such as {failed[0]}"
