"""What the commands do that care for lake and ledger, once their arguments are known; printing is `show`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from harvester import clock, show
from harvester.care.rebuild import Rebuilt, rebuild
from harvester.care.replay import Order, Outcome, Replay
from harvester.compose import readable, utc_now, writable
from harvester.config import Config
from harvester.errand import Done, Errand
from harvester.errors import ConfigError, Locked
from harvester.handover import hand_over
from harvester.intake import Stores
from harvester.lake.check import check
from harvester.lake.lake import read_identity
from harvester.lake.layout import Places
from harvester.lake.lock import writing
from harvester.lake.registry import Registry
from harvester.lake.upgrade import upgrade
from harvester.report import INCOMPLETE, OK
from harvester.state.inventory import Inventory
from harvester.state.ledger import LAKE_ID
from harvester.state.snapshot import examine

_MOST_LISTED = 20


async def replay(config: Config, errand: Errand, *, wait: bool, as_json: bool) -> int:
    """Make partitions again from archived answers, print what was done, and return the exit code."""
    try:
        with writable(config, "replay") as stores:
            done = replayed(begun_replay(stores, errand, utc_now()).run())
    except Locked as error:
        if not error.daemons:
            raise
        return await hand_over(config, errand, error.daemons, wait=wait, as_json=as_json)
    if as_json:
        show.as_json(done.facts)
    else:
        done.tell()
    return done.exit_code


def begun_replay(stores: Stores, errand: Errand, now: datetime) -> Replay:
    """Return the replay that *errand* asks for; raises `ConfigError` for zones that nobody knows."""
    first, last = errand.days
    order = Order(scope=errand.scope, first=first, last=last, zones=errand.zones)
    _know_zones(order, stores.inventory)
    return Replay(stores, order, now)


def replayed(outcome: Outcome) -> Done:
    """Return what a replay came to."""
    return Done(
        exit_code=OK if outcome.whole else INCOMPLETE,
        facts=_replay_facts(outcome),
        tell=lambda: _tell_replay(outcome),
    )


def _know_zones(order: Order, inventory: Inventory) -> None:
    """Refuse corrections of zones that nobody knows, or of plants that are not replayed."""
    plants = {known.plant.plant_id for known in inventory.plants()}
    for plant, zone in order.zones.items():
        if plant not in plants or not order.scope.takes_plant(plant):
            raise ConfigError(f"--zone {plant}={zone}: no plant {plant} is to be replayed")
        try:
            clock.zone(zone)
        except clock.UnknownZone as error:
            raise ConfigError(f"--zone {plant}={zone}: {error}") from error


def _replay_facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "answers": outcome.answers,
        "rows": dict(sorted(outcome.rows.items())),
        "files_written": outcome.files,
        "bytes_written": outcome.bytes_written,
        "revisions": outcome.revisions,
        "damaged": [{"pack": str(pack.path), "reason": why} for pack, why in sorted(outcome.damaged.items())],
        "undecodable": [{"answer": str(bad.payload.slice), "reason": bad.reason} for bad in outcome.bad],
        "not_archived": [
            {
                "level": missing.series.level.value,
                "plant_id": missing.series.plant_id,
                "device_id": missing.series.device_id,
                "set": missing.series.set,
                "from": missing.first.isoformat(),
                "to": missing.last.isoformat(),
            }
            for missing in outcome.missing
        ],
    }


def _tell_replay(outcome: Outcome) -> None:
    if outcome.rows:
        show.table("Rows that came", ["table", "rows"], sorted(outcome.rows.items()))
    show.tell(
        f"{outcome.answers:,} archived answers; {outcome.files:,} files written ({show.size(outcome.bytes_written)}); "
        f"{outcome.revisions:,} values changed; no request was spent"
    )
    _tell("Damaged packs, left out:", list(outcome.damaged.values()))
    _tell("Answers that cannot be decoded:", [f"{bad.payload.slice}: {bad.reason}" for bad in outcome.bad])
    missing = [f"{m.series} {m.first} … {m.last}" for m in outcome.missing]
    _tell("Settled days without an archived answer (`harvester repair --force` asks them again):", missing)


def _tell(head: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    show.tell(head)
    for line in lines[:_MOST_LISTED]:
        show.tell(f"  {line}")
    if len(lines) > _MOST_LISTED:
        show.tell(f"  … and {len(lines) - _MOST_LISTED:,} more (--json lists all)")


def rebuild_ledger(config: Config, *, force: bool, as_json: bool) -> int:
    """Make the ledger again, print what must be asked again, and return the exit code."""
    places, now = Places(config.lake.root), utc_now()
    with writing(places, command="ledger rebuild", now=now):
        done = rebuild(places, config.ledger.path, force=force, now=now)
    if as_json:
        show.as_json(_rebuild_facts(done))
    else:
        _tell_rebuild(done)
    return OK


def _rebuild_facts(done: Rebuilt) -> dict[str, Any]:
    return {
        "snapshot": done.snapshot.isoformat() if done.snapshot else None,
        "passed_over": done.passed_over,
        "moved_aside": str(done.aside) if done.aside else None,
        "plants_added": done.plants,
        "purges_to_finish": done.purges,
        "ask_again": [
            {"level": level, "set": name, "series_days": days} for (level, name), days in sorted(done.again.items())
        ],
    }


def _tell_rebuild(done: Rebuilt) -> None:
    _tell("Snapshots passed over:", done.passed_over)
    source = f"the snapshot of {done.snapshot}" if done.snapshot else "the lake alone: no snapshot could be used"
    show.tell(f"The ledger was made again from {source}.")
    if done.aside:
        show.tell(f"The one that was in place is now {done.aside}")
    if done.purges:
        show.tell(f"{done.purges:,} purges were begun and are not done: `harvester consent purge` of the same owners.")
    rows = [(level, name, days) for (level, name), days in sorted(done.again.items())]
    show.table("To be asked again", ["level", "set", "series-days"], rows)


def check_ledger(config: Config, *, strict: bool, as_json: bool) -> int:
    """Print whether the ledger is whole and of this lake; the exit code tells with *strict*."""
    condition, identity = examine(config.ledger.path), read_identity(Places(config.lake.root))
    owner, lake_id = (condition.facts or {}).get(LAKE_ID), identity.lake_id if identity else None
    problem = condition.damage or (f"version {condition.version} is of a newer harvester" if condition.newer else None)
    if problem is None and owner != lake_id:
        problem = f"it belongs to the lake {owner}, but {config.lake.root} holds {lake_id or 'none'}"
    facts: dict[str, Any] = {"ledger": str(config.ledger.path), "version": condition.version, "problem": problem}
    if problem is None:
        with readable(config) as stores:
            facts |= {"plants": len(stores.inventory.plants()), **asdict(stores.ledger.summary())}
    if as_json:
        show.as_json(facts)
    else:
        for name, value in facts.items():
            show.tell(f"{name}: {'none' if value is None else value}")
    return INCOMPLETE if strict and problem else OK


def upgrade_lake(config: Config, *, as_json: bool) -> int:
    """Rewrite the files that lack columns, print which, and return the exit code."""
    places = Places(config.lake.root)
    _must_be_a_lake(places)
    with writing(places, command="lake upgrade", now=utc_now()):
        done = list(upgrade(places, Registry(places.registry)))
    rewritten = [each for each in done if not each.problem]
    problems = [each for each in done if each.problem]
    if as_json:
        show.as_json(
            {
                "rewritten": [{"file": str(each.partition.path), "added": list(each.added)} for each in rewritten],
                "unreadable": [{"file": str(each.partition.path), "reason": each.problem} for each in problems],
            }
        )
    else:
        show.tell(f"{len(rewritten):,} files rewritten; all others have every column")
        _tell("Rewritten:", [f"{each.partition.path}: {', '.join(each.added)}" for each in rewritten])
        _tell("Left as they are:", [each.problem for each in problems])
    return INCOMPLETE if problems else OK


def check_lake(config: Config, *, strict: bool, as_json: bool) -> int:
    """Read every file of the lake, print what is wrong; the exit code tells with *strict*."""
    places = Places(config.lake.root)
    _must_be_a_lake(places)
    found = list(check(places, Registry(places.registry)))
    if as_json:
        show.as_json([asdict(finding) for finding in found])
    else:
        show.tell(f"{len(places.partitions()):,} files read, {len(found):,} findings")
        for finding in found:
            show.tell(f"  {finding.path}: {finding.what}")
    return INCOMPLETE if strict and found else OK


def _must_be_a_lake(places: Places) -> None:
    if read_identity(places) is None:
        raise ConfigError(f"{places.root}: there is no lake. `harvester run` or `harvester backfill` makes it.")
