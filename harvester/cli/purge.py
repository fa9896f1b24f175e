"""The command that deletes everything of one owner. Arguments to one call to an exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from harvester import commands, show
from harvester.care import purging
from harvester.care.purge import Asked
from harvester.cli.options import AsJson, ConfigFile, NoWait, load


def register(consent: typer.Typer) -> None:
    """Add the command to the app *consent*."""
    consent.command("purge")(purge)


def purge(
    context: typer.Context,
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="An e-mail address, or the label of the code grant.")],
    plant: Annotated[
        list[str] | None,
        typer.Option("--plant", metavar="ID", help="This plant is the owner's though that is uncertain; repeatable."),
    ] = None,
    not_plant: Annotated[
        list[str] | None,
        typer.Option("--not-plant", metavar="ID", help="This uncertain plant is not, and stays; repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, list what would be deleted.")] = False,
    no_wait: NoWait = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete everything of an owner and their plants, for ever; run it again to go on where it ended."""
    loaded = load(context, config_file)
    asked = Asked(owner=owner, plants=frozenset(plant or ()), not_plants=frozenset(not_plant or ()))
    if yes:
        raise typer.Exit(commands.run_loop(purging.purge(loaded, asked, wait=not no_wait, as_json=as_json)))
    done = purging.preview(loaded, asked)
    if as_json:
        show.as_json(dict(done.facts))
    else:
        done.tell()
    raise typer.Exit(done.exit_code)
