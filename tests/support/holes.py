"""What a lake lacks of the truth, and what it holds that was never true; by series and day."""

import contextlib
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from truth_frames import KEY, lake_tables

from harvester.compose import readable, scope_of
from harvester.config import Config
from harvester.questions.asking import Question, gaps

SeriesDay = tuple[str, str, str, date]
"""Table, plant, device (empty for the plant as a whole), plant-local day."""


def wrong_rows(root: Path, truth: dict[str, pl.DataFrame]) -> list[str]:
    """Say which rows of the lake are not the truth's, value for value, and which are there twice."""
    found = []
    for name, have in (lake_tables(root) if root.exists() else {}).items():
        if name not in truth:
            found += [f"{name}: {have.height} rows of nothing"] if have.height else []
            continue
        want = truth[name]
        keys = [key for key in KEY if key in want.columns]
        if have.select(keys).is_duplicated().any():
            found.append(f"{name}: a key comes twice")
        columns = [c for c in want.columns if c in have.columns]
        strange = have.join(want.select(columns), on=columns, how="anti", nulls_equal=True)
        found += (
            [f"{name}: {strange.height} rows are not the truth's, such as {strange.row(0)}"] if strange.height else []
        )
    return found


def lacking(root: Path, truth: dict[str, pl.DataFrame], first: date, last: date) -> set[SeriesDay]:
    """Return the days from *first* to *last* of which the lake lacks a row that is ever served."""
    lake, found = lake_tables(root) if root.exists() else {}, set()
    for name, want in truth.items():
        asked = want.filter(want["local_time"].dt.date().is_between(first, last))
        keys = [key for key in KEY if key in want.columns]
        have = lake.get(name)
        left = asked if have is None or not have.columns else asked.join(have.select(keys), on=keys, how="anti")
        device = pl.col("device_id") if "device_id" in left.columns else pl.lit("")
        days = left.select("plant_id", device.alias("device_id"), pl.col("local_time").dt.date()).unique()
        found |= {(name.removesuffix("_by_index"), *row) for row in days.rows()}
    return found


def listed_gaps(config: Config, first: date, last: date) -> list[dict[str, Any]]:
    """Return what `gaps --json` prints of those days."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        gaps(config, Question(scope_of(config), first, last), content=False, check=True, as_json=True)
    found: list[dict[str, Any]] = json.loads(out.getvalue())
    return found


def days_of(gap: dict[str, Any]) -> list[date]:
    """Return the days that a gap spans."""
    first, last = date.fromisoformat(gap["from"]), date.fromisoformat(gap["to"])
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def still_due(config: Config, first: date, last: date) -> dict[tuple[str, str, str], set[date]]:
    """Return the days that the ledger keeps open, failed ones included, by plant, device and set."""
    found = {}
    with readable(config) as stores:
        for part in {known.part for known in stores.inventory.plants()}:
            series = {known.series_id: known.series for known in stores.inventory.every_series(part)}
            for series_id, days in stores.ledger.days(list(series), first, last).items():
                of = series[series_id]
                found[of.plant_id, of.device_id or "", of.set] = set(days.open)
    return found
