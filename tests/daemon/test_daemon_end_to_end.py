"""The daemon as a person runs it: a process beside the local cloud, with commands at its side."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date
from pathlib import Path

import pytest
from running import accept_all, command, environment, started
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.lake.layout import Places
from harvester.lake.lock import holders
from harvester.sandbox import Running, Settings, serving

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
START = date(2026, 10, 1)
SPAN = ("--from", str(FIRST), "--to", str(LAST))
QUIET = {
    "HARVESTER_SCHEDULE__LIVE": "1d",
    "HARVESTER_SCHEDULE__SETTLE": "1d",
    "HARVESTER_SCHEDULE__BACKFILL": "1d",
    "HARVESTER_HARVEST__SINCE": "1d",
    "HARVESTER_HARVEST__LIVE_SETS": "[]",
}
"""A daemon that does little but what it is ordered."""


@asynccontextmanager
async def on_duty(env: Mapping[str, str], folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a daemon until the block ends, or it does."""
    before = len(holders(Places(folder / "lake")))
    process = await started({**env, **QUIET}, "daemon", *arguments)
    async with asyncio.timeout(60):
        while len(holders(Places(folder / "lake"))) == before and process.returncode is None:
            await asyncio.sleep(0.05)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        (folder / f"daemon-{process.pid}.log").write_bytes(err)


def logged(folder: Path, event: str) -> list[dict[str, object]]:
    """Return what daemons logged of *event*."""
    lines = [line for file in sorted(folder.glob("daemon-*.log")) for line in file.read_text().splitlines()]
    return [found for line in lines if (found := json.loads(line))["event"] == event]


def whole(running: Running, folder: Path) -> list[str]:
    """Return how the asked days of the lake differ from the truth."""
    lake = lake_tables(folder / "lake")
    asked = {name: frame.filter(frame["local_time"].dt.date().is_between(FIRST, LAST)) for name, frame in lake.items()}
    return differences(
        {name: frame for name, frame in asked.items() if frame.height}, truth_tables(running.cloud, days(FIRST, LAST))
    )


async def test_a_backfill_beside_a_daemon_is_its_order(tmp_path: Path) -> None:
    """The daemon does the work, the command prints what it would have printed and ends with its code."""
    async with serving(Settings(plants=2, devices=4, start=START)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        async with on_duty(env, tmp_path) as daemon:
            told = await command(env, "backfill", *SPAN)
            again = await command(env, "backfill", *SPAN, "--json")
            status = await command(env, "status", "--json")
            placed = await command(env, "repair", *SPAN, "--no-wait", "--json")
        assert daemon.returncode == 0
        wrong = whole(running, tmp_path)

    assert wrong == []
    assert (told.code, again.code, placed.code) == (0, 0, 0)
    assert "A daemon has this lake" in told.err
    assert "series-days settled" in told.out
    assert again.json["command"] == "backfill"
    assert again.json["requests"].get("values", 0) == 0
    assert status.json["last_run"]["command"] == "backfill"
    assert placed.json == {"order": 3, "shards": ["1/1"]}


async def test_progress_and_the_word_to_stop_reach_the_daemon(tmp_path: Path) -> None:
    """While the command waits its order is under way; interrupted, it takes the order back and ends with 130."""
    async with serving(Settings(plants=3, devices=6, start=START, latency_seconds=0.3)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="2")
        async with on_duty(env, tmp_path):
            asked = await started(env, "backfill", *SPAN)
            while running.cloud.counts.monitoring < 45:
                await asyncio.sleep(0.05)
            asked.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                _, err = await asked.communicate()
            settled = running.cloud.counts.monitoring
            await asyncio.sleep(1.5)
            after = running.cloud.counts.monitoring

    assert asked.returncode == 130
    assert "Taken back" in err.decode()
    assert after - settled <= 2


async def test_a_failure_comes_back_with_its_code(tmp_path: Path) -> None:
    """What cannot be done ends the order, not the daemon: a plant that nobody knows, then work as usual."""
    async with serving(Settings(plants=2, devices=4, start=START)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        async with on_duty(env, tmp_path):
            unknown = await command(env, "backfill", *SPAN, "--plant", "nobody")
            good = await command(env, "backfill", *SPAN, "--set", "EnergyBalance")
            zone = await command(env, "replay", *SPAN, "--zone", "nobody=Europe/Lisbon")

    assert (unknown.code, good.code, zone.code) == (2, 0, 2)
    assert "nothing fits plant nobody" in unknown.out
    assert "no plant nobody" in zone.out


async def test_a_replay_beside_a_daemon(tmp_path: Path) -> None:
    """A lost table comes back out of the archive while the daemon has the lake."""
    async with serving(Settings(plants=2, devices=4, start=START)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        async with on_duty(env, tmp_path):
            await command(env, "backfill", *SPAN)
            for file in (tmp_path / "lake" / "plant_energy_balance").rglob("*.parquet"):
                file.unlink()
            replayed = await command(env, "replay", *SPAN, "--json")
        wrong = whole(running, tmp_path)

    assert replayed.code == 0
    assert replayed.json["rows"]["plant_energy_balance"] > 0
    assert wrong == []


async def test_a_purge_beside_a_daemon(tmp_path: Path) -> None:
    """The daemon deletes what is an owner's, keeps the others' rows, and says nothing of whom it forgot."""
    owners = ("ann@example.org", "ben@example.org")
    async with serving(Settings(plants=2, devices=3, start=START, owners=owners)) as running:
        env = environment(running, tmp_path, HARVESTER_SMA__OWNERS=json.dumps(owners))
        for owner in owners:  # one after the other, so that it is certain whose plant is whose
            running.cloud.accept(owner)
            await command(env, "discover")
        async with on_duty(env, tmp_path):
            await command(env, "backfill", *SPAN)
            purged = await command(env, "consent", "purge", owners[0], "--yes", "--json")
            again = await command(env, "backfill", *SPAN, "--json")
        lake = lake_tables(tmp_path / "lake")
        gone, kept = (plant.plant_id for plant in running.cloud.world.plants())

    assert (purged.code, again.code) == (0, 0)
    assert (purged.json["plants"], purged.json["deleted"]) == (1, True)
    assert again.json["plants"] == 1
    assert {plant for frame in lake.values() for plant in frame["plant_id"].unique()} == {kept}
    assert gone.encode() not in (tmp_path / "ledger.db").read_bytes()
    assert owners[0] not in "".join(str(line) for line in logged(tmp_path, "order.done"))


@pytest.mark.parametrize("moment", [40, 60])
async def test_told_to_stop_in_the_middle_it_drains(tmp_path: Path, moment: int) -> None:
    """SIGTERM ends within ten seconds with 0 and a whole lake; the order is taken up by the next daemon."""
    async with serving(Settings(plants=3, devices=6, start=START, latency_seconds=0.1)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="4")
        async with on_duty(env, tmp_path) as daemon:
            await command(env, "backfill", *SPAN, "--no-wait")
            while running.cloud.counts.monitoring < moment:
                await asyncio.sleep(0.02)
            daemon.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                await daemon.wait()
        checked = await command(env, "lake", "check", "--check")
        async with on_duty(env, tmp_path):
            rest = await command(env, "backfill", *SPAN, "--json")
        wrong = whole(running, tmp_path)

    assert daemon.returncode == 0
    assert checked.code == 0
    assert rest.code == 0
    assert rest.json["requests"].get("values", 0) == 0
    assert wrong == []


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Who is told twice does not drain; the lake is whole all the same, and the next run goes on."""
    async with serving(Settings(plants=3, devices=6, start=START, latency_seconds=0.5)) as running:
        accept_all(running)
        env = environment(running, tmp_path)
        async with on_duty(env, tmp_path) as daemon:
            await command(env, "backfill", *SPAN, "--no-wait")
            while running.cloud.counts.monitoring < 40:
                await asyncio.sleep(0.02)
            daemon.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            daemon.send_signal(signal.SIGTERM)
            await daemon.wait()
        checked = await command(env, "lake", "check", "--check")
        rest = await command(env, "backfill", *SPAN)
        wrong = whole(running, tmp_path)

    assert daemon.returncode == -signal.SIGTERM
    assert (checked.code, rest.code) == (0, 0)
    assert wrong == []


async def test_two_shards_share_a_lake(tmp_path: Path) -> None:
    """Each takes its parts and its share of an order; together they end with the truth, nothing asked twice."""
    async with serving(Settings(plants=4, devices=4, start=START)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_LAKE__PLANTS_PER_FILE="1")
        await command(env, "discover")
        async with on_duty(env, tmp_path, "--shard", "1/2"), on_duty(env, tmp_path, "--shard", "2/2"):
            refused = await command(env, "daemon")
            done = await command(env, "backfill", *SPAN, "--json")
            spent = running.cloud.counts.monitoring
            again = await command(env, "backfill", *SPAN, "--json")
        wrong = whole(running, tmp_path)

    assert refused.code == 2
    assert "--shard 1/2" in refused.err
    assert (done.code, again.code) == (0, 0)
    assert [facts["series"] > 0 for facts in done.json] == [True, True]
    assert sum(facts["requests"].get("values", 0) for facts in again.json) == 0
    assert running.cloud.counts.monitoring - spent <= 2
    assert wrong == []


async def test_two_shards_stay_inside_one_budget(tmp_path: Path) -> None:
    """Each spends its half of the window; the cloud, which knows one client, never has to refuse."""
    settings = Settings(plants=4, devices=4, start=START, requests=40, window_seconds=4)
    async with serving(settings) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_LAKE__PLANTS_PER_FILE="1")
        env |= {"HARVESTER_RATE__REQUESTS": "40", "HARVESTER_RATE__WINDOW_SECONDS": "4"}
        await command(env, "discover")
        async with on_duty(env, tmp_path, "--shard", "1/2"), on_duty(env, tmp_path, "--shard", "2/2"):
            done = await command(env, "backfill", *SPAN, "--json")
        wrong = whole(running, tmp_path)

    assert done.code == 0
    assert [facts["requests"]["values"] > 10 for facts in done.json] == [True, True]
    assert running.cloud.counts.limited == 0
    assert wrong == []


async def test_a_command_shows_how_far_its_order_is(tmp_path: Path) -> None:
    """At a terminal the bar of a command grows while the daemon works."""
    async with serving(Settings(plants=2, devices=4, start=START, latency_seconds=0.3)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_RATE__CONCURRENCY="2")
        async with on_duty(env, tmp_path):
            mine, theirs = pty.openpty()
            asked = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "harvester", "backfill", *SPAN),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=theirs,
            )
            os.close(theirs)
            shown = asyncio.create_task(asyncio.to_thread(_read_all, mine))
            await asked.communicate()
            bar = (await shown).decode()
    counts = [(int(done), int(planned)) for done, planned in re.findall(r"(\d+)/(\d+)", bar)]

    assert asked.returncode == 0
    assert len({done for done, _ in counts}) > 2
    assert counts == sorted(counts)


def _read_all(terminal: int) -> bytes:
    """Read what is shown on a terminal until nobody has it open any more."""
    found = []
    with suppress(OSError):  # how a terminal says that it is closed
        while piece := os.read(terminal, 65536):
            found.append(piece)
    os.close(terminal)
    return b"".join(found)


async def test_a_shard_alone_does_its_share(tmp_path: Path) -> None:
    """The share of a shard that does not run waits for it; the command says so and ends with 3."""
    async with serving(Settings(plants=2, devices=4, start=START)) as running:
        accept_all(running)
        env = environment(running, tmp_path, HARVESTER_LAKE__PLANTS_PER_FILE="1")
        await command(env, "discover")
        async with on_duty(env, tmp_path, "--shard", "1/2"):
            half = await command(env, "backfill", *SPAN)
        async with on_duty(env, tmp_path, "--shard", "2/2"), asyncio.timeout(60):
            while whole(running, tmp_path):
                await asyncio.sleep(0.3)

    assert half.code == 3
    assert "--shard 2/2" in half.err
