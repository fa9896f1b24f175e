"""Harvests and clients that try twice, do not wait between, and hold small bodies only."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

from harvester.compose import asking, harvest_of, utc_now, writable
from harvester.config import Config
from harvester.due import Wanted
from harvester.model import Period, Series, Slice
from harvester.report import Report
from harvester.show import Quiet
from harvester.sma.client import Client
from harvester.sma.retry import Patience
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.stopping import Stop

SMALL = 2_000_000
"""Bytes of a body at most: what the local cloud serves is smaller, what a bomb holds is not."""


async def harvested_soon(config: Config, task: Wanted, wall: Callable[[], datetime] = utc_now) -> Report:
    """Run one harvest and return the report; *wall* is the present."""
    with writable(config, task.command) as stores:
        async with asking(config, stores, wall=wall) as client:
            client._exchange._patience = Patience(attempts=2, refusals=2, first=0.0)
            client._limits = replace(client._limits, max_body=SMALL)
            return await harvest_of(config, client, stores, Stop().event, Quiet(), wall=wall).run(task)


def client_at(url: str, **limits: float) -> Client:
    """Return a client of the cloud at *url* that tries once."""
    hosts = Hosts(auth_url=url, consent_url=url, monitoring_url=f"{url}/v1")
    given = {"timeout_seconds": 0.5, "attempts": 1, **limits}
    return Client(hosts, Credentials(client_id="local", client_secret="very-secret"), Limits(**given))


def one_slice(plant_id: str = "7") -> Slice:
    """Return a day of one plant."""
    day = date(2026, 3, 28)
    return Slice(series=Series(plant_id=plant_id, set="EnergyBalance"), period=Period.DAY, date=day, days=(day,))
