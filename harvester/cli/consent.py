"""The commands about owners' consent. Arguments to one call to an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harvester import commands
from harvester.cli.options import AsJson, ConfigFile, Owners, load
from harvester.errors import ConfigError
from harvester.owners import consenting
from harvester.sma.consent import ConsentState

consent = typer.Typer(no_args_is_help=True, help="Ask plant owners for consent, and see how they answered.")


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.add_typer(consent, name="consent")


@consent.command("request")
def consent_request(
    context: typer.Context,
    owners: Owners = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="CSV", help="Owners' addresses: a column named email, or the only one."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --file: also who has accepted, or was asked within a day.")
    ] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Have SMA ask owners by e-mail; repeat it when a mail was lost or a plant was added. Does not wait."""
    loaded = load(context, config_file)
    work = consenting.request(loaded, owners or (), file=file, again=again, as_json=as_json)
    raise typer.Exit(commands.run_loop(work))


@consent.command("status")
def consent_status(
    context: typer.Context,
    owners: Owners = None,
    known: Annotated[bool, typer.Option("--known", help="Print what is remembered; ask nobody.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print how owners have answered, and which plants came with whom."""
    work = consenting.status(load(context, config_file), owners or (), asking=not known, as_json=as_json)
    raise typer.Exit(commands.run_loop(work))


@consent.command("simulate")
def consent_simulate(
    context: typer.Context,
    owners: Owners = None,
    state: Annotated[str, typer.Option("--state", help="accepted, rejected or revoked.")] = "accepted",
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Play the owner, which only a sandbox lets one do."""
    loaded, answer = load(context, config_file), ConsentState(state)
    if loaded.sma.environment == "production":
        raise ConfigError('consent simulate works on a sandbox only; sma.environment is "production"')
    if answer not in {ConsentState.ACCEPTED, ConsentState.REJECTED, ConsentState.REVOKED}:
        raise typer.BadParameter(f"--state {state!r}: accepted, rejected or revoked")
    raise typer.Exit(commands.run_loop(consenting.simulate(loaded, owners or (), answer, as_json=as_json)))
