"""The sandbox's own truth and the lake's content, both as frames: neither passes through the harvester's decoder."""

import re
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds

from harvester.sandbox import Cloud, Truth, TruthSeries

KEY = ["plant_id", "device_id", "time", "index"]


def days(first: date, last: date) -> list[date]:
    """Return the days from *first* to *last*, both inclusive."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def snake(name: str) -> str:
    """Spell a name as the lake's contract says."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def truth_tables(cloud: Cloud, wanted: Iterable[date], plants: set[str] | None = None) -> dict[str, pl.DataFrame]:
    """Return every row that the cloud ever serves of the *wanted* days, by table, sorted by key."""
    truth, found = cloud.truth, {}
    wanted = list(wanted)
    for series in truth.series():
        if plants is None or series.plant_id in plants:
            table = f"{series.level}_{snake(series.set)}"
            main, by_index = _rows(truth, series, wanted)
            found.setdefault(table, []).extend(main)
            found.setdefault(f"{table}_by_index", []).extend(by_index)
    return {table: _frame(rows) for table, rows in found.items() if rows}


def _rows(truth: Truth, series: TruthSeries, wanted: list[date]) -> tuple[list[dict], list[dict]]:
    main, by_index = [], []
    for day in wanted:
        for reading in truth.rows(series, day):
            keys = {"plant_id": series.plant_id}
            if series.device_id is not None:
                keys["device_id"] = series.device_id
            keys["time"] = reading.start_utc.astimezone(UTC)
            keys["local_time"] = reading.start_local
            keys["interval_minutes"] = reading.minutes
            main.append({**keys, **{snake(c): v for c, v in reading.scalars.items()}})
            indexes = sorted({index for values in reading.arrays.values() for index in values})
            for index in indexes:
                values = {snake(c): v[index] for c, v in reading.arrays.items() if index in v}
                by_index.append({**keys, "index": index, **values})
    return main, by_index


def _frame(rows: list[dict]) -> pl.DataFrame:
    schema: dict[str, pl.DataType] = {}
    for row in rows:
        for name in row:
            schema.setdefault(name, pl.Float64())
    known = {
        "plant_id": pl.String(),
        "device_id": pl.String(),
        "index": pl.String(),
        "time": pl.Datetime("us", "UTC"),
        "local_time": pl.Datetime("us"),
        "interval_minutes": pl.Int16(),
    }
    schema = {name: known.get(name, dtype) for name, dtype in schema.items()}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.sort([name for name in KEY if name in frame.columns])


def lake_tables(root: Path) -> dict[str, pl.DataFrame]:
    """Return the tables of intervals of the lake at *root* as pyarrow reads them, sorted by key."""
    found = {}
    for folder in sorted(root.iterdir()):
        if re.match(r"(plant|device)_(?!.*_(daily|monthly|yearly)(_by_index)?$)", folder.name):
            table = ds.dataset(folder, format="parquet", partitioning=None).to_table()
            frame = pl.from_arrow(table)
            found[folder.name] = frame.sort([name for name in KEY if name in frame.columns])
    return found


def differences(lake: dict[str, pl.DataFrame], truth: dict[str, pl.DataFrame]) -> list[str]:
    """Compare row for row and value for value; say what differs, nothing when all is equal."""
    found = [f"table {name} is missing" for name in truth.keys() - lake.keys()]
    found += [f"table {name} holds {lake[name].height} rows of nothing" for name in lake.keys() - truth.keys()]
    for name in sorted(lake.keys() & truth.keys()):
        have, want = lake[name], truth[name]
        extra = [c for c in have.columns if c not in want.columns and c not in {"other", "harvested_at"}]
        full = [c for c in extra if have.get_column(c).null_count() < have.height]
        if full:
            found.append(f"{name}: columns {full} hold values that the truth lacks")
        if have.height != want.height:
            found.append(f"{name}: {have.height} rows instead of {want.height}")
        elif not have.select(want.columns).equals(want):
            wrong = [c for c in want.columns if not have.get_column(c).equals(want.get_column(c))]
            found.append(f"{name}: values differ in {wrong}")
        if have.height and have.get_column("other").null_count() < have.height if "other" in have.columns else False:
            found.append(f"{name}: `other` is filled")
    return found
