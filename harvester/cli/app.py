"""The command line: arguments to a configuration to one call to an exit code. No logic.

Results go to stdout, logs and progress to stderr. Exit codes: 0 done; 1 unexpected error; 2 usage, configuration or
lock; 3 something failed and stays due; 4 nothing could be asked; 130 and 143 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harvester import __version__, commands, config, demo, log, show
from harvester.cli import care as cli_care
from harvester.cli import consent as cli_consent
from harvester.cli import energy as cli_energy
from harvester.cli import ops as cli_ops
from harvester.cli import purge as cli_purge
from harvester.cli import questions as cli_questions
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
    parse_day,
    parse_shard,
)
from harvester.compose import scope_of, utc_now
from harvester.config import LOCAL_OWNER
from harvester.daemon import duty
from harvester.errand import Errand, wanted
from harvester.errors import HarvestError
from harvester.lake.dictionary import lake_dictionary, lake_tables
from harvester.model import WHOLE, Shard
from harvester.questions import preview

LOCAL_PORT = 8642
"""Where `sma.environment = "local"` expects the sandbox."""

app = typer.Typer(
    help="Keeps a complete, correct copy of what consented SMA plants measure, as partitioned Parquet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
schema = typer.Typer(no_args_is_help=True, help="Print the contracts: of the configuration and of the lake.")
app.add_typer(schema, name="schema")
cli_care.register(app)
cli_consent.register(app)
cli_energy.register(app)
cli_ops.register(app)
cli_purge.register(cli_consent.consent)
cli_questions.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config_file: ConfigFile = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error; at a terminal warning, else info.")
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback has answered by now
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    # a service wants its one line per run; a person at a terminal reads the report instead
    level = log_level or ("warning" if sys.stderr.isatty() else "info")
    if level not in log.LEVELS:
        raise typer.BadParameter(f"--log-level {log_level!r}: one of {', '.join(log.LEVELS)}")
    log.configure(level=level)
    context.obj = config_file


@app.command()
def run(
    context: typer.Context, no_wait: NoWait = False, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Harvest what is due now: one pass, for cron or a timer."""
    loaded = load(context, config_file)
    errand = Errand(command="run", scope=scope_of(loaded))
    raise typer.Exit(commands.run_loop(commands.harvest(loaded, errand, wait=not no_wait, as_json=as_json)))


@app.command()
def daemon(
    context: typer.Context,
    shard: Annotated[
        Shard, typer.Option("--shard", metavar="I/N", parser=parse_shard, help="Take a share: 1/2 and 2/2 are all.")
    ] = WHOLE,
    config_file: ConfigFile = None,
) -> None:
    """Keep the lake up to date until told to stop: live, late, repair, history, each on its own clock."""
    raise typer.Exit(commands.run_loop(duty.serve(load(context, config_file), shard)))


@app.command()
def backfill(
    context: typer.Context,
    first: From,
    last: To,
    plant: Plants = None,
    device: Devices = None,
    set_: Sets = None,
    level: OneLevel = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Begin with the latest week.")] = False,
    no_wait: NoWait = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Harvest a span of days, whatever of it is not settled; run it again to go on where it ended."""
    loaded = load(context, config_file)
    scope = chosen(loaded, plant, device, set_, level)
    errand = Errand(command="backfill", scope=scope, first=first, last=last, newest_first=newest_first)
    raise typer.Exit(commands.run_loop(commands.harvest(loaded, errand, wait=not no_wait, as_json=as_json)))


@app.command()
def plan(
    context: typer.Context,
    first: MaybeFrom = None,
    last: MaybeTo = None,
    plant: Plants = None,
    device: Devices = None,
    set_: Sets = None,
    level: OneLevel = None,
    live: Annotated[bool, typer.Option("--live", help="Print the freshness that the budget can hold.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what a backfill would cost, or how fresh live data can be; spends no request."""
    loaded = load(context, config_file)
    if live:
        raise typer.Exit(preview.live(loaded, as_json=as_json))
    if first is None or last is None:
        raise typer.BadParameter("give --from and --to, or --live")
    errand = Errand(command="backfill", scope=chosen(loaded, plant, device, set_, level), first=first, last=last)
    raise typer.Exit(preview.costs(loaded, wanted(errand, loaded, utc_now()), as_json=as_json))


@app.command()
def discover(context: typer.Context, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Enumerate the visible plants, their devices and measurement sets."""
    loaded = load(context, config_file)
    raise typer.Exit(commands.run_loop(commands.discover(loaded, as_json=as_json)))


@app.command()
def status(context: typer.Context, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print what lake and ledger hold."""
    raise typer.Exit(commands.status(load(context, config_file), as_json=as_json))


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = LOCAL_PORT,
    plants: Annotated[int, typer.Option(help="How many plants there are.")] = 6,
    devices: Annotated[int, typer.Option(help="Devices of each plant.")] = 7,
    owner: Annotated[list[str] | None, typer.Option(help="An owner's e-mail address; repeatable.")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="A plant's IANA time zone; repeatable.")] = None,
    start: Annotated[str, typer.Option(help="Start-up day of the plants.")] = "2024-01-01",
    seed: Annotated[int, typer.Option(help="Same seed, same plants and readings.")] = 7,
    profile: Annotated[
        Literal["plants", "sma"], typer.Option(help="plants, or sma: as starved as SMA's own sandbox.")
    ] = "plants",
    accept: Annotated[bool, typer.Option("--accept", help="Accept consent requests at once.")] = False,
    grant: Annotated[
        Literal["custom", "code"],
        typer.Option(help="Which grant the client has: custom, or code: owners sign in at /oauth2/auth."),
    ] = "custom",
    redirect: Annotated[
        list[str] | None, typer.Option(help="A registered redirect_uri of grant code; default: any loopback address.")
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Requests per window and client; default: no limit.")] = None,
    window: Annotated[float, typer.Option(help="Length of the window in seconds.")] = 300.0,
    week: Annotated[Literal["date", "monday", "sunday"], typer.Option(help="Where a Week begins.")] = "date",
    fault: Annotated[list[str] | None, typer.Option(help="NAME=RATE, e.g. http_500=0.1; repeatable.")] = None,
) -> None:
    """Run the local SMA cloud: tokens, consent, plants that look alive, and faults to order."""
    options = {
        "plants": plants,
        "devices": devices,
        "owners": tuple(owner or (LOCAL_OWNER,)),
        "zones": tuple(zone or ("Europe/Berlin",)),
        "start": parse_day(start),
        "seed": seed,
        "profile": profile,
        "accept": accept,
        "grant": grant,
        "redirect_uris": tuple(redirect or ()),
        "requests": requests,
        "window_seconds": window,
        "week": week,
    }
    commands.run_loop(demo.serve(options, fault or (), host=host, port=port))


@app.command("demo")
def show_demo(
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its lake; it is made anew.")] = Path("demo-lake"),
    plants: Annotated[int, typer.Option(min=1, help="How many plants to harvest.")] = 4,
) -> None:
    """See it work: the local SMA cloud, a consent, a week of harvest, a lake to query. Needs no network."""
    raise typer.Exit(commands.run_loop(demo.demo(folder, plants=plants)))


@schema.command("lake")
def schema_lake(as_json: AsJson = False) -> None:
    """Print the lake's tables and columns, as storage/README.md has them."""
    if as_json:
        show.as_json(lake_tables())
    else:
        typer.echo(lake_dictionary(), nl=False)


@schema.command("config")
def schema_config(as_json: AsJson = True) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the JSON schema of the configuration, for editors and for CI."""
    show.as_json(config.json_schema())


def main() -> None:
    """Run the command line; an error of ours ends with its text and its exit code, never with a traceback."""
    try:
        app()
    except HarvestError as error:
        show.refuse(str(error))
        sys.exit(error.exit_code)
