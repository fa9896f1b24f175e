"""Whether a harvest keeps its word, whatever went wrong on the wire: what the lake lacks is named somewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from holes import days_of, lacking, listed_gaps, still_due, wrong_rows
from looked_at import sums_of
from truth_frames import snake

from harvester.compose import readable
from harvester.config import Config
from harvester.report import Report

BERLIN = ZoneInfo("Europe/Berlin")
SeriesKey = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set as the lake spells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a harvest was asked for, and what a cloud in good health would have said."""

    first: date
    last: date
    """Plant-local days, both inclusive, all of them over."""
    plants: frozenset[str]
    """Those that the harvester may see."""
    truth: dict[str, pl.DataFrame]
    new: frozenset[str] = frozenset()
    """Devices that were built in after their plant was enumerated, which is done once a day."""
    denied: bool = False
    """Whether a list of sets may have been answered with 404, which is taken for a device or plant without them."""


def over(now: datetime) -> date:
    """Return the last day that is over in Berlin."""
    return now.astimezone(BERLIN).date() - timedelta(days=1)


def untrue(root: Path, truth: dict[str, pl.DataFrame]) -> list[str]:
    """Say which rows of the lake are not the truth's, value for value, and which rows and sums are there twice."""
    found = wrong_rows(root, truth)
    try:
        sums_of(root)
    except ValueError as error:
        found.append(f"a sum: {error}")
    return found


def broken_words(config: Config, asked: Asked, report: Report | None) -> list[str]:
    """Say which days the lake lacks without a word to anybody; nothing where each hole can be learned of.

    A hole is named by `gaps` or by the ledger, that of a plant which could not be enumerated by the *report*. Without
    a report, which means that the harvest ended with an error, only what was known before can be named.
    """
    if asked.first > asked.last:
        return []
    gaps = [gap for gap in listed_gaps(config, asked.first, asked.last) if gap["period"] == "Day"]
    return [*_unnamed(config, asked, gaps, report), *_unasked(asked, gaps, report)]


def _unnamed(config: Config, asked: Asked, gaps: list[dict[str, Any]], report: Report | None) -> Iterator[str]:
    due = still_due(config, asked.first, asked.last).items()
    named = {(*_key(gap), day) for gap in gaps for day in days_of(gap)}
    named |= {(plant, device, snake(name), day) for (plant, device, name), days in due for day in days}
    known = _known(config)
    untold = frozenset() if report is None else _not_enumerated(report)
    for table, plant, device, day in sorted(lacking(config.lake.root, asked.truth, asked.first, asked.last)):
        key = (plant, device, table.partition("_")[2])
        excused = key not in known and (report is None or asked.denied or plant in untold or device in asked.new)
        if plant in asked.plants and (*key, day) not in named and not excused:
            yield f"{table} of {plant}/{device} on {day} is lacking and nobody says so"


def _unasked(asked: Asked, gaps: list[dict[str, Any]], report: Report | None) -> Iterator[str]:
    """Tell what was not asked although nothing of its series had failed; an error needs no such reason."""
    if report is None:
        return
    failed = {*report.not_asked, *(miss.what.partition(" ")[0] for miss in report.misses)}
    for gap in gaps:
        series = "/".join(filter(None, (gap["plant_id"], gap["device_id"], gap["set"])))
        if gap["settlement"] == "unasked" and gap["plant_id"] in asked.plants and series not in failed:
            yield f"{series} from {gap['from']} to {gap['to']} was not asked for no reason"


def _key(gap: dict[str, Any]) -> SeriesKey:
    return gap["plant_id"], gap["device_id"] or "", snake(gap["set"])


def _known(config: Config) -> set[SeriesKey]:
    """Return the series that are offered, of plants that were not given up: of others nobody can say anything."""
    with readable(config) as stores:
        plants = [p for p in stores.inventory.plants() if p.withdrawn_at is None and p.moved_to is None]
        here = {plant.plant.plant_id for plant in plants}
        every = [s.series for part in {p.part for p in plants} for s in stores.inventory.every_series(part)]
    return {(s.plant_id, s.device_id or "", snake(s.set)) for s in every if s.plant_id in here}


def _not_enumerated(report: Report) -> frozenset[str]:
    """Return the plants of which the report says that devices or sets could not be asked for."""
    ending = " devices and sets"
    return frozenset(miss.what.removesuffix(ending) for miss in report.misses if miss.what.endswith(ending))
