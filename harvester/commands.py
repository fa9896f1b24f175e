"""What each command does, once its arguments and its configuration are known; printing is `show`'s."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, TypeVar

import structlog

from harvester import show
from harvester.compose import Readable, asked_owners, asking, harvest_of, readable, utc_now, writable
from harvester.config import Config
from harvester.discover import Unexplored, explore
from harvester.due import Wanted
from harvester.errand import Errand, wanted
from harvester.errors import HarvestError, Locked
from harvester.handover import hand_over
from harvester.intake import WEEK_RULE, Stores
from harvester.lake.inventory import publish_inventory
from harvester.lake.measure import measure
from harvester.lake.raw import Archive
from harvester.owners.consents import explained
from harvester.owners.listing import list_plants_of
from harvester.questions import ages, budget
from harvester.report import INCOMPLETE, OK, Report
from harvester.state.inventory import KnownPlant
from harvester.state.ledger import LAST_RUN
from harvester.stopping import Stop

_MOST_AGES = 20

T = TypeVar("T")
log = structlog.get_logger()


GARBAGE_AFTER = 10_000
"""New objects after which the youngest are searched for garbage; Python's own 700 come with every third answer."""


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on uvloop where it is installed, which halves the cost of a request."""
    gc.freeze()  # what was imported stays: to look through it again and again costs 3 % of a backfill
    gc.set_threshold(GARBAGE_AFTER)
    try:
        import uvloop  # noqa: PLC0415 - an optional extra
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def harvest(config: Config, errand: Errand, *, wait: bool = True, as_json: bool) -> int:
    """Do what `run`, `backfill` or `repair` asks for, print the report, and return the exit code.

    Where a daemon has the lake, it does the work; *wait* tells whether to follow it.
    """
    stop = Stop()
    try:
        with writable(config, errand.command) as stores:
            try:
                report = await _harvested(config, stores, wanted(errand, config, utc_now()), stop)
            except (asyncio.CancelledError, HarvestError):
                if not stop.signal:  # who was told to stop need not hear what went wrong on the way
                    raise
                show.say("Stopped before there was anything to report; the same command goes on from here.")
                return stop.exit_code
            stores.ledger.record(LAST_RUN, json.dumps(report.facts()))
    except Locked as error:
        if not error.daemons:
            raise
        return await hand_over(config, errand, error.daemons, wait=wait, as_json=as_json)
    if as_json:
        show.as_json(report.facts())
    else:
        show.report(report)
    return report.exit_code


async def _harvested(config: Config, stores: Stores, what: Wanted, stop: Stop) -> Report:
    run = utc_now().strftime("%Y%m%dT%H%M%S")
    with stop.listening(), show.progress() as progress, structlog.contextvars.bound_contextvars(run=run):
        async with asking(config, stores) as client:
            work = harvest_of(config, client, stores, stop.event, progress)
            report = await explained(lambda: work.run(what), client, stores.owners, asked_owners(config), utc_now())
            report.signal = stop.signal
            log.info("run.done", **report.log_line())
            return report


async def discover(config: Config, *, as_json: bool) -> int:
    """Enumerate every visible plant anew, print what there is, and return the exit code."""
    stop = Stop()
    with writable(config, "discover") as stores:
        try:
            plants, trouble = await _discovered(config, stores, stop)
        except asyncio.CancelledError:
            if not stop.signal:
                raise
            show.say("Stopped before everything was enumerated; the same command begins anew.")
            return stop.exit_code
        publish_inventory(stores.lake.places, stores.inventory)
        devices = stores.inventory.devices()
        series = [s.series for part in {p.part for p in plants} for s in stores.inventory.offered_series(part)]
    found = [
        {
            **_plain(known.plant),
            "part": known.part,
            "devices": [_plain(d.device) for d in devices if d.device.plant_id == known.plant.plant_id],
            "series": sorted(str(s) for s in series if s.plant_id == known.plant.plant_id),
        }
        for known in plants
    ]
    if as_json:
        show.as_json({"plants": found, "failed": [{"plant_id": t.plant_id, "reason": str(t.error)} for t in trouble]})
    else:
        heads = ["plant", "name", "zone", "devices", "series"]
        rows = [(p["plant_id"], p["name"], p["timezone"], len(p["devices"]), len(p["series"])) for p in found]
        show.table("Plants", heads, rows)
        for each in trouble:
            show.say(f"{each.plant_id}: {each.error}")
    if stop.signal:
        return stop.exit_code
    return INCOMPLETE if trouble else OK


async def _discovered(config: Config, stores: Stores, stop: Stop) -> tuple[list[KnownPlant], list[Unexplored]]:
    with stop.listening():
        async with asking(config, stores) as client:
            asked = asked_owners(config)
            listing = list_plants_of(client, stores.inventory, stores.owners, asked, utc_now())
            plants = await explained(lambda: listing, client, stores.owners, asked, utc_now())
            stores.establish()
            return plants, await explore(
                client, stores.inventory, plants, now=utc_now(), workers=config.rate.concurrency, stop=stop.event
            )


def _plain(value: Any) -> dict[str, Any]:
    return {name: v.isoformat() if hasattr(v, "isoformat") else v for name, v in asdict(value).items()}


def status(config: Config, *, as_json: bool) -> int:
    """Print what lake and ledger hold."""
    with readable(config) as stores:
        facts = _status(stores, config.harvest.live_sets)
    now_budget = budget.present(config, utc_now())
    facts["budget"] = now_budget.facts()
    if as_json:
        show.as_json(facts)
        return OK
    heads = ["table", "files", "unreadable", "rows", "size", "first day", "last day"]
    rows = [
        (
            t["table"],
            t["files"],
            t["unreadable"],
            t["rows"],
            show.size(t["bytes"]),
            t["first_day"] or "",
            t["last_day"] or "",
        )
        for t in facts["tables"]
    ]
    show.table(f"Lake {facts['lake']}", heads, rows)
    days = facts["days"]
    show.tell(
        f"{facts['plants']:,} plants, {facts['series']:,} series; series-days: {days['settled']:,} settled, "
        f"{days['open']:,} open, {days['failed']:,} failed"
    )
    raw = facts["raw"]
    show.tell(f"Raw archive: {raw['answers']:,} answers, {show.size(raw['bytes'])}")
    for failed in facts["failed"]:
        show.tell(f"  {failed['series']} {failed['day']}: {failed['reason']}")
    for failed in facts["failed_sums"]:
        show.tell(f"  {failed['series']} {failed['of']}: {failed['reason']}")
    _tell_ages(facts["plants_fresh"])
    show.tell(str(now_budget))
    last = facts["last_run"]
    if last:
        show.tell(f"Last run: {last['command']}, {last['began_at']}, exit code {last['exit_code']}")
    return OK


def _tell_ages(fresh: Sequence[Mapping[str, Any]]) -> None:
    if not fresh:
        return
    rows = [(p["name"], p["plant_id"], p["newest"] or "", ages.words(p["age_seconds"])) for p in fresh[:_MOST_AGES]]
    show.table("Newest row of the live sets, the stalest plants first", ["plant", "id", "newest", "age"], rows)
    if len(fresh) > _MOST_AGES:
        show.tell(f"… and {len(fresh) - _MOST_AGES:,} fresher plants (--json lists all)")


def _status(stores: Readable, live_sets: Collection[str]) -> dict[str, Any]:
    summary, last_run = stores.ledger.summary(), stores.ledger.fact(LAST_RUN)
    plants = stores.inventory.plants()
    failures = stores.ledger.failures()
    named = stores.inventory.series_named({series_id for series_id, _, _ in failures})
    return {
        "lake": str(stores.places.root),
        "plants": len(plants),
        "plants_fresh": [age.facts() for age in ages.ages(plants, stores.history.newest(live_sets), utc_now())],
        "series": summary.series,
        "days": {"settled": summary.settled, "open": summary.open, "failed": summary.failed},
        "failed": [
            {
                "series": str(named[i]),
                "day": day.isoformat(),
                "attempts": known.attempts,
                "reason": known.reason,
            }
            for i, day, known in failures
        ],
        "failed_sums": _failed_sums(stores),
        "week_rule": stores.ledger.fact(WEEK_RULE),
        "raw": asdict(Archive(stores.places).size()),
        "tables": [asdict(size) | _days(size.first_day, size.last_day) for size in measure(stores.places)],
        "last_run": json.loads(last_run) if last_run else None,
    }


def _failed_sums(stores: Readable) -> list[dict[str, Any]]:
    failures = stores.periods.failures()
    named = stores.inventory.series_named({series_id for series_id, _, _ in failures})
    return [
        {"series": str(named[i]), "of": str(stretch), "attempts": known.attempts, "reason": known.reason}
        for i, stretch, known in failures
    ]


def _days(first: date | None, last: date | None) -> dict[str, str | None]:
    return {"first_day": first.isoformat() if first else None, "last_day": last.isoformat() if last else None}
