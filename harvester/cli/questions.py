"""The commands that look after what is there: gaps, coverage, repair, explain. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harvester import commands
from harvester.cli.options import (
    AsJson,
    ConfigFile,
    Devices,
    From,
    MaybeFrom,
    MaybeTo,
    NoWait,
    OneLevel,
    Plants,
    Sets,
    To,
    chosen,
    load,
)
from harvester.errand import Errand
from harvester.questions import asking as questions
from harvester.questions import explaining
from harvester.questions.asking import Question

Check = Annotated[bool, typer.Option("--check", help="End with code 3 when something is missing.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    for command in (gaps, coverage, repair, explain):
        app.command()(command)


def gaps(
    context: typer.Context,
    first: MaybeFrom = None,
    last: MaybeTo = None,
    plant: Plants = None,
    device: Devices = None,
    set_: Sets = None,
    level: OneLevel = None,
    content: Annotated[bool, typer.Option("--content", help="Add days with implausibly few rows.")] = False,
    check: Check = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List what is not settled and past due: failed, never asked, or of a plant that is not listed any more."""
    loaded = load(context, config_file)
    question = Question(chosen(loaded, plant, device, set_, level), first, last)
    raise typer.Exit(questions.gaps(loaded, question, content=content, check=check, as_json=as_json))


def coverage(
    context: typer.Context,
    first: MaybeFrom = None,
    last: MaybeTo = None,
    plant: Plants = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page instead.")] = None,
    check: Check = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of each plant and day is there, as a heat map."""
    loaded = load(context, config_file)
    question = Question(chosen(loaded, plant, None, None, None), first, last)
    raise typer.Exit(questions.coverage_of(loaded, question, html=html, check=check, as_json=as_json))


def repair(
    context: typer.Context,
    first: From,
    last: To,
    plant: Plants = None,
    device: Devices = None,
    set_: Sets = None,
    level: OneLevel = None,
    force: Annotated[bool, typer.Option("--force", help="Ask the settled days again, too.")] = False,
    no_wait: NoWait = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask now what is not settled in a span of days, without waiting for its next look."""
    loaded = load(context, config_file)
    scope = chosen(loaded, plant, device, set_, level)
    errand = Errand(command="repair", scope=scope, first=first, last=last, force=force)
    raise typer.Exit(commands.run_loop(commands.harvest(loaded, errand, wait=not no_wait, as_json=as_json)))


def explain(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="PLANT|DEVICE [SET] DAY", help="The day as 2026-01-31.")],
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell all that is known of a plant or device on one plant-local day, and why it is so."""
    raise typer.Exit(explaining.explain(load(context, config_file), words, as_json=as_json))
