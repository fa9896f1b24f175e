"""What each command does, once its arguments and its configuration are known; printing is `show`'s."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, TypeVar

import structlog

from harvester import plan, show
from harvester.compose import Readable, Stop, client_of, harvest_of, readable, utc_now, writable
from harvester.config import Config
from harvester.config.values import email_address
from harvester.discover import Unexplored, explore, unreached, visible_plants
from harvester.due import Again, Wanted
from harvester.errors import AnswerError, ConfigError, HarvestError, NothingToAsk, TimedOut, Unreachable
from harvester.intake import WEEK_RULE, Stores
from harvester.lake.inventory import publish_inventory
from harvester.lake.measure import measure
from harvester.lake.raw import Archive
from harvester.plan import Scope, SpanOf
from harvester.questions import ages
from harvester.report import INCOMPLETE, OK, Report
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState
from harvester.state.inventory import KnownPlant

LAST_RUN = "last_run"
"""The ledger's fact about what the last run did."""
_MOST_AGES = 20

T = TypeVar("T")
log = structlog.get_logger()


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on uvloop where it is installed, which halves the cost of a request."""
    try:
        import uvloop  # noqa: PLC0415 - an optional extra
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def recent(config: Config, scope: Scope) -> Wanted:
    """Return what `run` asks for: everything since `harvest.since` that is due now."""
    harvest = config.harvest
    span_of = plan.recent(harvest.since.first_day, harvest.live_sets, utc_now())
    return Wanted(command="run", scope=scope, span_of=span_of, resume=True)


def backfill(first: date, last: date, scope: Scope, *, newest_first: bool) -> Wanted:
    """Return what `backfill` asks for: the plant-local days from *first* to *last*, both inclusive."""
    return Wanted(command="backfill", scope=scope, span_of=_between(first, last), newest_first=newest_first)


def repair(first: date, last: date, scope: Scope, *, force: bool) -> Wanted:
    """Return what `repair` asks for: what is not settled from *first* to *last*, now; with *force* all of it."""
    again = Again.ALL if force else Again.UNSETTLED
    return Wanted(command="repair", scope=scope, span_of=_between(first, last), again=again)


def _between(first: date, last: date) -> SpanOf:
    if last < first:
        raise ConfigError(f"--from {first} is after --to {last}: give the earlier day first")
    return plan.between(first, last)


async def harvest(config: Config, wanted: Wanted, *, as_json: bool) -> int:
    """Run one harvest, print its report, and return the exit code."""
    stop = Stop()
    with writable(config, wanted.command) as stores:
        try:
            report = await _harvested(config, stores, wanted, stop)
        except (asyncio.CancelledError, HarvestError):
            if not stop.signal:  # who was told to stop need not hear what went wrong on the way
                raise
            show.say("Stopped before there was anything to report; the same command goes on from here.")
            return stop.exit_code
        stores.ledger.record(LAST_RUN, json.dumps(report.facts()))
    if as_json:
        show.as_json(report.facts())
    else:
        show.report(report)
    return report.exit_code


async def _harvested(config: Config, stores: Stores, wanted: Wanted, stop: Stop) -> Report:
    run = utc_now().strftime("%Y%m%dT%H%M%S")
    with stop.listening(), show.progress() as progress, structlog.contextvars.bound_contextvars(run=run):
        async with client_of(config) as client:
            work = harvest_of(config, client, stores, stop, progress)
            report = await _explained(config, client, lambda: work.run(wanted))
            report.signal = stop.signal
            log.info("run.done", **report.log_line())
            return report


async def _explained(config: Config, client: Client, work: Callable[[], Awaitable[T]]) -> T:
    """Do *work*; where nothing may be asked, say for each owner why."""
    try:
        return await work()
    except NothingToAsk as error:
        if config.sma.grant != "custom" or not config.sma.owners:
            raise
        states = [await _state_of(client, owner) for owner in config.sma.owners]
        told = ", ".join(f"{consent.owner}: {consent.state.value}" for consent in states)
        raise NothingToAsk(f"{error} Now: {told}.") from error


async def _state_of(client: Client, owner: str) -> Consent:
    try:
        return await client.consent_state(owner)
    except AnswerError:
        return Consent(owner=owner, state=ConsentState.UNKNOWN)


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
        async with client_of(config) as client:
            listing = visible_plants(client, stores.inventory, utc_now())
            plants = await _explained(config, client, lambda: listing)
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


def _address(owner: str) -> str:
    try:
        return email_address(owner)
    except ValueError as error:
        raise ConfigError(f"{owner!r} cannot be asked for consent: {error}") from error


async def consent(
    config: Config, owners: Sequence[str], act: Callable[[Client, str], Awaitable[Consent]], *, as_json: bool
) -> int:
    """Do *act* for each of *owners* (all configured ones if none is named), print the states, return the code."""
    if config.sma.grant != "custom":
        raise ConfigError('consent by e-mail is the custom grant; the configuration says sma.grant = "code"')
    asked = [_address(owner) for owner in owners] or config.sma.owners
    if not asked:
        raise ConfigError("no owner is named: give e-mail addresses, or set sma.owners")
    states: list[Consent] = []
    failed: dict[str, str] = {}
    async with client_of(config) as client:
        for owner in asked:
            try:
                states.append(await act(client, owner))
            except (Unreachable, TimedOut) as error:
                raise unreached(config.sma.consent_url, error) from error
            except AnswerError as error:
                failed[owner] = str(error)
    if as_json:
        told = [
            {
                "owner": state.owner,
                "state": state.state.value,
                "expires_at": state.expires_at.isoformat() if state.expires_at else None,
                "interval_seconds": state.interval,
            }
            for state in states
        ]
        show.as_json([*told, *({"owner": owner, "state": None, "error": why} for owner, why in failed.items())])
    else:
        rows = [(s.owner, s.state.value, f"{s.expires_at:%Y-%m-%d %H:%MZ}" if s.expires_at else "") for s in states]
        show.table("Consents", ["owner", "state", "request valid until"], rows)
        for owner, why in failed.items():
            show.say(f"{owner}: {why}")
    return INCOMPLETE if failed else OK
