"""The commands that care for what is there: replay, `ledger` and `lake`. Arguments to one call to an exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from harvester import commands
from harvester.care import tending as care
from harvester.cli.options import AsJson, ConfigFile, Devices, From, NoWait, OneLevel, Plants, Sets, To, chosen, load
from harvester.errand import Errand

ledger = typer.Typer(no_args_is_help=True, help="Check the ledger, or make it again.")
lake = typer.Typer(no_args_is_help=True, help="Check the lake's files, or bring them up to the present columns.")
Check = Annotated[bool, typer.Option("--check", help="End with 3 when something is wrong.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command()(replay)
    app.add_typer(ledger, name="ledger")
    app.add_typer(lake, name="lake")


def parse_zone(text: str) -> tuple[str, str]:
    """Read ``PLANT=IANA``; raises `typer.BadParameter`."""
    plant, given, zone = text.partition("=")
    if not (plant and given and zone):
        raise typer.BadParameter(f"{text!r} is not PLANT=ZONE; write it as 12345=Europe/Lisbon")
    return plant, zone


def replay(
    context: typer.Context,
    first: From,
    last: To,
    plant: Plants = None,
    device: Devices = None,
    set_: Sets = None,
    level: OneLevel = None,
    zone: Annotated[
        list[str] | None,
        typer.Option("--zone", metavar="PLANT=IANA", help="The plant's right zone, whatever SMA said; repeatable."),
    ] = None,
    no_wait: NoWait = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make tables again from archived answers, after a loss or a fix; spends no request."""
    loaded = load(context, config_file)
    zones = dict(parse_zone(text) for text in zone or ())
    scope = chosen(loaded, plant, device, set_, level)
    errand = Errand(command="replay", scope=scope, first=first, last=last, zones=zones)
    raise typer.Exit(commands.run_loop(care.replay(loaded, errand, wait=not no_wait, as_json=as_json)))


@ledger.command("rebuild")
def ledger_rebuild(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Also where a healthy ledger is in place.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the ledger again from its newest snapshot and the lake; the old one is moved aside."""
    raise typer.Exit(care.rebuild_ledger(load(context, config_file), force=force, as_json=as_json))


@ledger.command("check")
def ledger_check(
    context: typer.Context, check: Check = False, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Print whether the ledger is whole and belongs to the lake."""
    raise typer.Exit(care.check_ledger(load(context, config_file), strict=check, as_json=as_json))


@lake.command("upgrade")
def lake_upgrade(context: typer.Context, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Rewrite files that lack columns; run it again to go on where it ended."""
    raise typer.Exit(care.upgrade_lake(load(context, config_file), as_json=as_json))


@lake.command("check")
def lake_check(
    context: typer.Context, check: Check = False, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Read every file and print what is not as the contract says."""
    raise typer.Exit(care.check_lake(load(context, config_file), strict=check, as_json=as_json))
