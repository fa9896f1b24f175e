"""Options that several commands share, and how they become a configuration and a selection."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from harvester import config
from harvester.compose import scope_of
from harvester.config import Config
from harvester.model import Level, Shard
from harvester.plan import Scope


def parse_day(text: str) -> date:
    """Read a day; raises `typer.BadParameter`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-01-31") from None


def parse_shard(text: str) -> Shard:
    """Read ``1/2``; raises `typer.BadParameter`."""
    try:
        return Shard.parse(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file; or HARVESTER_CONFIG.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Where a daemon does the work: place the order and leave.")]
From = Annotated[
    date, typer.Option("--from", metavar="DATE", parser=parse_day, help="First plant-local day, inclusive.")
]
To = Annotated[date, typer.Option("--to", metavar="DATE", parser=parse_day, help="Last plant-local day, inclusive.")]
MaybeFrom = Annotated[
    date | None, typer.Option("--from", metavar="DATE", parser=parse_day, help="First plant-local day, inclusive.")
]
MaybeTo = Annotated[
    date | None, typer.Option("--to", metavar="DATE", parser=parse_day, help="Last plant-local day, inclusive.")
]
Plants = Annotated[list[str] | None, typer.Option("--plant", metavar="ID", help="Only this plant; repeatable.")]
Devices = Annotated[list[str] | None, typer.Option("--device", metavar="ID", help="Only this device; repeatable.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME", help="Only this set; repeatable.")]
OneLevel = Annotated[Level | None, typer.Option("--level", help="Only sets of plants, or only sets of devices.")]
Owners = Annotated[list[str] | None, typer.Argument(metavar="[EMAIL]...", help="Default: all configured owners.")]


def load(context: typer.Context, given: Path | None) -> Config:
    """Return the configuration that command, program or environment names; raises `ConfigError`."""
    path = given or context.obj or os.environ.get("HARVESTER_CONFIG")
    return config.load(Path(path) if path else None, environ=os.environ)


def chosen(
    loaded: Config,
    plants: list[str] | None,
    devices: list[str] | None,
    sets: list[str] | None,
    level: Level | None,
) -> Scope:
    """Return the configured selection, narrowed by the command's options."""
    names = {"plants": plants, "devices": devices, "sets": sets}
    return scope_of(loaded, **{name: frozenset(values or ()) for name, values in names.items()}, level=level)
