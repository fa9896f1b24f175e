"""The local sandbox as a command, and a tour: sandbox, consent, a week of harvest, a summary. Needs no network."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from harvester import plan, show
from harvester.compose import asking, harvest_of, scope_of, utc_now, writable
from harvester.config import Config, load
from harvester.due import Wanted
from harvester.errors import ConfigError
from harvester.lake.layout import Places
from harvester.lake.sample import DayCurve, sample_day
from harvester.report import Report
from harvester.sandbox import Faults, Settings, serving
from harvester.sma.client import Client
from harvester.sma.consent import ConsentState
from harvester.stopping import Stop

_DAYS = 7
_LIFE_DAYS = 90
"""Age of the plants: the cloud has to simulate each day of it for their sums."""
_NOTE = "Made by `harvester demo`, which makes the lake and the ledger beside this file anew each time.\n"
_PLOT_WIDTH = 72
_QUERY = (
    "SELECT plant_id, date, round(sum(pv_generation * interval_minutes / 60) / 1000, 1) AS kwh "
    "FROM read_parquet('{files}', hive_partitioning = true, union_by_name = true) GROUP BY ALL ORDER BY ALL"
)


async def serve(options: Mapping[str, Any], faults: Sequence[str], *, host: str, port: int) -> None:
    """Run the local SMA cloud until it is told to stop; raises `ConfigError` for options that make no sense."""
    try:
        settings = Settings(**options, faults=Faults.parse(faults))
    except (ValueError, KeyError) as error:
        raise ConfigError(f"sandbox: {error}") from error
    stop = Stop()
    try:
        with stop.listening():
            async with serving(settings, host=host, port=port) as running:
                show.say(f"SMA sandbox on {running.url}; client id and secret {settings.client_id!r}; Ctrl-C ends it")
                if settings.grant == "code":
                    show.say(
                        f"Open {running.url} to try the code grant; every owner's password is {settings.password!r}"
                    )
                await stop.event.wait()
    except OSError as error:
        raise ConfigError(
            f"sandbox: cannot listen on {host} port {port} ({error.strerror or error}); choose another --port"
        ) from error


async def demo(folder: Path, *, plants: int) -> int:
    """Show a harvest from consent to Parquet on the local sandbox, and return the exit code."""
    _make_anew(folder)
    last = utc_now().date() - timedelta(days=1)
    start = last - timedelta(days=_LIFE_DAYS)
    settings = Settings(plants=plants, zones=("Europe/Berlin", "Europe/Madrid"), start=start)
    async with serving(settings) as running:
        show.tell(f"A local SMA cloud listens on {running.url}: {plants} plants, {settings.devices} devices each.")
        config = load(None, environ={}, flags=_flags(running.url, folder))
        report = await _harvest(config, last - timedelta(days=_DAYS - 1), last)
    if report.interrupted:
        show.say("Stopped before the tour was over; `harvester demo` begins anew.")
    else:
        _summarise(config, report, last)
    return report.exit_code


def _make_anew(folder: Path) -> None:
    """Remove what an earlier demo made, and nothing else; raises `ConfigError` where the folder is not its own."""
    note = folder / "demo.txt"
    try:
        if folder.exists() and any(folder.iterdir()) and not (note.exists() and note.read_text() == _NOTE):
            raise ConfigError(f"{folder} is not empty and not from a demo: name another --folder")
        shutil.rmtree(folder / "lake", ignore_errors=True)
        for file in folder.glob("ledger.db*"):
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(_NOTE)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder} cannot hold a demo ({error}): name another --folder") from error


def _flags(url: str, folder: Path) -> dict[str, object]:
    return {
        "sma.auth_url": url,
        "sma.consent_url": url,
        "sma.monitoring_url": f"{url}/monitoring/v1",
        "lake.root": str(folder.absolute() / "lake"),
        "ledger.url": f"sqlite:///{folder.absolute() / 'ledger.db'}",
    }


async def _harvest(config: Config, first: date, last: date) -> Report:
    stop = Stop()
    with writable(config, "demo") as stores, stop.listening(), show.progress() as progress:
        async with asking(config, stores) as client:
            await _consent(client, config.sma.owners[0])
            wanted = Wanted(command="demo", scope=scope_of(config), span_of=plan.between(first, last))
            report = await harvest_of(config, client, stores, stop.event, progress).run(wanted)
            report.signal = stop.signal
            return report


async def _consent(client: Client, owner: str) -> None:
    before = len(await client.plants())
    asked = await client.consent_request(owner)
    await client.consent_simulate(owner, ConsentState.ACCEPTED)
    after = len(await client.plants())
    show.tell(
        f"Consent of {owner}: {before} plants visible before, {asked.state.value} when asked, "
        f"Accepted by its owner: {after} plants visible."
    )
    show.tell()


def _summarise(config: Config, report: Report, last: date) -> None:
    show.report(report)
    places = Places(config.lake.root)
    if curve := sample_day(places, last):
        _plot(curve)
    query = _QUERY.format(files=f"{places.root}/plant_energy_balance/*/*.parquet".replace("'", "''"))
    show.tell(f"The lake is {places.root}. Ask it, for instance with DuckDB:")
    show.tell(f"\n  duckdb -c {_quoted(query)}\n")
    show.tell(f"or, in Python:\n\n  import duckdb; duckdb.sql({query!r}).show()\n")
    show.tell(
        "To see it live: `harvester sandbox --accept` in one terminal and, in a folder of your own, `harvester init`,"
    )
    show.tell("`harvester consent request` and `harvester daemon` in another; then open http://127.0.0.1:8651.")


def _quoted(query: str) -> str:
    """Quote *query* for a shell: plainly where that is safe, since a person is to read it."""
    return shlex.quote(query) if set(query) & set('"$`\\!') else f'"{query}"'


def _plot(curve: DayCurve) -> None:
    step = max(1, -(-len(curve.watts) // _PLOT_WIDTH))
    thinned = [max(curve.watts[at : at + step]) for at in range(0, len(curve.watts), step)]
    show.tell(f"Plant {curve.plant_id} on {curve.day}, PV generation, up to {max(curve.watts):,.0f} W:")
    for line in show.plot(thinned):
        show.tell(f"  {line}")
    show.tell(f"  {'00:00':<{len(thinned) // 2}}{'12:00':<{len(thinned) // 2 - 5}}24:00\n")
