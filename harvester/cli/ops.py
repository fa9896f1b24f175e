"""The commands that set up and check: init, doctor. Arguments to one call to an exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harvester import commands
from harvester.cli.options import AsJson, ConfigFile, load
from harvester.compose import utc_now
from harvester.ops import doctor as checks
from harvester.ops.initial import initialise

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command()(init)
    app.command()(doctor)


class _Terminal:
    """Asks on stderr, so that what a command prints stays its result."""

    def ask(self, question: str, default: str) -> str:
        """Return what was typed, or *default*."""
        answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
        return answer

    def whisper(self, question: str) -> str:
        """Return what was typed without showing it."""
        answer: str = typer.prompt(question, default="", show_default=False, hide_input=True, err=True)
        return answer


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The configuration to write.")] = Path(
        "harvester.toml"
    ),
    environment: Annotated[
        Literal["local", "sandbox", "production"] | None, typer.Option(help="Which cloud to ask.")
    ] = None,
    grant: Annotated[
        Literal["custom", "code"] | None, typer.Option(help="How owners consent: asked by e-mail, or in a browser.")
    ] = None,
    owner: Annotated[list[str] | None, typer.Option(help="An owner's e-mail address; repeatable.")] = None,
    public_url: Annotated[str | None, typer.Option(help="Code grant: the address that owners open.")] = None,
    public: Annotated[str | None, typer.Option(help="Code grant: HOST:PORT to serve it on.")] = None,
    lake: Annotated[str | None, typer.Option(help="Folder of the lake.")] = None,
    ledger: Annotated[str | None, typer.Option(help="File of the ledger.")] = None,
    since: Annotated[str | None, typer.Option(help='How far back: "7d", a date, or "start".')] = None,
    requests: Annotated[str | None, typer.Option(help="Requests in 5 minutes; default: learn it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented configuration; at a terminal, ask for what no option says."""
    given = {
        "sma.environment": environment,
        "sma.grant": grant,
        "sma.owners": ",".join(owner) if owner else None,
        "web.public_url": public_url,
        "web.public": public,
        "lake.root": lake,
        "ledger.url": ledger,
        "harvest.since": since,
        "rate.requests": requests,
    }
    person = _Terminal() if sys.stdin.isatty() and sys.stderr.isatty() and not yes else None
    try:
        code = initialise(file, {key: text for key, text in given.items() if text is not None}, person, force=force)
    except typer.Abort:
        typer.echo(err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


def doctor(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="End with code 3 when something is wrong.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check configuration, credentials, consent, clock, disk, rights, budget and network, each with a remedy."""
    named = config_file or context.obj or os.environ.get("HARVESTER_CONFIG")
    work = checks.examine(
        lambda: load(context, config_file),
        file=Path(named) if named else None,
        environ=os.environ,
        wall=utc_now,
    )
    raise typer.Exit(checks.present(commands.run_loop(work), check=check, as_json=as_json))
