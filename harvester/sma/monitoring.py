"""The endpoints of SMA's Monitoring API as request values; knows no socket, no token and no row of a body.

*base* is the monitoring URL, ``https://monitoring.smaapis.de/v1`` or ``https://sandbox.smaapis.de/monitoring/v1``.
Ids and set names come from the network, so each becomes exactly one path segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode

from harvester.model import Device, Plant, Series, Slice
from harvester.sma import answers
from harvester.sma.wire import Kind, Request, Response, named_in, segment, whole_object

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The undecoded values of one slice."""

    body: bytes = field(repr=False)
    """JSON as delivered, decompressed; only its first and last character were looked at."""
    asked_at: datetime
    """When the try that succeeded was sent, aware UTC."""
    gzip: bytes | None = field(default=None, repr=False)
    """The body as it was sent, where that was one gzip member."""
    moved: Mapping[str, str] | None = None
    """Old id to new id, where the server redirected because the plant was migrated."""


def plants(base: str) -> Request[list[Plant]]:
    """Ask for all plants that the token may see; there is no paging and no filter by owner.

    The sandbox ignores the two flags and answers id, name and time zone only.
    """
    return _get(base, "/plants", Kind.PLANTS, answers.plants, WithInstallation="true", WithLocation="true")


def plant(base: str, plant_id: str) -> Request[Plant]:
    """Ask for one plant: id, name and time zone."""
    return _get(base, f"/plants/{segment(plant_id)}", Kind.PLANTS, answers.plant)


def installation(base: str, plant_id: str) -> Request[Mapping[str, Any]]:
    """Ask for size and start-up of one plant."""
    return _get(base, f"/plants/{segment(plant_id)}/installation", Kind.PLANTS, answers.part)


def location(base: str, plant_id: str) -> Request[Mapping[str, Any]]:
    """Ask for the address of one plant."""
    return _get(base, f"/plants/{segment(plant_id)}/location", Kind.PLANTS, answers.part)


def plant_now(base: str, plant_id: str) -> Request[str | None]:
    """Ask under which id a plant answers now; a migrated one is redirected to its new id."""
    return _get(base, f"/plants/{segment(plant_id)}", Kind.PLANTS, lambda answer: named_in(answer.url, "plants"))


def device_now(base: str, device_id: str) -> Request[str | None]:
    """Ask under which id a device answers now."""
    path = f"/devices/{segment(device_id)}/measurements/sets"
    return _get(base, path, Kind.SETS, lambda answer: named_in(answer.url, "devices"))


def devices(base: str, plant_id: str, *, lean: bool) -> Request[list[Device]]:
    """Ask for the devices of a plant, with those out of service, which are hidden by default.

    The lean form is preferred by SMA, the full one obsolete but still served.
    """
    path = f"/plants/{segment(plant_id)}/devices" + ("/lean" if lean else "")
    return _get(base, path, Kind.DEVICES, answers.devices, WithDeactivatedDevices="true")


def plant_sets(base: str, plant_id: str) -> Request[list[str]]:
    """Ask for the names of the measurement sets of a plant as a whole."""
    return _get(base, f"/plants/{segment(plant_id)}/measurements/sets", Kind.SETS, answers.sets)


def device_sets(base: str, device_id: str) -> Request[list[str]]:
    """Ask for the names of the measurement sets of a device."""
    return _get(base, f"/devices/{segment(device_id)}/measurements/sets", Kind.SETS, answers.sets)


def values(base: str, wanted: Slice) -> Request[Answer]:
    """Ask for the values of one slice.

    ``ReturnEnergyValues=false`` keeps intraday values in W; Month, Year and Total are in Wh by themselves, and
    Total takes no ``Date``.
    """
    path = f"{_owner(wanted.series)}/measurements/sets/{segment(wanted.series.set)}/{wanted.period.value}"
    query = {"Date": wanted.asked} if wanted.asked else {}
    if not wanted.period.summed:
        query["ReturnEnergyValues"] = "false"
    return _get(base, path, Kind.VALUES, _reader(wanted.series, _address(base, path)), **query)


def _owner(series: Series) -> str:
    """Return the path of what the series belongs to."""
    if series.device_id is None:
        return f"/plants/{segment(series.plant_id)}"
    return f"/devices/{segment(series.device_id)}"


def _reader(series: Series, address: str) -> Callable[[Response], Answer]:
    """Return what reads an answer from *address* and notices under which id it came."""
    old = series.plant_id if series.device_id is None else series.device_id
    collection = "plants" if series.device_id is None else "devices"

    def read(response: Response) -> Answer:
        new = old if response.url.startswith(address) else named_in(response.url, collection)
        moved = {old: new} if new is not None and new != old else None
        body = whole_object(response)
        whole = response.gzip if len(body) == len(response.body) else None
        return Answer(body=body, asked_at=response.asked_at, gzip=whole, moved=moved)

    return read


def _get(base: str, path: str, kind: Kind, read: Callable[[Response], T], **query: str) -> Request[T]:
    url = _address(base, path) + (f"?{_encoded(**query)}" if query else "")
    return Request(method="GET", url=url, kind=kind, read=read)


def _address(base: str, path: str) -> str:
    return base.rstrip("/") + path


@lru_cache(maxsize=4096)  # the same few dates, in each of many requests
def _encoded(**query: str) -> str:
    return urlencode(query)
