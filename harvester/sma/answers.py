"""The bodies of SMA's Monitoring API, read into the values of ``harvester.model``.

Input is untrusted: whatever it is, the outcome is a value or BadBody. A required part that is missing or of
the wrong type is BadBody; an optional one reads as None, so that one odd field never hides a plant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from harvester.errors import BadBody
from harvester.model import Device, Plant
from harvester.sma.wire import Response, decode, named_in


class _PlantRow(msgspec.Struct, rename="camel"):
    plant_id: int | str
    name: Any = None
    timezone: Any = None
    installation: Any = None
    location: Any = None


class _PlantList(msgspec.Struct):
    plants: list[_PlantRow]


class _DeviceRow(msgspec.Struct, rename="camel"):
    device_id: int | str
    name: Any = None
    type: Any = None
    product: Any = None
    product_id: Any = None
    vendor: Any = None
    serial: Any = None
    generator_power: Any = None
    is_active: Any = True
    deactivated_at: Any = None


class _DeviceList(msgspec.Struct):
    devices: list[_DeviceRow]


class _SetList(msgspec.Struct):
    sets: list[str]


def plants(response: Response) -> list[Plant]:
    """Read the plant list: ``{"plants": [...]}``, in the server's order."""
    return [_plant(row, response) for row in decode(response, _PlantList).plants]


def plant(response: Response) -> Plant:
    """Read the details of one plant, which come flat."""
    return _plant(decode(response, _PlantRow), response)


def part(response: Response) -> Mapping[str, Any]:
    """Read an installation or a location as it is, for ``with_installation`` and ``with_location``."""
    return decode(response, dict[str, Any])


def devices(response: Response) -> list[Device]:
    """Read the device list of a plant; the lean form does not say of which, so the address has to."""
    plant_id = named_in(response.url, "plants") or ""
    return [_device(row, plant_id, response) for row in decode(response, _DeviceList).devices]


def sets(response: Response) -> list[str]:
    """Read the names of measurement sets, each once, in the server's order; may be empty."""
    return [name for name in dict.fromkeys(decode(response, _SetList).sets) if name]


def with_installation(plant: Plant, installation: object) -> Plant:
    """Return *plant* with peak power and start-up, as far as *installation* has them."""
    facts = _object(installation)
    return replace(
        plant,
        peak_power=_number(facts.get("peakPower"), plant.peak_power),
        # Written without a zone, and UTC all the same.
        start_up=utc(facts.get("startUpUtc")) or plant.start_up,
    )


def with_location(plant: Plant, location: object) -> Plant:
    """Return *plant* with its coordinates, as far as *location* has them."""
    address = _object(_object(location).get("address"))
    return replace(
        plant,
        latitude=_number(address.get("latitude"), plant.latitude),
        longitude=_number(address.get("longitude"), plant.longitude),
    )


def moment(value: object) -> datetime | None:
    """Read a stamp of the API, aware only if it names its zone; None if it cannot be read.

    SMA writes 0 to 7 fractional digits; what is finer than a microsecond is dropped.
    """
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _plant(row: _PlantRow, response: Response) -> Plant:
    plant = Plant(
        plant_id=_id(row.plant_id, response),
        name=_text(row.name) or "",
        timezone=_text(row.timezone) or "",
    )
    return with_location(with_installation(plant, row.installation), row.location)


def _device(row: _DeviceRow, plant_id: str, response: Response) -> Device:
    deactivated = moment(row.deactivated_at)
    return Device(
        device_id=_id(row.device_id, response),
        plant_id=plant_id,
        name=_text(row.name) or "",
        type=_text(row.type),
        product=_text(row.product),
        product_id=row.product_id if type(row.product_id) is int else None,
        vendor=_text(row.vendor),
        serial=_text(row.serial),
        generator_power=_number(row.generator_power, None),
        is_active=row.is_active is not False,
        deactivated_at=deactivated.replace(tzinfo=None) if deactivated else None,
    )


def _id(value: int | str, response: Response) -> str:
    """Return an id as text; SMA writes strings, other versions numbers."""
    text = str(value).strip()
    if not text or "\0" in text:  # SQLite's functions end a text at a NUL, and would take two ids for one
        raise BadBody(f"{response.label}: an id is empty or holds a NUL", status=response.status)
    return text


def _text(value: object) -> str | None:
    """Return *value* if it is a text that is not empty; a number as its digits (serials come as both)."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


def _number(value: object, otherwise: float | None) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return otherwise
        return number if math.isfinite(number) else otherwise
    return otherwise


def utc(value: object) -> datetime | None:
    """Read a stamp of the API as aware UTC, also where it names no zone; None if it cannot be read."""
    stamp = moment(value)
    if stamp is None:
        return None
    try:
        return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
    except OverflowError:
        return None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
