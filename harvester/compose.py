"""From a configuration to the parts of a run, opened in the one safe order: lock, lake, ledger."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from sqlalchemy.engine import Engine

from harvester.config import Config
from harvester.errors import ConfigError, LakeError, LedgerError
from harvester.harvest import Harvest
from harvester.intake import Progress, Stores, Terms
from harvester.lake.atomic import forget_unfinished, replace_with
from harvester.lake.lake import Identity, open_lake, read_identity
from harvester.lake.layout import Places
from harvester.lake.lock import writing
from harvester.lake.quarantine import Quarantine
from harvester.lake.raw import Archive
from harvester.lake.registry import Registry
from harvester.model import WHOLE, Shard
from harvester.plan import Scope
from harvester.purse import kept, share
from harvester.sma.client import Client
from harvester.sma.code_client import CodeClient
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.sma.tally import OnRequest
from harvester.state.budget import BudgetBook
from harvester.state.connections import Connections
from harvester.state.database import connect, is_there
from harvester.state.history import History
from harvester.state.inventory import Inventory
from harvester.state.ledger import LAKE_ID, Ledger
from harvester.state.orders import Orders
from harvester.state.owners import Owners
from harvester.state.period_ledger import PeriodLedger
from harvester.state.snapshot import copy_ledger
from harvester.state.succession import Succession
from harvester.state.vault import Keyring, Vault, no_key

_ABANDONED = timedelta(hours=1)
"""After so long nobody is still writing a file."""
SNAPSHOTS = 7
"""How many copies of the ledger are kept."""

log = structlog.get_logger()


def utc_now() -> datetime:
    """Return the present, aware UTC."""
    return datetime.now(UTC)


def client_of(
    config: Config,
    *,
    wall: Callable[[], datetime] = utc_now,
    shard: Shard = WHOLE,
    on_request: OnRequest | None = None,
) -> Client:
    """Return a client for the configured cloud and grant; raises `ConfigError` where credentials or a key are missing.

    In the code grant the ledger, which keeps the owners' tokens, must be there; `LedgerError` is raised else.
    """
    if config.sma.grant == "code":
        return code_client_of(config, wall=wall, on_request=on_request)
    return Client(_hosts(config), _credentials(config), _limits(config, shard), wall=wall, on_request=on_request)


def code_client_of(
    config: Config, *, wall: Callable[[], datetime] = utc_now, on_request: OnRequest | None = None
) -> CodeClient:
    """Return a client with a token for each owner who connected; raises what `client_of` raises."""
    credentials, keyring = _credentials(config), keyring_of(config)
    engine = connect(config.ledger.path, create=False)
    store = Connections(engine, Vault(engine, keyring, wall), wall)
    return CodeClient(_hosts(config), credentials, _limits(config), store=store, wall=wall, on_request=on_request)


def keyring_of(config: Config) -> Keyring:
    """Return the keys that encrypt the owners' tokens; raises `ConfigError` where none or a wrong one is set."""
    key = config.vault.key
    if key is None:
        raise no_key()
    return Keyring.parse(key.get_secret_value())


def _hosts(config: Config) -> Hosts:
    sma = config.sma
    return Hosts(auth_url=sma.auth_url, consent_url=sma.consent_url, monitoring_url=sma.monitoring_url)


def _credentials(config: Config) -> Credentials:
    given = config.sma.credentials()
    return Credentials(client_id=given.client_id, client_secret=given.client_secret)


def _client_id(config: Config) -> str:
    """Return the client id, nothing where there is none: not all that writes to a lake asks SMA."""
    try:
        return config.sma.credentials().client_id
    except ConfigError:
        return ""


def _limits(config: Config, shard: Shard = WHOLE) -> Limits:
    rate = config.rate
    return Limits(
        timeout_seconds=config.sma.timeout_seconds,
        concurrency=rate.concurrency,
        requests=share(rate.requests, shard),
        window_seconds=rate.window_seconds,
    )


def asked_owners(config: Config) -> tuple[str, ...]:
    """Return the owners whom the configuration names for the custom grant; in the code grant nobody is asked."""
    return config.sma.owners if config.sma.grant == "custom" else ()


def scope_of(config: Config, **chosen: object) -> Scope:
    """Return what the configuration selects, narrowed by what a command *chosen* explicitly."""
    harvest = config.harvest
    selected = {
        "plants": frozenset(harvest.plants),
        "sets": frozenset(harvest.sets),
        **{name: value for name, value in chosen.items() if value},
    }
    return Scope(
        **selected,  # type: ignore[arg-type]  # the command line's own types, checked there
        exclude_plants=frozenset(harvest.exclude_plants),
        exclude_sets=frozenset(harvest.exclude_sets),
    )


@asynccontextmanager
async def asking(
    config: Config,
    stores: Stores,
    *,
    wall: Callable[[], datetime] = utc_now,
    shard: Shard = WHOLE,
    on_request: OnRequest | None = None,
) -> AsyncIterator[Client]:
    """Open a client whose budget goes on where the last process ended; raises what `client_of` raises."""
    async with (
        client_of(config, wall=wall, shard=shard, on_request=on_request) as client,
        kept(client.pace, stores.budget, shard, wall),
    ):
        yield client


def keep_house(config: Config, stores: Stores, now: datetime) -> Mapping[str, object]:
    """Do what is to be done once a day, and return the facts for the log.

    A copy of the ledger is made; old answers leave the quarantine, old orders are forgotten, and so is what killed
    writers left half-written.
    """
    engine = connect(config.ledger.path, create=False)
    try:
        copied = keep_snapshot(stores.lake.places, engine, now)
    finally:
        engine.dispose()
    stores.quarantine.clear(now)
    stores.orders.forget(now)
    gone = forget_unfinished(stores.lake.places.root, now - _ABANDONED)
    return {
        "snapshot": str(copied) if copied else None,
        "leftovers": gone,
        "raw": asdict(Archive(stores.lake.places).size()),
    }


def operator_name() -> str:
    """Return who uses the program, for the trail of what was done."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


@contextmanager
def writable(config: Config, command: str, shard: Shard = WHOLE) -> Iterator[Stores]:
    """Open lake and ledger for writing, under the lake's lock; raises `LakeError` and `LedgerError`."""
    places = Places(config.lake.root)
    with writing(places, command=command, now=utc_now(), shard=shard):
        host = urlsplit(config.sma.monitoring_url).netloc
        identity = read_identity(places)
        _warn_of_a_lost_ledger(config, identity)
        engine = connect(config.ledger.path)
        try:
            ledger = Ledger(engine)
            _same_lake(config, ledger, identity.lake_id if identity else None)
            lake = open_lake(places.root, host=host, plants_per_file=config.lake.plants_per_file, now=utc_now())
            quarantine = Quarantine(places)
            quarantine.clear(utc_now())
            yield Stores(
                lake=lake,
                raw=Archive(places) if config.raw.keep == "settled" else None,
                registry=Registry(places.registry),
                quarantine=quarantine,
                inventory=Inventory(engine, plants_per_file=lake.identity.plants_per_file),
                succession=Succession(engine),
                ledger=ledger,
                periods=PeriodLedger(engine),
                owners=Owners(engine),
                orders=Orders(engine),
                budget=BudgetBook(engine, _client_id(config), config.rate.window_seconds),
            )
            if shard.first:
                keep_snapshot(places, engine, utc_now())
        finally:
            engine.dispose()


def keep_snapshot(places: Places, engine: Engine, now: datetime) -> Path | None:
    """Copy the ledger behind *engine* beside the lake, once a day (UTC), and keep the newest `SNAPSHOTS` copies.

    Returns the new copy, None where there is one of today or none could be made, which is logged: the work that it
    follows is done all the same.
    """
    days = places.snapshot_days()
    if days and days[-1] >= now.date():
        return None
    file = places.snapshot(now.date())
    try:
        replace_with(file, lambda temporary: copy_ledger(engine, temporary), mode=0o600)
        for day in days[: 1 - SNAPSHOTS]:
            places.snapshot(day).unlink(missing_ok=True)
    except (LakeError, LedgerError, OSError) as error:
        log.warning("snapshot.failed", reason=str(error))
        return None
    return file


def _warn_of_a_lost_ledger(config: Config, identity: Identity | None) -> None:
    """Say that a lake without its ledger is asked for anew, unless the ledger is made again from what there is."""
    if identity is not None and not is_there(config.ledger.path):
        remedy = "`harvester ledger rebuild` makes it again from its newest copy and the lake; else all is asked anew"
        log.warning("ledger.missing", ledger=str(config.ledger.path), lake=str(config.lake.root), remedy=remedy)


def _same_lake(config: Config, ledger: Ledger, lake_id: str | None) -> None:
    """Refuse a ledger that tells of another lake: it would call days settled that this lake does not hold."""
    recorded = ledger.fact(LAKE_ID)
    if recorded is None or recorded == lake_id:
        return
    there = f"holds the lake {lake_id}" if lake_id else "holds no lake"
    raise LedgerError(
        f"{config.ledger.path}: this ledger belongs to the lake {recorded}, but {config.lake.root} {there}. "
        "Set lake.root and ledger.url to a pair, or move the ledger away to ask everything again."
    )


@dataclass(frozen=True, slots=True)
class Readable:
    """Lake and ledger for questions; nothing of it writes."""

    places: Places
    ledger: Ledger
    inventory: Inventory
    history: History
    periods: PeriodLedger


@contextmanager
def readable(config: Config) -> Iterator[Readable]:
    """Open lake and ledger for reading, which needs no lock; raises `LakeError` and `LedgerError`."""
    places = Places(config.lake.root)
    identity = read_identity(places)
    engine: Engine = connect(config.ledger.path, create=False)
    try:
        _same_lake(config, Ledger(engine), identity.lake_id if identity else None)
        per_file = identity.plants_per_file if identity else config.lake.plants_per_file
        inventory = Inventory(engine, plants_per_file=per_file)
        yield Readable(places, Ledger(engine), inventory, History(engine), PeriodLedger(engine))
    finally:
        engine.dispose()


def harvest_of(
    config: Config,
    client: Client,
    stores: Stores,
    stop: asyncio.Event,
    progress: Progress,
    *,
    wall: Callable[[], datetime] = utc_now,
    shard: Shard = WHOLE,
) -> Harvest:
    """Return one run with the configured limits."""
    terms = Terms(
        workers=config.rate.concurrency,
        settle_after=timedelta(days=config.harvest.settle_days),
        owners=config.sma.owners if config.sma.grant == "custom" else (),
        shard=shard,
    )
    return Harvest(client, stores, terms, wall=wall, stop=stop, progress=progress)
