"""What `consent purge` does, once its arguments are known: lists what there is or deletes it; printing is `show`'s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harvester import show
from harvester.care.purge import Asked, Plan, Purging, look, plan
from harvester.compose import asked_owners, operator_name, readable, utc_now, writable
from harvester.config import Config
from harvester.errand import Done, Errand
from harvester.errors import Locked
from harvester.handover import hand_over
from harvester.intake import Progress, Stores
from harvester.lake.layout import Places
from harvester.plan import Scope
from harvester.report import OK
from harvester.state.database import connect
from harvester.state.purges import Purges

_MOST_LISTED = 20


def preview(config: Config, asked: Asked) -> Done:
    """List what `purge` would delete, and change nothing; needs no lock."""
    with readable(config), _purges(config) as purges:
        planned = plan(purges, asked, asked_owners(config))
        found = look(Places(config.lake.root), purges, config.ledger.path, planned.kin)
        facts = {**_planned(planned, purges), "deleted": False, **found.facts()}

    def tell() -> None:
        _tell_plan(facts, planned, config)
        _tell_found(facts, "There are")
        show.tell("Nothing was deleted. The same command with --yes deletes all of it, for ever.")

    return Done(exit_code=OK, facts=facts, tell=tell)


async def purge(config: Config, asked: Asked, *, wait: bool, as_json: bool) -> int:
    """Delete everything of an owner, under the lake's lock, print what that was, and return the exit code.

    Where a daemon has the lake, it does the work; *wait* tells whether to follow it.
    """
    try:
        with writable(config, "consent purge") as stores, show.progress() as progress:
            done = carried_out(config, stores, asked, progress)
    except Locked as error:
        if not error.daemons:
            raise
        scope = Scope(plants=asked.plants)
        errand = Errand(command="purge", scope=scope, owner=asked.owner, not_plants=asked.not_plants)
        return await hand_over(config, errand, error.daemons, wait=wait, as_json=as_json)
    if as_json:
        show.as_json(dict(done.facts))
    else:
        done.tell()
    return done.exit_code


def carried_out(config: Config, stores: Stores, asked: Asked, progress: Progress) -> Done:
    """Delete everything of an owner, with the stores of a process that holds the whole lake.

    What comes back names no plant: an order's result stays in the ledger. Raises `ConfigError`, `LakeError` and
    `LedgerError`; after the latter two the same call goes on from there.
    """
    with _purges(config) as purges:
        planned = plan(purges, asked, asked_owners(config))
        stores.establish()  # the lake's id is the key of every digest
        work = Purging(
            stores.lake.places, purges, config.ledger.path, by=operator_name(), wall=utc_now, progress=progress
        )
        found = work.run(planned).facts()
    facts = {"plants": len(planned.certain), "resumed": planned.begun is not None, "deleted": True, **found}

    def tell() -> None:
        _tell_found(facts, "Deleted:")
        show.tell(f"The audit trail is {stores.lake.places.audit}")
        _tell_configured(planned, config)

    return Done(exit_code=OK, facts=facts, tell=tell)


@contextmanager
def _purges(config: Config) -> Iterator[Purges]:
    engine = connect(config.ledger.path, create=False)
    try:
        yield Purges(engine)
    finally:
        engine.dispose()


def _planned(planned: Plan, purges: Purges) -> dict[str, Any]:
    names = purges.names(planned.kin.plants)
    plants = [
        {"plant_id": plant_id, "name": names.get(plant_id, ""), "certain": planned.certain.get(plant_id)}
        for plant_id in sorted(planned.kin.plants)
    ]
    return {
        "owner": planned.owner,
        "plants": plants,
        "resumed": planned.begun is not None,
        "purged_at": planned.done_at.isoformat() if planned.done_at else None,
        "unattributed_plants": planned.unattributed,
    }


_CERTAIN = {True: "yes", False: "named by you", None: "the same plant by another id"}


def _tell_plan(facts: dict[str, Any], planned: Plan, config: Config) -> None:
    if planned.begun is not None:
        show.tell(
            f"A purge was begun at {planned.begun.begun_at:%Y-%m-%d %H:%MZ} and is not done; this is what is left."
        )
    if planned.done_at is not None:
        show.tell(f"Everything of {planned.owner} was deleted at {planned.done_at:%Y-%m-%d %H:%MZ}.")
    rows = [(p["plant_id"], p["name"], _CERTAIN[p["certain"]]) for p in facts["plants"]]
    if rows:
        show.table(f"Plants of {planned.owner}", ["plant", "name", "certain"], rows)
    else:
        show.tell(f"No plant came with {planned.owner}; a tombstone would keep the owner from being asked again.")
    if planned.unattributed:
        show.tell(
            f"Of {planned.unattributed:,} other plants no owner is known; they stay, unless --plant names them as "
            f"{planned.owner}'s."
        )
    _tell_configured(planned, config)


def _tell_configured(planned: Plan, config: Config) -> None:
    if planned.owner.casefold() in {owner.casefold() for owner in config.sma.owners}:
        show.tell("sma.owners still names this owner: take the address out of the configuration, too.")


def _tell_found(facts: dict[str, Any], head: str) -> None:
    tables = [(table, held["files"], held["rows"]) for table, held in facts["tables"].items()]
    if tables:
        show.table("Tables", ["table", "files", "rows"], tables)
    ledger = facts["ledger"] or {"series": 0, "settled": 0, "open": 0}
    show.tell(
        f"{head} {sum(rows for _, _, rows in tables):,} rows in {sum(files for _, files, _ in tables):,} files, "
        f"{facts['raw_answers']:,} archived answers, {facts['quarantined']:,} quarantined answers, "
        f"about {show.size(facts['bytes'])}; {ledger['series']:,} series with {ledger['settled']:,} settled and "
        f"{ledger['open']:,} open days; {facts['ledger_copies']:,} copies of the ledger (a fresh one takes their "
        f"place) and {facts['ledgers_aside']:,} ledgers that a rebuild had moved aside"
    )
    for problem in facts["unreadable"][:_MOST_LISTED]:
        show.tell(f"  not readable, so that nobody can tell what it holds: {problem}")
