"""Harvests of a local cloud, in this process or as the command a person types."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from harvester import plan
from harvester.compose import asking, harvest_of, scope_of, utc_now, writable
from harvester.config import Config, load
from harvester.due import Wanted
from harvester.errand import recent
from harvester.report import Report
from harvester.sandbox import Running
from harvester.show import Quiet
from harvester.stopping import Stop


def flags(running: Running, folder: Path, **more: Any) -> dict[str, Any]:
    """Return the configuration of a harvester of *running* that keeps everything below *folder*."""
    return {
        "sma.auth_url": running.url,
        "sma.consent_url": running.url,
        "sma.monitoring_url": f"{running.url}/monitoring/v1",
        "lake.root": str(folder / "lake"),
        "ledger.url": f"sqlite:///{folder / 'ledger.db'}",
        **more,
    }


def configured(running: Running, folder: Path, **more: Any) -> Config:
    """Return that configuration; dots in keys are written as two underscores."""
    return load(None, environ={}, flags=flags(running, folder, **{k.replace("__", "."): v for k, v in more.items()}))


async def backfilled(
    config: Config, first: date, last: date, *, wall: Callable[[], datetime] = utc_now, **chosen: Any
) -> Report:
    """Backfill from *first* to *last* and return the report; *wall* is the present."""
    wanted = Wanted(command="backfill", scope=scope_of(config, **chosen), span_of=plan.between(first, last))
    return await harvested(config, wanted, wall=wall)


async def ran(config: Config, *, wall: Callable[[], datetime] = utc_now) -> Report:
    """Do what `run` does and return the report; *wall* is the present."""
    return await harvested(config, recent(config, scope_of(config), wall()), wall=wall)


async def harvested(config: Config, wanted: Wanted, *, wall: Callable[[], datetime] = utc_now) -> Report:
    """Run one harvest and return the report."""
    with writable(config, wanted.command) as stores:
        async with asking(config, stores, wall=wall) as client:
            return await harvest_of(config, client, stores, Stop().event, Quiet(), wall=wall).run(wanted)


def accept_all(running: Running) -> None:
    """Let every owner of the cloud consent."""
    for owner in running.cloud.settings.owners:
        running.cloud.accept(owner)


def environment(running: Running, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment variables that say the same as `flags`; *more* are put on top.

    No port is taken unless *more* names one: the usual one is the same for every test that runs beside this.
    """
    named = {f"HARVESTER_{key.upper().replace('.', '__')}": str(v) for key, v in flags(running, folder).items()}
    return {**os.environ, "HARVESTER_WEB__OPERATOR": "off", **named, **more}


class Command:
    """One finished command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """What it printed on stdout."""
        return json.loads(self.out)


async def started(env: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    """Start ``harvester`` with *arguments*."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "harvester", *arguments, env=env, stdout=pipe, stderr=pipe
    )


async def command(env: dict[str, str], *arguments: str) -> Command:
    """Run ``harvester`` with *arguments* to its end."""
    process = await started(env, *arguments)
    out, err = await process.communicate()
    return Command(process.returncode or 0, out.decode(), err.decode())
