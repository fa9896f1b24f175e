"""Bodies of the Monitoring API, good and bad."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import BadBody
from harvester.model import Device, Plant
from harvester.sma import answers
from harvester.sma.wire import Response


def response(value: Any, url: str = "https://h/v1/plants/7/devices/lean") -> Response:
    """Build an answer with *value* as JSON."""
    body = json.dumps(value).encode()
    return Response(method="GET", url=url, status=200, headers={}, body=body, asked_at=datetime.now(UTC))


FULL = {
    "plantId": "4711001",
    "name": "Barn South",
    "timezone": "Europe/Berlin",
    "installation": {
        "peakPower": 9800.0,
        "startUpUtc": "2021-11-03T00:00:00",
        "orientation": {"azimuth": 180.0},
    },
    "location": {"currencyCode3": "EUR", "address": {"longitude": 9.5, "latitude": 51.3}},
}
BARN = Plant(
    plant_id="4711001",
    name="Barn South",
    timezone="Europe/Berlin",
    peak_power=9800.0,
    start_up=datetime(2021, 11, 3, tzinfo=UTC),
    latitude=51.3,
    longitude=9.5,
)


def test_a_plant_list_of_production() -> None:
    """Installation and location inside of the rows fill the plant."""
    assert answers.plants(response({"plants": [FULL], "new": 1})) == [BARN]


def test_a_plant_list_of_the_sandbox() -> None:
    """Three fields are enough."""
    row = {"plantId": 13, "name": "Testplant 1", "timezone": "Europe/Berlin"}

    assert answers.plants(response({"plants": [row]})) == [
        Plant(plant_id="13", name="Testplant 1", timezone="Europe/Berlin")
    ]


def test_details_are_flat_and_parts_come_on_their_own() -> None:
    """Three answers make the plant that the list would have given."""
    plant = answers.plant(response({key: FULL[key] for key in ("plantId", "name", "timezone")}))
    plant = answers.with_installation(plant, answers.part(response(FULL["installation"])))

    assert answers.with_location(plant, answers.part(response(FULL["location"]))) == BARN


@pytest.mark.parametrize(
    "odd",
    [
        {"installation": {"peakPower": "many", "startUpUtc": "yesterday"}, "location": {"address": [1]}},
        {"installation": [], "location": None},
        {
            "installation": {"peakPower": True, "startUpUtc": 5},
            "location": {"address": {"latitude": "north"}},
        },
        {"installation": {"peakPower": 10**400, "startUpUtc": "0001-01-01T00:00:00+14:00"}},
    ],
)
def test_an_odd_field_does_not_hide_a_plant(odd: dict[str, Any]) -> None:
    """What is optional and cannot be read is None."""
    (plant,) = answers.plants(response({"plants": [{"plantId": "7", "name": "x", "timezone": "UTC", **odd}]}))

    assert plant == Plant(plant_id="7", name="x", timezone="UTC")


def test_a_device_with_everything() -> None:
    """The fields of production captures are read."""
    row = {
        "deviceId": "4711007",
        "name": "STP 10",
        "type": "Solar Inverters",
        "product": "STP 6000TL-20",
        "productId": 9099,
        "vendor": "SMA Solar Technology AG",
        "serial": "191000001",
        "generatorPower": 6000,
        "generatorPowerDc": 6100,
        "isActive": False,
        "deactivatedAt": "2024-05-01T10:00:00.1234567",
    }

    assert answers.devices(response({"devices": [row]})) == [
        Device(
            device_id="4711007",
            plant_id="7",
            name="STP 10",
            type="Solar Inverters",
            product="STP 6000TL-20",
            product_id=9099,
            vendor="SMA Solar Technology AG",
            serial="191000001",
            generator_power=6000.0,
            is_active=False,
            deactivated_at=datetime(2024, 5, 1, 10, 0, 0, 123456),  # noqa: DTZ001  # plant-local
        )
    ]


def test_a_virtual_device() -> None:
    """A satellite sensor has no serial and no power, and is active."""
    (device,) = answers.devices(response({"plant": {}, "devices": [{"deviceId": 14, "name": "Sensor"}]}))

    assert device == Device(device_id="14", plant_id="7", name="Sensor")


def test_sets_are_named_once_and_in_order() -> None:
    """Doubles and empty names are left out; an empty list is an answer."""
    assert answers.sets(response({"sets": ["PowerDc", "", "PowerAc", "PowerDc"]})) == ["PowerDc", "PowerAc"]
    assert answers.sets(response({"sets": []})) == []


@pytest.mark.parametrize("digits", range(8))
def test_stamps_have_any_number_of_digits(digits: int) -> None:
    """From none to seven fractional digits, with and without a zone."""
    fraction = f".{'1234567'[:digits]}" if digits else ""
    micros = int("123456"[:digits].ljust(6, "0")) if digits else 0

    assert answers.utc(f"2026-07-15T08:30:00{fraction}Z") == datetime(2026, 7, 15, 8, 30, 0, micros, tzinfo=UTC)
    assert answers.utc(f"2026-07-15T08:30:00{fraction}") == datetime(2026, 7, 15, 8, 30, 0, micros, tzinfo=UTC)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (answers.plants, {}),
        (answers.plants, {"plants": None}),
        (answers.plants, {"plants": {"plantId": "1"}}),
        (answers.plants, {"plants": [{"name": "no id"}]}),
        (answers.plants, {"plants": [{"plantId": ""}]}),
        (answers.plants, {"plants": [{"plantId": True}]}),
        (answers.plants, [FULL]),
        (answers.devices, {"devices": [{"deviceId": None}]}),
        (answers.sets, {"sets": [1]}),
        (answers.sets, {"sets": "PowerAc"}),
        (answers.part, []),
    ],
)
def test_what_is_required_is_required(read: Callable[[Response], Any], body: Any) -> None:
    """A list without its wrapper, or a row without its id, is a bad body."""
    with pytest.raises(BadBody) as caught:
        read(response(body))

    assert caught.value.status == 200


SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ROW_KEYS = ["plantId", "deviceId", "name", "timezone", "installation", "location", "address", "peakPower"]
MORE_KEYS = ["startUpUtc", "latitude", "productId", "serial", "isActive", "deactivatedAt", "generatorPower"]
KEYS = st.sampled_from(["plants", "devices", "sets", *ROW_KEYS, *MORE_KEYS])
SOUP = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(soup=SOUP | st.fixed_dictionaries({"plants": st.lists(st.fixed_dictionaries({"plantId": SCALAR}), max_size=2)}))
@pytest.mark.parametrize("read", [answers.plants, answers.plant, answers.devices, answers.sets, answers.part])
def test_soup_is_a_value_or_a_bad_body(read: Callable[[Response], Any], soup: Any) -> None:
    """Any JSON at all is read into typed, finite values, or is BadBody."""
    try:
        value = read(response(soup))
    except BadBody:
        return

    for plant in value if isinstance(value, list) else [value]:
        if isinstance(plant, Plant):
            assert plant.plant_id
            assert plant.peak_power is None or math.isfinite(plant.peak_power)
            assert plant.start_up is None or plant.start_up.tzinfo is UTC
        elif isinstance(plant, Device):
            assert plant.device_id
            assert plant.deactivated_at is None or plant.deactivated_at.tzinfo is None
        else:
            assert isinstance(plant, str | dict)
