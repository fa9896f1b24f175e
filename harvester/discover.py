"""What there is to harvest: plants, their devices, and the measurement sets that each offers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from harvester.catalog import ENERGY_BALANCE
from harvester.errors import AnswerError, NotFound, NothingToAsk, Retry, Skip
from harvester.fetch import Failed, fetching
from harvester.model import Device, Plant
from harvester.sma.client import Client
from harvester.state.inventory import Inventory, KnownPlant

EXPLORE_AGAIN = timedelta(days=1)
"""Devices and sets change rarely: a plant is enumerated again after this long."""
NO_PLANT = (
    "The plant list is empty: no owner's consent is accepted, or SMA does not show their plants yet. "
    "`harvester consent status` tells who has answered, `harvester consent request` asks again."
)
"""What a person is told where the list is empty."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unexplored:
    """A plant, or a device of it, whose devices or sets could not be asked for."""

    plant_id: str
    error: AnswerError


@dataclass(frozen=True, slots=True)
class _Explored:
    plant: Plant
    devices: list[Device]
    sets: dict[str | None, list[str] | None]
    trouble: list[Unexplored]
    whole: bool
    """Whether every list of sets was answered."""


async def list_plants(client: Client, inventory: Inventory, now: datetime) -> list[KnownPlant]:
    """Record the plants that are visible now and return them in the order of their parts; one request.

    The list decides what is harvested, not a remembered consent: SMA lists the plants of every owner who has
    accepted, and an empty list is a success.
    """
    plants = inventory.unpurged(await client.plants())
    inventory.see_plants(plants, now)
    visible = {plant.plant_id for plant in plants}
    return [known for known in inventory.plants() if known.plant.plant_id in visible]


async def reached(client: Client, inventory: Inventory, now: datetime) -> list[KnownPlant]:
    """Do what `list_plants` does; raise `NothingToAsk` where no list is to be had."""
    try:
        return await list_plants(client, inventory, now)
    except NotFound as error:
        raise NothingToAsk(f"{error}. There is no plant list at this address: check sma.monitoring_url.") from error
    except Retry as error:
        raise unreached(client.address, error) from error
    except Skip as error:
        raise NothingToAsk(f"{error}. Without a plant list nothing can be asked at {client.address}.") from error


def unreached(address: str, error: Retry) -> NothingToAsk:
    """Say that nothing could be asked at *address*, and what to do about it."""
    return NothingToAsk(
        f"{error}. Nothing could be asked at {address}: is the address right and the service up? (`harvester sandbox` "
        "starts the local one.) The same command may succeed later."
    )


def due_for_exploration(plants: Iterable[KnownPlant], now: datetime) -> list[KnownPlant]:
    """Return the plants that were never enumerated as a whole, or not for `EXPLORE_AGAIN`."""
    return [p for p in plants if p.explored_at is None or now - p.explored_at >= EXPLORE_AGAIN]


async def explore(
    client: Client,
    inventory: Inventory,
    plants: Iterable[KnownPlant],
    *,
    now: datetime,
    workers: int,
    stop: asyncio.Event,
) -> list[Unexplored]:
    """Enumerate devices and sets of *plants*; trouble with one plant or device is told and costs no other."""
    trouble: list[Unexplored] = []
    plants = list(plants)
    offered = (s.series for part in {known.part for known in plants} for s in inventory.offered_series(part))
    with_sets = {series.plant_id for series in offered if series.device_id is None}

    async def pull(known: KnownPlant) -> _Explored:
        # where sets are known, a list of them that is not found takes none of them back
        at_least = None if known.plant.plant_id in with_sets else [ENERGY_BALANCE.name]
        return await _explore(client, known.plant, at_least, inventory.devices_with)

    async with fetching(plants, pull, workers=workers, stop=stop) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Failed):
                trouble.append(Unexplored(outcome.item.plant.plant_id, outcome.error))
                continue
            found = outcome.answer
            trouble.extend(found.trouble)
            inventory.explored(found.plant, found.devices, found.sets, now, whole=found.whole)
    for each in trouble:
        log.warning("discover.failed", plant_id=each.plant_id, reason=str(each.error))
    return trouble


async def _explore(
    client: Client,
    plant: Plant,
    at_least: list[str] | None,
    met: Callable[[Iterable[str]], Collection[str]],
) -> _Explored:
    """Enumerate a plant; *at_least* are the sets of the plant as a whole where no list of them is served.

    *met* tells which devices of the given ids were enumerated before.
    """
    trouble: list[Unexplored] = []
    if plant.start_up is None:  # the plant list may hold ids, names and zones only
        try:
            plant = await client.plant(plant.plant_id)
        except Skip as error:
            trouble.append(Unexplored(plant.plant_id, error))
    devices, before = await client.devices(plant.plant_id), len(trouble)
    known = met([device.device_id for device in devices])
    async with asyncio.TaskGroup() as group:
        tasks = {d.device_id: group.create_task(_device_sets(client, plant, d, known, trouble)) for d in devices}
        of_plant = group.create_task(_plant_sets(client, plant, at_least, trouble))
    sets: dict[str | None, list[str] | None] = {device_id: task.result() for device_id, task in tasks.items()}
    return _Explored(plant, devices, {None: of_plant.result(), **sets}, trouble, whole=len(trouble) == before)


async def _plant_sets(
    client: Client, plant: Plant, otherwise: list[str] | None, trouble: list[Unexplored]
) -> list[str] | None:
    """Return the sets of the plant as a whole, None where they could not be asked for."""
    try:
        return await client.plant_sets(plant.plant_id)
    except NotFound:
        return otherwise  # no list of sets is documented for plants; EnergyBalance every plant has
    except AnswerError as error:
        trouble.append(Unexplored(plant.plant_id, error))
        return None


async def _device_sets(
    client: Client, plant: Plant, device: Device, known: Collection[str], trouble: list[Unexplored]
) -> list[str] | None:
    """Return the sets of *device*, None where they could not be asked for.

    That it has none, which is what a 404 says, is believed of one that is *known* from an earlier enumeration.
    """
    try:
        return await client.device_sets(device.device_id)
    except AnswerError as error:
        if isinstance(error, NotFound) and device.device_id in known:
            log.info("discover.no_sets", device_id=device.device_id, reason=str(error))
            return None  # what was known of it stays
        trouble.append(Unexplored(plant.plant_id, error))
        return None
