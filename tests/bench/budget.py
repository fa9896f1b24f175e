"""How well the budget is used: real clients over HTTP against the local cloud's bucket, with short windows.

The cloud and its record of every request are in this process; each client is a process of its own, with sixteen
workers that never rest, its pace, its token and its ledger. Everything that is printed comes from the cloud's record:

* of N: what was granted in whole windows since the first request, as a share of what the bucket gives;
* 429 per 1000: of all calls; later: the share of calls refused after the first window.

* over N: the most calls within any window of that length, wherever it begins, less N;
* again: calls refused within one window after a restart.

Where N is known, 97 % and one 429 in a thousand are the goals; where it is not, 5 % refused later. In the scenes with
a restart, one client is killed (SIGKILL) in mid-window and another one starts at once: its goal is that no more than
1 % of N is refused after that, and what its start-up leaves unused does not count.

    python tests/bench/budget.py [--windows 12] [--together 2] [--only NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Literal

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from harvester.errors import Retry
from harvester.model import Shard
from harvester.purse import kept, share
from harvester.sandbox import Settings, serving
from harvester.sandbox.bucket import Bucket
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.state.budget import BudgetBook
from harvester.state.database import connect

CLIENT = "local-sandbox"
WORKERS = 16
USED, REFUSED_KNOWN, REFUSED_LATER, REFUSED_AGAIN = 0.97, 0.001, 0.05, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One measurement."""

    known: bool
    mode: Literal["sliding", "fixed"]
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    shards: int = 1
    kill: bool = False
    requests: int = 200
    window: float = 3.0

    def __str__(self) -> str:
        words = [f"N {'known' if self.known else 'unknown'}", self.mode, self.retry_after]
        words += [f"{self.shards} shards"] if self.shards > 1 else []
        return ", ".join([*words, "restart"] if self.kill else words)


@dataclass(slots=True)
class Record(Bucket):
    """The cloud's bucket, which remembers when it was asked and what it said."""

    scene: Scene
    asked: list[tuple[float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        Bucket.__init__(self, self.scene.requests, self.scene.window, self.scene.mode)

    def take(self, client: str, instant: float) -> float | None:
        """Ask the bucket, and remember it."""
        wait = Bucket.take(self, client, instant)
        self.asked.append((instant, wait is None))
        return wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a scene came to."""

    scene: str
    known: bool
    restarted: bool
    windows: int
    calls: int
    refused: int
    used: float
    """Share of what the bucket gives in those windows."""
    later: float
    """Share of the calls after the first window that were refused."""
    over: int
    """Requests, granted or not, within any one window, less N."""
    learned: int | None
    requests: int
    """N."""
    again: int
    """Requests refused within one window after a restart."""

    @property
    def good(self) -> bool:
        """Whether the goals are reached."""
        if self.restarted and self.again > REFUSED_AGAIN * self.requests:
            return False
        if self.known:
            return (self.restarted or self.used >= USED) and self.refused <= REFUSED_KNOWN * self.calls
        return self.later <= REFUSED_LATER


def judged(scene: Scene, asked: list[tuple[float, bool]], learned: int | None, restart: float | None) -> Found:
    """Sum a record up."""
    first, last = asked[0][0], asked[-1][0]
    windows = int((last - first) / scene.window)
    end = first + windows * scene.window
    later = [granted for moment, granted in asked if moment >= first + scene.window]
    after = [granted for moment, granted in asked if restart and restart <= moment < restart + scene.window]
    return Found(
        scene=str(scene),
        known=scene.known,
        restarted=scene.kill,
        requests=scene.requests,
        windows=windows,
        calls=len(asked),
        refused=sum(not granted for _, granted in asked),
        used=sum(granted for moment, granted in asked if moment < end) / (windows * scene.requests),
        later=later.count(False) / len(later),
        over=_busiest([moment for moment, _ in asked], scene.window) - scene.requests,
        learned=learned,
        again=after.count(False),
    )


def _busiest(moments: list[float], window: float) -> int:
    held: deque[float] = deque()
    most = 0
    for moment in moments:
        held.append(moment)
        while moment - held[0] >= window:
            held.popleft()
        most = max(most, len(held))
    return most


async def measured(scene: Scene, windows: float, folder: Path) -> Found:
    """Let the clients of a *scene* work for so many windows."""
    cloud = Settings(plants=1, devices=1, accept=True, retry_after=scene.retry_after, owners=("owner@example.org",))
    async with serving(cloud) as running:
        running.cloud.accept("owner@example.org")
        running.cloud._bucket = record = Record(scene)
        ledger = folder / "ledger.db"
        connect(ledger).dispose()
        restart = None
        shards = [str(shard) for shard in Shard(1, scene.shards).every()]
        work = [await _client(running.url, scene, shard, ledger) for shard in shards]
        ends = time.time() + windows * scene.window
        for process in work:
            _go(process, ends)
        if scene.kill:
            while not record.asked or record.asked[-1][0] < record.asked[0][0] + 2.4 * scene.window:
                await asyncio.sleep(0.01)
            work[0].send_signal(signal.SIGKILL)
            await work[0].wait()
            restart = running.cloud._elapsed()
            work[0] = await _client(running.url, scene, "1/1", ledger)
            _go(work[0], ends)
        codes = await asyncio.gather(*(process.wait() for process in work))
    if any(codes):
        raise SystemExit(f"{scene}: a client failed; what it said stands above")
    engine = connect(ledger)
    learned = BudgetBook(engine, CLIENT, scene.window).present(datetime.now(UTC)).learned
    engine.dispose()
    return judged(scene, record.asked, learned.limit if learned else None, restart)


async def _client(url: str, scene: Scene, shard: str, ledger: Path) -> asyncio.subprocess.Process:
    """Start a client and wait until it is ready to ask."""
    given = {"url": url, "shard": shard, "ledger": str(ledger), "window": scene.window}
    given["requests"] = scene.requests if scene.known else None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--client", json.dumps(given), stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


def _go(process: asyncio.subprocess.Process, ends: float) -> None:
    """Let a client ask from now on until then, in seconds since 1970."""
    assert process.stdin is not None
    process.stdin.write(f"{ends}\n".encode())
    process.stdin.close()


async def work(given: dict[str, Any]) -> None:
    """Ask without a rest until the end, as one process of the harvester does."""
    url, shard, window = given["url"], Shard.parse(given["shard"]), given["window"]
    hosts = Hosts(auth_url=url, consent_url=url, monitoring_url=f"{url}/monitoring/v1")
    limits = Limits(concurrency=WORKERS, requests=share(given["requests"], shard), window_seconds=window)
    engine = connect(Path(given["ledger"]))
    book = BudgetBook(engine, CLIENT, window)
    async with (
        Client(hosts, Credentials(client_id=CLIENT, client_secret=CLIENT), limits) as client,
        kept(client.pace, book, shard, lambda: datetime.now(UTC)),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        ends = float(await asyncio.to_thread(sys.stdin.readline))
        await asyncio.gather(*(_ask(client, ends) for _ in range(WORKERS)))
    engine.dispose()


async def _ask(client: Client, ends: float) -> None:
    try:
        async with asyncio.timeout(ends - time.time()):
            while True:
                await client.plants()
    except TimeoutError:
        return
    except Retry as error:
        sys.stderr.write(f"{error}\n")
        raise


SCENES = [
    *(Scene(known=True, mode=mode) for mode in ("sliding", "fixed")),
    *(
        Scene(known=False, mode=mode, retry_after=form)
        for mode, form in product(("sliding", "fixed"), ("seconds", "date", "absent"))
    ),
    *(Scene(known=known, mode=mode, shards=2) for known, mode in product((True, False), ("sliding", "fixed"))),
    *(Scene(known=True, mode=mode, kill=True, window=6.0) for mode in ("sliding", "fixed")),
    Scene(known=False, mode="sliding", kill=True, window=6.0),
]


async def run(asked: argparse.Namespace) -> list[Found]:
    """Measure the scenes, a few at a time."""
    places = asyncio.Semaphore(asked.together)

    async def one(scene: Scene) -> Found:
        async with places:
            with tempfile.TemporaryDirectory(prefix="budget-", dir=asked.folder) as folder:
                found = await measured(scene, asked.windows, Path(folder))
        sys.stdout.write(line(found))
        sys.stdout.flush()
        return found

    chosen = [scene for scene in SCENES if str(scene).startswith(tuple(asked.only or [""]))]
    return list(await asyncio.gather(*(one(scene) for scene in chosen)))


def line(found: Found) -> str:
    """Return the row of the table."""
    return (
        f"{found.scene:<40}{found.windows:>4}{found.calls:>8}{found.used:>9.1%}"
        f"{1000 * found.refused / found.calls:>9.2f}{found.later:>9.2%}{found.learned or '':>9}"
        f"{found.over:>8}{found.again if found.restarted else '':>8}   {'good' if found.good else 'MISSED'}\n"
    )


HEAD = f"{'':<40}{'win':>4}{'calls':>8}{'of N':>9}{'429/1000':>9}{'later':>9}{'learned':>9}{'over N':>8}{'again':>8}\n"


def main() -> int:
    """Measure, print, and return the exit code: 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--windows", type=float, default=12.0, help="of each scene")
    parser.add_argument("--together", type=int, default=2, help="scenes at the same time")
    parser.add_argument("--only", action="append", help="scenes whose name begins so; may be given several times")
    parser.add_argument("--folder", help="where ledgers are for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.client:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        asyncio.run(work(json.loads(asked.client)))
        return 0
    sys.stdout.write(HEAD)
    found = asyncio.run(run(asked))
    if asked.json:
        Path(asked.json).write_text(json.dumps([{**asdict(one), "good": one.good} for one in found], indent=2) + "\n")
    return 0 if all(one.good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
