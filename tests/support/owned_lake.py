"""A lake of two owners with something of both in every corner, and a search of every byte of it."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from running import accept_all, configured, harvested

from harvester import plan
from harvester.compose import readable, scope_of, writable
from harvester.config import Config
from harvester.due import Again, Wanted
from harvester.lake.decode import Bad
from harvester.lake.inventory import publish_inventory
from harvester.lake.layout import Partition, Places
from harvester.lake.quarantine import Quarantine
from harvester.lake.raw import Archive
from harvester.lake.replays import Replayed, record_replay
from harvester.model import Payload, Period, Series, Slice
from harvester.sandbox import Faults, Running, Settings
from harvester.state.database import connect
from harvester.state.owners import Owners, Seen

ANN, BEN = "ann@example.org", "ben@example.net"
FIRST, LAST = date(2026, 11, 2), date(2026, 11, 3)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(
    plants=4, devices=2, owners=(ANN, BEN), zones=("Europe/Berlin",), classic_every=3, start=date(2026, 11, 1)
)
"""The first and the third plant are Ann's, and the third has GUIDs for ids."""


def present() -> datetime:
    """Return the present of cloud and harvester."""
    return NOW


def config_of(running: Running, folder: Path) -> Config:
    """Return the configuration of its harvester."""
    return configured(
        running, folder, sma__owners=[ANN, BEN], harvest__sets=["EnergyBalance", "PowerDc", "EnergyAndPowerPv"]
    )


def plants_of(running: Running, owner: str) -> set[str]:
    """Return the ids of an owner's plants."""
    return {plant.plant_id for plant in running.cloud.world.plants() if plant.owner == owner}


def terms_of(running: Running, owner: str) -> set[str]:
    """Return what nobody else has: ids, names and serials of an owner's plants and devices."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for plant in running.cloud.world.plants():
        terms = found[plant.owner == owner]
        terms |= {plant.plant_id, plant.name, *(d.device_id for d in plant.devices)}
        terms |= {device.serial for device in plant.devices if device.serial}
    return found[True] - found[False]


async def furnished(running: Running, folder: Path) -> Config:
    """Harvest a few days of both owners twice, with values that change, and fill every other corner."""
    config = config_of(running, folder)
    accept_all(running)
    running.cloud.faults = Faults(spikes=1.0)
    days = plan.between(FIRST, LAST)
    await harvested(config, Wanted(command="backfill", scope=scope_of(config), span_of=days), wall=present)
    running.cloud.faults = Faults()
    again = Wanted(command="repair", scope=scope_of(config), span_of=days, again=Again.ALL)
    report = await harvested(config, again, wall=present)
    attribute(running, config)
    with writable(config, "test") as stores:
        for plant_id in sorted(plants_of(running, ANN) | plants_of(running, BEN)):
            quarantine(stores.quarantine, plant_id)
            stores.inventory.add_alias("plant", f"old-{plant_id}", plant_id, NOW)
        publish_inventory(stores.lake.places, stores.inventory)
        facts = {**report.facts(), "warnings": [f"plant {p} is suspended" for p in plants_of(running, ANN)]}
        stores.ledger.record("last_run", json.dumps(facts))
    places = Places(config.lake.root)
    zones = {plant.plant_id: "Europe/Paris" for plant in running.cloud.world.plants()}
    record_replay(places, [], Replayed(at=NOW, first=FIRST, last=LAST, zones=zones))
    newest = places.snapshot(places.snapshot_days()[-1])
    shutil.copy(newest, places.snapshot(places.snapshot_days()[-1] - timedelta(days=1)))
    shutil.copy(newest, folder / "ledger.db.aside-20260101T000000")
    left = places.file(places.partitions("plant_energy_balance")[0])
    shutil.copy(left, left.with_name(f".{left.name}.0123.tmp"))
    return config


def attribute(running: Running, config: Config, *, doubtful: str | None = None) -> None:
    """Write down whose the plants are; a *doubtful* one may be of both."""
    engine = connect(config.ledger.path)
    try:
        owners = Owners(engine)
        for owner in (ANN, BEN):
            owners.record(Seen(owner=owner, state="Accepted"), NOW)
        both = frozenset({ANN, BEN})
        plants = {p.plant_id: frozenset({p.owner}) for p in running.cloud.world.plants()}
        owners.attribute({**plants, **({doubtful: both} if doubtful else {})}, NOW)
    finally:
        engine.dispose()


def quarantine(where: Quarantine, plant_id: str) -> None:
    """Keep an answer of a plant that nobody could read."""
    series = Series(plant_id=plant_id, set="EnergyBalance")
    piece = Slice(series=series, period=Period.DAY, date=FIRST, days=(FIRST,))
    body = f'{{"plant": {{"plantId": "{plant_id}"'.encode()
    where.keep(Bad(Payload(slice=piece, body=body, asked_at=NOW), "cut off"))


def contents(root: Path, plants: set[str]) -> dict[str, pl.DataFrame]:
    """Return every row of *plants* in every file of the lake, with all its columns, by the file's path."""
    places, found = Places(root), {}
    for partition in places.partitions():
        frame = _frame(places, partition)
        if "plant_id" in frame.columns:
            mine = frame.filter(pl.col("plant_id").is_in(list(plants)))
            if mine.height:
                found[str(partition.path)] = mine
    return found


def schemas(root: Path) -> dict[str, pa.Schema]:
    """Return the schema of every file of the lake, metadata included, by the file's path."""
    places = Places(root)
    return {str(p.path): pq.read_schema(places.file(p)) for p in places.partitions()}


def _frame(places: Places, partition: Partition) -> pl.DataFrame:
    frame = pl.from_arrow(pq.read_table(places.file(partition), partitioning=None))
    assert isinstance(frame, pl.DataFrame)
    return frame


def traces(folder: Path, terms: set[str]) -> set[str]:
    """Return the files below *folder* in which any of *terms* is found, in whatever way they are packed."""
    wanted = [term.encode() for term in terms]
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and any(term in text for text in _texts(file) for term in wanted)
    }


def _texts(file: Path) -> Iterator[bytes]:
    yield file.name.encode()
    yield file.read_bytes()
    if file.suffix in {".parquet", ".pack"} or ".parquet." in file.name:
        for row in pq.read_table(file, partitioning=None).to_pylist():
            yield repr([value for name, value in row.items() if name != "body"]).encode()
            if row.get("body") is not None and row.get("size"):
                if row["encoding"] == "gzip":
                    yield gzip.decompress(row["body"])
                else:
                    yield pa.Codec("zstd").decompress(row["body"], decompressed_size=row["size"], asbytes=True)


def rows_of(config: Config, plants: set[str]) -> dict[str, list[tuple[object, ...]]]:
    """Return the ledger's rows of *plants* in the tables that name plants or series, by table."""
    with closing(sqlite3.connect(config.ledger.path)) as db:
        marks = ",".join("?" for _ in plants)
        mine = f"(SELECT series_id FROM series WHERE plant_id IN ({marks}))"
        queries = {
            **{name: f"SELECT * FROM {name} WHERE plant_id IN ({marks})" for name in ("plant", "device", "series")},
            **{
                name: f"SELECT * FROM {name} WHERE series_id IN {mine}" for name in ("month", "open_day", "period_read")
            },
        }
        return {name: sorted(db.execute(query, sorted(plants)).fetchall(), key=repr) for name, query in queries.items()}


def archived(root: Path, plants: set[str]) -> list[tuple[str, str, bytes]]:
    """Return slice, moment and content of every archived answer of *plants*."""
    places = Places(root)
    archive, found = Archive(places), []
    for pack in places.packs():
        for answer in archive.index(pack):
            if answer.slice.series.plant_id in plants:
                beside = archive.packs(pack.table, pack.week, pack.part)
                bodies = {h: b for each in beside for h, b in archive.bodies(each, {answer.sha256})}
                found.append((str(answer.slice), str(answer.asked_at), bodies[answer.sha256]))
    return sorted(found)


def known_plants(config: Config) -> set[str]:
    """Return the plants that the ledger knows."""
    with readable(config) as stores:
        return {known.plant.plant_id for known in stores.inventory.plants()}


class Interrupting:
    """Progress that ends the work after so many files and steps."""

    def __init__(self, after: int) -> None:
        """End after the file or step with number *after*, counted from 1."""
        self.left = after

    def planned(self, slices: int) -> None:
        """*slices* files and steps are to come."""

    def advanced(self) -> None:
        """One is behind."""
        self.left -= 1
        if not self.left:
            raise InterruptedError
