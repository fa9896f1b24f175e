"""What the benchmark measures: each function here runs in a process of its own and says what it cost.

Nothing is slowed and nothing is measured twice. Start-up, discovery, and the fetching of bodies for the parts that
only decode or write are outside of every figure.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import aiohttp
import minimal
import polars as pl

from harvester import log, plan
from harvester.commands import run_loop
from harvester.compose import client_of, harvest_of, scope_of, writable
from harvester.config import Config, load
from harvester.due import Wanted
from harvester.lake.decode import decode as product_decode
from harvester.lake.readings import Readings, by_day
from harvester.lake.registry import Registry
from harvester.model import Level, Payload, Period, Series, Slice
from harvester.report import Report
from harvester.sandbox import Settings, serving
from harvester.show import Quiet
from harvester.sma import monitoring
from harvester.sma.client import Client
from harvester.stopping import Stop

PORTION = 24
"""Bodies that are decoded at once where decoding is measured alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cloud listens, where files go, and which weeks are asked."""

    url: str
    folder: Path
    first: date
    weeks: int
    archive: bool = False
    """Whether the answers are archived as they came, too."""

    @property
    def last(self) -> date:
        """Return the last day that is asked."""
        return self.first + timedelta(days=7 * self.weeks - 1)


@dataclass(slots=True)
class Cost:
    """What measured pieces of work cost this process, all its threads together."""

    cpu: float = 0.0
    """User and system seconds."""
    wall: float = 0.0
    peak: int = 0
    """Bytes; the most that the process ever held."""
    facts: dict[str, Any] = field(default_factory=dict)
    _began: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> None:
        self._began = (_cpu(), perf_counter())

    def __exit__(self, *_: object) -> None:
        self.cpu += _cpu() - self._began[0]
        self.wall += perf_counter() - self._began[1]
        self.peak = _peak()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    """Return the most memory ever held; what getrusage says may be the parent's where a process was spawned."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cloud(pipe: Connection, plants: int, devices: int, first: date, weeks: int) -> None:
    """Serve the sandbox with all answers of those weeks rendered, until the other end of *pipe* is closed."""
    settings = Settings(
        plants=plants,
        devices=devices,
        start=first - timedelta(days=7),
        accept=True,
        token_seconds=7200,
        cached_bytes=1 << 40,
        cached_days=1 << 20,
    )

    last = first + timedelta(days=7 * weeks - 1)
    later = datetime.combine(last + timedelta(days=7), time(), UTC)  # so that sums over all time stay small

    async def serve() -> None:
        async with serving(settings, now=lambda: later) as running:
            running.cloud.accept(settings.owners[0])
            running.cloud.warm(first - timedelta(days=7), last, period="Week")
            pipe.send(running.url)
            try:
                await asyncio.to_thread(pipe.recv)
            except EOFError:
                return

    asyncio.run(serve())


def whole(pipe: Connection, place: Place) -> None:
    """Backfill the weeks as the product does it; says which answers it asks for beside what it cost."""
    pipe.send(run_loop(_whole(place)))


async def _whole(place: Place) -> tuple[Cost, list[tuple[str, str, str]]]:
    log.configure(level="warning")
    config, cost = _config(place), Cost()
    with writable(config, "backfill") as stores:
        async with client_of(config) as client:

            async def backfill(first: date, last: date, **scope: Any) -> Report:
                wanted = Wanted(command="backfill", scope=scope_of(config, **scope), span_of=plan.between(first, last))
                return await harvest_of(config, client, stores, Stop().event, Quiet()).run(wanted)

            # Discovers, learns what a Week covers, and is no part of the figures.
            week = timedelta(days=7)
            await backfill(place.first - week, place.first - timedelta(days=1), sets=frozenset({"EnergyBalance"}))
            asked = _noting(client)
            with cost:
                report = await backfill(place.first, place.last)
    cost.facts = report.facts()
    base = config.sma.monitoring_url
    weeks = [piece for piece in asked if piece.period is Period.WEEK]
    return cost, [(s.series.level.value, s.series.set, monitoring.values(base, s).url) for s in weeks]


def _noting(client: Client) -> list[Slice]:
    """Note from now on what *client* is asked for."""
    asked: list[Slice] = []
    measurements = client.measurements

    def noted(wanted: Slice) -> Awaitable[monitoring.Answer]:
        asked.append(wanted)
        return measurements(wanted)

    client.measurements = noted
    return asked


def _config(place: Place) -> Config:
    flags = {
        "sma.auth_url": place.url,
        "sma.consent_url": place.url,
        "sma.monitoring_url": f"{place.url}/monitoring/v1",
        "lake.root": str(place.folder / "lake"),
        "ledger.url": f"sqlite:///{place.folder / 'ledger.db'}",
        "raw.keep": "settled" if place.archive else "none",
    }
    return load(None, environ={}, flags=flags)


def read(pipe: Connection, urls: list[str], token_url: str) -> None:
    """Read the answers with as many connections as the product uses, and throw them away."""

    async def work() -> Cost:
        cost, size = Cost(), 0

        def count(body: bytes) -> None:
            nonlocal size
            size += len(body)

        async with _session(await _token(token_url)) as session:
            with cost:
                await _read_all(session, urls, count)
        cost.facts = {"bodies": len(urls), "bytes": size}
        return cost

    pipe.send(run_loop(work()))


async def _token(url: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": "local-sandbox", "client_secret": "local-sandbox"}
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        return str((await answer.json())["access_token"])


def _session(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16), headers={"Authorization": f"Bearer {token}"})


async def _read_all(session: aiohttp.ClientSession, urls: Iterable[str], take: Callable[[bytes], None]) -> None:
    todo = iter(urls)

    async def worker() -> None:
        for url in todo:
            async with session.get(url) as answer:
                take(await answer.read())

    await asyncio.gather(*(worker() for _ in range(16)))


def decode(pipe: Connection, asked: list[tuple[str, str, str]], token_url: str, folder: Path) -> None:
    """Decode the same answers as the product does: exactly, placed in time, with their keys, day by day.

    Fetching is not measured. The rows of one set wait for one another, as those of a batch do.
    """
    registry = Registry(folder / "registry.json")

    def work(level: Level, name: str, bodies: list[bytes]) -> Readings:
        device_id = None if level is Level.PLANT else "1"
        series = Series(plant_id="1", device_id=device_id, set=name)
        piece = Slice(series=series, period=Period.WEEK, date=date(2026, 6, 3), days=())
        payloads = [Payload(slice=piece, body=body, asked_at=datetime(2026, 10, 1, tzinfo=UTC)) for body in bodies]
        return product_decode(payloads, registry, {}).readings

    def finish(pieces: list[Readings]) -> int:
        return sum(day.rows.height for day in by_day(pieces))

    pipe.send(run_loop(_decoded(asked, token_url, work, finish)))


def decode_minimally(pipe: Connection, asked: list[tuple[str, str, str]], token_url: str, folder: Path) -> None:
    """Decode the same answers with the least that gives frames: known channels, stamps to UTC, arrays to rows."""
    registry = Registry(folder / "registry.json")

    def work(level: Level, name: str, bodies: list[bytes]) -> int:
        return minimal.decode(bodies, registry.table(level, name))

    pipe.send(run_loop(_decoded(asked, token_url, work, sum)))


Piece = TypeVar("Piece")


async def _decoded(
    asked: list[tuple[str, str, str]],
    token_url: str,
    work: Callable[[Level, str, list[bytes]], Piece],
    finish: Callable[[list[Piece]], int],
) -> Cost:
    cost, rows = Cost(), 0
    async with _session(await _token(token_url)) as session:
        for (level, name), group in groupby(asked, key=lambda item: item[:2]):
            urls, pieces = [url for _, _, url in group], []
            for at in range(0, len(urls), PORTION):
                bodies: list[bytes] = []
                await _read_all(session, urls[at : at + PORTION], bodies.append)
                with cost:
                    pieces.append(work(Level(level), name, bodies))
            with cost:
                rows += finish(pieces)
    cost.facts = {"rows": rows}
    return cost


def write(pipe: Connection, lake: Path, first: date, folder: Path) -> None:
    """Write every file of the weeks again as it is in the lake: sorted rows, zstd 2, one file a table and day, fsync.

    Reading the lake is not measured.
    """
    cost, rows, files = Cost(), 0, 0
    for source in sorted(lake.glob("*_*/date=*/*.parquet")):
        if source.parent.name < f"date={first}":
            continue
        frame = pl.read_parquet(source, hive_partitioning=False)
        with cost:
            target = folder / f"{files}.parquet"
            frame.write_parquet(target, compression="zstd", compression_level=2, data_page_size=64 * 1024)
            descriptor = os.open(target, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        rows, files = rows + frame.height, files + 1
        target.unlink()
    cost.facts = {"rows": rows, "files": files}
    pipe.send(cost)


def plain(cost: Cost) -> dict[str, Any]:
    """Return *cost* as plain values."""
    return {name: value for name, value in asdict(cost).items() if not name.startswith("_")}
