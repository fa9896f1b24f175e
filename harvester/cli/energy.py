"""The command about energies. No logic."""

from __future__ import annotations

from typing import Annotated

import typer

from harvester.cli.options import AsJson, ConfigFile, From, Plants, To, load
from harvester.questions.accounts import OF_A_DAY, Tolerance
from harvester.questions.reconcile import Asked
from harvester.questions.reconcile import reconcile as compare

Check = Annotated[bool, typer.Option("--check", help="End with code 3 when something differs.")]
Absolute = Annotated[float, typer.Option("--absolute", metavar="WH", min=0, help="Wh that a day may differ by.")]
Relative = Annotated[float, typer.Option("--relative", metavar="SHARE", min=0, help="Share that a day may differ by.")]


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command()(reconcile)


def reconcile(
    context: typer.Context,
    first: From,
    last: To,
    plant: Plants = None,
    absolute: Absolute = OF_A_DAY.absolute,
    relative: Relative = OF_A_DAY.relative,
    check: Check = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare sums of power with the energies SMA bills by, by day, and those with its months.

    A day differs where it is beyond both limits. Reads the lake only.
    """
    loaded = load(context, config_file)
    asked = Asked(first, last, frozenset(plant or ()), Tolerance(absolute, relative))
    raise typer.Exit(compare(loaded, asked, check=check, as_json=as_json))
