"""Master data as the API words it: plants, places, installations, devices."""

from datetime import UTC, datetime
from typing import Any

from harvester.sandbox.chance import roll
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.zones import midnight

Json = dict[str, Any]


def plant_head(plant: Plant) -> Json:
    """Return the three fields that stand everywhere."""
    return {"plantId": plant.plant_id, "name": plant.name, "timezone": plant.timezone}


def device_head(plant: Plant, device: Device) -> Json:
    """Return the three fields of a device beside values and sets."""
    return {"deviceId": device.device_id, "name": device.name, "timezone": plant.timezone}


def listed(plant: Plant, *, status: bool, installation: bool, location: bool) -> Json:
    """Return a row of the plant list; three fields without flags (captured)."""
    row = plant_head(plant)
    if status:
        row["status"] = "Ok"
    if installation:
        row["description"] = f"{plant.name}, {plant.city}"
        row["installation"] = _installation(plant)
    if location:
        row["location"] = {"currencyCode3": plant.currency, "address": _address(plant)}
    return row


def detail(plant: Plant) -> Json:
    """Return the flat master data of one plant."""
    head = plant_head(plant)
    return {**head, "description": f"{plant.name}, {plant.city}"}


def location(plant: Plant) -> Json:
    """Return place and currency, flat."""
    return {**plant_head(plant), "currencyCode3": plant.currency, "address": _address(plant)}


def installation(plant: Plant) -> Json:
    """Return size and orientation, flat."""
    return {"plantId": plant.plant_id, "name": plant.name, **_installation(plant)}


def status(plant: Plant) -> Json:
    """Return the state (assumption: Ok, Warning or Error as in the generated schema)."""
    return {**plant_head(plant), "status": "Ok"}


def capabilities(plant: Plant) -> Json:
    """Return what the plant can deliver (names from the generated schema, values assumed)."""
    kinds = ["EnergyBalance", *(["Battery"] if plant.battery_wh else [])]
    return {**plant_head(plant), "capabilities": {"measurementData": kinds}}


def device_row(plant: Plant, device: Device, *, lean: bool) -> Json:
    """Return a device as lists name it; the lean form has no zone."""
    row: Json = {"deviceId": device.device_id, "name": device.name}
    if not lean:
        row["timezone"] = plant.timezone
    product = device.product
    row |= {"type": product.type, "product": product.product, "productId": product.product_id}
    if device.serial is not None:
        row["serial"] = device.serial
    row["vendor"] = "SMA Solar Technology AG"
    if product.kind == "inverter":
        row |= {"generatorPower": float(product.watts), "generatorPowerDc": round(product.watts * 1.15, 1)}
    row["isActive"] = device.deactivated is None
    if device.deactivated_at is not None:
        row["deactivatedAt"] = device.deactivated_at
    return row


def device_detail(plant: Plant, device: Device, *, lean: bool) -> Json:
    """Return one device."""
    row = device_row(plant, device, lean=lean)
    if not lean:
        row |= {
            "firmwareVersion": f"03.{int(roll('firmware', device.key) * 20):02d}.07.R",
            "communicationProtocol": "SMAData2Plus",
            "ipAddress": f"192.168.178.{20 + int(roll('address', device.key) * 200)}",
            "startUpUtc": start_up(plant),
            "isResetted": False,
        }
        if device.product.kind == "battery":
            row["batteryCapacity"] = float(plant.battery_wh * device.product.watts // plant.battery_watts)
        return {"plant": plant_head(plant), "details": row}
    return {"details": row}


def start_up(plant: Plant) -> str:
    """Return the start-up in UTC, without a suffix that would say so (captured)."""
    instant = datetime.fromtimestamp(midnight(plant.timezone, plant.start), UTC)
    return instant.replace(tzinfo=None).isoformat()


def _installation(plant: Plant) -> Json:
    return {
        "peakPower": plant.peak_watts,
        "acNominalPower": plant.ac_watts,
        "dcPowerInputMax": round(plant.ac_watts * 1.3, 1),
        "co2SavingsFactor": 0.56,
        "startUpUtc": start_up(plant),
        "orientation": {"azimuth": float(plant.azimuth), "collectorSlope": float(plant.slope)},
    }


def _address(plant: Plant) -> Json:
    return {
        "country": plant.country,
        "city": plant.city,
        "zipCode": f"{int(roll('zip', plant.key) * 90_000) + 10_000}",
        "street": "Sonnenweg",
        "streetNo": str(1 + int(roll("street", plant.key) * 90)),
        "federalState": plant.city,
        "longitude": plant.longitude,
        "latitude": plant.latitude,
        "elevation": plant.elevation,
    }
