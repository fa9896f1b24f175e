"""What a plan costs and what freshness a budget can hold, before a request is spent: for `harvester plan`."""

from __future__ import annotations

from datetime import timedelta

from harvester import show
from harvester.compose import Readable, readable, utc_now
from harvester.config import Config
from harvester.due import Wanted
from harvester.lake.measure import bytes_per_row
from harvester.questions import budget
from harvester.questions.estimate import Estimate, estimate, rows_of_a_day
from harvester.questions.freshness import Freshness, LiveSeries, hold
from harvester.report import OK

_MINUTES_A_DAY = 24 * 60


def costs(config: Config, wanted: Wanted, *, as_json: bool) -> int:
    """Print what *wanted* would cost, and return the exit code."""
    with readable(config) as stores:
        now = utc_now()
        found = estimate(stores.inventory, stores.ledger, wanted, now, stores.periods)
        size = round(found.rows * bytes_per_row(stores.places))
        limit = budget.present(config, now)
    minutes = found.minutes(limit.requests, limit.window_seconds)
    if as_json:
        show.as_json({**found.facts(), "bytes": size, "minutes": minutes, "budget": limit.facts()})
        return OK
    _tell(found, size, minutes, limit)
    return OK


def _tell(found: Estimate, size: int, minutes: float | None, limit: budget.Budget) -> None:
    heads = ["set", "series", "series-days", "requests"]
    show.table("Requests", heads, [(c.set, c.series, c.series_days, c.requests) for c in found.by_set])
    show.tell(
        f"{found.requests:,} requests for {found.series_days:,} series-days of {found.series:,} series; "
        f"at most {found.rows:,} rows, about {show.size(size)} in the lake"
    )
    if minutes is None:
        show.tell(
            "How long that takes depends on your budget: set rate.requests to what SMA allows, or let the first run "
            "learn it."
        )
    else:
        show.tell(f"{minutes:,.1f} minutes under the present budget of {_named(limit)}")
    if not found.plants:
        show.tell("No plant is known yet: run `harvester discover` first.")


def live(config: Config, *, as_json: bool) -> int:
    """Print the freshness that the budget can hold for the live sets, and return the exit code."""
    with readable(config) as stores:
        limit = budget.present(config, utc_now())
        found = _held(config, stores, limit)
    if as_json:
        show.as_json({**found.facts(), "budget": limit.facts()})
        return OK
    show.tell(
        f"{found.live_series:,} live series ({', '.join(config.harvest.live_sets)}), each asked every "
        f"{_span(found.turn_seconds)}: {found.live_requests:,} requests a day, and {found.daily_requests:,} for the "
        "sets that are asked once a day"
    )
    show.tell(
        f"Age of a plant's newest row: half of the time below {_span(found.p50_seconds)}, 95 % of it below "
        f"{_span(found.p95_seconds)}"
    )
    if found.share is None:
        show.tell("No limit is assumed, as none is configured and none was learned: set rate.requests.")
    else:
        show.tell(f"{found.share:.0%} of the budget of {_named(limit)} is used")
    return OK


def _held(config: Config, stores: Readable, limit: budget.Budget) -> Freshness:
    """Sort the series of all visible plants into live ones and those that are asked once a day."""
    live_sets, skipped = set(config.harvest.live_sets), set(config.harvest.exclude_sets)
    plants = [known for known in stores.inventory.plants() if not known.missing_count]
    visible = {known.plant.plant_id for known in plants}
    found: list[LiveSeries] = []
    daily = 0
    for part in sorted({known.part for known in plants}):
        for known in stores.inventory.offered_series(part):
            if known.series.plant_id not in visible or known.series.set in skipped:
                continue
            if known.series.set in live_sets:
                minutes = known.minutes or _MINUTES_A_DAY // rows_of_a_day(known.series.plant_id)
                found.append(LiveSeries(minutes, known.lag))
            else:
                daily += 1
    return hold(found, daily_requests=daily, requests=limit.requests, window_seconds=limit.window_seconds)


def _named(limit: budget.Budget) -> str:
    """Return the budget for people, with where it comes from."""
    origin = "" if limit.requests == limit.configured else ", as learned"
    return f"{limit.requests or 0:,} requests in {_span(limit.window_seconds)}{origin}"


def _span(seconds: float) -> str:
    """Return a span of time for people."""
    return str(timedelta(seconds=round(seconds))).removeprefix("0:")
